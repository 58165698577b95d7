"""The bad records of one split: marked when they are found, left out from then on, set aside at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from mapreduce.datasets.blocks import Selection, record_of, size_of
from mapreduce.errors import (
    AttemptTimeout,
    MapReduceError,
    UserCodeError,
    WorkerCrash,
)
from mapreduce.figures import lines_of_causes
from mapreduce.model import BadRecord, Location
from mapreduce.quarantine import Quarantine, too_many
from mapreduce.setaside import SetAside

LISTED = 100
"""Bad records of one attempt that are listed beside their file."""


class Sieve:
    """Knows which records of a split are bad.

    skip: errors by number within the split, of records that have ended or hung processes.
    """

    def __init__(self, quarantine: Quarantine, input_number: int, skip: Mapping[int, MapReduceError]) -> None:
        self._quarantine = quarantine
        self._input = input_number
        self._errors = dict(skip)
        self._found: list[SetAside] = []
        self._unread = 0

    @property
    def marked(self) -> int:
        """Number of records that are left out."""
        return len(self._errors)

    @property
    def found(self) -> list[SetAside]:
        """What the last pass over the split has left out, in input order."""
        files = {uri: number for number, uri in enumerate(dict.fromkeys(i.location.uri for i in self._found))}
        return sorted(self._found, key=lambda item: (files[item.location.uri], item.location.offset))

    @contextmanager
    def passing(self, source: Any) -> Iterator[None]:
        """A pass over the split: what the source can't make records of is set aside, where it can tell."""
        self._found, self._unread = [], 0
        set_aside = getattr(source, "set_aside", None)
        if set_aside is None:
            yield
            return
        set_aside(self._take_unread)
        try:
            yield
        finally:
            set_aside(None)

    def _take_unread(self, location: Location, data: bytes, error: MapReduceError) -> None:
        self._found.append(SetAside(location, error, data, raw=True))
        self._unread += 1
        self._check()

    def mark(self, number: int, error: MapReduceError) -> None:
        """Leave a record out from the next pass on. Raises QuarantineFull."""
        self._errors[number] = error
        self._check()

    def _check(self) -> None:
        bad = len(self._errors) + self._unread
        if why := self._quarantine.exceeded(bad):
            error = too_many(bad, why)
            error.message += lines_of_causes(self._listed())
            raise error

    def _listed(self) -> list[BadRecord]:
        unread = [item.described() for item in self._found if item.raw]
        nowhere = Location("", 0, 0)
        return [*(SetAside(nowhere, error, None).described() for error in self._errors.values()), *unread]

    def rest(self, block: Selection) -> Selection:
        """The block without its bad records, which count as found."""
        numbers = [block.number(index) for index in range(size_of(block))]
        if self._errors.keys().isdisjoint(numbers):
            return block
        good = []
        for index, number in enumerate(numbers):
            error = self._errors.get(number)
            if error is None:
                good.append(index)
            else:
                self._found.append(SetAside(block.locate(index), error, record_of(block, index)))
        return Selection(block, good)

    def write(self, stream: BinaryIO) -> None:
        """Write what was found, a JSON object a line."""
        for item in self.found:
            stream.write(item.line(self._input))


def is_of_a_record(error: BaseException) -> bool:
    """Whether an error may be laid on the record that a map was at."""
    return isinstance(error, UserCodeError) and not isinstance(error, (WorkerCrash, AttemptTimeout))
