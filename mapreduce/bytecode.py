"""What is in a code object, without where it stands: constants by use, and the names that it looks up.

The numbers of constants are an accident: a docstring takes one, and moves the others. So constants are
listed in the order in which instructions load them, and the instructions are kept without the numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import lru_cache
from opcode import EXTENDED_ARG, hasconst, opmap
from types import CodeType
from typing import NamedTuple

_CONSTANT = frozenset(hasconst)
_GLOBAL = {
    # The lowest bit of LOAD_GLOBAL's number says something else.
    opmap[name]: shift
    for name, shift in (("LOAD_GLOBAL", 1), ("LOAD_NAME", 0), ("LOAD_FROM_DICT_OR_GLOBALS", 0))
    if name in opmap
}
_IMPORT, _IMPORT_FROM = opmap["IMPORT_NAME"], opmap["IMPORT_FROM"]
_FLAGS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
"""Flags that say how it is called; others say where it stands and how it was compiled."""


class Reading(NamedTuple):
    """A code object's instructions, told apart."""

    instructions: bytes
    constants: tuple[object, ...]
    globals: frozenset[str]
    """Names looked up in the module, or in a class body."""
    imports: frozenset[str]
    """Modules that are imported when it runs, and names in them, which may be modules too. One that is
    relative to a package is without its leading dots."""


@lru_cache(maxsize=1024)
def reading(code: CodeType) -> Reading:
    """Read the instructions of one code object, not of those nested in it."""
    instructions = bytearray(code.co_code)
    constants: list[object] = []
    names: set[str] = set()
    imports: set[str] = set()
    extended = 0
    module = ""
    for at in range(0, len(instructions), 2):
        kind, number = instructions[at], instructions[at + 1] | extended
        extended = number << 8 if kind == EXTENDED_ARG else 0
        if kind in _CONSTANT:
            constants.append(code.co_consts[number])
            instructions[at + 1] = 0
        elif kind in _GLOBAL:
            names.add(code.co_names[number >> _GLOBAL[kind]])
        elif kind == _IMPORT:
            module = code.co_names[number]
            imports.add(module)
        elif kind == _IMPORT_FROM:
            imports.add(f"{module}.{code.co_names[number]}".lstrip("."))
    return Reading(bytes(instructions), tuple(constants), frozenset(names), frozenset(imports))


def facts(code: CodeType) -> tuple[object, ...]:
    """All that decides what the code does, but for its constants: numbers, names and bytes."""
    return (
        reading(code).instructions,
        code.co_exceptiontable,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags & _FLAGS,
        code.co_names,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
    )


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code object and all that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)
