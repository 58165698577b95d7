"""Where bytes live: the run's own store, the names in it, and the files of the input."""

from __future__ import annotations

import os
from pathlib import Path

from mapreduce.protocols import Store
from mapreduce.store.local import LocalStore
from mapreduce.store.retrying import RetryingStore

FAULTS = "MAPREDUCE_FAULTS"
"""The environment variable whose rules make every store faulty (see `mapreduce.store.faulty`)."""


def open_store(root: Path, writer: str = "somebody-00000000", who: str = "coordinator") -> Store:
    """The store of a directory, which need not exist yet.

    writer: the run that writes, as a part of the names of unfinished files.
    who: "coordinator" or "worker", for rules about faults. Raises JobError for a rule that is not one.
    """
    local: Store = LocalStore(root, writer)
    if os.environ.get(FAULTS):
        from mapreduce.store.faulty import FaultyStore, environment_rules

        local = FaultyStore(local, environment_rules(), who)
    return RetryingStore(local)
