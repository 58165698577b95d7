"""The benchmark: the engine beside what others use for the same jobs.

    python -m benchmarks.bench [--size 2GB] [--rounds 5] [--jobs NAMES] [--programs NAMES] [--results FILE]

The programs of a case take turns (A B C A B C …), so that a slow minute of the machine meets all of them; a
ratio is taken within a round, and the median of the rounds is told. Every program is a whole process, started
as a user starts it; the data is in the page cache. All answers must be equal, or the benchmark fails. Goals
are told, not enforced: that a machine is busy is no failure. A program that can't run here is told too.

With `--results` every run is kept, and a second call goes on from there; a program whose code has changed
since runs again.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.answers import answer
from benchmarks.cases import Case
from benchmarks.catalogue import CASES
from benchmarks.data import ADDRESSES, Data, default_folder, size_of
from benchmarks.measure import measure
from benchmarks.programs import PROGRAMS, ROOT, Run
from benchmarks.results import Result, Results

QUICK = ("engine", "engine-frames", "handwritten", "duckdb", "polars", "sort")


def main(arguments: Sequence[str] | None = None) -> int:
    """0; or 1 if a program failed or answers differ."""
    options = _options(arguments)
    if options.list:
        print("\n".join(report.cases()))
        return 0
    data = Data(options.data, options.size, seed=options.seed, addresses=options.addresses)
    print(report.machine(), flush=True)
    results = Results(options.results)
    contests = [_contest(CASES[name], data, options, results) for name in options.jobs]
    command = f"python -m benchmarks.bench {' '.join(sys.argv[1:] if arguments is None else arguments)}"
    text = "\n".join(report.report(contests, command, options))
    print(f"\n{text}")
    if options.markdown:
        report.write(text, options.markdown)
    return int(
        any(result.error for contest in contests for found in contest.results.values() for result in found)
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description="The engine's benchmark.")
    parser.add_argument("--size", type=size_of, default=2 * 10**9, help="of the data, such as 200MB (2GB)")
    parser.add_argument("--seed", type=int, default=1, help="of the data (1)")
    parser.add_argument(
        "--addresses", type=int, default=ADDRESSES, help=f"of clients in a log ({ADDRESSES:,})"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each program; slow ones run once (5)")
    parser.add_argument("--workers", type=int, default=2, help="of every program (2)")
    parser.add_argument(
        "--jobs", type=_cases, metavar="NAMES", help="cases; those of `make bench` if not said"
    )
    parser.add_argument(
        "--programs", type=_programs, metavar="NAMES", help="those of `make bench` if not said"
    )
    parser.add_argument(
        "--full", action="store_true", help="all cases and programs, but for those that are named"
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="keep all runs there, and go on from there (with --full: full.jsonl beside the data)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into this page")
    parser.add_argument(
        "--data", type=Path, default=default_folder(), metavar="FOLDER", help="where data is kept"
    )
    parser.add_argument("--list", action="store_true", help="say what there is and why, and end")
    options = parser.parse_args(arguments)
    if options.full and not options.results:
        options.results = options.data / "full.jsonl"
    options.jobs = options.jobs or [case.name for case in CASES.values() if options.full or case.quick]
    options.programs = options.programs or ([] if options.full else [*QUICK])
    return options


def _cases(text: str) -> list[str]:
    return _names(text, list(CASES))


def _programs(text: str) -> list[str]:
    return _names(text, [program.name for program in PROGRAMS])


def _names(text: str, allowed: Sequence[str]) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(allowed):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not among {', '.join(allowed)}")
    return names


def _contest(case: Case, data: Data, options: argparse.Namespace, results: Results) -> report.Contest:
    """Run the programs of one case in turns, and compare their answers."""
    wanted = [] if case.whole else options.programs
    runs = [run for run in case.runs(data, options.workers) if not wanted or run.program.name in wanted]
    contest = report.Contest(case, runs, {run.name: run.program.missing() for run in runs})
    able = [run for run in runs if not contest.missing[run.name]]
    identities = {run.name: _identity(run, options) for run in able}
    for turn in range(options.rounds):
        for run in able:
            found = results.of(case.name, run.name, identities[run.name])
            if turn < (1 if run.program.slow else options.rounds) and not _known(found, turn):
                results.add(_run(case, run, turn, identities[run.name], data.folder))
    given = {run.name: results.of(case.name, run.name, identities[run.name]) for run in able}
    contest.results.update(_compared(able, given))
    return contest


def _known(found: Sequence[Result], turn: int) -> bool:
    """Also if it failed: it would again."""
    return any(result.round == turn or result.error for result in found)


def _identity(run: Run, options: argparse.Namespace) -> str:
    facts = [
        run.program.digest(),
        *run.started(Path("output")),
        options.size,
        options.seed,
        options.addresses,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _run(case: Case, run: Run, turn: int, identity: str, folder: Path) -> Result:
    """One run, and its answer. A failure is noted in the result."""
    place = Path(tempfile.mkdtemp(prefix="output-", dir=folder))
    command = run.started(place / "answer")
    try:
        measured = measure(command, cwd=ROOT, environment=run.program.environment)
        error, found, figures = "", "", {}
        if measured.code:
            error = f"exit code {measured.code}: {measured.output[-2000:]}"
        elif run.program.prints:
            figures = json.loads(measured.output.splitlines()[-1])
        if not error and run.program.answers:
            found = answer(place / "answer", ordered=case.ordered)
    except (OSError, ValueError, KeyError, RuntimeError) as failure:
        error = f"no answer: {failure!r}"
        return Result(case.name, run.name, turn, identity, " ".join(run.command), error=error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(f"  {case.name} {run.name}: {measured.seconds:.2f} s {error}", file=sys.stderr, flush=True)
    return Result(
        case=case.name,
        program=run.name,
        round=turn,
        identity=identity,
        command=" ".join(run.command),
        seconds=measured.seconds,
        cpu=measured.cpu,
        peak=measured.peak,
        answer=found,
        figures=figures,
        error=error,
    )


def _compared(runs: Sequence[Run], results: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """The results, with an error where the answer is not the one that most programs gave."""
    compared = {}
    for run in runs:
        rivals = [results[each.name] for each in runs if each.question == run.question]
        answers = Counter(answer for found in rivals for answer in {result.answer for result in found} - {""})
        usual = answers.most_common(1)[0][0] if answers else ""
        compared[run.name] = [
            result if result.answer in ("", usual) else result.failed(f"answer {result.answer}, not {usual}")
            for result in results[run.name]
        ]
    return compared


if __name__ == "__main__":
    sys.exit(main())
