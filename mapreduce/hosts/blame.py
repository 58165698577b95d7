"""Which host fails what others finish: its disk is full, or it lacks a mount. No clock, no store."""

from __future__ import annotations

from dataclasses import dataclass, field

from mapreduce.coordinator.policy import may_be_the_hosts
from mapreduce.errors import HostLost, MapReduceError, SegmentError, WorkerKilled
from mapreduce.model import TaskId

MOST = 3
"""So many attempts that failed on a host, and that others finished, are its fault."""


@dataclass(slots=True)
class _Record:
    """What has failed on a host, and is not known to be the task's own fault."""

    open: dict[TaskId, MapReduceError] = field(default_factory=dict)
    finished: list[MapReduceError] = field(default_factory=list)
    """Those of tasks that another host has finished meanwhile."""


class Blame:
    """Counts for each host what failed there and was finished elsewhere.

    Errors of disks and inputs count wherever they come; those of functions and processes only as long as
    the host finishes nothing itself, since they may be chance.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, _Record] = {}

    def failed(self, host: str, task: TaskId, error: MapReduceError) -> None:
        """An attempt has failed on a host."""
        if not isinstance(error, SegmentError | HostLost):
            self._hosts.setdefault(host, _Record()).open[task] = error

    def succeeded(self, host: str, task: TaskId) -> list[str]:
        """An attempt has succeeded on a host: others that failed it, and have now failed too much."""
        if own := self._hosts.get(host):
            own.open.pop(task, None)
            own.open = {which: error for which, error in own.open.items() if _is_lasting(error)}
            own.finished = list(filter(_is_lasting, own.finished))
        found = []
        for other, record in self._hosts.items():
            if other != host and (error := record.open.pop(task, None)):
                record.finished.append(error)
                if len(record.finished) >= MOST:
                    found.append(other)
        return found

    def why(self, host: str) -> str:
        """What a host has done, in words."""
        errors = self._hosts[host].finished
        return (
            f"it failed {len(errors)} attempts that other hosts finished, the last of them so: "
            f"{errors[-1].message.splitlines()[0]}"
        )


def _is_lasting(error: MapReduceError) -> bool:
    """Whether it counts though the host has finished something since."""
    return may_be_the_hosts(error) and not isinstance(error, WorkerKilled)
