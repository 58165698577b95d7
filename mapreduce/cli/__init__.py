"""The command line.

    app       the group of commands, `main`, exit codes     failure   how an error is told
    run, plan, show, verify, demo       a command each      jobfile   FILE.py[:job] → Job
    console   text on a stream          tables              rows and bars, fitted to a width

Nothing but click is imported before a command runs: `mapreduce` answers at once.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit."""
    if sys.argv[1:2] in (["run"], ["demo"]) and not {"serial", "--on=serial", "--help"} & set(sys.argv):
        from mapreduce.executors import warm_up

        warm_up()
    from mapreduce.cli.app import main as app

    app()
