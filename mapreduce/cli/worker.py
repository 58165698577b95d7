"""`mapreduce worker`: let this host take part in the runs of a store."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from mapreduce.cli import importing, options
from mapreduce.cli.run import logged


@click.command(short_help="Let this host work on the runs of a store.")
@options.store
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Attempts at once; by default one each processor.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="What all attempts may hold together, such as 8GB; by default most of what the machine has.",
)
@options.key_file
@options.traceback
def worker(store: str, processes: int | None, memory: str | None, key_file: str | None) -> int:
    """Work on the runs of a STORE, a folder that all hosts see or a URL, until stopped.

    Hosts may come and go at any time. Ctrl-C or SIGTERM: take nothing more, and leave when what runs has
    ended; once more: leave at once. What was not done then is done by others.
    """
    from mapreduce.executors import warm_up

    warm_up()
    with importing():
        from mapreduce import host
        from mapreduce.hosts.host import Host
        from mapreduce.hosts.jobs import Cluster
        from mapreduce.hosts.signing import read_key
        from mapreduce.store.probe import check_store
        from mapreduce.units import parse_size

    room = None if memory is None else parse_size("--memory", memory)
    leaving = _Leaving()
    with logged(sys.stderr):
        cluster = Cluster(store, read_key(key_file))
        check_store(cluster.store)
        Host(cluster, processes or host.processors(), leaving=leaving.asked, memory=room).work()
    return 0


class _Leaving:
    """Signals: the first one asks to leave, the second leaves."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._handle)

    def asked(self) -> bool:
        """Whether one has come."""
        return self._asked

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        from mapreduce.cli import console

        if self._asked:
            sys.exit(128 + number)
        self._asked = True
        console.say("leaving when what runs has ended (once more: at once)", sys.stderr)
