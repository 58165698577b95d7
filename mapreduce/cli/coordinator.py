"""`mapreduce coordinator`: lead the runs of a store that nobody leads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from types import FrameType
from typing import TYPE_CHECKING

import click

from mapreduce.cli import importing, options
from mapreduce.cli.run import logged, reporting, told

if TYPE_CHECKING:
    from mapreduce.hosts.supervising import Supervisor


@click.command(short_help="Lead the runs of a store that nobody leads.")
@options.store
@options.a_run
@options.key_file
@options.as_json
@options.traceback
def coordinator(store: str, run_id: str | None, key_file: str | None, as_json: bool) -> int:
    """Lead runs that were laid down on a STORE by `mapreduce submit`, and those whose coordinator was killed.

    Each by a process of its own, until stopped: Ctrl-C or SIGTERM lets attempts end for up to three seconds,
    once more ends at once. Runs that have failed, or were stopped, wait for `mapreduce retry` or `mapreduce
    resume`. There may be several, on several hosts: each run is led by one. With RUN, the beginning of a
    run's id, that run is led by this process, until it ends.
    """
    from mapreduce.hosts.signing import KEY_FILE

    if key_file:
        os.environ[KEY_FILE] = os.path.abspath(key_file)
    if run_id:
        return _lead(store, run_id, as_json)
    if as_json:
        raise click.UsageError("--json tells the result of a RUN.")
    return _supervise(store)


def _lead(store: str, begin: str, as_json: bool) -> int:
    with importing():
        from mapreduce.hosts.jobs import Cluster
        from mapreduce.hosts.signing import read_key
        from mapreduce.onstore import lead_submitted

    run_id = Cluster(store, read_key()).named(begin)
    with reporting(sys.stderr, None if as_json else sys.stdout) as observers:
        result = lead_submitted(store, run_id, observers)
    return told(result, as_json)


def _supervise(store: str) -> int:
    with importing():
        from mapreduce.errors import StorageError
        from mapreduce.host import process_name
        from mapreduce.hosts.jobs import Cluster
        from mapreduce.hosts.signing import KEY_FILE, read_key
        from mapreduce.hosts.supervising import Supervisor, logger
        from mapreduce.store.probe import check_store

    cluster = Cluster(store, read_key())
    check_store(cluster.store)
    if named := os.environ.get(KEY_FILE):  # it begins here, and processes go elsewhere
        os.environ[KEY_FILE] = os.path.abspath(named)

    def start(run_id: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mapreduce", "coordinator", cluster.place, run_id]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    supervisor = Supervisor(cluster, start)
    leaving = _Leaving()
    with logged(sys.stderr):
        logger.info("%s looks after the runs on %s", process_name(), cluster.place)
        try:
            while not leaving.asked or supervisor.leading:
                try:
                    supervisor.look(starts=not leaving.asked)
                except (StorageError, OSError) as error:
                    logger.warning("looking again later: %s", error)
                leaving.pass_on(supervisor)
                time.sleep(cluster.pace().rest)
        finally:
            supervisor.close()
    return 0


class _Leaving:
    """Signals: each goes on to all who lead, so that the second one ends them at once."""

    def __init__(self) -> None:
        self.asked = 0
        self._told: Counter[str] = Counter()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.asked += 1

    def pass_on(self, supervisor: Supervisor) -> None:
        """Tell those who lead, each as often as this process was told."""
        for run_id, process in supervisor.leading.items():
            while self._told[run_id] < self.asked:
                self._told[run_id] += 1
                process.send_signal(signal.SIGTERM)
