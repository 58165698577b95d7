"""A command under a hard limit of memory, and what the processes of a run hold.

Needs root and the kernel's memory control groups, of either version.
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
INTERVAL = 0.05  # seconds between two looks
LIMIT = 7200.0  # seconds after which a command is killed


def why_not() -> str:
    """Why no command can be limited here; "" if it can."""
    try:
        with memory_group(2**30):
            return ""
    except OSError as error:
        return f"no memory control group can be made: {error}"


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group whose processes together get no more than `limit` bytes, page cache included."""
    old = GROUPS / "memory"
    group = (old if old.is_dir() else GROUPS) / f"mapreduce-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(limit))
        yield group
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    for _ in range(500):  # the kernel lets go of ended processes a moment later
        with suppress(OSError):
            return group.rmdir()
        time.sleep(0.01)


@dataclass
class Peaks:
    """The most that was seen, in bytes: proportional set sizes (PSS)."""

    worker: int = 0
    """Of one worker."""
    workers: int = 0
    """Of all together."""
    others: int = 0
    """Of coordinator and forkserver together."""

    def look(self, coordinator: int) -> None:
        """Take in what the processes of a run hold now."""
        servers = [child for child in _children(coordinator) if "forkserver" in _command(child)]
        sizes = [pss(worker) for server in servers for worker in _children(server)]
        self.worker = max([self.worker, *sizes])
        self.workers = max(self.workers, sum(sizes))
        self.others = max(self.others, pss(coordinator) + sum(map(pss, servers)))


@dataclass(frozen=True)
class Limited:
    """One run of a command."""

    code: int
    seconds: float
    output: str
    """What it wrote to stdout and stderr."""
    peaks: Peaks
    killed: bool
    """The kernel ended a process of it for want of memory."""


def run_limited(command: Sequence[str], limit: int, environment: Mapping[str, str] | None = None) -> Limited:
    """Run a command and all that it starts within so many bytes. Raises OSError where that can't be done."""
    with memory_group(limit) as group:

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=join,
        )
        peaks, ended = Peaks(), threading.Event()
        watch = threading.Thread(target=_watch, args=(peaks, process.pid, ended))
        watch.start()
        try:
            output, _ = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
            ended.set()
            watch.join()
        seconds = time.perf_counter() - start
        return Limited(process.returncode, seconds, output, peaks, _kills(group) > 0)


def _watch(peaks: Peaks, coordinator: int, ended: threading.Event) -> None:
    while not ended.wait(INTERVAL):
        peaks.look(coordinator)


def _kills(group: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            counts = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def _command(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def pss(process: int) -> int:
    """Bytes that a process holds; pages that several share count in parts. 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
