"""What helps to test jobs, and formats, stores and sinks of one's own.

from mapreduce.testing import run_sequential

assert run_sequential(job).records == [("/", 2), ("/about", 1)]

`check_cuts` runs a function over many cuts of its input. `faults` lets the storage of the runs in a block
fail by rule, and `FaultyStore` one store; `mapreduce.store.faulty` says how a rule reads:

    with faults("op=new_file path=part- who=worker do=enospc"):
        run(job, overwrite=True)
"""

from mapreduce.store.faulty import FaultyStore, faults
from mapreduce.testing.cuts import CutsMatter, check_cuts
from mapreduce.testing.determinism import NonDeterminism, check_determinism
from mapreduce.testing.reference import SequentialResult, run_sequential

__all__ = [
    "CutsMatter",
    "FaultyStore",
    "NonDeterminism",
    "SequentialResult",
    "check_cuts",
    "check_determinism",
    "faults",
    "run_sequential",
]
