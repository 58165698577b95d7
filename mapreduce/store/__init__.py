"""Where bytes live: the run's own store, the names in it, and the files of the input."""

from __future__ import annotations

import os
from pathlib import Path

from mapreduce.errors import JobError
from mapreduce.protocols import Store
from mapreduce.store.local import LocalStore
from mapreduce.store.patience import Budget, Patience
from mapreduce.store.retrying import RetryingStore
from mapreduce.store.urls import is_url

FAULTS = "MAPREDUCE_FAULTS"
"""The environment variable whose rules make every store faulty (see `mapreduce.store.faulty`)."""
COUNTS = "MAPREDUCE_COUNTS"
"""The environment variable that names a folder for counts of requests (see `mapreduce.store.counting`)."""


def open_store(
    place: Path | str, writer: str = "somebody-00000000", who: str = "coordinator", *, profile: str = ""
) -> Store:
    """The store of a folder, which need not exist yet, or of `s3://bucket/prefix`.

    writer: the run that writes, as a part of the names of unfinished files.
    who: "coordinator" or "worker", for rules about faults.
    profile: the name of one that opens URLs.
    Raises JobError for a URL or a rule that is not one. Nothing is read or written: `check_store` asks a
    store that several hosts share whether it keeps its promises.
    """
    store, patience = _opened(place, writer, profile)
    if os.environ.get(FAULTS):
        from mapreduce.store.faulty import FaultyStore, environment_rules

        store = FaultyStore(store, environment_rules(), who)
    if os.environ.get(COUNTS):
        from mapreduce.store.counting import counted

        store = counted(store, Path(os.environ[COUNTS]))
    return RetryingStore(store, patience)


def _opened(place: Path | str, writer: str, profile: str) -> tuple[Store, Patience]:
    scheme, _, path = str(place).partition("://") if isinstance(place, str) else ("", "", "")
    if isinstance(place, Path) or not is_url(place):
        return LocalStore(Path(place), writer), Patience()
    if scheme == "file":
        return LocalStore(Path(path), writer), Patience()
    if scheme != "s3":
        raise JobError(
            f"There is no store for {scheme}:// URLs.", hint="Give a folder, or s3://bucket/prefix."
        )
    from mapreduce.store.s3 import open_bucket

    # A bucket that throttles does so for seconds.
    patience = Patience(8, pause=0.1, budget=Budget())
    return open_bucket(place, profile, patience), patience
