"""The benchmark: the engine beside programs written by hand, on one seeded access log.

    python -m benchmarks.bench [--size 1GB] [--runs 5] [--only NAMES] [--json FILE]

The programs of a job take turns (A B C A B C …), so that a slow minute of the machine meets all of them; a
ratio is taken within a round, and the median of the rounds is told. Every program is a whole process, started
as a user starts it; the log is in the page cache. All answers must be equal, or the benchmark fails. Bars are
told, not enforced: that a machine is busy is no failure.
"""

import argparse
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

from benchmarks.measure import Measurement, measure
from benchmarks.programs import (
    OUTPUT,
    ROOT,
    Program,
    answer,
    engine,
    engine_is_there,
    prepared_log,
    programs,
    python,
)

EMPTY_BAR = 0.7  # seconds for a job without records, from the shell
IMPORT_BAR = 0.15  # seconds that `import mapreduce` adds to a bare interpreter
FIXED_RUNS = 9

JOBS = {"page_hits", "word_count"}
PROGRAMS = {"engine", "engine_record", "handwritten", "plain"}
FIXED = "fixed"
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(slots=True)
class Result:
    """What a program's runs gave, a round each."""

    program: Program
    runs: list[Measurement] = field(default_factory=list)
    answers: set[str] = field(default_factory=set)
    ratios: list[float] = field(default_factory=list)
    """Wall time to that of the program written by hand in the same round; none if that one didn't run."""
    error: str = ""
    """What was wrong; the program was not run again."""


@dataclass(slots=True)
class FixedCost:
    """Seconds that don't depend on the data, one figure a run."""

    name: str
    bar: float
    seconds: list[float] = field(default_factory=list)
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """0; or 1 if a program failed or answers differ."""
    options = _options(arguments)
    machine = _machine()
    print(machine)
    results = _contests(options)
    costs = _fixed_costs() if engine_is_there() and (not options.only or FIXED in options.only) else []
    if not engine_is_there():
        print("\nThe engine has no command line yet: its rows and the fixed costs are left out.")
    print("\n".join(["", *_table(results), *_fixed_table(costs)]))
    if options.json:
        options.json.write_text(json.dumps(_facts(machine, options, results, costs), indent=1) + "\n")
    return 1 if any([*(result.error for result in results), *(cost.error for cost in costs)]) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description="The engine's benchmark.")
    parser.add_argument("--size", type=size_of, default=10**9, help="of the log, such as 200MB (1GB)")
    parser.add_argument("--seed", type=int, default=1, help="of the log (1)")
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    parser.add_argument(
        "--plain-runs", type=int, default=1, help="rounds with the plain loop, which is slow (1)"
    )
    parser.add_argument("--workers", type=int, help="a number for all programs (each one's own choice)")
    names = ",".join(sorted({*JOBS, *PROGRAMS, FIXED}))
    parser.add_argument("--only", type=_names, default=set(), metavar="NAMES", help=f"some of {names}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args(arguments)


def size_of(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?(\w*)", text)
    if match is None or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number with one of {', '.join(filter(None, UNITS))}"
        )
    return int(match[1]) * UNITS[match[2]]


def _names(text: str) -> set[str]:
    names, allowed = set(text.split(",")), {*JOBS, *PROGRAMS, FIXED}
    if names <= allowed:
        return names
    raise argparse.ArgumentTypeError(f"{names - allowed} is not among {', '.join(sorted(allowed))}")


def _wanted(program: Program, only: set[str]) -> bool:
    """Jobs and programs narrow each other: `page_hits,engine` is the engine's page hits."""
    return (program.job in only or not only & JOBS) and (program.name in only or not only & PROGRAMS)


def _machine() -> str:
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return f"Python {platform.python_version()}, {cores} cores, load {load} before the start"


# Programs against each other


def _contests(options: argparse.Namespace) -> list[Result]:
    if options.only == {FIXED}:
        return []
    log = prepared_log(options.size, options.seed)
    print(f"{log} ({log.stat().st_size / 1e6:,.0f} MB)", flush=True)
    results = [
        Result(program)
        for program in programs(log, options.workers)
        if _wanted(program, options.only) and (engine_is_there() or not program.name.startswith("engine"))
    ]
    for _, contest in groupby(results, key=lambda result: result.program.job):
        _contest(list(contest), options.runs, options.plain_runs)
    return results


def _contest(results: Sequence[Result], rounds: int, plain_rounds: int) -> None:
    """Run the programs of one job in turns, and compare them."""
    for turn in range(rounds):
        for result in results:
            if not result.error and (turn < plain_rounds or result.program.name != "plain"):
                _run(result)
    standard = next((each for each in results if each.program.name == "handwritten"), results[0])
    for result in results:
        pairs = zip(result.runs, standard.runs, strict=False)  # the shorter one has no more rounds
        if standard.program.name == "handwritten":
            result.ratios = [run.seconds / by_hand.seconds for run, by_hand in pairs]
        if not result.error and result.answers != standard.answers:
            result.error = f"its answers are not those of {standard.program.name}"


def _run(result: Result) -> None:
    """One run, and its answer. A failure is noted in the result."""
    program = result.program
    clear()
    run = measure(program.command, cwd=ROOT)
    print(f"  {program.job} {program.name}: {run.seconds:.2f} s", file=sys.stderr, flush=True)
    if run.code:
        result.error = f"exit code {run.code}:\n{run.output}"
        return
    try:
        result.answers.add(answer())
    except (OSError, ValueError, KeyError) as error:
        result.error = f"no answer: {error!r}"
        return
    result.runs.append(run)


def clear() -> None:
    if OUTPUT.is_dir():
        shutil.rmtree(OUTPUT)
    OUTPUT.unlink(missing_ok=True)


# Fixed costs


def _fixed_costs() -> list[FixedCost]:
    empty = FixedCost("a job without records, from the shell", EMPTY_BAR)
    imports = FixedCost("import mapreduce", IMPORT_BAR)
    for _ in range(FIXED_RUNS):
        clear()
        empty.seconds.append(_seconds(empty, engine("empty")))
        bare = _seconds(imports, python("-c", "pass"))
        imports.seconds.append(_seconds(imports, python("-c", "import mapreduce")) - bare)
    return [empty, imports]


def _seconds(cost: FixedCost, command: Sequence[str]) -> float:
    run = measure(command, cwd=ROOT, memory=False)
    if run.code:
        cost.error = f"exit code {run.code}:\n{run.output}"
    return run.seconds


# What is told


def _table(results: Sequence[Result]) -> Iterator[str]:
    if results:
        yield (
            f"{'job':12}{'program':15}{'runs':>4}{'wall s':>9}{'× handwritten (range)':>27}"
            f"{'CPU s':>9}{'peak MB':>9}  bar"
        )
    for result in results:
        program = result.program
        start = f"{program.job:12}{program.name:15}{len(result.runs):4}"
        if result.runs:
            wall, cpu = (median(getattr(run, name) for run in result.runs) for name in ("seconds", "cpu"))
            peak = max(run.peak for run in result.runs) / 1e6
            start += f"{wall:9.2f}{_ratio(result.ratios):>27}{cpu:9.2f}{peak:9.0f}  {_ratio_bar(result)}"
        yield f"{start}  {result.error and 'FAILED: ' + result.error}".rstrip()


def _ratio(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"


def _ratio_bar(result: Result) -> str:
    if result.program.bar is None or not result.ratios:
        return ""
    return _bar(median(result.ratios), result.program.bar)


def _fixed_table(costs: Sequence[FixedCost]) -> Iterator[str]:
    if costs:
        yield f"\n{'fixed cost':39}{'runs':>5}{'seconds (range)':>23}  bar"
    for cost in costs:
        spread = f"{median(cost.seconds):.3f} ({min(cost.seconds):.3f}–{max(cost.seconds):.3f})"
        verdict = f"FAILED: {cost.error}" if cost.error else _bar(median(cost.seconds), cost.bar)
        yield f"{cost.name:39}{len(cost.seconds):5}{spread:>23}  {verdict}"


def _bar(figure: float, bar: float) -> str:
    return f"<= {bar:.2f} {'met' if figure <= bar else 'MISSED'}"


def _facts(
    machine: str, options: argparse.Namespace, results: Sequence[Result], costs: Sequence[FixedCost]
) -> object:
    return {
        "machine": machine,
        "size": options.size,
        "seed": options.seed,
        "results": [
            {
                "job": result.program.job,
                "program": result.program.name,
                "bar": result.program.bar,
                "answers": sorted(result.answers),
                "ratios": result.ratios,
                "error": result.error,
                "runs": [
                    {"seconds": run.seconds, "cpu": run.cpu, "peak_bytes": run.peak, "looking": run.looking}
                    for run in result.runs
                ],
            }
            for result in results
        ],
        "fixed": [asdict(cost) for cost in costs],
    }


if __name__ == "__main__":
    sys.exit(main())
