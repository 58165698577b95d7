"""A dict of aggregates, as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.aggregates.base import Aggregate
from mapreduce.aggregates.choice import Choice, choose

if TYPE_CHECKING:
    import polars as pl


class Together(Aggregate):
    """Several aggregates of the same pairs, by name. The result is a dict of theirs.

    A column that several look at is made once. The Python state is the list of theirs; their
    columns of states stand side by side, which `shuffle.states` does.
    """

    def __init__(self, members: Mapping[str, Aggregate]) -> None:
        self.members = dict(members)
        self._shared: list[tuple[Choice, list[Aggregate]]] = []
        self._own: list[Aggregate] = []
        self._places = self._arrange()

    def __repr__(self) -> str:
        return repr(self.members)

    def _arrange(self) -> list[list[int]]:
        """Decide about the columns: those of several members first. Each member's places of them."""
        places: dict[str, list[int]] = {}
        slots: dict[Any, int] = {}
        for name, member in self.members.items():
            if member.counts_pairs:
                places[name] = []
            elif type(member).take is Aggregate.take and not member.wide:
                slot = slots.setdefault(_identity(member.of), len(slots))
                if slot == len(self._shared):
                    self._shared.append((member.of, []))
                self._shared[slot][1].append(member)
                places[name] = [slot]
        width = len(slots)
        for name, member in self.members.items():
            if name not in places:
                own = 2 if member.wide else 1
                self._own.append(member)
                places[name] = list(range(width, width + own))
                width += own
        return [places[name] for name in self.members]

    @property
    def parts(self) -> list[tuple[Aggregate, list[int]]]:
        """The members, each with the places of its columns in those that `take` gives."""
        return list(zip(self.members.values(), self._places, strict=True))

    @property
    def counts_pairs(self) -> bool:
        return all(member.counts_pairs for member in self.members.values())

    @property
    def keeps_values(self) -> bool:
        return any(member.keeps_values for member in self.members.values())

    @property
    def wide(self) -> bool:
        return True

    def take(self, values: list[Any]) -> list[list[Any]]:
        if self.counts_pairs:
            return [[None] * len(values)]
        columns = []
        for chosen, members in self._shared:
            column = choose(members[0], "of", chosen, values)
            for member in members:
                member.examine(column)
            columns.append(column)
        for member in self._own:
            columns += member.take(values)
        return columns

    def inputs(self, row: Sequence[Any]) -> list[Any]:
        """What each member's `add` gets of a row."""
        return [
            tuple(row[place] for place in places) if member.wide else row[places[0]] if places else None
            for member, places in self.parts
        ]

    def empty(self) -> list[Any]:
        return [member.empty() for member in self.members.values()]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        rows = zip(self.members.values(), state, self.inputs(value), strict=True)
        return [member.add(own, item) for member, own, item in rows]

    def merge(self, state: list[Any], other: list[Any]) -> list[Any]:
        rows = zip(self.members.values(), state, other, strict=True)
        return [member.merge(own, more) for member, own, more in rows]

    def result(self, state: list[Any]) -> dict[str, Any]:
        rows = zip(self.members.items(), state, strict=True)
        return {name: member.result(own) for (name, member), own in rows}

    def apply(self, values: Iterable[Any]) -> dict[str, Any]:
        values = list(values)
        return {name: member.apply(values) for name, member in self.members.items()}

    def record(self, key: Any, result: Any) -> dict[str, Any]:
        return {"key": key, **result}

    def can_tally(self, value: Any) -> bool:
        if self.counts_pairs:
            return True
        inputs = zip(self.members.values(), self.inputs(value), strict=True)
        return all(member.can_tally(item) for member, item in inputs)

    def tallies(self, value: Any, counts: Sequence[int]) -> list[tuple[str, list[pl.Series]]]:
        """Each member's tally."""
        inputs = [None] * len(self.members) if self.counts_pairs else self.inputs(value)
        members = zip(self.members.values(), inputs, strict=True)
        return [member.tally(item, counts) for member, item in members]


def _identity(choice: Choice) -> Any:
    return (type(choice), choice) if choice is None or isinstance(choice, (int, str)) else id(choice)


def as_aggregate(reduce: object) -> Aggregate | None:
    """A job's reduce as an aggregate, or None if it is a function."""
    if isinstance(reduce, Mapping):
        return Together(reduce)
    return reduce if isinstance(reduce, Aggregate) else None
