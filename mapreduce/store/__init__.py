"""Where bytes live: the run's own store, the names in it, and the files of the input."""
