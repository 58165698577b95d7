"""The command line.

    app       the group of commands, `main`, exit codes     failure   how an error is told
    run, plan, show, …       a command each                 jobfile   FILE.py[:job], module:job → Job
    console   text on a stream          tables              rows and bars, fitted to a width

Nothing but click is imported before a command runs: `mapreduce` answers at once.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing", "main"]


@contextmanager
def importing() -> Iterator[None]:
    """Import modules in the block without the collector of garbage: they make many objects, and no garbage.

    What is there afterwards is never visited by it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """Run the command line of this process and exit."""
    if sys.argv[1:2] in (["run"], ["demo"]) and not {"serial", "--on=serial", "--help"} & set(sys.argv):
        from mapreduce.executors import warm_up

        warm_up()
    with importing():
        from mapreduce.cli.app import main as app

    app()
