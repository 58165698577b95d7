"""Whether functions still mean what they meant: one text for a value, the same in every process.

Pickles can't tell. Their bytes hold which equal objects happened to be one, sets in the order of hashes
that differ in every process, class ids made by chance, file names and line numbers. Here a value is
taken apart into a graph, whose nodes say what a thing is by itself and which things it uses; `digests`
makes one hash of that, which does not depend on how often a thing is shared.

What counts:

- a function of the user's: its code, defaults, closure, marks, and the globals that it names, and so
  on from there. Not where it stands, what it is called, its docstring, comments and annotations.
- what is installed, or comes with Python or this package: its module and name. Versions are compared apart.
  The package of a job that is given by import path counts as the user's though it is installed.
- a module of the user's: those of its attributes that the code mentions.
- a module of the user's that a function imports when it runs: all code in its file.
- an instance: its class and its state, in the order of names. In a dict the order counts: who iterates
  over it sees it.
- what can't be taken apart (a lock, a generator): its type.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple

from mapreduce import bytecode
from mapreduce.codec import dump_value
from mapreduce.digests import digest_of
from mapreduce.errors import ValueTypeError
from mapreduce.origins import has_name, is_installed, is_known, lazily_imported

_DEEPEST = 10_000
"""Objects that take themselves apart into others, one below the other: some never end."""
_NOT_STATE = frozenset({"__doc__", "__module__", "__annotations__", "__annotate__", "__type_params__"})
"""What `functools.update_wrapper` copies from a function to any object."""
_NOT_CONTENT = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__doc__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotations_cache__",
        "_abc_impl",
    }
)
"""Of a class: where it stands, and what Python keeps in it for itself."""
_NOT_GLOBAL = frozenset({"__name__", "__doc__", "__builtins__", "__loader__", "__spec__"})
_PLAIN = frozenset({list, tuple, dict, set, frozenset})
_UNORDERED = (set, frozenset)


class _Shape(NamedTuple):
    """A value taken apart: what it is, as plain text and numbers, and what it holds."""

    label: tuple[object, ...]
    parts: Sequence[object] = ()
    ordered: bool = True
    deeper: int = 0
    """1: the parts were made for this purpose, and could be made again and again."""


def fingerprint(value: object) -> str:
    """Hexadecimal digits, equal for values that mean the same, in every process. Never raises.

    Calls `__reduce_ex__` of objects, and what that calls.
    """
    values: list[object] = [value]  # grows while it is read; it also keeps what was made on the way alive
    depths = [0]
    known = {id(value): 0}
    labels: list[bytes] = []
    children: list[list[int]] = []
    ordered: list[bool] = []
    for index, item in enumerate(values):
        label, shape = _taken_apart(item) if depths[index] < _DEEPEST else _by_type(item)
        found = []
        for part in shape.parts:
            number = known.setdefault(id(part), len(values))
            if number == len(values):
                values.append(part)
                depths.append(depths[index] + shape.deeper)
            found.append(number)
        labels.append(label)
        children.append(found)
        ordered.append(shape.ordered)
    return digest_of(labels, children, ordered).hex()


def _taken_apart(value: object) -> tuple[bytes, _Shape]:
    try:
        shape = _SHAPES.get(type(value), _object)(value)
        return repr(shape.label).encode(), shape
    except Exception:  # noqa: BLE001 - any code of the user's may run here; it must not fail a run
        return _by_type(value)


def _by_type(value: object) -> tuple[bytes, _Shape]:
    """What is left of an object that can't even be asked for its attributes."""
    if issubclass(type(value), type):
        return b"class " + type.__getattribute__(value, "__qualname__").encode(), _Shape(())
    return b"object", _Shape((), (type(value),))


def _named(values: Mapping[str, object], but: frozenset[str] = _NOT_STATE) -> tuple[list[str], list[object]]:
    """Attributes in the order of their names: nobody means the order in which they were set."""
    names = sorted(name for name in values if name not in but)
    return names, [values[name] for name in names]


def _state_of(value: object) -> Mapping[str, object]:
    state = getattr(value, "__dict__", None)
    return state if isinstance(state, (dict, MappingProxyType)) else {}


# ---------------------------------------------------------------- values


def _plain(value: Any) -> _Shape:
    """A value that can be shipped has canonical bytes already; others hold something that has not."""
    try:
        return _Shape(("value", sha256(dump_value(value)).digest()))
    except (ValueTypeError, TypeError):  # TypeError: a set of complex NaN, which can't be put in order
        if type(value) not in _PLAIN:
            return _reduced(value)
    kind = type(value).__name__
    if kind == "dict":
        return _Shape((kind,), [part for item in value.items() for part in item])
    return _Shape((kind,), list(value), type(value) not in _UNORDERED)


def _set_like(value: Any) -> _Shape:
    """A set of a class of its own, whose pickle would list it in any order."""
    names, state = _named(_state_of(value))
    inner: list[object] = [frozenset(value), type(value), *state]
    return _Shape(("set of a class", names), inner)


def _module(module: ModuleType) -> _Shape:
    return _Shape(("module", module.__name__))


def _cell(cell: CellType) -> _Shape:
    try:
        return _Shape(("cell",), [cell.cell_contents])
    except ValueError:
        return _Shape(("empty cell",))


def _mapping(value: MappingProxyType[Any, Any]) -> _Shape:
    return _Shape(("mapping",), [dict(value)])


def _property(value: property) -> _Shape:
    return _Shape(("property",), [type(value), value.fget, value.fset, value.fdel])


def _method(value: Any) -> _Shape:
    return _Shape(("method",), [type(value), value.__func__])


def _object(value: object) -> _Shape:
    """What has no entry of its own."""
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, _UNORDERED):
        return _set_like(value)
    if isinstance(value, ModuleType):
        return _module(value)
    if isinstance(value, property):
        return _property(value)
    return _reduced(value)


def _reduced(value: Any) -> _Shape:
    """As the object would be pickled; by type and attributes, if it refuses."""
    kind = type(value)
    try:
        reduce = copyreg.dispatch_table.get(kind)
        reduced: Any = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 - objects refuse in many ways, some of the user's making
        names, state = _named(_state_of(value))
        return _Shape(("object", names), [kind, *state], deeper=1)
    if isinstance(reduced, str):
        return _global_name(value, reduced)
    made_by, arguments, *more = reduced
    state, items, pairs = (*more, None, None, None)[:3]
    names, parts = _state_parts(state)
    inner: list[object] = [made_by, *arguments, *parts, list(items or ()), list(pairs or ())]
    return _Shape(("reduced", len(arguments), names), inner, deeper=1)


def _state_parts(state: Any) -> tuple[list[str], list[object]]:
    """Names and values of an instance's state: of its `__dict__`, of its slots, or of a kind of its own."""
    if (
        type(state) is tuple
        and len(state) == 2
        and type(state[1]) is dict
        and type(state[0]) in (dict, _NONE)
    ):
        dicts = [state[0] or {}, state[1]]
    else:
        dicts = [state] if type(state) is dict else []
    if not dicts or not all(type(name) is str for part in dicts for name in part):
        return ["?"], [state]
    return _named({name: value for part in dicts for name, value in part.items()})


_NONE = type(None)


def _global_name(value: object, name: str) -> _Shape:
    """An object that says which global it is; `functools.cache` says so of what it wraps."""
    module = str(getattr(value, "__module__", ""))
    where = module if is_known(module) else ""
    names, state = _named(_state_of(value))
    return _Shape(("global", where, name, names), [type(value), *state], deeper=1)


# ---------------------------------------------------------------- code


def _class(kind: type) -> _Shape:
    if has_name(kind):
        return _Shape(("class", kind.__module__, kind.__qualname__))
    names, values = _named(vars(kind), _NOT_CONTENT)
    inner: list[object] = [type(kind), *kind.__bases__, *values]
    return _Shape(("class", kind.__qualname__, len(kind.__bases__), names), inner)


def _code(code: CodeType) -> _Shape:
    label = ("code", *bytecode.facts(code))
    return _Shape(label, bytecode.reading(code).constants)


def _function(function: FunctionType) -> _Shape:
    code = function.__code__
    installed = is_installed(function.__globals__)
    where = (str(function.__globals__["__name__"]), code.co_qualname) if installed else ()
    mark = str(getattr(function, "__mapreduce_shape__", ""))
    if installed and "<" not in code.co_qualname:
        return _Shape(("function", where, mark))
    defaults = function.__defaults__ or ()
    cells = function.__closure__ or ()
    by_name = _named(function.__kwdefaults__ or {}, frozenset())
    marks = _named(function.__dict__)
    used = ([], []) if installed else _named(_used(function), frozenset())
    label = ("function", where, len(defaults), len(cells), by_name[0], marks[0], used[0])
    return _Shape(label, [code, *defaults, *cells, *by_name[1], *marks[1], *used[1]])


def _used(function: FunctionType) -> dict[str, object]:
    """By name, what a function of the user's finds in its module when it runs, and in modules of theirs."""
    codes = list(bytecode.nested(function.__code__))
    asked = {name for code in codes for name in bytecode.reading(code).globals} - _NOT_GLOBAL
    mentioned = {name for code in codes for name in code.co_names}
    found = {name: function.__globals__[name] for name in asked if name in function.__globals__}
    modules = {name: value for name, value in found.items() if isinstance(value, ModuleType)}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        contents = _contents(cell)
        if isinstance(contents, ModuleType):
            modules[f"closure {name}"] = contents
    found |= _attributes(modules, mentioned)
    imported = lazily_imported(codes, str(function.__globals__.get("__package__") or ""))
    return found | {f"import {name}": code for name, code in imported.items()}


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _attributes(modules: Mapping[str, ModuleType], mentioned: Iterable[str]) -> dict[str, object]:
    """What code that mentions these names may take from the user's modules, and from modules in them."""
    found: dict[str, object] = {}
    left = sorted(modules.items(), reverse=True)
    seen: set[int] = set()
    while left:
        path, module = left.pop()
        if id(module) in seen or is_installed(vars(module)):
            continue
        seen.add(id(module))
        for name in sorted(set(mentioned) & vars(module).keys() - _NOT_GLOBAL):
            value = found[f"{path}.{name}"] = vars(module)[name]
            if isinstance(value, ModuleType):
                left.append((f"{path}.{name}", value))
    return found


_SHAPES: dict[type, Callable[[Any], _Shape]] = {
    **dict.fromkeys((_NONE, bool, int, float, complex, str, bytes), _plain),
    **dict.fromkeys(_PLAIN, _plain),
    type: _class,
    FunctionType: _function,
    CodeType: _code,
    ModuleType: _module,
    CellType: _cell,
    MappingProxyType: _mapping,
    staticmethod: _method,
    classmethod: _method,
}
