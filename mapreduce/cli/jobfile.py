"""FILE.py[:JOB] → Job.

The file runs as a module of its own name, so that `if __name__ == "__main__":` is not true in
it. Workers never import it: its functions are sent to them by value. Modules beside it can be
imported, here and in workers, because its directory leads `sys.path` in both.
"""

from __future__ import annotations

import copy
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType, NoneType
from typing import Any

from mapreduce.codec import ship_by_value
from mapreduce.datasets import Records
from mapreduce.datasets.base import FileDataset
from mapreduce.errors import JobError, MapReduceError
from mapreduce.job import Job, has_inputs
from mapreduce.parameters import params

MODULE = "__mapreduce_job__"

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_EXAMPLE = 'job = Job(name="page-hits", source="logs/*.log", map=hits, reduce=Sum(), output="page-hits")'


def load_job(
    target: str,
    *,
    settings: Sequence[str] = (),
    source: Sequence[str] = (),
    output: str | None = None,
    shards: int | None = None,
) -> Job:
    """The job of a file, with what the command line changes about it. Raises JobError."""
    params.clear()
    params.update(map(_setting, settings))
    path, name = _parse(target)
    job = _choose(_load(path), path, name)
    changes: dict[str, Any] = {}
    if source:
        changes["source"] = _moved("--source", job.source, list(source))
    if output is not None:
        changes["output"] = _moved("--output", job.output, [output])
    if shards is not None:
        changes["shards"] = shards
    return replace(job, **changes)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise JobError(f"--set {text!r} is no NAME=VALUE.", hint="Write --set SOURCE=logs/access.log.")
    return name, value


def _moved(option: str, dataset: Any, paths: list[str]) -> Any:
    """A dataset of the same format at other paths; plain paths where there was no format."""
    if isinstance(dataset, FileDataset):
        moved = copy.copy(dataset)
        moved.paths = paths
        return moved
    several = has_inputs(dataset)
    if several or not isinstance(dataset, (str, os.PathLike, list, tuple, Records, NoneType)):
        name = option.removeprefix("--").upper()
        what = "several Inputs, each with its map" if several else f"a {type(dataset).__name__}"
        raise JobError(
            f"{option} can't replace {what}.",
            hint=f'Write params["{name}"] in the job file, and give --set {name}=….',
        )
    return paths[0] if len(paths) == 1 else paths


def _parse(target: str) -> tuple[Path, str]:
    path, colon, name = target.rpartition(":")
    if not colon or os.path.exists(target):
        path, name = target, ""
    elif not name.isidentifier():
        raise JobError(f"{name!r} is no name of a job.", hint=f"Write {path}:job.")
    if not os.path.isfile(path):
        what = "is a directory" if os.path.isdir(path) else "does not exist"
        raise JobError(
            f"The job file {path} {what}.",
            hint=f"Give a Python file; it was looked for in {os.getcwd()}.",
        )
    return Path(path), name


# ---------------------------------------------------------------- running the file


class _Loader(SourceFileLoader):
    """Always compiles what is in the file now, and leaves no `__pycache__` beside it."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _load(path: Path) -> ModuleType:
    file = str(path.resolve())
    spec = spec_from_file_location(MODULE, file, loader=_Loader(MODULE, file))
    if spec is None or spec.loader is None:
        raise JobError(f"The job file {path} can't be loaded.", hint="Give a Python file.")
    module = module_from_spec(spec)
    _lead_path(os.path.dirname(file))
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except MapReduceError as error:
        error.details = error.details or _own_frames(error, file)
        raise
    except (Exception, SystemExit) as error:
        raise _broken(path, file, error) from error
    ship_by_value(module)
    return module


def _lead_path(directory: str) -> None:
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)


def _broken(path: Path, file: str, error: BaseException) -> JobError:
    if isinstance(error, SyntaxError):
        reason = f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    else:
        reason = f"{type(error).__qualname__}: {error}" if str(error) else type(error).__qualname__
    details = _own_frames(error, file)
    if isinstance(error, SyntaxError):
        lines = traceback.format_exception_only(error)
        details += "".join(lines[:-1])  # the place; the message stands above
    hint = "Mend the file."
    if isinstance(error, ModuleNotFoundError):
        hint = f"Install it, or put it beside the job file, in {path.resolve().parent}."
    return JobError(
        f"The job file {path} failed while it was loaded: {reason.rstrip('.')}.",
        hint=hint,
        details=details.rstrip(),
        trace="".join(traceback.format_exception(error)),
    )


def _own_frames(error: BaseException, file: str) -> str:
    """The traceback from the job file on, without the engine's frames and the import system's."""
    frames = list(traceback.extract_tb(error.__traceback__))
    start = next((index for index, frame in enumerate(frames) if frame.filename == file), len(frames))
    own = [
        frame
        for frame in frames[start:]
        if not frame.filename.startswith(_PACKAGE) and not frame.filename.startswith("<frozen ")
    ]
    return "".join(traceback.format_list(own)).rstrip("\n") + "\n" if own else ""


# ---------------------------------------------------------------- which job


def _jobs(module: ModuleType) -> dict[str, Job]:
    """The module's jobs by the first name of each."""
    found: dict[str, Job] = {}
    for name, value in vars(module).items():
        if isinstance(value, Job) and not any(value is job for job in found.values()):
            found[name] = value
    return found


def _choose(module: ModuleType, path: Path, name: str) -> Job:
    jobs = _jobs(module)
    if name:
        job = getattr(module, name, None)
        if isinstance(job, Job):
            return job
        raise JobError(f"{path} has no job called {name!r}.", hint=_which(jobs, path))
    if len(jobs) == 1 or "job" in jobs:
        return jobs.get("job") or next(iter(jobs.values()))
    if jobs:
        raise JobError(f"{path} has {len(jobs)} jobs.", hint=_which(jobs, path))
    raise JobError(f"{path} has no job.", hint=f"Write, at its top level: {_EXAMPLE}")


def _which(jobs: dict[str, Job], path: Path) -> str:
    if not jobs:
        return f"It has none. Write, at its top level: {_EXAMPLE}"
    return "Say which: " + ", ".join(f"{path}:{name}" for name in jobs) + "."
