"""Who is told of a committed result: `Log`, `ReportFile`, or a function of one's own."""
