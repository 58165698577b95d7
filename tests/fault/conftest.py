"""Folders that hosts share, and commands that end with their test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .clusters import FILES, JOB, Processes


@pytest.fixture
def cluster(own_folder: Path) -> Path:
    """A job, its input, and a store."""
    Path("job.py").write_text(JOB)
    for number in range(FILES):
        Path(f"in-{number:02}.log").write_text(f"n{number} a b a\n")
    store = own_folder / "store"
    store.mkdir(mode=0o700)
    return store


@pytest.fixture
def processes() -> Iterator[Processes]:
    found = Processes()
    try:
        yield found
    finally:
        found.end()
