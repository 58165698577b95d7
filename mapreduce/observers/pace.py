"""How fast a run is and how long it will take, from what observers are told. No clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mapreduce.figures import count, duration
from mapreduce.model import Progress
from mapreduce.units import show_size

WINDOW = 10.0
"""Seconds that a rate looks back."""
_LEAST = 0.5
"""Seconds before a rate means anything."""


class Meter:
    """The rate of a number that grows, over the last WINDOW seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, value: int) -> None:
        """The number at a time. Before it moves for the first time there is nothing to measure."""
        if len(self._samples) == 1 and self._samples[0][1] == value:
            self._samples.clear()
        self._samples.append((now, value))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 as long as nobody can tell."""
        if len(self._samples) < 2:
            return 0.0
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return max(0.0, (after - before) / (end - start)) if end - start >= _LEAST else 0.0


@dataclass(frozen=True)
class Line:
    """One phase of a run: how far, how fast, how long yet. Texts are "" where there is nothing to say."""

    name: str
    fraction: float
    tasks: str
    amount: str
    speed: str
    rate: str
    left: str


class Pace:
    """Turns what a run tells of itself into lines, one a phase."""

    def __init__(self) -> None:
        self._bytes, self._records, self._shuffled, self._reduced = (Meter() for _ in range(4))

    def lines(self, progress: Progress, now: float) -> list[Line]:
        """Map, shuffle and reduce as of `now`, in seconds of any clock that doesn't go back."""
        self._measure(progress, now)
        lines = [self._map(progress)]
        if progress.reduces:
            lines += [self._shuffle(progress), self._reduce(progress)]
        return lines

    def _measure(self, progress: Progress, now: float) -> None:
        if progress.maps_done < progress.maps:
            self._bytes.add(now, progress.bytes_done)
            self._records.add(now, progress.records)
            self._shuffled.add(now, progress.bytes_shuffled)
        else:
            self._reduced.add(now, progress.pairs_reduced)

    def _map(self, progress: Progress) -> Line:
        in_bytes = progress.bytes_total > 0  # not of records in memory
        mapping = progress.maps_done < progress.maps
        return Line(
            name="map",
            fraction=_share(progress.bytes_done, progress.bytes_total, progress.maps_done, progress.maps),
            tasks=f"{progress.maps_done:,}/{progress.maps:,}",
            amount=show_size(progress.bytes_done) if in_bytes else f"{_short(progress.records)} records",
            speed=_speed(self._bytes.rate) if in_bytes else "",
            rate=_rate(self._records.rate, "records"),
            left=_left(progress.bytes_total - progress.bytes_done, self._bytes.rate) if mapping else "done",
        )

    def _shuffle(self, progress: Progress) -> Line:
        """What maps hand to reduces: it grows as maps end."""
        return Line(
            name="shuffle",
            fraction=_share(0, 0, progress.maps_done, progress.maps),
            tasks="",
            amount=show_size(progress.bytes_shuffled),
            speed=_speed(self._shuffled.rate),
            rate=_pairs(progress.pairs_shuffled),
            left="done" if progress.maps_done >= progress.maps else "",
        )

    def _reduce(self, progress: Progress) -> Line:
        done = progress.reduces_done >= progress.reduces
        missing = progress.pairs_shuffled - progress.pairs_reduced
        return Line(
            name="reduce",
            fraction=_share(
                progress.pairs_reduced, progress.pairs_shuffled, progress.reduces_done, progress.reduces
            )
            if progress.phase == "reduce"
            else 0.0,
            tasks=f"{progress.reduces_done:,}/{progress.reduces:,}",
            amount="",
            speed="",
            rate=_rate(self._reduced.rate, "pairs"),
            left="done" if done else _left(missing, self._reduced.rate),
        )


def _share(done: int, total: int, tasks_done: int, tasks: int) -> float:
    """How far a phase is; full only when its last task has been accepted."""
    if tasks_done >= tasks:
        return 1.0
    return min(0.99, done / total) if total > 0 else tasks_done / tasks


def _short(number: float) -> str:
    """Three digits and a unit: 847k, 1.2M."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.0f}" if not unit else f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:,.3g}G"


def _pairs(number: int) -> str:
    return count(number, "pair") if number < 1000 else f"{_short(number)} pairs"


def _speed(rate: float) -> str:
    return f"{show_size(rate)}/s" if rate else ""


def _rate(rate: float, what: str) -> str:
    return f"{_short(rate)} {what}/s" if rate else ""


def _left(missing: float, rate: float) -> str:
    return f"{duration(max(missing, 0) / rate)} left" if rate else ""
