"""Where code comes from: the user's own files, or what is installed and has a version."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.machinery import PathFinder, SourceFileLoader
from types import CodeType

from mapreduce import bytecode

_PACKAGE = __name__.partition(".")[0]
_INSTALLED_PARTS = frozenset({"site-packages", "dist-packages"})
_MADE_BY_CODE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class that is no static part of the interpreter or of a library in C."""


_users: set[str] = set()
"""Packages that count as the user's wherever they lie."""


def count_as_users(module: str) -> None:
    """Count the package that a module is in as the user's: who deploys it wants to know of its versions."""
    _users.add(module.partition(".")[0])


def is_installed(module: Mapping[str, object]) -> bool:
    """Whether the module with these globals comes with Python, with a package, or with this one."""
    name, file = str(module.get("__name__", "")), module.get("__file__")
    root = name.partition(".")[0]
    if root == _PACKAGE:
        return True
    if root in _users:
        return False
    if isinstance(file, str):
        return _is_installed_file(file)
    return root in sys.stdlib_module_names and root != "__main__"


def is_known(name: str) -> bool:
    """Whether a module is called the same however a job is started: `__main__` has other names too."""
    module = sys.modules.get(name)
    if module is None:
        return False
    return is_installed(vars(module)) or not str(vars(module).get("__file__", ".py")).endswith(".py")


def has_name(kind: type) -> bool:
    """Whether a class is installed, and its module and name say which it is."""
    if not kind.__flags__ & _MADE_BY_CODE:
        return True
    found: object = sys.modules.get(kind.__module__)
    if found is None or not is_installed(vars(found)):
        return False
    for name in kind.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    # Factories give classes of the user's the names of their own modules.
    return found is kind


@cache
def _roots() -> tuple[str, ...]:
    """Not `sys.prefix` itself: it may be /usr, and jobs lie there too."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [site.getusersitepackages()]
    return tuple({os.path.realpath(path) + os.sep for path in paths if path})


@cache
def _is_installed_file(file: str) -> bool:
    real = os.path.realpath(file)
    return real.startswith(_roots()) or not _INSTALLED_PARTS.isdisjoint(real.split(os.sep))


# ---------------------------------------------------------------- modules that are imported later


def lazily_imported(codes: Iterable[CodeType], package: str) -> dict[str, CodeType]:
    """By name, the code of the user's modules that these codes import, and of those that they import.

    From their files: whether they have been imported already must make no difference. A name is tried as
    it is, and within `package`, the one that the codes stand in.
    """
    found: dict[str, CodeType] = {}
    left = list(codes)
    seen: set[str] = set()
    while left:
        asked = bytecode.reading(left.pop()).imports
        names = {parent for name in asked for parent in _with_parents(name)} - seen
        seen |= names
        for name in sorted(names):
            code = _module_code(name, package)
            if code is not None:
                found[name] = code
                left += bytecode.nested(code)
    return found


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _module_code(name: str, package: str) -> CodeType | None:
    if not name or name.partition(".")[0] in (_PACKAGE, *sys.builtin_module_names):
        return None
    files = [_source_file(name), _source_file(f"{package}.{name}") if package else None]
    file = next(filter(None, files), None)
    if file is None:
        return None
    loader = SourceFileLoader(name, file)
    try:
        # Not by `get_code`, which leaves files behind and believes those that are there.
        return loader.source_to_code(loader.get_data(file), file)
    except (OSError, SyntaxError, ValueError):
        return None


def _source_file(name: str) -> str | None:
    """The file of a module of the user's, found without importing anything."""
    path: list[str] | None = None
    file = None
    users = name.partition(".")[0] in _users
    for part in _with_parents(name):
        try:
            spec = PathFinder.find_spec(part, path)
        except (ImportError, ValueError, OSError):
            return None
        file = spec.origin if spec else None
        if spec is None or (file and not users and _is_installed_file(file)):
            return None
        path = list(spec.submodule_search_locations or ())
    return file if file and file.endswith(".py") else None
