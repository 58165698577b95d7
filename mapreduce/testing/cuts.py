"""Does a job's result depend on where its input is cut?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from mapreduce.codec import dump_value
from mapreduce.datasets import Kept, as_source
from mapreduce.engine import run
from mapreduce.job import Input, Job

_WHOLE = 2**26
SIZES = ((_WHOLE, _WHOLE), (_WHOLE, 1), (1_000, 64), (100, 30), (30_000, 1_000), (1_000_000, 30_000))
"""Bytes (of records in memory: items) in a split and in a block; the first is everything at once."""


class _KeptIn(Kept):
    """Records with all their types, in a directory."""

    def __init__(self, path: str) -> None:
        self.path: str | None = path


class CutsMatter(AssertionError):
    """A job gives different results when its input is cut in another way; the message shows both."""


def check_cuts(job: Job, *, limit: int | None = 1_000) -> None:
    """Run a job with its input cut in several ways, and raise CutsMatter if the results differ.

    Runs in this process, on the first `limit` records of each input, without output and sinks. `@blocks`
    and `@frames` functions are asked for the same result wherever their input is cut; so is `combine`.
    """
    first: list[Any] | None = None
    for split_size, block_size in SIZES:
        found = _result(job, {"split_size": split_size, "block_size": block_size}, limit)
        if first is None:
            first = found
        elif [dump_value(record) for record in found] != [dump_value(record) for record in first]:
            raise CutsMatter(_difference(job, first, found, block_size))


def _result(job: Job, sizes: dict[str, int], limit: int | None) -> list[Any]:
    source = [Input(_cut(given.source, sizes), given.map) for given in job.inputs]
    with TemporaryDirectory() as folder:
        cut = replace(job, source=source, map=None, output=_KeptIn(folder), sinks=(), shards=_shards(job))
        return list(run(cut, on="serial", limit=limit, overwrite=True))


def _shards(job: Job) -> int:
    return 1 if job.shards == "auto" else job.shards


def _cut(source: Any, sizes: dict[str, int]) -> Any:
    """The dataset with other sizes of splits and blocks."""
    cut = copy.copy(as_source(source))
    for name, size in sizes.items():
        if hasattr(cut, name):
            setattr(cut, name, size)
    return cut


def _difference(job: Job, first: Sequence[Any], found: Sequence[Any], size: int) -> str:
    here, there = next(_unequal(first, found))
    return (
        f"The result of job {job.name} depends on where its input is cut.\n"
        f"  in one piece:          {here}\n"
        f"  in pieces of {size:>6,} B: {there}\n"
        "A function that sees several records must give pairs that reduce to the same result however they "
        "are cut: nothing carried from row to row, no totals of a frame that don't add up again, and no "
        "float arithmetic of polars whose last bit depends on the frame's length."
    )


def _unequal(first: Sequence[Any], found: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for index in range(max(len(first), len(found))):
        pair = [repr(side[index])[:200] if index < len(side) else "nothing" for side in (first, found)]
        if pair[0] != pair[1]:
            yield pair[0], pair[1]
    yield repr(first)[:200], repr(found)[:200]
