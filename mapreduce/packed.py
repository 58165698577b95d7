"""Values of one dataclass, a million of them, in the memory that their content takes.

Of a result with its own name and numbers, Python's objects take some 600 bytes, and what is packed 150.
Packing or reading one takes a few microseconds.
"""

from __future__ import annotations

import dataclasses
import enum
import operator
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, Generic, TypeVar

import msgpack

T = TypeVar("T")


class PackedList(Sequence[T], Generic[T]):
    """A list of values of a dataclass, of what it is made of, or of None.

    Its fields are scalars, dataclasses, tuples and dicts of these, and enums. What is read is equal to what
    was put in, and made anew each time.
    """

    def __init__(self, kind: type, values: Iterable[T] = ()) -> None:
        self._plain, self._made = _plain(kind), _made(kind)
        self._items: list[bytes | None] = []
        self.extend(values)

    def __len__(self) -> int:
        return len(self._items)

    def append(self, value: T) -> None:
        """Add a value at the end."""
        self._items.append(self._packed(value))

    def extend(self, values: Iterable[T]) -> None:
        """Add values at the end."""
        self._items.extend(map(self._packed, values))

    def __setitem__(self, index: int, value: T) -> None:
        self._items[index] = self._packed(value)

    def is_none(self, index: int) -> bool:
        """Whether a value is None; reads nothing."""
        return self._items[index] is None

    @typing.overload
    def __getitem__(self, index: int) -> T: ...
    @typing.overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return list(map(self._read, self._items[index]))
        return self._read(self._items[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._read, self._items)

    def _packed(self, value: T) -> bytes | None:
        return None if value is None else typing.cast(bytes, _pack(self._plain(value)))

    def _read(self, item: bytes | None) -> T:
        return typing.cast(T, None if item is None else self._made(_unpack(item)))


_pack = partial(msgpack.packb, unicode_errors="surrogatepass")
_unpack = partial(msgpack.unpackb, strict_map_key=False, unicode_errors="surrogatepass")

Convert = Callable[[Any], Any]
_SCALARS = (str, int, float, bool, bytes)


def _same(value: Any) -> Any:
    return value


@cache
def _plain(kind: Any) -> Convert:
    """What makes a value plain: of a dataclass the list of its fields."""
    if dataclasses.is_dataclass(kind):
        return _plain_fields(kind)
    inner, make = _parts(kind)
    if inner is _same:
        return typing.cast(Convert, make)
    convert = _plain(inner)
    if make is tuple:
        return lambda value: list(map(convert, value))
    if make is dict:
        return lambda value: dict(zip(value, map(convert, value.values()), strict=True))
    return lambda value: None if value is None else convert(value)


def _plain_fields(kind: Any) -> Convert:
    kinds = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    read = operator.attrgetter(*names, names[0])  # of a single field too it gives a tuple
    deep = [(place, _plain(kinds[name])) for place, name in enumerate(names) if kinds[name] not in _SCALARS]

    def plain(value: Any) -> list[Any]:
        *found, _ = read(value)
        for place, convert in deep:
            if found[place]:
                found[place] = convert(found[place])
        return found

    return plain


@cache
def _made(kind: Any) -> Convert:
    """What makes a value of what `_plain` made of it."""
    if dataclasses.is_dataclass(kind):
        return _made_of_fields(kind)
    inner, make = _parts(kind)
    if inner is _same:
        return _same if make is _same else typing.cast(Convert, kind)
    convert = _made(inner)
    if make is tuple:
        return lambda plain: tuple(map(convert, plain))
    if make is dict:
        return lambda plain: dict(zip(plain, map(convert, plain.values()), strict=True))
    return lambda plain: None if plain is None else convert(plain)


def _made_of_fields(kind: Any) -> Convert:
    kinds = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    deep = [(place, _made(kinds[name])) for place, name in enumerate(names) if kinds[name] not in _SCALARS]

    def made(plain: list[Any]) -> Any:
        for place, convert in deep:
            plain[place] = convert(plain[place])
        return kind(*plain)

    return made


def _parts(kind: Any) -> tuple[Any, Any]:
    """Of a type that is no dataclass: what it holds, and whether that is a tuple's, a dict's or may be None.

    Of a scalar and an enum, which hold nothing: what makes it plain.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return next(one for one in arguments if one is not types.NoneType), None
    if origin is tuple:
        return arguments[0], tuple
    if origin is dict:
        return arguments[1], dict
    return _same, (operator.attrgetter("value") if issubclass(kind, enum.Enum) else _same)
