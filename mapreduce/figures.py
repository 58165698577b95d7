"""What is told about a result, in words: for the summary at the end of a run, and for reports.

Text from outside (keys, file names, messages) is hostile: it passes `visible` before anybody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from mapreduce.errors import MapReduceError
from mapreduce.model import AttemptRecord, BadRecord, ErrorGroup, Manifest, SkewedShard, Totals
from mapreduce.units import show_size

_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
_NUMBERS = re.compile(r"(?<![:\d])(?<!:-)\d+")
"""Not those after a colon: lines of a file, signals, exit codes."""


def visible(text: str) -> str:
    """The text with everything escaped that a terminal or a browser would obey or hide.

    Control and format characters (ANSI escapes, changes of direction, zero-width ones), unusual
    spaces and lone surrogates; the result is one line.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def visible_lines(text: str) -> str:
    """The same, but line feeds stay."""
    return "\n".join(map(visible, text.split("\n")))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def count(number: int, noun: str) -> str:
    """ "1 part", "2,000 parts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Seconds for people: "0.4 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if (whole := round(seconds)) < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def when(started: str) -> str:
    """A manifest's time for people: to the second, in UTC."""
    try:
        return f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return visible(started)


def shares(first: float, second: float) -> tuple[str, str]:
    """Two parts of a whole in percent."""
    whole = first + second
    part = round(100 * first / whole) if whole > 0 else 0
    return f"{part} %", f"{100 - part if whole > 0 else 0} %"


def facts(manifest: Manifest) -> list[tuple[str, str]]:
    """The figures of a run, as (label, text), in the order in which one asks for them."""
    return [(label, text) for label, text in _facts(manifest) if text]


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    totals = manifest.totals
    reduces = manifest.tasks.get("reduce", 0)
    yield "records", f"{totals.records_in:,} in, {totals.records_out:,} out"
    if reduces:
        yield "pairs", f"{totals.pairs:,}, in {count(totals.groups, 'group')}"
    yield "bytes", _bytes(manifest)
    yield "tasks", _tasks(manifest)
    yield "time", _time(manifest)
    if totals.slowest_task:
        yield "slowest task", f"{totals.slowest_task}, {duration(totals.slowest_seconds)}"
    if reduces > 1 and totals.largest_shard >= 0:
        yield (
            "largest shard",
            f"{totals.largest_shard}, {count(totals.largest_shard_pairs, 'pair')} to reduce",
        )
    yield "skew", _skew(totals)
    if totals.set_aside:
        yield "set aside", count(totals.set_aside, "bad record")
        for line in lines_of_causes(manifest.bad).splitlines()[1:]:
            yield "", line.strip()
    if totals.undecodable:
        yield "not text", f"{count(totals.undecodable, 'line')} with bytes that errors= let pass"
    yield "counters", ", ".join(f"{visible(name)} {n:,}" for name, n in manifest.counters.items())
    if manifest.resumed:
        yield "resumed", f"{count(manifest.resumed, 'time')}; what was done then was not done again"
    yield "retried", "; ".join(f"{n} × {cause}" for n, cause in causes(manifest.attempts))


_SKEW = 10
"""A key is named if it has more than one of so many pairs."""
_CUT_KEY = "combine in the map (an aggregate, combine=), or cut the key into several"
_MORE_SHARDS = "give more shards, or a partition that spreads them"


def _skew(totals: Totals) -> str:
    """Where most of the work was one task's, and what to do."""
    told, by_key = [], False
    if totals.largest_key_pairs >= max(1_000, totals.pairs / _SKEW):
        share = f"{100 * totals.largest_key_pairs / totals.pairs:.0f} %"
        pairs = count(totals.largest_key_pairs, "pair")
        told.append(f"the key {visible(totals.largest_key)} has {pairs}, {share} of all, for one task")
        by_key = True
    for shard in totals.skewed:
        of_one_key = shard.key_pairs > shard.pairs / 2
        if not (told and of_one_key and shard.key == totals.largest_key):
            told.append(_skewed_shard(shard))
            by_key = by_key or of_one_key
    return f"{'; '.join(told)}: {_CUT_KEY if by_key else _MORE_SHARDS}" if told else ""


def _skewed_shard(shard: SkewedShard) -> str:
    key = (
        f", {shard.key_pairs:,} of the key {visible(shard.key)}" if shard.key_pairs > shard.pairs / 2 else ""
    )
    return f"shard {shard.shard} has {count(shard.pairs, 'pair')}, {show_size(shard.bytes_in)}{key}"


def _bytes(manifest: Manifest) -> str:
    totals = manifest.totals
    shuffled = f"{show_size(totals.bytes_shuffled)} shuffled, " if manifest.tasks.get("reduce") else ""
    return f"{show_size(totals.bytes_in)} in, {shuffled}{show_size(totals.bytes_out)} out"


def _tasks(manifest: Manifest) -> str:
    tasks = " and ".join(f"{n:,} {kind}" for kind, n in manifest.tasks.items() if n)
    workers = min(manifest.workers, len({attempt.worker for attempt in manifest.attempts}))
    return f"{tasks}, on {count(workers, 'worker')}" if tasks else ""


def _time(manifest: Manifest) -> str:
    totals = manifest.totals
    functions, engine = shares(totals.user_seconds, totals.engine_seconds)
    return (
        f"functions {duration(totals.user_seconds)} ({functions}), "
        f"engine {duration(totals.engine_seconds)} ({engine})"
    )


def phases(manifest: Manifest) -> str:
    """Wall time: the whole, and where it went."""
    seconds = manifest.seconds
    told = [name for name in ("plan", "map", "reduce") if seconds.get(name, 0.0) >= 0.05]
    parts = [f"{name} {duration(seconds[name])}" for name in told]
    return duration(seconds.get("total", 0.0)) + (f" ({', '.join(parts)})" if parts else "")


def causes(attempts: Sequence[AttemptRecord | BadRecord]) -> list[tuple[int, str]]:
    """What went wrong in attempts, or with records, by cause, the most frequent first: (number, an example).

    Errors of one class and place have one cause; places that differ only in the numbers of processes,
    tasks, files and offsets are one.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for attempt in attempts:
        if attempt.error:
            place = _without_numbers(attempt.place or attempt.error)
            kinds.setdefault((attempt.kind, place), []).append(attempt.error)
    found = [(len(kind), visible(kind[0].split("\n", 1)[0])) for kind in kinds.values()]
    return sorted(found, key=lambda item: -item[0])


def cause_of(error: ErrorGroup) -> str:
    """Equal for errors that have one cause."""
    return f"{error.kind}: {_without_numbers(error.place or error.message)}"


def grouped(errors: Iterable[ErrorGroup]) -> tuple[ErrorGroup, ...]:
    """Groups of one cause as one, the most frequent first."""
    found: dict[str, ErrorGroup] = {}
    for error in errors:
        cause = cause_of(error)
        before = found.get(cause)
        found[cause] = replace(before, number=before.number + error.number) if before else error
    return tuple(sorted(found.values(), key=lambda error: -error.number))


def error_groups(manifest: Manifest) -> tuple[ErrorGroup, ...]:
    """What went wrong in a run, by cause: what ended it first, then attempts that failed and were redone,
    then records that were set aside; of each the most frequent first.
    """
    failure = manifest.failure
    ended = () if failure is None else (failure,)
    attempts = grouped(
        ErrorGroup(attempt.kind, attempt.error, place=attempt.place)
        for attempt in manifest.attempts
        if attempt.error
    )
    bad = grouped(ErrorGroup(bad.kind, bad.error, place=bad.place) for bad in manifest.bad)
    return (*ended, *(group for group in attempts if not _is_same(group, failure)), *bad)


def _is_same(group: ErrorGroup, failure: ErrorGroup | None) -> bool:
    if failure is None or group.kind != failure.kind:
        return False
    first, second = (_without_numbers(error.place or error.message) for error in (group, failure))
    return first == second or second.startswith(f"{first}:")


def lines_of_causes(bad: Sequence[BadRecord]) -> str:
    """The causes of bad records as lines that follow a message."""
    told = [f"\n  {number:,} × {example}" for number, example in causes(bad)]
    more = len(told) - _CAUSES
    return "".join(told[:_CAUSES]) + (f"\n  … and {count(more, 'other cause')}" if more > 0 else "")


_CAUSES = 5


def is_of_cause(attempt: AttemptRecord, error: MapReduceError) -> bool:
    """Whether an attempt failed as this error tells.

    Attempts of one task whose place is a part of the error's are the same misfortune: a crash is placed
    at a record only when the attempt was a careful one.
    """
    if attempt.kind != type(error).__name__:
        return False
    place = attempt.place or attempt.error
    return _without_numbers(place) == _without_numbers(error.place) or error.place.startswith(f"{place}:")


def _without_numbers(place: str) -> str:
    return _NUMBERS.sub("0", place)
