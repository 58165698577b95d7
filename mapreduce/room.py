"""What an attempt may hold in memory, and what follows from it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mapreduce import host
from mapreduce.errors import MemoryExceeded
from mapreduce.units import show_size

_OWN = 96 * 2**20
"""Bytes of a worker's interpreter and libraries, and of what it reads and writes through."""
_COPIES = 6
"""Grouping and sorting columns, and making Python objects of some of them, takes so many times their size."""
LEAST, MOST = 2**24, 2**26
"""Bytes of pairs that are worked on at once. More than the most is no quicker."""


@dataclass(frozen=True, slots=True)
class Room:
    """Of one attempt. Nothing here may change the bytes of a result."""

    most: int | None = None
    """Bytes that its process may hold, interpreter and libraries included; None: nobody looks."""

    @property
    def at_once(self) -> int:
        """Bytes of stored pairs that may be worked on at once."""
        return MOST if self.most is None else min(MOST, max(LEAST, (self.most - _OWN) // _COPIES))

    @property
    def slice(self) -> int:
        """Bytes of stored pairs that become objects at once, beside a chunk of each run."""
        return self.at_once // 4

    def left(self) -> int | None:
        """Bytes that this process may take yet; None: as many as there are."""
        held = host.resident(os.getpid())
        return None if self.most is None or held is None else self.most - held

    def demand(self, needed: int, what: str, hint: str) -> None:
        """Raise MemoryExceeded if so many bytes are not left. `what` takes them: a noun."""
        left = self.left()
        if left is None or self.most is None or needed <= left:
            return
        raise MemoryExceeded(
            f"{what} takes about {show_size(needed)}, where {show_size(max(0, left))} are left of the "
            f"{show_size(self.most)} that the worker may hold.",
            hint=hint,
            place=f"memory:{what}",
        )
