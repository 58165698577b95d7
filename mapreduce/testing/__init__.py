"""What helps to test jobs, and formats, stores and sinks of one's own.

from mapreduce.testing import run_sequential

assert run_sequential(job).records == [("/", 2), ("/about", 1)]

`check_cuts` runs a function over many cuts of its input. `faults` lets the storage of the runs in a block
fail by rule, and `FaultyStore` one store; `mapreduce.store.faulty` says how a rule reads:

    with faults("op=new_file path=part- who=worker do=enospc"):
        run(job, overwrite=True)

`StoreSuite` holds the duties of a store as tests, for one's own store; it needs pytest. `MemoryStore` is a
store without a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mapreduce.store.faulty import FaultyStore, faults
from mapreduce.testing.cuts import CutsMatter, check_cuts
from mapreduce.testing.determinism import NonDeterminism, check_determinism
from mapreduce.testing.memory import MemoryStore
from mapreduce.testing.reference import SequentialResult, run_sequential

if TYPE_CHECKING:
    from mapreduce.testing.stores import StoreSuite

__all__ = [
    "CutsMatter",
    "FaultyStore",
    "MemoryStore",
    "NonDeterminism",
    "SequentialResult",
    "StoreSuite",
    "check_cuts",
    "check_determinism",
    "faults",
    "run_sequential",
]


def __getattr__(name: str) -> Any:
    """The suite when it is asked for: who only runs jobs needs no pytest."""
    if name != "StoreSuite":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mapreduce.testing.stores import StoreSuite

    return StoreSuite
