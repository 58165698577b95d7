"""Fixed cost: what a run, a task, and a decision cost, whatever the data.

    python -m benchmarks.fixed [--tasks 10000] [--runs 5] [--only NAMES] [--json FILE]

An empty job shows what a run costs, 10,000 tasks that do nothing what a task costs. The state machine is
driven alone, up to a million tasks. The coordinator's memory must not depend on the data, so it is looked
at where there are many tasks. Bars are told, not enforced.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measure import Measurement, measure
from benchmarks.programs import DATA, OUTPUT, ROOT, engine, python
from mapreduce.coordinator.commands import Command, Start
from mapreduce.coordinator.state import Brain, Limits
from mapreduce.events import Succeeded, WorkerReady
from mapreduce.model import Result, Work

EMPTY_BAR, SERIAL_BAR, TASKS_BAR = 0.6, 0.4, 5.0
"""Seconds."""
TRANSITIONS_BAR = 100_000
"""A second, at least."""
MILLION_BAR, COORDINATOR_BAR = 200.0, 150.0
"""MB."""
SHAPES = ("nothing", "pair", "map only")


@dataclass(slots=True)
class Figure:
    """One cost, a value a run, and the bar that it should meet; CPU seconds of the tree beside wall time."""

    name: str
    unit: str
    bar: float | None = None
    at_least: bool = False
    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


# What is measured


def empty_job(*options: str) -> Measurement:
    """A job without records, from the shell; `options` such as "--on", "serial"."""
    return _run([*engine("empty"), *options])


def no_op_tasks(tasks: int, shape: str = "nothing", workers: int = 2) -> Measurement:
    """So many maps of one item each: reading it, the function, acceptance, and what the commit says of it."""
    settings = ["--set", f"TASKS={tasks}", "--set", f"SHAPE={shape}"]
    return _run([*engine("no_op"), *settings, "--workers", str(workers)])


def _run(command: Sequence[str]) -> Measurement:
    DATA.mkdir(exist_ok=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    run = measure(command, cwd=ROOT, memory=False)
    if run.code:
        raise RuntimeError(f"exit code {run.code} of {' '.join(command)}:\n{run.output}")
    return run


def coordinator_memory(tasks: int) -> float:
    """The largest resident size of the coordinator's process in MB, libraries included."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    command = [*engine("no_op"), "--set", f"TASKS={tasks}", "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} of {' '.join(command)}")
    return usage.ru_maxrss * 1024 / 1e6


def state_machine(tasks: int, workers: int = 2) -> tuple[float, float]:
    """Transitions a CPU second, and MB that all tasks took, in a process of its own.

    A task has two transitions: a worker that is ready takes it up, and its success is accepted.
    """
    command = python("-m", "benchmarks.fixed", "--drive", str(tasks), "--workers", str(workers))
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    rate, megabytes = map(float, told.split())
    return rate, megabytes


def drive(tasks: int, workers: int) -> tuple[float, float]:
    """What `state_machine` tells, of this process."""
    before = _largest()
    start = time.process_time()
    transitions = _drive(Brain(tasks, 0, Limits()), workers)
    seconds = time.process_time() - start
    return transitions / seconds, (_largest() - before) / 1e6


def _drive(brain: Brain, workers: int) -> int:
    result = Result(Work(), {}, digest="0")
    running: list[Start] = []
    transitions, now = 0, 0.0

    def tell(event: WorkerReady | Succeeded) -> None:
        nonlocal transitions
        commands: list[Command] = brain.handle(event, now)
        running.extend(command for command in commands if isinstance(command, Start))
        transitions += 1

    for worker in range(workers):
        tell(WorkerReady(worker))
    while running:
        now += 0.001
        start = running.pop(0)
        tell(Succeeded(start.attempt, result))
        tell(WorkerReady(start.attempt.worker))
    return transitions


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# What is told


def figures(tasks: int, runs: int, only: set[str]) -> list[Figure]:
    """All of them, or those of the cases named. The cases take turns."""
    found: list[Figure] = []
    turns: list[Callable[[], None]] = []
    for name, make in CASES.items():
        if not only or name in only:
            made, turn = make(tasks)
            found += made
            turns.append(turn)
    for _ in range(runs):
        for turn in turns:
            turn()
    return found


Case = tuple[list[Figure], Callable[[], None]]


def _timed(figure: Figure, run: Callable[[], Measurement]) -> Case:
    def turn() -> None:
        measured = run()
        figure.values.append(measured.seconds)
        figure.cpu.append(measured.cpu)

    return [figure], turn


def _empty(_: int) -> Case:
    return _timed(Figure("an empty job, from the shell", "s", EMPTY_BAR), empty_job)


def _serial(_: int) -> Case:
    figure = Figure("an empty job, --on serial", "s", SERIAL_BAR)
    return _timed(figure, lambda: empty_job("--on", "serial"))


def _no_op(shape: str, workers: int = 2) -> Callable[[int], Case]:
    def case(tasks: int) -> Case:
        name = f"{tasks:,} no-op tasks, {shape}, {workers} workers"
        bar = TASKS_BAR if (shape, workers) == (SHAPES[0], 2) else None
        return _timed(Figure(name, "s", bar), lambda: no_op_tasks(tasks, shape, workers))

    return case


def _machine(tasks: int) -> Callable[[int], Case]:
    def case(_: int) -> Case:
        rate = Figure(f"state machine, {tasks:,} tasks", "/s", TRANSITIONS_BAR, at_least=True)
        size = Figure(f"state machine, {tasks:,} tasks", "MB", MILLION_BAR)

        def turn() -> None:
            for figure, value in zip((rate, size), state_machine(tasks), strict=True):
                figure.values.append(value)

        return [rate, size], turn

    return case


def _coordinator(tasks: int) -> Case:
    figure = Figure(f"coordinator's memory, {tasks:,} tasks", "MB", COORDINATOR_BAR)
    return [figure], lambda: figure.values.append(coordinator_memory(tasks))


CASES: dict[str, Callable[[int], Case]] = {
    "empty": _empty,
    "serial": _serial,
    "tasks": _no_op("nothing"),
    "tasks-pair": _no_op("pair"),
    "tasks-map-only": _no_op("map only"),
    "tasks-four-workers": _no_op("nothing", 4),
    "machine": _machine(10_000),
    "million": _machine(1_000_000),
    "coordinator": _coordinator,
}


def table(found: Sequence[Figure]) -> list[str]:
    """A line a figure."""
    lines = [f"{'fixed cost':45}{'runs':>5}{'median (range)':>36}{'CPU s':>8}  bar"]
    for figure in found:
        numbers = [
            _number(value) for value in (median(figure.values), min(figure.values), max(figure.values))
        ]
        spread = f"{numbers[0]} ({numbers[1]}–{numbers[2]}) {figure.unit}"
        cpu = f"{median(figure.cpu):.2f}" if figure.cpu else ""
        lines.append(
            f"{figure.name:45}{len(figure.values):5}{spread:>36}{cpu:>8}  {_verdict(figure)}".rstrip()
        )
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _verdict(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    value = median(figure.values)
    met = value >= figure.bar if figure.at_least else value <= figure.bar
    return f"{'>=' if figure.at_least else '<='} {_number(figure.bar)} {'met' if met else 'MISSED'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fixed", description="Fixed cost.")
    parser.add_argument("--tasks", type=int, default=10_000, help="that do nothing (10000)")
    parser.add_argument("--runs", type=int, default=5, help="of each case (5)")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"some of {','.join(CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--drive", type=int, metavar="TASKS", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drive:
        print(*drive(options.drive, options.workers))
        return 0
    only = set(filter(None, options.only.split(",")))
    if only - set(CASES):
        parser.error(f"{', '.join(sorted(only - set(CASES)))} is not among {', '.join(CASES)}")
    found = figures(options.tasks, options.runs, only)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in found], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
