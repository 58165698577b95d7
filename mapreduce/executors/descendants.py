"""Processes that functions start: they end with their attempt, and no orphan is left.

A worker leads a process group and adopts what its children leave behind, so that it can end them all.
Elsewhere than on Linux the group is all that is known.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 1.0
"""Seconds for a killed child to end."""


def adopt() -> None:
    """Make this process the leader of a group, and the parent of whatever its descendants leave."""
    with suppress(PermissionError):  # it leads a session, and so a group
        os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_children() -> bool:
    """Kill the children of this process that are left, and theirs. False if some can't be ended."""
    deadline = 0.0
    while _has_children():
        deadline = deadline or time.monotonic() + _PATIENCE
        for child in _children(os.getpid()):
            _kill(child)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0002)
    return True


def _has_children() -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_group(leader: int) -> None:
    """Kill a worker, its group, and those of its descendants that have left the group."""
    found = _descendants(leader)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for process in (leader, *found):
        _kill(process)


def _descendants(process: int) -> list[int]:
    found = _children(process)
    for child in found:
        found += _children(child)
    return found


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it has ended, or there is no /proc
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def _kill(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)


def end_groups_of_children(process: int) -> None:
    """Kill the groups that the children of this process lead, if it is `process` and none of its children."""
    if os.getpid() == process:
        for child in _children(process):
            end_group(child)
