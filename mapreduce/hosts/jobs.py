"""Runs on a store: how one is laid down for hosts to find, and how it is read.

<store>/open/<run>          there while the run has not ended
<store>/jobs/<run>/spec     what hosts must know, signed
<store>/jobs/<run>/code     the job, pickled; loaded only after its digest was found in a spec that is signed
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.changes import differences
from mapreduce.codec import from_plain, pack, seal, sha256, unseal
from mapreduce.coordinator.log import read_log
from mapreduce.errors import JobChanged, JobError, SignatureError, WorkDamaged
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.signed import SignedStore
from mapreduce.hosts.signing import check_signature, signature
from mapreduce.model import Plan
from mapreduce.place import Place
from mapreduce.protocols import Store
from mapreduce.resume import FORMAT
from mapreduce.store import layout, open_store
from mapreduce.store.inputs import is_url

_LOG = logging.getLogger("mapreduce.run")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a host must know of a run before it takes part."""

    run_id: str
    job: str
    output: str
    """The folder of the result."""
    shards: int
    code: str
    """sha256 of the pickled job."""
    directory: str = ""
    """Where relative paths of the input begin."""
    versions: dict[str, str] = field(default_factory=manifests.versions)
    signature: str = ""
    format: int = 1

    def content(self) -> bytes:
        """What is signed."""
        return pack(replace(self, signature=""))


class Cluster:
    """A store that hosts share. place: a folder, or a URL. key: the cluster's; None: there is none.

    Raises SignatureError without a key for anything but a folder of this user's that nobody else may
    write to.
    """

    def __init__(self, place: str, key: bytes | None) -> None:
        self.place = place if is_url(place) else os.path.realpath(place)
        self._key = key
        self.store = open_store(self.place)
        if key is None:
            _check_owner(self.place)

    def of_run(self, run_id: str, who: str = "coordinator") -> Store:
        """The part of the store that is a run's; with a key its control records are signed."""
        store = open_store(self.place_of(run_id), run_id, who)
        return store if self._key is None else SignedStore(store, self._key, run_id)

    def place_of(self, run_id: str) -> str:
        """Where that is."""
        return f"{self.place.rstrip('/')}/{layout.JOBS}/{run_id}"

    def pace(self) -> Pace:
        """How often this store may be asked, and how long silence may last on it."""
        able = self.store.capabilities
        hidden = max(able.listed_after, able.missing_for)
        if able.paid:
            return Pace(look=0.5, report=2.0, dead=max(10.0, 3 * (2.0 + hidden)), queue=4)
        return Pace(look=0.02, report=0.5, dead=max(5.0, 3 * (0.5 + hidden)), queue=4)

    # ------------------------------------------------------------ runs

    def submit(self, plan: Plan, output: Path, payload: bytes) -> None:
        """Lay a run down. Hosts find it when this has returned."""
        store = self.of_run(plan.run_id)
        spec = Spec(plan.run_id, plan.job, str(output), plan.shards, sha256(payload), os.getcwd())
        if self._key is not None:
            spec = replace(spec, signature=signature(self._key, spec.content()))
        store.put(layout.CODE, payload)
        store.put(layout.plan_name(1), seal({"format": FORMAT, "plan": plan, "invocation": None}))
        store.put(layout.SPEC, seal(spec))
        self.store.put(layout.open_name(plan.run_id), plan.run_id.encode())

    def find(self, plan: Plan, place: Place) -> Plan | None:
        """The plan of the newest open run of the same job to the same output. Raises JobChanged."""
        for run_id in reversed(self.open_runs()):
            try:
                spec = self.spec(run_id)
            except (SignatureError, WorkDamaged) as error:
                _LOG.warning("run %s is left alone: %s", run_id, error)
                continue
            if spec.job != plan.job or spec.output != str(place.of(run_id).output):
                continue
            try:
                begun = self.plan(run_id)
            except WorkDamaged:
                if run_id not in self.open_runs():  # it has ended a moment ago
                    continue
                raise
            if changes := differences(begun, plan):
                raise JobChanged(
                    f"The job has changed since run {run_id} to {spec.output} was begun:\n"
                    + "\n".join(f"  {change}" for change in changes),
                    hint="Undo that to go on with the run, or start afresh with --new.",
                )
            return begun
        return None

    def open_runs(self) -> list[str]:
        """Runs that have not ended, the oldest first."""
        names = [name.rpartition("/")[2] for name in self.store.list(layout.OPEN)]
        return sorted(filter(layout.is_run_id, names))

    def close(self, run_id: str) -> None:
        """The run has ended, and nobody goes on with it: hosts look for it no more."""
        self.store.delete(layout.open_name(run_id))
        self.of_run(run_id).delete(layout.plan_name(1))
        if not is_url(self.place):
            _remove_unfinished(Path(self.place_of(run_id)))

    def spec(self, run_id: str) -> Spec:
        """What is known of a run, its signature checked. Raises SignatureError, WorkDamaged."""
        store = self.of_run(run_id)
        where = layout.shown(store.url, layout.SPEC)
        try:
            spec: Spec = from_plain(Spec, unseal(store.read(layout.SPEC)))
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise WorkDamaged(f"{where} can't be read: {error}.") from None
        check_signature(self._key, spec.content(), spec.signature, f"Run {run_id}")
        if spec.run_id != run_id:
            raise SignatureError(f"{where} is of run {spec.run_id}.")
        return spec

    def payload(self, spec: Spec) -> bytes:
        """The job of a spec that `spec` gave, still pickled. Raises SignatureError, WorkDamaged."""
        store = self.of_run(spec.run_id)
        try:
            data = store.read(layout.CODE)
        except FileNotFoundError:
            raise WorkDamaged(f"{layout.shown(store.url, layout.CODE)} is missing.") from None
        if sha256(data) != spec.code:
            raise SignatureError(f"{layout.shown(store.url, layout.CODE)} is not what was signed.")
        return data

    def plan(self, run_id: str) -> Plan:
        """What a run does. Raises WorkDamaged."""
        store = self.of_run(run_id)
        name = layout.plan_name(1)
        try:
            fields = unseal(store.read(name))
        except (FileNotFoundError, ValueError) as error:
            raise WorkDamaged(f"{layout.shown(store.url, name)} can't be read: {error}.") from None
        plan: Plan = from_plain(Plan, fields["plan"])
        return plan

    def done(self, run_id: str) -> tuple[int, int]:
        """How many tasks of a run have an accepted result, and how many there are."""
        plan = self.plan(run_id)
        return len(read_log(self.of_run(run_id)).by_task), len(plan.splits) + plan.shards


def _remove_unfinished(directory: Path) -> None:
    """Remove what processes that were killed had begun to write: it is no object, so no store lists it."""
    with suppress(OSError):  # what can't be removed does no harm
        for path in directory.rglob("*"):
            if layout.is_unfinished(path.name):
                path.unlink(missing_ok=True)


def _check_owner(place: str) -> None:
    hint = "Make a key with `mapreduce keygen FILE`, and give it to all hosts: MAPREDUCE_KEY_FILE=FILE."
    if is_url(place):
        raise SignatureError(f"Who may write to {place} could have their code run here.", hint=hint)
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        raise JobError(f"There is no folder {place}.", hint="Make it, where all hosts see it.") from None
    if not stat.S_ISDIR(status.st_mode):
        raise JobError(f"{place} is no folder.", hint="Give a folder that all hosts see, or a URL.")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SignatureError(f"Others may write to {place}, and could have their code run here.", hint=hint)


def version_difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Why these versions can't work on one run, or ""."""
    for name, version in ours.items():
        other = theirs.get(name, "none")
        if name == "python" and version.split(".")[:2] == other.split(".")[:2]:
            continue
        if version != other:
            return f"it has {name} {other}, and the run needs {version}"
    return ""
