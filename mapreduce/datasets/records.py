"""Small input from memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mapreduce.errors import JobError
from mapreduce.model import Cut, InputFile, Location, Split

URI = "records:"
_BLOCK = 4096


class Records:
    """The items of a list as records; they are sent to every worker with the job.

    split_size: items for each map task.
    """

    def __init__(self, items: Iterable[Any], *, split_size: int = 100_000) -> None:
        if type(split_size) is not int or split_size < 1:
            raise JobError(f"Records: split_size={split_size!r}.", hint="Give a number of items, from 1.")
        self.items = list(items)
        self.split_size = split_size
        self.block_size: int | None = None
        """Items given to a `@blocks` function, where it is not the usual number."""

    def __repr__(self) -> str:
        return f"Records({len(self.items)} items)"

    def files(self) -> list[InputFile]:
        """One entry for the whole list; its size is the number of items."""
        return [InputFile(URI, len(self.items), str(len(self.items)))]

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """Ranges of `split_size` items."""
        stop = len(self.items)
        return [Cut(files[0], i, min(i + self.split_size, stop)) for i in range(0, stop, self.split_size)]

    def read(self, split: Split) -> Iterator[ItemBlock]:
        """The items of the range."""
        stop = split.stop if split.records is None else min(split.stop, split.start + split.records)
        size = self.block_size or _BLOCK
        for start in range(split.start, stop, size):
            yield ItemBlock(start, self.items[start : min(start + size, stop)])


class ItemBlock:
    """Consecutive items."""

    size = 0

    def __init__(self, start: int, records: list[Any]) -> None:
        self._start = start
        self.records = records

    @property
    def location(self) -> Location:
        """First item and number of items."""
        return Location(URI, self._start, len(self.records), "item")

    def locate(self, index: int) -> Location:
        """The item's index in the list."""
        return Location(URI, self._start + index, 1, "item")
