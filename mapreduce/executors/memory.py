"""Whether the kernel has ended processes because memory ran out."""

from __future__ import annotations

import re
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_LOOK_SECONDS = 1.0


class OutOfMemoryKills:
    """Counts the kernel's kills for want of memory: in this process's control groups, and on the host.

    The counters know no process, so a kill counts as a worker's if it fell into the seconds before its end.
    """

    def __init__(self) -> None:
        self._files = [path for path in _counters() if _kills(path) is not None]
        self._seen: deque[tuple[float, int]] = deque([(0.0, self._count())], maxlen=2)

    def _count(self) -> int:
        return sum(_kills(path) or 0 for path in self._files)

    def look(self) -> None:
        """To be called often: remembers the counters, no more than once a second."""
        now = time.monotonic()
        if now - self._seen[-1][0] > _LOOK_SECONDS:
            self._seen.append((now, self._count()))

    def happened(self) -> bool:
        """Whether the counters have risen in the last second or two."""
        return self._count() > self._seen[0][1]


def _kills(path: Path) -> int | None:
    with suppress(OSError):
        found = _KILLS.search(path.read_text())
        return int(found[1]) if found else None
    return None


def _counters() -> list[Path]:
    """Files with an `oom_kill` counter: cgroup v2, cgroup v1, and the host's."""
    groups: list[str] = []
    with suppress(OSError):
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    found = [Path("/proc/vmstat")]
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_CGROUPS / name / path.lstrip("/") / "memory.events" for name in ("", "unified")]
        elif "memory" in controllers.split(","):
            found.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return found
