"""The splitter law as a check: what the splits of a source give is what one whole read gives.

The whole read is the reference's, which shares no code with the cutting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mapreduce import Csv, JsonLines, Parquet, Text
from mapreduce.model import Split
from mapreduce.testing.wholefiles import read_whole

Source = Csv | JsonLines | Parquet | Text
Found = list[tuple[Any, int, int]]


def splits_of(source: Source) -> list[Split]:
    cuts = source.splits(source.files())
    assert all(cut.start < cut.stop for cut in cuts), "an empty split is a task for nothing"
    return [Split.of(index, cut) for index, cut in enumerate(cuts)]


def split_read(source: Source) -> Found:
    """(record, offset, length) through the source's splits and blocks."""
    found: Found = []
    for split in splits_of(source):
        for block in source.read(split):
            assert block.records
            places = [block.locate(index) for index in range(len(block.records))]
            whole = block.location
            assert all(whole.offset <= place.offset for place in places)
            assert all(place.offset + place.length <= whole.offset + whole.length for place in places)
            found += [(r, p.offset, p.length) for r, p in zip(block.records, places, strict=True)]
    return found


def frame_read(source: Source) -> Found:
    """The same through frames: a row as a tuple."""
    found: Found = []
    schemas = set()
    for split in splits_of(source):
        for block in source.read_frames(split):
            schemas.add(str(block.frame.schema))
            assert block.frame.height
            for index, row in enumerate(block.frame.rows()):
                place = block.locate(index)
                found.append((row, place.offset, place.length))
    assert len(schemas) <= 1
    return found


def whole_read(source: Source) -> Found:
    found: Found = []
    for file in source.files():
        whole = read_whole(source, file)
        found += [(r, p.offset, p.length) for r, p in zip(whole.records, whole.places, strict=True)]
    return found


def check(source: Source, row: Callable[[Any], tuple[Any, ...]] | None = None) -> Found:
    """The law; `row` makes a frame's row of a record. Gives what was read."""
    expected = whole_read(source)
    assert repr(split_read(source)) == repr(expected)  # repr: NaN is not equal to itself
    if row is not None:
        rows = [(row(record), offset, length) for record, offset, length in expected]
        assert repr(frame_read(source)) == repr(rows)
    for split in splits_of(source)[:1]:
        everything = [record for block in source.read(split) for record in block.records]
        for limit in (0, 1, 3):
            limited = replace(split, records=limit)
            records = [record for block in source.read(limited) for record in block.records]
            assert repr(records) == repr(everything[:limit])
            if row is not None:
                frames = source.read_frames(limited)
                assert sum(block.frame.height for block in frames) == len(records)
    return expected
