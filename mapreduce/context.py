"""What a function receives as `ctx`."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mapreduce.errors import JobError
from mapreduce.lastrecord import LastRecord
from mapreduce.model import Location
from mapreduce.protocols import Block, FrameBlock

_ENDED = "The attempt that this ctx belonged to has ended."


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="mapreduce-"))


class _EndedCounters(Counter[str]):
    """Refuses to count."""

    def __missing__(self, name: str) -> int:
        raise JobError(_ENDED, hint="A thread that counts must end before the function does.")


class Context:
    """Counters, the place of the current record, side data and scratch space, for a parameter named `ctx`.

    It is one attempt's, and closed when that ends. scratch: makes a directory; by default a temporary one.
    last_record: where a careful attempt notes what it gives to a function.
    """

    def __init__(
        self,
        side: Mapping[str, Any],
        scratch: Callable[[], Path] | None = None,
        last_record: LastRecord | None = None,
    ) -> None:
        self.side = side
        """The job's `side` data, by name. Read only."""
        self.counters: Counter[str] = Counter()
        self.last_record = last_record
        """Used by the engine."""
        self._block: Block | FrameBlock | None = None
        self._index: int | None = None
        self._make_scratch = scratch or _temporary
        self._scratch: Path | None = None
        self._closed = False

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

    @property
    def scratch(self) -> Path:
        """An empty directory for files of this attempt alone; it goes, with all that is in it, at its end."""
        if self._closed:
            raise JobError(_ENDED)
        if self._scratch is None:
            self._scratch = self._make_scratch()
        return self._scratch

    def close(self) -> None:
        """Used by the engine: the attempt has ended. What a thread of it counts later is refused."""
        self._closed = True
        self.counters = _EndedCounters()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def at(self, block: Block | FrameBlock | None, index: int | None = None) -> None:
        """Used by the engine: say what is being worked on."""
        self._block, self._index = block, index
