"""FILE.py[:JOB] or MODULE:JOB → Job.

A file runs as a module of its own name, so that `if __name__ == "__main__":` is not true in
it. Workers never import it: its functions are sent to them by value. Modules beside it can be
imported, here and in workers, because its directory leads `sys.path` in both. A module is imported as by
`python -m`, here and in workers: the current folder leads `sys.path`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from mapreduce.choosing import broken, changed, choose, own_frames
from mapreduce.codec import ship_by_value
from mapreduce.errors import JobError, MapReduceError
from mapreduce.importpath import ImportPath, is_module, lead_path
from mapreduce.job import Job
from mapreduce.jobset import JobSet
from mapreduce.parameters import params

MODULE = "__mapreduce_job__"


def load_job(
    target: str,
    *,
    settings: Sequence[str] = (),
    source: Sequence[str] = (),
    output: str | None = None,
    shards: int | None = None,
) -> Job | JobSet:
    """The job or set of a file or module, with what the command line changes about it. Raises JobError."""
    by_path = import_path(target, settings=settings, source=source, output=output, shards=shards)
    if by_path is not None:
        lead_path(os.getcwd())
        return by_path.found()
    params.clear()
    params.update(map(_setting, settings))
    path, name = _parse(target)
    job = choose(_load(path), str(path), name)
    return changed(job, source=source, output=output, shards=shards)


def import_path(
    target: str,
    *,
    settings: Sequence[str] = (),
    source: Sequence[str] = (),
    output: str | None = None,
    shards: int | None = None,
) -> ImportPath | None:
    """The module that is meant, its job and all changes; None: a file is meant. Raises JobError."""
    module, colon, name = target.partition(":")
    if os.path.exists(target) or os.path.isfile(module) or module.endswith(".py") or not is_module(module):
        return None
    if not colon and "." not in module:
        return None
    if colon and not name.isidentifier():
        raise JobError(f"{name!r} is no name of a job.", hint=f"Write {module}:job.")
    return ImportPath(module, name, dict(map(_setting, settings)), tuple(source), output, shards)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise JobError(f"--set {text!r} is no NAME=VALUE.", hint="Write --set SOURCE=logs/access.log.")
    return name, value


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
            hint=f"Give a Python file, or package.module:job; it was looked for in {os.getcwd()}.",
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
    lead_path(os.path.dirname(file))
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except MapReduceError as error:
        error.details = error.details or own_frames(error)
        raise
    except (Exception, SystemExit) as error:
        beside = f"Install it, or put it beside the job file, in {path.resolve().parent}."
        raise broken(f"The job file {path}", error, beside) from error
    ship_by_value(module)
    return module
