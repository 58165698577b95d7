"""When which worker was at which attempt: lanes of a drawing, thinned where there are too many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mapreduce.figures import count, duration
from mapreduce.model import AttemptRecord
from mapreduce.sinks.sections import shortened

OUTCOMES = ("succeeded", "stopped", "lost", "failed")
"""The worst last: it is drawn over the others."""
_LANES = 32
_DRAWN = 1_200
"""Attempts that are drawn one by one; more are drawn as how busy a worker was."""
_CELLS = 240
"""Of a lane, into which the time is cut then."""


@dataclass(frozen=True)
class Span:
    """An attempt, or what happened in one cell: `start` and `width` are shares of the whole time."""

    start: float
    width: float
    outcome: str
    told: str = ""
    height: float = 1.0
    """Share of the cell in which the worker was busy."""


@dataclass(frozen=True)
class Lane:
    """What one worker did."""

    worker: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Timeline:
    """`seconds` is the whole time; `told` says the same in words, and what is left out."""

    seconds: float
    lanes: tuple[Lane, ...]
    counts: tuple[tuple[str, int], ...]
    """Attempts by outcome, of those that there are."""
    thinned: bool
    told: str


@dataclass(frozen=True, slots=True)
class _Try:
    """An attempt whose times are numbers that can be drawn."""

    began: float
    ended: float
    outcome: str
    record: AttemptRecord


def timeline(attempts: Sequence[AttemptRecord]) -> Timeline | None:
    """The attempts of a run by worker. None if there are none, or if it is not known when they began."""
    workers: dict[int, list[_Try]] = {}
    for record in attempts:
        workers.setdefault(record.worker, []).append(_try(record))
    if not any(record.began for record in attempts) and len(attempts) > len(workers):
        return None
    if not workers:
        return None
    seconds = max(each.ended for tries in workers.values() for each in tries) or 1.0
    chosen = _chosen(workers)
    thinned = sum(len(workers[worker]) for worker in chosen) > _DRAWN
    spans = _cells if thinned else _each
    counts = Counter(each.outcome for tries in workers.values() for each in tries)
    known = tuple((outcome, counts[outcome]) for outcome in OUTCOMES if counts[outcome])
    return Timeline(
        seconds,
        tuple(Lane(f"{worker}", tuple(spans(workers[worker], seconds))) for worker in chosen),
        known,
        thinned,
        _told(len(attempts), len(workers), len(chosen), seconds, known, thinned),
    )


def _try(record: AttemptRecord) -> _Try:
    began, took = _time(record.began), _time(record.seconds)
    outcome = record.outcome if record.outcome in OUTCOMES else "failed"
    return _Try(began, began + took, outcome, record)


def _time(seconds: float) -> float:
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _chosen(workers: dict[int, list[_Try]]) -> list[int]:
    """The workers that are shown: those whose attempts failed first, then the busiest."""

    def weight(worker: int) -> tuple[int, float, int]:
        tries = workers[worker]
        failed = sum(each.outcome in ("failed", "lost") for each in tries)
        return -failed, -sum(each.ended - each.began for each in tries), worker

    return sorted(sorted(workers, key=weight)[:_LANES])


def _each(tries: Iterable[_Try], seconds: float) -> Iterable[Span]:
    for each in sorted(tries, key=lambda each: (OUTCOMES.index(each.outcome), each.began)):
        took = each.ended - each.began
        task = f"{shortened(each.record.task, 80)}, attempt {each.record.attempt}"
        told = f"{task}: {each.outcome}, {duration(took)} from {duration(each.began)}"
        yield Span(each.began / seconds, took / seconds, each.outcome, told)


def _cells(tries: Iterable[_Try], seconds: float) -> Iterable[Span]:
    """How busy a worker was in each cell, and those in which an attempt of it failed or was lost."""
    step = seconds / _CELLS
    partly, whole = [0.0] * (_CELLS + 1), [0] * (_CELLS + 2)
    worst: dict[int, str] = {}
    for each in tries:
        first, last = (min(int(at / step), _CELLS - 1) for at in (each.began, each.ended))
        if first == last:
            partly[first] += each.ended - each.began
        else:
            partly[first] += (first + 1) * step - each.began
            partly[last] += each.ended - last * step
            whole[first + 1] += 1
            whole[last] -= 1
        if each.outcome in ("failed", "lost") and worst.get(last) != "failed":
            worst[last] = each.outcome
    running = 0
    for cell in range(_CELLS):
        running += whole[cell]
        busy = min(partly[cell] / step + running, 1.0)
        if busy > 0.005:
            yield Span(cell / _CELLS, 1 / _CELLS, "succeeded", height=busy)
    for cell, outcome in sorted(worst.items()):
        yield Span(cell / _CELLS, 1 / _CELLS, outcome)


def _told(
    attempts: int,
    workers: int,
    shown: int,
    seconds: float,
    counts: Iterable[tuple[str, int]],
    thinned: bool,
) -> str:
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in counts)
    told = f"{count(attempts, 'attempt')} by {count(workers, 'worker')} in {duration(seconds)}: {outcomes}."
    if thinned:
        told += (
            f" Too many to draw each: the time is cut into {_CELLS}, a column's height tells how much of it "
            "a worker was busy, and a mark that an attempt failed or was lost."
        )
    if shown < workers:
        told += f" Shown are {shown:,} of the workers, first those whose attempts failed, then the busiest."
    return told
