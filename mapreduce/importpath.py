"""MODULE:JOB → Job, by the import system: for jobs whose code every host has. No pickle says what they are.

A command imports the module, and changes about the job what its options say. On a store the worker processes
of each host do the same, from what that host has, and compare what they get with what was planned.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, invalidate_caches
from types import ModuleType

from mapreduce.changes import changed_functions, changed_settings
from mapreduce.choosing import broken, changed, choose, only_job, own_frames
from mapreduce.codec import canonical_json, from_plain
from mapreduce.errors import JobChanged, JobError, MapReduceError, SerializationError
from mapreduce.job import Job
from mapreduce.jobset import JobSet
from mapreduce.origins import count_as_users
from mapreduce.parameters import params
from mapreduce.plan import functions_of, meaning

_DEPLOY = "Deploy the same code there, or send it by value: mapreduce run FILE.py."


@dataclass(frozen=True, slots=True)
class ImportPath:
    """Which job of which module, and what a command line changes about it. Raises JobError."""

    module: str
    job: str = ""
    """Its name there; "": the only one, or the one called job."""
    settings: dict[str, str] = field(default_factory=dict)
    """What `params` holds when the module is imported."""
    source: tuple[str, ...] = ()
    output: str | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        if not is_module(self.module) or (self.job and not self.job.isidentifier()):
            raise JobError(f"{str(self)!r} is no import path.", hint="Write package.module:job.")

    def __str__(self) -> str:
        return f"{self.module}:{self.job}" if self.job else self.module

    @classmethod
    def of(cls, text: str) -> ImportPath:
        """The path that MODULE or MODULE:JOB says, with `params` as they are now. Raises JobError."""
        module, colon, job = text.partition(":")
        if colon and not job:
            raise JobError(f"{text!r} is no import path.", hint="Write package.module:job.")
        return cls(module, job, dict(params))

    @classmethod
    def from_payload(cls, data: bytes) -> ImportPath:
        """What `payload` gave. Raises JobError, ValueError, TypeError."""
        found: ImportPath = from_plain(cls, json.loads(data))
        return found

    def payload(self) -> bytes:
        """All of it as canonical JSON."""
        return canonical_json(self)

    def load(self) -> Job:
        """The job, from the module that can be imported here. Raises JobError."""
        return only_job(self.found(), "A store that hosts share")

    def found(self) -> Job | JobSet:
        """The same, or a set. Raises JobError.

        The functions of its package count as the user's, wherever that lies: their code is compared.
        """
        settings = dict(self.settings)
        params.clear()
        params.update(settings)
        count_as_users(self.module)
        job = choose(_imported(self.module), self.module, self.job)
        return changed(job, source=self.source, output=self.output, shards=self.shards)


def is_module(name: str) -> bool:
    """Whether a module may be called so."""
    return all(part.isidentifier() for part in name.split("."))


def _imported(name: str) -> ModuleType:
    invalidate_caches()
    try:
        return import_module(name)
    except MapReduceError as error:
        error.details = error.details or own_frames(error)
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise JobError(
                f"There is no module {name}: {error}.",
                hint="Install it, or put it on PYTHONPATH; a file is given as FILE.py.",
            ) from error
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> JobError:
    return broken(f"The job module {name}", error, "Install it, or put it on PYTHONPATH.")


def lead_path(directory: str) -> None:
    """Let modules be looked for in a directory first."""
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)


# ---------------------------------------------------------------- whether it is the same job everywhere


@dataclass(frozen=True, slots=True)
class Deployed:
    """A job that hosts have: where they import it from, and what it must mean there."""

    path: ImportPath
    functions: dict[str, str]
    settings: dict[str, str]


def deployed(path: str | ImportPath, job: Job) -> Deployed:
    """The job of an import path, which must be this one. Raises JobError, with what differs."""
    if not isinstance(path, (str, ImportPath)):
        raise JobError(f"import_path={path!r}.", hint='Give "package.module:job".')
    path = ImportPath.of(path) if isinstance(path, str) else path
    found = path.load()
    functions, settings = _meaning(job)
    if differing := _differences(functions, settings, found):
        raise JobError(
            f"{path} is not the job that run() got: {differing}.",
            hint="Give the job of that module; or leave import_path out, then it is sent by value.",
        )
    return Deployed(path, functions, settings)


def load_deployed(payload: bytes, functions: Mapping[str, str], settings: Mapping[str, str]) -> Job:
    """The job of a payload as this host has it.

    Raises SerializationError if it has none, and JobChanged if it has another one.
    """
    path, host = ImportPath.from_payload(payload), os.uname().nodename
    try:
        job = path.load()
    except MapReduceError as error:
        raise SerializationError(
            f"{path} can't be imported on {host}. {error.message}",
            hint=_DEPLOY,
            details=error.details,
            trace=error.trace,
        ) from error
    if differing := _differences(functions, settings, job):
        raise JobChanged(f"{path} on {host} is not the job that was planned: {differing}.", hint=_DEPLOY)
    return job


def _meaning(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprints of the functions, and settings; not where the data lies, which the plan says."""
    functions, settings = meaning(job)
    settings = {name: text for name, text in settings.items() if not name.endswith(" paths")}
    return functions, {**settings, "on_error": repr(job.on_error)}


def _differences(functions: Mapping[str, str], settings: Mapping[str, str], job: Job) -> str:
    """What is different about a job, in words; "": nothing."""
    names = {role: _called(role, function) for role, function in functions_of(job).items()}

    def told(digests: Mapping[str, str]) -> dict[str, str]:
        return {names.get(role, role): digest for role, digest in digests.items()}

    own, others = _meaning(job)
    found = [
        *changed_functions(told(functions), told(own)),
        *changed_settings(dict(settings), others),
    ]
    return "; ".join(found)


def _called(role: str, function: object) -> str:
    return f"{role} `{getattr(function, '__name__', type(function).__name__)}`"
