"""The only door to serialisation: functions, control records, and odd values.

Three kinds of bytes, never mixed:

- code: cloudpickle, made by the coordinator and loaded by its own workers only
- control records: the dataclasses of `model` as MessagePack or JSON, read back by their types
- values: marshal version 2, or strict MessagePack where a value holds dates and the like;
  the first byte tells which. `load_value` must be given verified bytes only.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import io
import json
import logging
import marshal
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import xxhash

from mapreduce.errors import SerializationError, ValueTypeError

T = TypeVar("T")

# ---------------------------------------------------------------- code


MUCH_CODE = 2**20
MOST_CODE = 256 * 2**20
"""Bytes of a pickled job that are refused. It is sent to every worker, and lies in its memory."""


def dump_code(job: object, most: int = MOST_CODE) -> bytes:
    """Pickle a job, or a dict of functions, by value: at most so many bytes.

    Raises SerializationError, naming the variable that can't be pickled, or the largest one.
    """

    pickled = _Limited(most)
    try:
        _pickle(job, pickled)
    except _TooLarge:
        raise SerializationError(
            f"The job is over {most:,} bytes when it is pickled, most of them {largest_part(job)}.",
            hint="Functions take along what they name. Put large data into a file, and read it in the "
            "function's `setup`.",
        ) from None
    except Exception as error:
        name = _culprit(job)
        raise SerializationError(
            f"The job can't be sent to a worker: {name or 'a function'} holds something "
            f"that can't be pickled ({type(error).__name__}: {error}).",
            hint="Make it inside the function instead, or pass plain data with side={…}.",
        ) from error
    return pickled.getvalue()


def dump_job(job: object) -> bytes:
    """What `dump_code` gives of a job. A large one is warned of: every worker gets all of it."""
    payload = dump_code(job)
    if len(payload) > MUCH_CODE:
        logging.getLogger("mapreduce").warning(
            "The job is %s bytes when it is pickled, most of them %s. Every worker gets all of it.",
            f"{len(payload):,}",
            largest_part(job),
        )
    return payload


class _TooLarge(Exception):
    """More was pickled than may be."""


class _Limited(io.BytesIO):
    """Takes so many bytes, and no more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self._most:
            raise _TooLarge
        return super().write(data)


class _Counted(io.RawIOBase):
    """Counts bytes and keeps none."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size += size
        return size


def largest_part(job: object) -> str:
    """What takes the most bytes of a job, in words: a function's variable, a dict's entry, or a field."""
    sizes = {name: _pickled_size(value) for name, value in _parts(job)}
    return max(sizes, key=lambda name: sizes[name], default="it")


def _parts(job: Any) -> Iterable[tuple[str, object]]:
    named = job if isinstance(job, dict) else {f.name: getattr(job, f.name) for f in dataclasses.fields(job)}
    for role, value in named.items():
        yield f"`{role}`", None if isinstance(value, dict) or callable(value) else value
        if isinstance(value, dict):
            yield from ((f"{role}[{key!r}]", item) for key, item in value.items())
        elif callable(value):
            function = getattr(value, "__name__", type(value).__name__)
            for name, captured in _captured(value):
                kind = type(captured).__name__
                yield f"the variable `{name}` ({kind}) of {role} function `{function}`", captured


def _pickled_size(value: object) -> int:
    counted = _Counted()
    try:
        _pickle(value, counted)
    except Exception:  # noqa: BLE001 - what can't be pickled by itself is not what is too large
        return 0
    return counted.size


def _pickle(value: object, file: Any) -> None:
    """Pickle by cloudpickle, and by value also what `functools.lru_cache` has made of a function: that is no
    function to cloudpickle, which would send its name alone.
    """
    import cloudpickle

    by_value = {"__main__", *cloudpickle.list_registry_pickle_by_value()}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is _LRU_CACHE and (obj.__module__ in by_value or "<locals>" in obj.__qualname__):
                return _cached, (obj.__wrapped__, obj.cache_parameters())
            return super().reducer_override(obj)

    Pickler(file).dump(value)


_LRU_CACHE = type(functools.lru_cache(lambda: None))


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """The function with an empty cache of its own."""
    return functools.lru_cache(**parameters)(function)


def ship_by_value(module: types.ModuleType) -> None:
    """Send what is defined in a module along with the job: workers need not import it.

    It must be in `sys.modules`. May be called twice.
    """
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def load_code(payload: bytes) -> Any:
    """The job that `dump_code` pickled. Only for bytes that were signed, or come from one's own
    coordinator.
    """
    import cloudpickle

    return cloudpickle.loads(payload)


def loading_error(error: Exception, where: str) -> SerializationError:
    """What to raise when a job can't be loaded in a process of some kind, on this host."""
    return SerializationError(
        f"The job can't be loaded in a {where}, on {os.uname().nodename}: {type(error).__name__}: {error}.",
        hint="A module that it needs may only be importable where the job was started; put it on PYTHONPATH.",
    )


def _picklable(value: object) -> bool:

    try:
        _pickle(value, io.BytesIO())
    except Exception:  # noqa: BLE001 - any failure means: this is the culprit
        return False
    return True


def _captured(function: Any) -> Iterable[tuple[str, object]]:
    """What a function takes along: closure variables, defaults, and globals that it names."""
    code = getattr(function, "__code__", None)
    if code is None:
        yield from getattr(function, "__dict__", {}).items()
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from (function.__kwdefaults__ or {}).items()
    for default in function.__defaults__ or ():
        yield "a default argument", default


def _culprit(job: Any) -> str:
    named = job if isinstance(job, dict) else {f.name: getattr(job, f.name) for f in dataclasses.fields(job)}
    for role, value in named.items():
        if _picklable(value):
            continue
        if isinstance(value, dict):
            bad = next((key for key, item in value.items() if not _picklable(item)), None)
            return f"{role}[{bad!r}]"
        for name, captured in _captured(value):
            if not _picklable(captured):
                function = getattr(value, "__name__", type(value).__name__)
                return f"the variable `{name}` ({type(captured).__name__}) of {role} function `{function}`"
        return f"`{role}`"
    return ""


# ---------------------------------------------------------------- control records


def to_plain(value: Any) -> Any:
    """A dataclass as dicts, lists and scalars, ready for JSON or MessagePack."""
    kind: type[Any] = type(value)
    if kind in _SCALARS:
        return value
    if kind is list or kind is tuple:
        return [to_plain(item) for item in value]
    if kind is dict:
        return {key: to_plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return {name: to_plain(item) for name, item in _shallow(value).items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


_SCALARS = frozenset({str, int, float, bool, type(None), bytes})


def _shallow(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, with what is in them left as it is."""
    names, values = _reading(typing.cast(type, type(value)))
    return dict(zip(names, values(value), strict=True))


@functools.cache
def _reading(cls: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of a dataclass's fields, and what reads them all at once."""
    names = tuple(field.name for field in dataclasses.fields(cls))
    if len(names) > 1:
        return names, typing.cast(Callable[[Any], tuple[Any, ...]], operator.attrgetter(*names))
    return names, lambda value: tuple(getattr(value, name) for name in names)


def from_plain(kind: Any, value: Any) -> Any:
    """Build `kind` (a dataclass, enum, tuple, dict, optional or scalar type) from plain data.

    Unknown fields are dropped; a missing one without default raises TypeError, a value of the
    wrong type TypeError or ValueError.
    """
    return _builder(kind)(value)


@functools.cache
def _builder(kind: Any) -> Callable[[Any], Any]:
    """What builds this kind: found once a kind, because reflection takes longer than all the rest."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_builder(typing.cast(type, kind))
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = _builder(next(arg for arg in typing.get_args(kind) if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _tuple_builder(_builder(typing.get_args(kind)[0]))
    if origin is dict:
        return _dict_builder(_builder(typing.get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    if kind is Any or not isinstance(kind, type):
        return lambda value: value
    return _scalar_builder(kind)


def _dataclass_builder(cls: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(cls)
    names, _ = _reading(cls)
    kinds = tuple(hints[name] for name in names)
    scalar = tuple((place, kind) for place, kind in enumerate(kinds) if kind in _SCALARS)
    deep = tuple((place, _builder(kind)) for place, kind in enumerate(kinds) if kind not in _SCALARS)

    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"expected the fields of {cls}, got {type(value).__name__}")
        if tuple(value) != names:  # of another version
            return cls(**{name: _builder(hints[name])(value[name]) for name in names if name in value})
        found = list(value.values())
        for place, kind in scalar:
            if type(found[place]) is not kind:
                found[place] = _scalar(kind, found[place])
        for place, convert in deep:
            found[place] = convert(found[place])
        return cls(*found)

    return build


def _tuple_builder(build: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def built(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"expected a tuple, got {type(value).__name__}")
        return tuple(map(build, value))

    return built


def _dict_builder(build: Callable[[Any], Any]) -> Callable[[Any], dict[Any, Any]]:
    def built(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise TypeError(f"expected a dict, got {type(value).__name__}")
        return {key: build(item) for key, item in value.items()}

    return built


def _scalar_builder(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if type(value) is kind else _scalar(kind, value)


def _scalar(kind: type, value: Any) -> Any:
    """A value that is not of this exact type: an int is fine where a float belongs."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def pack(message: Any) -> bytes:
    """A control record as MessagePack."""
    return typing.cast(bytes, msgpack.packb(message, default=_packable, unicode_errors="surrogatepass"))


def _packable(value: Any) -> Any:
    """What MessagePack does not know: dataclasses, a level at a time."""
    return _shallow(value) if dataclasses.is_dataclass(value) else to_plain(value)


def unpack(data: bytes) -> Any:
    """The plain data that `pack` wrote."""
    return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")


def seal(message: Any) -> bytes:
    """A control record as MessagePack behind a digest, so that damage is noticed."""
    content = pack(message)
    return xxhash.xxh3_128_digest(content) + content


def unseal(data: bytes) -> Any:
    """The plain data that `seal` wrote. Raises ValueError if it is not what was written."""
    content = data[_SEAL:]
    if len(data) <= _SEAL or xxhash.xxh3_128_digest(content) != data[:_SEAL]:
        raise ValueError("its digest does not fit its content")
    return unpack(content)


_SEAL = 16


def canonical_json(value: Any) -> bytes:
    """The one JSON text of plain data: sorted keys, two spaces, a newline at the end."""
    text = io.BytesIO()
    for piece in _pieces(value, "\n"):
        text.write(piece.encode("utf-8", "surrogatepass"))
    text.write(b"\n")
    return text.getvalue()


def _pieces(value: Any, line: str) -> Iterator[str]:
    """The text of `_json`, with that of a dataclass's lists item by item: there may be a million in one."""
    if not dataclasses.is_dataclass(type(value)):
        yield _json(value, line)
        return
    inner = line + "  "
    fields = _shallow(value)
    before = "{"
    for name in sorted(fields):
        yield f"{before}{inner}{_json_string(name)}: "
        before = ","
        yield from _items(fields[name], inner)
    yield f"{line}}}" if fields else "{}"


def _items(value: Any, line: str) -> Iterator[str]:
    if type(value) not in (list, tuple) or not value:
        yield _json(value, line)
        return
    inner = line + "  "
    before = "["
    for item in value:
        yield f"{before}{inner}{_json(item, inner)}"
        before = ","
    yield f"{line}]"


def _json(value: Any, line: str) -> str:
    """What `json.dumps` gives, whose encoder is made of generators where it indents: ten times slower.

    line: a line's end and the indentation of the next.
    """
    kind: type[Any] = type(value)
    if kind is str:
        return _json_string(value)
    if kind is int:
        return int.__repr__(value)
    if kind in _SCALARS:
        return json.dumps(value)
    inner = line + "  "
    if kind is list or kind is tuple:
        texts = [_json(item, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(texts)}{line}]" if texts else "[]"
    is_dict = kind is dict
    if is_dict or dataclasses.is_dataclass(kind):
        fields = value if is_dict else _shallow(value)
        texts = [f"{_json_string(name)}: {_json(fields[name], inner)}" for name in sorted(fields)]
        return f"{{{inner}{f',{inner}'.join(texts)}{line}}}" if texts else "{}"
    plain = to_plain(value)
    return json.dumps(value) if plain is value else _json(plain, line)


_json_string = json.encoder.encode_basestring


def sha256(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- values

PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_CONTAINERS = frozenset({tuple, list, set, frozenset, dict})
_MUTABLE = frozenset({list, set, dict, bytearray})
_DATED = frozenset({date, datetime, time, timedelta, Decimal, Fraction, UUID, bytearray})
_MARSHAL, _MSGPACK = b"m", b"p"
_DEPTH = 100
"""Levels of nesting that a value may have; the recursions below need up to 7 frames a level."""


class MutableValues(Exception):
    """Values can still change, so they must be packed one by one, as they are given."""


def dump_values(values: list[Any], *, frozen: bool = False) -> list[bytes]:
    """Pack values of any allowed types, exactly as they are now.

    Raises ValueTypeError for a type that would not come back as it went in, and with `frozen`
    MutableValues if a list, dict, set or bytearray is anywhere in them.
    """
    kinds = _inner_types(values)
    if frozen and kinds & _MUTABLE:
        raise MutableValues
    if kinds & _DATED:
        return [dump_value(value) for value in values]
    return [_MARSHAL + marshal.dumps(value, 2) for value in values]


def dump_value(value: Any) -> bytes:
    """Pack one value; see `dump_values`."""
    if _inner_types([value]) & _DATED:
        return _MSGPACK + _packed(value)
    return _MARSHAL + marshal.dumps(value, 2)


def load_value(data: bytes) -> Any:
    """The value that `dump_value` packed. Only for bytes whose digest was verified."""
    if data[:1] == _MARSHAL:
        return marshal.loads(data[1:])
    return msgpack.unpackb(data[1:], **_STRICT)


def _inner_types(values: Sequence[Any]) -> frozenset[type]:
    """The exact types at every level, a level at a time, so that the loops run in C."""
    found: set[type] = set()
    level = list(values)
    for _ in range(_DEPTH):
        kinds = set(map(type, level))
        found |= kinds
        if not kinds & _CONTAINERS:
            break
        inner = [item for item in level if type(item) in _CONTAINERS]
        if len(inner) > len(values):  # each object once: a cycle must not double each level
            inner = list({id(item): item for item in inner}.values())
        level = list(
            chain.from_iterable(chain(item, item.values()) if type(item) is dict else item for item in inner)
        )
    else:
        raise ValueTypeError(f"A value is nested more than {_DEPTH} levels deep, or holds itself.")
    wrong = found - PLAIN - _CONTAINERS - _DATED
    if wrong:
        names = ", ".join(sorted(kind.__qualname__ for kind in wrong))
        raise ValueTypeError(
            f"A value of type {names} can't be shipped: it would not come back as it went in.",
            hint="Give plain data: None, bool, int, float, str, bytes, dates, Decimal, tuples, lists, "
            "sets, dicts.",
        )
    return frozenset(found)


def _zone(value: datetime | time) -> Any:
    zone = value.tzinfo
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key:
        return zone.key
    if type(zone) is not timezone:
        raise ValueTypeError(
            f"A time zone of type {type(zone).__qualname__} can't be shipped.",
            hint="Use datetime.timezone or zoneinfo.ZoneInfo.",
        )
    offset = zone.utcoffset(None) // timedelta(microseconds=1)
    return offset if str(zone) == str(_unzone(offset)) else [offset, str(zone)]


def _unzone(zone: Any) -> Any:
    if isinstance(zone, str):
        return ZoneInfo(zone)
    if isinstance(zone, list):
        return timezone(timedelta(microseconds=zone[0]), zone[1])
    return zone if zone is None else timezone(timedelta(microseconds=zone))


def _dump_clock(value: Any) -> Any:
    return [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone(value)]


def _load_clock(kind: Any) -> Callable[[Any], Any]:
    return lambda v: kind.fromisoformat(v[0]).replace(fold=v[1], tzinfo=_unzone(v[2]))


# (code, type, to packable data, from packable data)
_EXTENSIONS: tuple[tuple[int, type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (1, tuple, list, tuple),
    (2, int, hex, lambda v: int(v, 16)),
    (3, complex, lambda v: [v.real, v.imag], lambda v: complex(*v)),
    (4, set, lambda v: sorted(map(_packed, v)), lambda v: set(map(_unpacked, v))),
    (5, frozenset, lambda v: sorted(map(_packed, v)), lambda v: frozenset(map(_unpacked, v))),
    (6, dict, lambda v: [[k, w] for k, w in v.items()], dict),
    (7, bytearray, bytes, bytearray),
    (8, date, date.isoformat, date.fromisoformat),
    (9, datetime, _dump_clock, _load_clock(datetime)),
    (10, time, _dump_clock, _load_clock(time)),
    (11, timedelta, lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
    (12, Decimal, str, Decimal),
    (13, Fraction, lambda v: [v.numerator, v.denominator], lambda v: Fraction(*v)),
    (14, UUID, lambda v: v.bytes, lambda v: UUID(bytes=v)),
)
_DUMPERS = {kind: (code, dump) for code, kind, dump, _ in _EXTENSIONS}
_LOADERS = {code: load for code, _, _, load in _EXTENSIONS}


def _packed(value: Any) -> bytes:
    return typing.cast(bytes, msgpack.packb(_wrap(value), unicode_errors="surrogatepass"))


def _unpacked(data: bytes) -> Any:
    return msgpack.unpackb(data, **_STRICT)


def _wrap(value: Any) -> Any:
    """`value` with everything that MessagePack does not tell apart wrapped as an extension."""
    kind = type(value)
    if kind is list:
        return [_wrap(item) for item in value]
    if kind in _DUMPERS and not (kind is int and -(2**63) <= value < 2**64):
        code, dump = _DUMPERS[kind]
        return msgpack.ExtType(code, _packed(dump(value)))
    return value


def _load_extension(code: int, data: bytes) -> Any:
    return _LOADERS[code](_unpacked(data))


_STRICT: dict[str, Any] = {
    "ext_hook": _load_extension,
    "strict_map_key": False,
    "unicode_errors": "surrogatepass",
    "raw": False,
}
