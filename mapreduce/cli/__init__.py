"""The command line.

    app       the group of commands, `main`, exit codes     failure   how an error is told
    run, plan, show, verify, demo       a command each      jobfile   FILE.py[:job] → Job
    console   text on a stream          tables              rows and bars, fitted to a width

Nothing but click is imported before a command runs: `mapreduce` answers at once.
"""

from mapreduce.cli.app import main

__all__ = ["main"]
