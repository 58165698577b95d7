"""The tree of errors: as it is drawn, as docs/errors.md tells it, and nothing in it that never comes."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from mapreduce import errors
from mapreduce.errors import MapReduceError

ROOT = Path(__file__).resolve().parents[2]
CATEGORIES = {
    "job", "data", "code", "resource", "time-out", "storage", "input changed", "result", "sink", "stopped",
    "internal",
}  # fmt: skip
GROUPS = {"UserCodeError", "ResourceError"}
"""Errors of which there are only kinds."""


def tree(cls: type[MapReduceError], depth: int = 0) -> list[tuple[int, str]]:
    below = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, cls.__name__), *(line for child in below for line in tree(child, depth + 1))]


TREE = tree(MapReduceError)
NAMES = [name for _, name in TREE]


def page_maker():
    """The script beside the page, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("errors_page", ROOT / "docs" / "errors_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made() -> set[str]:
    """Names of errors that the package makes, or hands to what makes them."""
    found: set[str] = set()
    for path in (ROOT / "mapreduce").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and not (
                isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass", "suppress")
            ):
                used = [node.func, *node.args]
                found |= {item.id for item in used if isinstance(item, ast.Name)}
    return found


def test_the_tree_is_drawn_as_it_is():
    drawn = re.findall(r"^([│├└─ ]*)(\w+)(?: {2,}.*)?$", errors.__doc__ or "", re.MULTILINE)
    assert [(len(lines) // 4, name) for lines, name in drawn if name in NAMES] == TREE


def test_the_page_is_what_the_script_makes():
    page = (ROOT / "docs" / "errors.md").read_text()
    assert page_maker().with_table(page) == page, "`make errors` writes it anew"


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_page_has_every_error_with_all_that_there_is_to_say(name):
    cls = getattr(errors, name)
    assert cls.category in CATEGORIES
    assert cls.__doc__
    row = next(line for line in page_maker().table().splitlines() if f"`{name}`" in line.split("|")[1])
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 6, "no text has a bar in it"
    assert all(cells) == (name not in GROUPS)


def test_every_error_comes_from_somewhere():
    assert set(NAMES[1:]) - made() == GROUPS


def test_every_error_crosses_processes():
    for name in set(NAMES[1:]) - GROUPS:
        error = getattr(errors, name)("why", hint="so", details="d", trace="t", place="p", output="o")
        again = errors.from_plain(error.to_plain())
        assert type(again) is type(error)
        assert again.to_plain() == error.to_plain()
