"""Cases of the engine alone: its share, fixed costs, growth, and compressed input."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cases import Case, Goal
from benchmarks.data import Data
from benchmarks.programs import FOLDER, OUTPUT, OWN, Program, Run, engine, python

PACKAGES = ("polars",)


def _own(name: str, *sources: str, answers: bool = True, prints: bool = False) -> Program:
    nothing: Callable[[str, Path, int], list[str]] = lambda *_: []  # noqa: E731 - its cases start it by themselves
    return Program(name, (), nothing, [*OWN, *sources], PACKAGES, answers=answers, prints=prints)


ENGINE = _own("engine")
LOOP = _own("loop", FOLDER)
HELD = _own("held", "benchmarks/held.py", answers=False, prints=True)
BRAIN = _own("brain", "benchmarks/brain.py", answers=False, prints=True)
IMPORT = _own("import mapreduce", answers=False, prints=True)

IMPORTED = (
    "import time; start = time.perf_counter(); import mapreduce; took = time.perf_counter() - start; "
    "import json; print(json.dumps({'seconds': took}))"
)


def _share(data: Data, _workers: int) -> Sequence[Run]:
    log = data.path("access")
    return [
        Run(LOOP, python("-m", "benchmarks.competitors.loop", str(log), OUTPUT)),
        Run(ENGINE, engine("hits:record", log, "--on", "serial"), "engine, serial"),
        Run(ENGINE, engine("hits:record", log, "--workers", "1"), "engine, one worker"),
    ]


def _fixed(_data: Data, workers: int) -> Sequence[Run]:
    return [
        Run(ENGINE, engine("empty", "", "--workers", str(workers)), "empty job"),
        Run(ENGINE, engine("empty", "", "--on", "serial"), "empty job, serial"),
        Run(IMPORT, python("-c", IMPORTED)),
    ]


def _tasks(_data: Data, workers: int) -> Sequence[Run]:
    def run(name: str, shape: str, number: int) -> Run:
        command = engine("no_op", "", "--set", f"SHAPE={shape}", "--workers", str(number))
        return Run(ENGINE, command, name, question=shape)

    nothing = engine("no_op", "", "--workers", str(workers))
    return [
        run("nothing", "nothing", workers),
        run("nothing, twice the workers", "nothing", 2 * workers),
        run("a pair", "pair", workers),
        run("map only", "map only", workers),
        Run(HELD, python("-m", "benchmarks.held", *nothing), "coordinator"),
    ]


def _brain(_data: Data, _workers: int) -> Sequence[Run]:
    command = python("-m", "benchmarks.brain")
    return [Run(BRAIN, command, "tasks"), Run(BRAIN, [*command, "--results"], "tasks, results")]


def _growth(data: Data, workers: int) -> Sequence[Run]:
    runs = []
    for job in ("hits", "sessions"):
        for name, size in (("small", data.size // 4), ("large", data.size * 4)):
            command = engine(job, data.path("access", size), "--workers", str(workers))
            runs.append(Run(ENGINE, command, f"{job}, {name}", size, f"{job} {size}"))
    return runs


def _workers(data: Data, workers: int) -> Sequence[Run]:
    log = data.path("access")
    return [
        Run(ENGINE, engine(job, log, "--workers", str(number)), f"{job}, {name}", question=job)
        for job in ("hits", "sessions")
        for name, number in (("workers", workers), ("twice as many", 2 * workers))
    ]


def _many(data: Data, workers: int) -> Sequence[Run]:
    return [
        Run(ENGINE, engine(job, data.path(kind), "--workers", str(workers)), f"{job}, {name}")
        for job in ("hits", "hits_frames")
        for name, kind in (("plain", "access-parts"), ("gz", "access-gz"))
    ]


def _one(data: Data, workers: int) -> Sequence[Run]:
    packed = data.path("access-one-gz")
    return [
        Run(ENGINE, engine("hits", packed, "--workers", str(workers)), "gz"),
        Run(ENGINE, engine("hits", packed, "--workers", "1"), "gz, one worker"),
        Run(ENGINE, engine("hits", data.path("access"), "--workers", str(workers)), "plain"),
    ]


CASES = [
    Case(
        "share",
        "What does the engine add to a record function? Page hits in one process, beside a plain loop that "
        "reads, decodes, calls the same function and sums.",
        _share,
        [
            Goal("engine, serial", 1.15, ["loop"], "cpu"),
            Goal("engine, one worker", 1.15, ["loop"], "cpu"),
        ],
        whole=True,
    ),
    Case(
        "fixed",
        "What does a run cost that has nothing to do, and what does importing the package? Who tries "
        "something out pays this every time.",
        _fixed,
        [
            Goal("empty job", 0.6),
            Goal("empty job, serial", 0.4),
            Goal("import mapreduce", 0.15),
        ],
        whole=True,
    ),
    Case(
        "tasks",
        "What does a task cost that does nothing, and what does the coordinator hold of it? 10,000 splits of "
        "one item, mapped, handed in and accepted.",
        _tasks,
        [Goal("nothing", 5.0), Goal("coordinator", 150, figure="MB")],
        whole=True,
    ),
    Case(
        "brain",
        "Does the coordinator's state machine keep up, and hold a million tasks? No workers, no disk.",
        _brain,
        [
            Goal("tasks", 100_000, figure="transitions/s", least=True),
            Goal("tasks", 200, figure="MB"),
            Goal("tasks, results", 200, figure="MB"),
        ],
        whole=True,
    ),
    Case(
        "growth",
        "Does a record cost the same when there are more? A quarter of the size, and four times the size.",
        _growth,
        [Goal(f"{job}, large", 1.1, [f"{job}, small"]) for job in ("hits", "sessions")],
        whole=True,
    ),
    Case(
        "workers",
        "Do more workers than processors get into each other's way?",
        _workers,
        [Goal(f"{job}, twice as many", 1.1, [f"{job}, workers"]) for job in ("hits", "sessions")],
        whole=True,
    ),
    Case(
        "gz",
        "What does decompression cost? Page hits over many files, plain and by gzip -6.",
        _many,
        [Goal(f"{job}, gz", 1.3, [f"{job}, plain"]) for job in ("hits", "hits_frames")],
        whole=True,
    ),
    Case(
        "one-gz",
        "Does one large .gz keep all processors busy? One alone can't reach 0.7 of one worker's time.",
        _one,
        [Goal("gz", 0.7, ["gz, one worker"])],
        whole=True,
    ),
]
