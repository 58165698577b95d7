"""What this machine has for a run: processors and memory, as far as this process may use them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_SHARE = 0.8
"""Of the machine's memory that all workers together may hold: the rest is the page cache's and others'."""
_CGROUPS = Path("/sys/fs/cgroup")


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory: the machine's, or what a control group of this process allows where that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = ""
    with suppress(OSError):
        groups = Path("/proc/self/cgroup").read_text()
    return min([found, *memory_limits(groups, _CGROUPS)])


def memory_limits(groups: str, mounted: Path) -> list[int]:
    """The limits of a process's control groups and of all that they lie in, of both versions.

    groups: what /proc/self/cgroup says of it. mounted: where the hierarchies are. In a container the
    root is the container's own group, and the group's path may lead nowhere below it.
    """
    found = []
    for path in _limit_files(groups, mounted):
        with suppress(OSError, ValueError):  # "max", or there is none
            found.append(int(path.read_text()))
    return found


def _limit_files(groups: str, mounted: Path) -> Iterator[Path]:
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        group = PurePosixPath(path.lstrip("/"))
        for within in (group, *group.parents):
            if not controllers:
                yield mounted / within / "memory.max"
                yield mounted / "unified" / within / "memory.max"
            elif "memory" in controllers.split(","):
                yield mounted / "memory" / within / "memory.limit_in_bytes"


def worker_budget(workers: int) -> int:
    """Bytes that each of so many workers may hold, where the job does not say."""
    return int(memory() * _SHARE) // workers


def resident(process: int) -> int | None:
    """Bytes that a process holds in memory; None where that can't be known."""
    try:
        with open(f"/proc/{process}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return None


def process_name() -> str:
    """Of this host and process, for messages."""
    return f"{socket.gethostname()}:{os.getpid()}"
