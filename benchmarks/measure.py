"""What a command costs: wall and CPU seconds, and the peak memory of its whole process tree.

Descendants are found by parent ids. This process adopts its orphans (as a Linux child subreaper), so that
helpers which outlive their parent are still seen, counted and awaited. One measurement at a time, in a
process that has no other children.
"""

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.1  # seconds between two looks at the memory
SHARE = 0.03  # of one core that looking may take; it costs about 1 ms + 1 ms for 100 MB, then looks get rarer
LINGER = 10.0  # seconds that helpers may outlive their command
LIMIT = 3600.0  # seconds after which a command is killed

PR_SET_CHILD_SUBREAPER = 36

_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Programs find their modules compiled, as installed ones do."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a command."""

    seconds: float
    """Wall time from the start until the command itself ended."""
    cpu: float
    """User and system seconds of the command and all its descendants."""
    peak: int
    """Largest sum of proportional set sizes (PSS) seen in the tree, in bytes; 0 if nobody looked."""
    looking: float
    """CPU seconds that looking at the memory took, in this process."""
    code: int
    """Exit code; negative: the signal that ended the command."""
    output: str
    """What the command wrote to stdout and stderr: the last 10,000 characters."""


def measure(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    memory: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Run a command to its end. Its failure is not an error here: see `code`.

    Raises OSError if it cannot be started, and RuntimeError if a helper outlives it by more than LINGER.
    """
    _adopt_orphans()
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**_ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        killer = threading.Timer(LIMIT, process.kill)
        killer.start()
        watch = _Watch()
        if memory:
            watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        killer.cancel()
        cpu = usage.ru_utime + usage.ru_stime + _await_orphans(command)
        watch.end()
        output.seek(0)
        text = output.read().decode(errors="replace")[-10_000:]
    return Measurement(seconds, cpu, watch.peak, watch.cost, process.returncode, text)


class _Watch(threading.Thread):
    """Looks at the memory of this process's descendants until told to end."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self.peak = 0
        self.cost = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            before = time.thread_time()
            self.peak = max(self.peak, sum(map(_pss, _descendants(os.getpid()))))
            cost = time.thread_time() - before
            self.cost += cost
            pause = max(INTERVAL, cost / SHARE)

    def end(self) -> None:
        self._ended.set()
        if self.ident is not None:
            self.join()


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _await_orphans(command: Sequence[str]) -> float:
    """Wait for the descendants that outlived the command; their CPU seconds."""
    cpu = 0.0
    deadline = time.monotonic() + LINGER
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu
        if pid:
            cpu += usage.ru_utime + usage.ru_stime
        else:
            time.sleep(0.01)
    raise RuntimeError(
        f"{list(_descendants(os.getpid()))} still run {LINGER:.0f} s after {' '.join(command)}"
    )


def _descendants(root: int) -> Iterator[int]:
    children = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                children[_parent(name)].append(int(name))
    todo = children[root]
    while todo:
        pid = todo.pop()
        yield pid
        todo.extend(children[pid])


def _parent(pid: str) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        # After the command's name, which may hold anything, come state, parent and more.
        return int(file.read().rpartition(b")")[2].split(None, 2)[1])


def _pss(pid: int) -> int:
    """Bytes; pages that several processes share count in parts. 0 if the process is gone."""
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0
