"""What is told: a table of all programs, a table of the goals, and with which versions they were measured."""

import argparse
import os
import platform
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.cases import Case, Goal
from benchmarks.catalogue import CASES
from benchmarks.programs import Program, Run, interpreter
from benchmarks.results import Result

MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
VERSION = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class Contest:
    """A case, and what its programs did."""

    case: Case
    runs: Sequence[Run]
    missing: Mapping[str, str]
    """What each program needs before it can run; empty if nothing."""
    results: dict[str, list[Result]] = field(default_factory=dict)

    def good(self, name: str) -> dict[int, Result]:
        """By round."""
        return {result.round: result for result in self.results.get(name, []) if not result.error}

    def scale(self, name: str) -> float:
        return next(run.scale for run in self.runs if run.name == name)


def cases() -> Iterator[str]:
    """Every case, why it exists, and its goals."""
    for case in CASES.values():
        yield f"{case.name}{' (make bench)' if case.quick else ''}"
        yield textwrap.fill(case.why, 110, initial_indent="    ", subsequent_indent="    ")
        yield from (f"    goal: {goal}" for goal in case.goals)


def report(contests: Sequence[Contest], command: str, options: argparse.Namespace) -> Iterator[str]:
    """Markdown, aligned so that it reads well as it is."""
    yield f"`{command}`: {options.size / 1e6:,.0f} MB, {options.workers} workers, {machine()}."
    yield f"Versions: {', '.join(versions(contests))}."
    yield ""
    yield from _aligned(
        ["case", "program", "runs", "wall s (range)", "CPU s", "peak MB", "× handwritten"], _rows(contests)
    )
    goals = list(_goals(contests))
    if goals:
        yield ""
        yield from _aligned(["case", "goal", "measured (range)", "rounds", ""], goals)
    yield from _left_out(contests)


def write(text: str, file: Path) -> None:
    """The tables, between the two marks of a page that has them, else as the whole file."""
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    whole = f"{before}{begin}\n{text}\n{end}{after}" if end else f"{text}\n"
    file.write_text(whole, encoding="utf-8")


def machine() -> str:
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    return f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, load {load}"


def _rows(contests: Sequence[Contest]) -> Iterator[list[str]]:
    for contest in contests:
        for run in contest.runs:
            found = [*contest.good(run.name).values()]
            if not found:
                continue
            wall, cpu = ([getattr(result, name) for result in found] for name in ("seconds", "cpu"))
            yield [
                contest.case.name,
                run.name,
                str(len(found)),
                spread(wall),
                f"{median(cpu):.2f}",
                f"{max(result.peak for result in found) / 1e6:,.0f}",
                spread(ratios(contest, Goal(run.name, 0, ["handwritten"])))
                if run.name != "handwritten"
                else "1",
            ]


def spread(values: Sequence[float]) -> str:
    """Median and range; a dash if there are none."""
    if not values:
        return "–"
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(median(values))} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def ratios(contest: Contest, goal: Goal) -> list[float]:
    """A goal's figure of each round that all of its programs have."""
    mine = contest.good(goal.program)
    if not goal.of:
        return [result.figure(goal.figure) for result in mine.values()]
    found = []
    for turn, result in mine.items():
        others = [
            contest.good(name)[turn].figure(goal.figure) / contest.scale(name)
            for name in goal.of
            if turn in contest.good(name)
        ]
        if len(others) == len(goal.of) and min(others) > 0:
            found.append(result.figure(goal.figure) / contest.scale(goal.program) / min(others))
    return found


def _goals(contests: Sequence[Contest]) -> Iterator[list[str]]:
    for contest in contests:
        for goal in contest.case.goals:
            found = ratios(contest, goal)
            if found:
                verdict = "met" if goal.met(median(found)) else "**missed**"
                yield [contest.case.name, str(goal), spread(found), str(len(found)), verdict]


def _left_out(contests: Sequence[Contest]) -> Iterator[str]:
    """Programs that could not run, and those that failed, each loudly."""
    needs = {(run.name, contest.missing[run.name]) for contest in contests for run in contest.runs}
    lines = [f"- NOT RUN: {name}: {need}." for name, need in sorted(needs) if need]
    for contest in contests:
        for name, found in contest.results.items():
            lines += [
                f"- FAILED: {contest.case.name} {name}: {result.error}" for result in found if result.error
            ]
    if lines:
        yield ""
        yield from lines


def versions(contests: Sequence[Contest]) -> Iterator[str]:
    programs = {run.program.name: run.program for contest in contests for run in contest.runs}
    told: dict[str, str] = {}
    for program in programs.values():
        if not program.missing():
            told.update(_packages(program))
            told.update((tool, _tool(tool)) for tool in program.tools)
    yield from (f"{name} {version}" for name, version in told.items() if version)


def _packages(program: Program) -> dict[str, str]:
    if not program.packages:
        return {}
    command = [interpreter(program.group, program.packages), "-c", VERSION, *program.packages]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(zip(program.packages, output.split(), strict=True))


def _tool(tool: str) -> str:
    """The version by the first option that the tool knows; the tools disagree about its name."""
    path = shutil.which(tool) or tool
    option = {"mawk": ["-W", "version"], "java": ["-version"]}.get(Path(path).name, ["--version"])
    found = subprocess.run(
        [path, *option], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    words = (found.stdout + found.stderr).split("\n")[0].split()
    return next((word.strip('"') for word in words if word.strip('"')[:1].isdigit()), "")


def _aligned(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> Iterator[str]:
    lines = [list(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for number, line in enumerate(lines):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
