"""Time spent in somebody else's iterator."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any


class Timed:
    """Iterates, and adds up the seconds that the iterator takes."""

    def __init__(self, items: Iterable[Any], seconds: float = 0.0) -> None:
        self._items = items
        self.seconds = seconds
        """So far, counted on from what was given."""

    def __iter__(self) -> Iterator[Any]:
        clock = time.perf_counter
        start = clock()
        for item in self._items:
            self.seconds += clock() - start
            yield item
            start = clock()
        self.seconds += clock() - start
