"""What helps to test jobs, and formats, stores and sinks of one's own.

from mapreduce.testing import run_sequential

assert run_sequential(job).records == [("/", 2), ("/about", 1)]
"""

from mapreduce.testing.cuts import CutsMatter, check_cuts
from mapreduce.testing.determinism import NonDeterminism, check_determinism
from mapreduce.testing.reference import SequentialResult, run_sequential

__all__ = [
    "CutsMatter",
    "NonDeterminism",
    "SequentialResult",
    "check_cuts",
    "check_determinism",
    "run_sequential",
]
