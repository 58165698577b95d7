"""What a function receives as `ctx`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mapreduce.errors import JobError
from mapreduce.model import Location
from mapreduce.protocols import Block, FrameBlock


class Context:
    """Counters, the place of the current record, and side data, for a parameter named `ctx`."""

    def __init__(self, side: Mapping[str, Any]) -> None:
        self.side = side
        """The job's `side` data, by name. Read only."""
        self.counters: Counter[str] = Counter()
        self._block: Block | FrameBlock | None = None
        self._index: int | None = None

    def count(self, name: str, n: int = 1) -> None:
        """Add n to a counter of the run. Only accepted attempts count, so the sums are exact."""
        if type(name) is not str or type(n) is not int:
            raise TypeError("ctx.count takes a str and an int")
        self.counters[name] += n

    @property
    def location(self) -> Location:
        """Where the current record stands, or for a `@blocks` function the current block.

        Offset and length are bytes after decompression. A reduce has no location.
        """
        if self._block is None:
            raise JobError("ctx.location is only there in a map: a reduce has no place in the input.")
        return self._block.location if self._index is None else self._block.locate(self._index)

    def at(self, block: Block | FrameBlock | None, index: int | None = None) -> None:
        """Used by the engine: say what is being worked on."""
        self._block, self._index = block, index
