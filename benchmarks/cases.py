"""What is measured and why, and the goals: a case is some programs that give the same answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.data import Data
from benchmarks.programs import PROGRAMS, Run

HANDWRITTEN = "handwritten"
RELATIONAL = ("duckdb", "polars")


@dataclass(frozen=True, slots=True)
class Goal:
    """The most that a program's figure may be: of itself, or times that of another one in the same round."""

    program: str
    limit: float
    of: Sequence[str] = ()
    """The one with the least figure of these; none: the figure itself is limited."""
    figure: str = "seconds"
    """seconds, cpu, peak, or one that the program prints."""
    least: bool = False
    """The limit is the least that it may be."""

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.least else figure <= self.limit

    def __str__(self) -> str:
        than = f" × {' or '.join(self.of)}" if self.of else ""
        named = "" if self.figure == "seconds" and self.of else f" {self.figure}"
        return f"{self.program}{named} {'≥' if self.least else '≤'} {self.limit:,.10g}{than}"


@dataclass(frozen=True, slots=True)
class Case:
    """Some programs, whose answers must be the same."""

    name: str
    why: str
    runs: Callable[[Data, int], Sequence[Run]]
    """Of data and a number of workers: what is run in turns. Makes the data."""
    goals: Sequence[Goal] = ()
    ordered: bool = False
    """The answer is lines in their order, not records in any."""
    quick: bool = False
    """Part of `make bench`."""
    whole: bool = False
    """Its programs belong together: a choice of programs changes nothing."""


def job_case(
    name: str,
    why: str,
    kind: str,
    goals: Sequence[Goal],
    *,
    share: float = 1.0,
    ordered: bool = False,
    quick: bool = False,
) -> Case:
    """A job, by everybody who can do it."""

    def runs(data: Data, workers: int) -> Sequence[Run]:
        source = data.path(kind, int(data.size * share))
        able = (program for program in PROGRAMS if name in program.jobs)
        return [Run(program, program.command(name, source, workers)) for program in able]

    return Case(name, why, runs, goals, ordered, quick)


def _combining(over: float) -> list[Goal]:
    return [
        Goal("engine", over, [HANDWRITTEN]),
        Goal("engine", 0.35, ["pyspark-rdd"]),
        Goal("engine", 0.75, ["dask"]),
        Goal("engine-frames", 0.9, RELATIONAL),
    ]


NOT_COMBINING = [
    Goal("engine", 0.9, [HANDWRITTEN]),
    Goal("engine", 0.4, ["pyspark-rdd"]),
    Goal("engine", 0.4, ["dask"]),
    Goal("engine-frames", 1.0, RELATIONAL),
]

JOBS = [
    job_case(
        "hits",
        "Page hits: the job that logs are kept for. A short function of each line, few groups, combined.",
        "access",
        _combining(1.05),
        quick=True,
    ),
    job_case(
        "status",
        "Status by hour: 120 groups with a tuple as key. What do keys cost that are no str?",
        "access",
        _combining(1.05),
    ),
    job_case(
        "top",
        "Top pages of each status: as many groups as pages and states, ranked when they are read.",
        "access",
        _combining(1.05),
    ),
    job_case(
        "words",
        "Word count: 19 pairs for every 100 bytes, a million of groups. What does a pair cost?",
        "text",
        [Goal("engine", 1.1, [HANDWRITTEN]), Goal("engine-frames", 1.0, RELATIONAL)],
        quick=True,
    ),
    job_case(
        "sections",
        "Distinct addresses of each section, exactly: few groups whose states are as large as the data.",
        "access",
        NOT_COMBINING,
    ),
    job_case(
        "sessions",
        "Sessions of each address: nothing combines, all pairs are shuffled, and a function sees each group.",
        "access",
        NOT_COMBINING,
        quick=True,
    ),
    job_case(
        "index",
        "Inverted index: shuffle and answer are about as large as the input, whence a quarter of the size.",
        "documents",
        [Goal("engine", 0.8, [HANDWRITTEN]), Goal("engine-frames", 1.0, ["duckdb"])],
        share=0.25,
    ),
    job_case(
        "sort",
        "Sort lines of 100 bytes: every byte is read, ordered and written once; the functions do nothing.",
        "records",
        [
            Goal("engine", 0.8, [HANDWRITTEN]),
            Goal("engine", 0.8, ["sort"]),
            Goal("engine-frames", 1.0, ["polars"]),
            Goal("engine-frames", 0.1, ["polars"], "peak"),
        ],
        ordered=True,
        quick=True,
    ),
]
