"""Runs on a store: how one is laid down for hosts to find, and how it is read.

<store>/open/<run>          there while the run has not ended
<store>/jobs/<run>/spec     what hosts must know, signed
<store>/jobs/<run>/code     the job, pickled or as an import path; loaded only after its digest and form were
                            found in a spec that is signed
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.changes import differences
from mapreduce.codec import dump_job, from_plain, pack, seal, sha256, unseal
from mapreduce.errors import JobChanged, JobError, SignatureError, Superseded, WorkDamaged
from mapreduce.hosts.desk import Pace
from mapreduce.hosts.leadership import has_ended
from mapreduce.hosts.messages import UNFIT
from mapreduce.hosts.signed import SignedStore
from mapreduce.hosts.signing import check_signature, signature
from mapreduce.importpath import Deployed
from mapreduce.job import Job
from mapreduce.model import Plan
from mapreduce.place import Place
from mapreduce.protocols import Store
from mapreduce.resume import Invocation, is_record_of, plan_record, read_plan, write_plan
from mapreduce.store import layout, open_store
from mapreduce.store.inputs import is_url
from mapreduce.store.local import unfinished_files

_LOG = logging.getLogger("mapreduce.run")


class Form(StrEnum):
    """How a job gets to hosts."""

    PICKLE = "pickle"
    """By value."""
    IMPORT = "import"
    """As an import path, in JSON."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a host must know of a run before it takes part."""

    run_id: str
    job: str
    output: str
    """The folder of the result, or its URL."""
    shards: int
    code: str
    """sha256 of the job, in this form:"""
    form: Form = Form.PICKLE
    functions: dict[str, str] = field(default_factory=dict)
    """What hosts must find that import the job,"""
    settings: dict[str, str] = field(default_factory=dict)
    """functions and settings, as `Deployed` has them."""
    directory: str = ""
    """Where relative paths of the input begin."""
    is_left: bool = False
    """Whoever laid it down does not lead it."""
    overwrite: bool = False
    """Its result may replace one that is there:"""
    replaces: str = ""
    """whose manifest has this digest, if somebody else leads it than laid it down."""
    backups: bool = True
    """Stragglers get a second attempt."""
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

    def signed(self) -> Store:
        """The store; with a key what is written and read there is signed, under no run's name."""
        return self.store if self._key is None else SignedStore(self.store, self._key, "")

    @property
    def has_key(self) -> bool:
        """Whether runs are signed."""
        return self._key is not None

    @property
    def folder(self) -> Path | None:
        """Where the store lies, if it is a folder."""
        return None if is_url(self.place) else Path(self.place)

    def place_of(self, run_id: str) -> str:
        """Where that is."""
        return f"{self.place.rstrip('/')}/{layout.in_job(run_id)}"

    def pace(self) -> Pace:
        """How often this store may be asked, and how long silence may last on it."""
        able = self.store.capabilities
        hidden = max(able.listed_after, able.missing_for)
        if able.paid:
            return Pace(look=0.5, report=2.0, dead=max(10.0, 3 * (2.0 + hidden)), rest=2.0)
        rest = 0.2 if hidden else 0.02  # others ask a server's folder, too
        return Pace(look=0.02, report=0.5, dead=max(5.0, 3 * (0.5 + hidden)), rest=rest)

    # ------------------------------------------------------------ runs

    def submit(
        self,
        plan: Plan,
        output: Path | str,
        job: Job | Deployed,
        invocation: Invocation | None = None,
        *,
        is_left: bool = False,
        overwrite: bool = False,
        replaces: str = "",
        backups: bool = True,
    ) -> None:
        """Lay a run down. Hosts find it when this has returned. job: by value, or for hosts that have it.

        Raises Superseded if it was cleaned away meanwhile.
        """
        store = self.of_run(plan.run_id)
        payload = job.path.payload() if isinstance(job, Deployed) else dump_job(job)
        spec = Spec(plan.run_id, plan.job, str(output), plan.shards, sha256(payload), directory=os.getcwd())
        spec = replace(spec, is_left=is_left, overwrite=overwrite, replaces=replaces, backups=backups)
        if isinstance(job, Deployed):
            spec = replace(spec, form=Form.IMPORT, functions=job.functions, settings=job.settings)
        if self._key is not None:
            spec = replace(spec, signature=signature(self._key, spec.content()))
        store.put(layout.CODE, payload)
        write_plan(store, 1, plan, invocation)
        store.put(layout.SPEC, seal(spec))
        self.store.put(layout.open_name(plan.run_id), plan.run_id.encode())
        if has_ended(store):
            self.store.delete(layout.open_name(plan.run_id))
            raise Superseded(
                "The run was removed by `mapreduce clean` while it was laid down.", hint="Begin it afresh."
            )

    def find(
        self,
        plan: Plan,
        place: Place,
        invocation: Invocation | None,
        run_id: str | None = None,
        deployed: Deployed | None = None,
    ) -> Plan | None:
        """The plan of the newest open run of the same job to the same output. Raises JobChanged.

        run_id: the run that it must be. deployed: how hosts must have got the job; None: by value.
        """
        for run in [run_id] if run_id else reversed(self.open_runs()):
            try:
                spec = self.spec(run)
            except (SignatureError, WorkDamaged) as error:
                _LOG.warning("run %s is left alone: %s", run, error)
                continue
            if spec.job != plan.job or spec.output != str(place.of(run).output):
                continue
            _check_form(spec, deployed)
            again = replace(plan, run_id=run)
            try:
                if self._is_recorded(run, again, invocation):
                    return again
                begun = self.plan(run)
            except WorkDamaged:
                if run not in self.open_runs():  # it has ended a moment ago
                    continue
                raise
            if changes := differences(begun, plan):
                raise JobChanged(
                    f"The job has changed since run {run} to {spec.output} was begun:\n"
                    + "\n".join(f"  {change}" for change in changes),
                    hint="Undo that to go on with the run, or start afresh with --new.",
                )
            return begun
        return None

    def open_runs(self) -> list[str]:
        """Runs that have not ended, the oldest first."""
        return runs_of(self.store.list(layout.OPEN))

    def is_removed(self, run_id: str) -> bool:
        """Whether a run has ended, and nothing is left to be done for it."""
        store = self.of_run(run_id)
        return has_ended(store) and not store.list(layout.PLANS)

    def all_runs(self) -> list[str]:
        """Runs that are open, or have left what they were to do, the oldest first. Lists the whole store."""
        laid_down = {run_id for run_id, names in self.runs_and_names().items() if layout.SPEC in names}
        return sorted(laid_down | {*self.open_runs()})

    def runs_and_names(self) -> dict[str, set[str]]:
        """What lies there of each run, of parts of runs too. Lists the whole store."""
        found: dict[str, set[str]] = {}
        for run_id, name in filter(None, map(layout.name_in_job, self.store.list(layout.JOBS))):
            found.setdefault(run_id, set()).add(name)
        return found

    def named(self, begin: str) -> str:
        """The only run whose id begins so, open runs first. Raises JobError."""
        for runs in (self.open_runs, self.all_runs):
            found = [run_id for run_id in runs() if run_id.startswith(begin)]
            if len(found) == 1:
                return found[0]
            if found:
                raise JobError(f"{begin!r} may be any of {', '.join(found)}.", hint="Give more of it.")
        raise JobError(
            f"There is no run {begin!r} on {self.place}.", hint=f"See `mapreduce jobs --all {self.place}`."
        )

    def close(self, run_id: str) -> None:
        """The run has ended, and nobody goes on with it: hosts look for it no more."""
        self.store.delete(layout.open_name(run_id))
        self.of_run(run_id).delete(layout.plan_name(1))
        for path in self.unfinished(run_id):
            path.unlink(missing_ok=True)

    def unfinished(self, run_id: str) -> list[Path]:
        """What killed processes had begun to write for a run: it is no object, so no store lists it."""
        return [] if self.folder is None else unfinished_files(self.folder / layout.in_job(run_id))

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
        """The job of a spec that `spec` gave, in its form. Raises SignatureError, WorkDamaged."""
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
        return read_plan(self.of_run(run_id), layout.plan_name(1))[0]

    def _is_recorded(self, run_id: str, plan: Plan, invocation: Invocation | None) -> bool:
        """Whether just that was written, but for the invocation: it takes less time than to read what was."""
        try:
            recorded = self.of_run(run_id).read(layout.plan_name(1))
            return recorded == plan_record(plan, invocation) or is_record_of(recorded, plan)
        except (FileNotFoundError, ValueError):  # what is wrong is told when it is read
            return False

    def invocation(self, run_id: str) -> Invocation | None:
        """How the command line began a run; None: it didn't. Raises WorkDamaged."""
        return read_plan(self.of_run(run_id), layout.plan_name(1))[1]


def _check_form(spec: Spec, deployed: Deployed | None) -> None:
    """Raise JobChanged unless hosts get the job of a run in the way that is meant now."""
    begun = spec.code if spec.form is Form.IMPORT else None
    if begun == (sha256(deployed.path.payload()) if deployed else None):
        return
    how = "by value" if begun is None else "by another import path" if deployed else "by import path"
    raise JobChanged(
        f"Hosts get the job of run {spec.run_id} to {spec.output} {how}.",
        hint="Give it as it was given then to go on with the run, or start afresh with --new.",
    )


def runs_of(names: Iterable[str]) -> list[str]:
    """The runs that a list of what is open names, the oldest first."""
    return sorted(filter(layout.is_run_id, (name.rpartition("/")[2] for name in names)))


def is_store(directory: Path) -> bool:
    """Whether a folder is a store that hosts share, by what lies there: runs, or where they would lie."""
    folders = filter(Path.is_dir, (directory / layout.OPEN, directory / layout.JOBS))
    return any(layout.is_run_id(path.name) for folder in folders for path in folder.iterdir())


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
    if why := theirs.get(UNFIT):
        return why
    for name, version in ours.items():
        other = theirs.get(name, "none")
        if name == "python" and version.split(".")[:2] == other.split(".")[:2]:
            continue
        if version != other:
            return f"it has {name} {other}, and the run needs {version}"
    return ""
