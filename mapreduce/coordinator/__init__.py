"""Who decides: a pure brain (`state`, `policy`) and the loop that acts for it."""
