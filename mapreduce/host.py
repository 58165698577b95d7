"""What this machine has for a run: processors and memory, as far as this process may use them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_SHARE = 0.8
"""Of the machine's memory that all workers together may hold: the rest is the page cache's and others'."""
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory: the machine's, or what the control group allows where that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # "max", another version of control groups, or none at all
            found = min(found, int(Path(limit).read_text()))
    return found


def worker_budget(workers: int) -> int:
    """Bytes that each of so many workers may hold, where the job does not say."""
    return int(memory() * _SHARE) // workers
