"""`mapreduce doctor`: whether this host and those of a store have what runs need."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.hosts.asking import Answer
    from mapreduce.hosts.checkup import Checkup


@click.command(short_help="Check a store, this host, and the hosts at work there.")
@options.store
@click.option(
    "--wait",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="Take answers of hosts for so long; by default as long as one that is there may need.",
)
@options.key_file
@options.as_json
@options.traceback
def doctor(store: str, wait: float | None, key_file: str | None, as_json: bool) -> int:
    """Check what runs need of a STORE and of its hosts: here, and at every host that works there.

    Permissions and promises of the store, what its operations take, versions, free space, clocks, and whether
    the input of open runs is there and their output can be written. Hosts that wait for runs answer within a
    second, those at work as soon as they look; who does not answer may be frozen, or not there. Exit code
    1: something is wrong.
    """
    import socket

    from mapreduce.cli import console
    from mapreduce.codec import to_plain
    from mapreduce.hosts import asking
    from mapreduce.hosts.checkup import check_up
    from mapreduce.hosts.jobs import Cluster
    from mapreduce.hosts.signing import read_key

    cluster = Cluster(store, read_key(key_file))
    here = check_up(cluster, socket.gethostname())
    seconds = asking.patience(cluster, here.ended - here.began) if wait is None else wait
    longer = asking.LONGER if wait is None else 0.0
    answers = [] if here.broken else asking.ask(cluster, seconds, longer=longer)
    seconds = round(max([seconds, *(answer.seconds for answer in answers)]), 1)
    wrong = bool(_problems(here, answers))
    if as_json:
        told = {"here": to_plain(here), "waited": seconds, "answers": to_plain(answers)}
        console.say_json({"store": cluster.place, **told, "problems": _problems(here, answers)})
        return int(wrong)
    for line in [*_here(here), "", *_answers(here, answers, seconds), *_problems(here, answers)]:
        console.say(line)
    return int(wrong)


def different_versions(here: Checkup, there: Checkup) -> list[str]:
    """Packages whose versions at a host are not ours, and both."""
    names = sorted(here.versions.keys() | there.versions.keys())
    both = [(name, here.versions.get(name, "none"), there.versions.get(name, "none")) for name in names]
    return [f"{name} {theirs} (here {ours})" for name, ours, theirs in both if ours != theirs]


def _problems(here: Checkup, answers: list[Answer]) -> list[str]:
    """All that is wrong, and where."""
    from mapreduce.figures import visible

    told = [f"here: {problem}" for problem in here.problems]
    for answer in answers:
        there = answer.checkup
        different = different_versions(here, there)
        told += [f"{there.host}: it has {', '.join(different)}"] if different else []
        told += [f"{there.host}: {problem}" for problem in there.problems]
    return list(map(visible, told))


def _here(here: Checkup) -> list[str]:
    from mapreduce.cli import console, tables
    from mapreduce.figures import count
    from mapreduce.units import show_size

    able = here.capabilities
    promises = f"{len(here.findings) - len(here.broken)} of {len(here.findings)} promises kept"
    late = f", new names may be unseen for {able.listed_after:g} s" if able.listed_after else ""
    key = "runs are signed with it" if here.has_key else "none: the folder is yours alone"
    return tables.of_facts(
        [
            ("store", f"{here.store} ({able.kind})"),
            ("probe", promises + late),
            ("takes", ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in here.seconds.items())),
            ("key", key),
            ("host", f"{here.host}, {count(here.processors, 'processor')}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in here.versions.items())),
            ("free", ", ".join(f"{show_size(size)} in {place}" for place, size in here.free.items())),
            ("clock", f"{datetime.fromtimestamp(here.ended, UTC):%Y-%m-%d %H:%M:%S} UTC"),
            *(("run", _run(run)) for run in here.runs),
        ],
        console.width(sys.stdout),
    )


def _run(run: Any) -> str:
    from mapreduce.figures import count

    if not run.files:
        return f"{run.run} ({run.job})" if run.job else run.run
    wrong = f"{count(len(run.problems), 'problem')}" if run.problems else "all well"
    return f"{run.run} ({run.job}), {run.looked_at:,} of {count(run.files, 'file')} looked at: {wrong}"


def _answers(here: Checkup, answers: list[Answer], seconds: float) -> list[str]:
    from mapreduce.cli import console, tables
    from mapreduce.figures import count

    if here.broken:
        return ["No host was asked: the store can't be used from here."]
    if not answers:
        return [f"No host answered within {seconds:.1f} s."]
    rows = [_row(here, answer) for answer in answers]
    table = tables.of_rows(rows, console.width(sys.stdout))
    return [f"{count(len(answers), 'host')} answered within {seconds:.1f} s", *table]


def _row(here: Checkup, answer: Answer) -> dict[str, Any]:
    there = answer.checkup
    lacking = sum(len(run.problems) for run in there.runs)
    return {
        "host": there.host,
        "is": "at work" if there.at_work else "waiting",
        "versions": "different" if different_versions(here, there) else "as here",
        "store": f"{len(there.broken)} broken" if there.broken else "well",
        "runs": f"{lacking} wrong" if lacking else "well" if there.runs else "none open",
        "clock": f"{answer.offset:+.2f} s ± {answer.uncertainty:.2f} s",
    }
