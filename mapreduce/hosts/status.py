"""What can be known of a run on a store: from what lies there, and by watching for a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mapreduce.coordinator.log import read_log
from mapreduce.errors import MapReduceError, SignatureError, WorkDamaged
from mapreduce.figures import causes
from mapreduce.hosts.jobs import Cluster, version_difference
from mapreduce.hosts.leadership import has_ended, is_retried, leader, newest, said_end, was_late
from mapreduce.hosts.messages import HostReport
from mapreduce.hosts.watching import Seen, enough, watch
from mapreduce.model import AttemptRecord, Kind, TaskId
from mapreduce.protocols import Store
from mapreduce.store import layout

_UNREADABLE = (SignatureError, WorkDamaged)


class State(StrEnum):
    """How far a run is, in a word, by what lies there. Whether somebody leads it takes watching."""

    QUEUED = "queued"
    """No coordinator has come yet, or none since `mapreduce retry`."""
    MAPPING = "mapping"
    REDUCING = "reducing"
    COMMITTED = "committed"
    """The result is decided, and not yet published."""
    FAILED = "failed"
    STOPPED = "stopped"
    ENDED = "ended"
    LATE = "late"
    """It has ended without publishing: another run's result was in its output first."""
    UNREADABLE = "unreadable"
    """Not signed with the key that is used here, or damaged."""


@dataclass(frozen=True)
class Facts:
    """What lies on the store of one run."""

    run: str
    state: State
    job: str = ""
    output: str = ""
    epoch: int = 0
    """The newest; 0: nobody has led yet."""
    coordinator: str = ""
    """Host and process of who has it, where that is known."""
    maps: int = 0
    maps_done: int = 0
    reduces: int = 0
    reduces_done: int = 0
    error: dict[str, str] = field(default_factory=dict)
    """What the run failed by, or why it can't be read."""


@dataclass(frozen=True)
class HostFacts:
    """A host that has reported, and has not left."""

    id: str
    name: str
    slots: int
    runs: tuple[str, ...]
    """Tasks that it runs."""
    memory: int
    """Bytes that these hold, where that is known."""
    wrote: float | None
    """Seconds of watching after which it reported; None: it did not."""
    refused: str
    """Why it can't take part, or ""."""


@dataclass(frozen=True)
class Status:
    """A run, and who is at work on it."""

    facts: Facts
    phase: str
    """In words."""
    hosts: tuple[HostFacts, ...] = ()
    left: int = 0
    """Hosts that have left."""
    failures: tuple[tuple[int, str], ...] = ()
    """Causes of attempts that failed, the most frequent first: how many, and an example."""
    watched: float = 0.0
    """Seconds; 0: it was not watched, because it is over."""
    answered: float | None = None
    """Seconds until the coordinator answered; None: it did not."""


def facts(cluster: Cluster, run_id: str) -> Facts:
    """What lies there of a run. Raises StorageError; of what is not signed it says so."""
    try:
        return _facts(cluster, run_id)
    except MapReduceError as error:
        if not isinstance(error, _UNREADABLE):
            raise
        return Facts(run_id, State.UNREADABLE, error=_shown(error.to_plain()))


def _facts(cluster: Cluster, run_id: str) -> Facts:
    spec, store = cluster.spec(run_id), cluster.of_run(run_id)
    epoch = newest(store)
    found = Facts(run_id, State.ENDED, spec.job, spec.output, epoch, leader(store, epoch) if epoch else "")
    if has_ended(store):
        return replace(found, state=State.LATE) if was_late(store) else found
    plan = cluster.plan(run_id)
    tasks = read_log(store).by_task
    found = replace(
        found,
        maps=len(plan.splits),
        maps_done=_of_kind(tasks, Kind.MAP),
        reduces=plan.shards,
        reduces_done=_of_kind(tasks, Kind.REDUCE),
    )
    ended = said_end(store, epoch) if epoch else None
    waits = not epoch or (ended is not None and is_retried(store, epoch))
    state = _state(store, found, ended, waits=waits)
    return replace(found, state=state, error=_shown(ended or {}) if state is State.FAILED else {})


def _of_kind(tasks: Iterable[TaskId], kind: Kind) -> int:
    return sum(task.kind is kind for task in tasks)


def _shown(error: dict[str, str]) -> dict[str, str]:
    return {name: error[name] for name in ("kind", "message", "hint") if name in error}


def _state(store: Store, found: Facts, ended: dict[str, str] | None, *, waits: bool) -> State:
    if layout.COMMIT in store.list(layout.RESULT):
        return State.COMMITTED
    if waits:
        return State.QUEUED
    if ended is not None:
        return State.FAILED if ended else State.STOPPED
    return State.REDUCING if found.maps_done == found.maps and found.reduces else State.MAPPING


def status(cluster: Cluster, run_id: str, seconds: float | None = None) -> Status:
    """What is known of a run when it has been watched for so long, by default for a few reports.

    Raises SignatureError, WorkDamaged, StorageError.
    """
    versions, store = cluster.spec(run_id).versions, cluster.of_run(run_id)
    if has_ended(store):
        found = _facts(cluster, run_id)
        return Status(found, phase(found, Seen(found.epoch)))
    pace = cluster.pace()
    seen = watch(store, pace, enough(pace, store.capabilities) if seconds is None else seconds)
    found = _facts(cluster, run_id)
    hosts = [_host(id_, report, seen, versions) for id_, report in seen.hosts.items()]
    over = found.state in (State.FAILED, State.STOPPED)  # silent ones were told to leave
    staying = [host for host in hosts if (host.slots and not (over and host.wrote is None)) or host.refused]
    return Status(
        found,
        phase(found, seen),
        tuple(sorted(staying, key=lambda host: (host.wrote is None, host.name))),
        len(hosts) - len(staying),
        _failures(seen),
        round(seen.seconds, 1),
        None if seen.answer is None else round(seen.answered, 1),
    )


def phase(found: Facts, seen: Seen) -> str:
    """How far a run is, and what it waits for, in words."""
    if found.state in (State.ENDED, State.FAILED, State.STOPPED):
        return found.state.value
    if found.state is State.LATE:
        return "ended without a result: its output had got another run's"
    if found.state is State.COMMITTED:
        return "committed, not yet published"
    if seen.answer is None:
        return "waits for a coordinator"
    if not seen.wrote:
        return "waits for hosts"
    if found.state is State.REDUCING:
        return f"reduces {found.reduces_done:,} of {found.reduces:,}"
    return f"maps {found.maps_done:,} of {found.maps:,}"


def _host(id_: str, report: HostReport, seen: Seen, versions: dict[str, str]) -> HostFacts:
    wrote = seen.wrote.get(id_)
    return HostFacts(
        id_,
        report.name,
        report.slots,
        tuple(" ".join(going.key.split()[:2]) for going in report.going),
        sum(going.memory for going in report.going),
        None if wrote is None else round(wrote, 1),
        version_difference(versions, report.versions),
    )


def _failures(seen: Seen) -> tuple[tuple[int, str], ...]:
    """What the coordinator says of it; if that says nothing, what hosts have told and nobody has read."""
    if seen.answer is not None:
        return tuple((int(number), str(example)) for number, example in seen.answer.get("causes", ()))
    told = [ended for report in seen.hosts.values() for ended in report.ended if ended.error]
    failed = [
        AttemptRecord(
            str(ended.attempt.task),
            ended.attempt.number,
            ended.attempt.worker,
            "failed",
            0.0,
            ended.error["message"],
            ended.error["kind"],
            ended.error["place"],
        )
        for ended in told
        if ended.error
    ]
    return tuple(causes(failed))
