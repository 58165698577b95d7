"""A fingerprint changes when the meaning of a function does, and never otherwise.

Most cases are two texts of a job file that defines `f`; files beside it are given by name. All are also
tried in processes of their own, with other hashes of strings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import ODD_NAN, exact, values
from unit.fingerprint_cases import CHANGED, SAME, Case

from mapreduce import Count, Identity, Job, Records, Sum, TopK, TotalOrder, blocks
from mapreduce.fingerprint import fingerprint


def loaded(folder: Path, text: str, beside: tuple[tuple[str, str], ...]) -> Any:
    """What a job file calls `f`, as the command line loads it."""
    for name, content in (("jobfile.py", dedent(text)), *beside):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for name in ("helper", "shop", "shop.tax"):
        sys.modules.pop(name, None)
    sys.path_importer_cache.clear()
    sys.path.insert(0, str(folder))
    try:
        spec = spec_from_file_location("jobfile", folder / "jobfile.py")
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        module = module_from_spec(spec)
        sys.modules["jobfile"] = module
        spec.loader.exec_module(module)
        return fingerprint(module.f)
    finally:
        sys.path.remove(str(folder))
        for name in ("helper", "shop", "shop.tax", "jobfile"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_what_means_the_same_has_one_fingerprint(own_folder: Path, case: Case) -> None:
    other = case.beside_other or case.beside
    assert loaded(own_folder / "a", case.one, case.beside) == loaded(own_folder / "b", case.other, other)


@pytest.mark.parametrize("case", CHANGED, ids=lambda case: case.name)
def test_what_means_something_else_has_another(own_folder: Path, case: Case) -> None:
    other = case.beside_other or case.beside
    one = loaded(own_folder / "a", case.one, case.beside)
    assert one != loaded(own_folder / "b", case.other, other)
    assert one == loaded(own_folder / "c", case.one, case.beside)


def everything(folder: str) -> dict[str, str]:
    """The fingerprints of all cases."""
    found = {}
    for number, case in enumerate([*SAME, *CHANGED]):
        found[f"{number} {case.name}"] = loaded(Path(folder) / f"case {number}", case.one, case.beside)
        other = case.beside_other or case.beside
        found[f"{number} {case.name}, other"] = loaded(Path(folder) / f"other {number}", case.other, other)
    return found


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_fingerprints_are_the_same_in_every_process(own_folder: Path, seed: str) -> None:
    script = f"""
import json, sys
sys.path += {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from test_fingerprint import everything
print(json.dumps(everything({str(own_folder / "other")!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == everything(str(own_folder / "this"))


# ---------------------------------------------------------------- values


@given(st.tuples(values, values))
@example((1, True))
@example((0.0, -0.0))
@example((ODD_NAN, float("nan")))
@example(((1, 2), [1, 2]))
@example(({"a": 1}, {"a": 1.0}))
@example((({1, 2}, "ab"), (frozenset({1, 2}), "ab")))
def test_plain_values_are_told_apart_exactly(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert (fingerprint(one) == fingerprint(other)) == (exact(one) == exact(other))
    # With something that has no canonical bytes beside them they are taken apart piece by piece.
    assert (fingerprint([len, one]) == fingerprint([len, other])) == (exact(one) == exact(other))


@given(values)
def test_a_copy_has_the_same_fingerprint(value: Any) -> None:
    again = Records([value]).items[0]
    assert fingerprint((len, value, value)) == fingerprint((len, value, again))


class Row:
    def __init__(self, n: int) -> None:
        self.n = n


class Refuses:
    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("no")


class Endless:
    def __reduce__(self) -> Any:
        return Row, (Endless(),)


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Broken:
    __reduce_ex__ = None


DIFFERENT: list[Callable[[], Any]] = [
    lambda: Sum(),
    lambda: Sum(of=1),
    lambda: Sum(of="1"),
    lambda: Sum(of=lambda row: row[1]),
    lambda: Sum(of=lambda row: row[2]),
    lambda: Count(),
    lambda: TopK(3),
    lambda: TopK(4),
    lambda: {"a": Sum(), "b": Count()},
    lambda: {"b": Count(), "a": Sum()},
    lambda: {"a": Sum(of=1), "b": Count()},
    lambda: Identity(),
    lambda: TotalOrder(),
    lambda: blocks(partial(max, 1)),
    lambda: partial(max, 1),
    lambda: Records([1, 2]),
    lambda: Records([1, 3]),
    lambda: Row(1),
    lambda: Row(2),
    lambda: Refuses(1),
    lambda: Refuses(2),
    lambda: Decimal("1.0"),
    lambda: Decimal("1.00"),
    lambda: np.array([1, 2]),
    lambda: np.array([1, 3]),
    lambda: np.array([1, 2], dtype="int32"),
    lambda: np.float64(1),
    lambda: np.mean,
    lambda: np.add,
    lambda: pl.DataFrame({"a": [1]}),
    lambda: pl.DataFrame({"a": [2]}),
    lambda: pl.col("a") + 1,
    lambda: pl.col("a") + 2,
    lambda: pl.Int64,
    lambda: pl.String(),
    lambda: range(3),
    lambda: range(4),
    lambda: ...,
    lambda: int | None,
    lambda: list[int],
    lambda: list[str],
    lambda: Job("j", Records([1]), Identity(), Sum()),
    lambda: Job("j", Records([1]), Identity(), Count()),
]


def test_objects_are_told_apart_by_what_they_hold() -> None:
    prints = [fingerprint(make()) for make in DIFFERENT]
    assert len(set(prints)) == len(prints)
    assert [fingerprint(make()) for make in DIFFERENT] == prints


ODDITIES: dict[str, Callable[[], Any]] = {
    "endless": Endless,
    "hostile": Hostile,
    "broken": Broken,
    "lock": threading.Lock,
    "local": threading.local,
    "generator": lambda: (n for n in ()),
    "stream": lambda: sys.stdout,
    "module": lambda: sys,
}


@pytest.mark.parametrize("make", ODDITIES.values(), ids=ODDITIES)
def test_nothing_makes_it_fail(make: Callable[[], Any]) -> None:
    assert fingerprint(make()) == fingerprint(make())
    assert len(fingerprint([make()])) == 64


def test_values_that_hold_themselves() -> None:
    def ring(size: int, last: Any) -> list[Any]:
        first: list[Any] = []
        inner = first
        for _ in range(size):
            inner.append([])
            inner = inner[0]
        inner += [last, first]
        return first

    assert fingerprint(ring(3, 1)) == fingerprint(ring(3, 1))
    assert fingerprint(ring(3, 1)) != fingerprint(ring(4, 1))
    assert fingerprint(ring(300, 1)) != fingerprint(ring(300, 2))


def test_deep_values() -> None:
    def deep(end: Any) -> list[Any]:
        value: list[Any] = [end]
        for _ in range(1_500):
            value = [value]
        return value

    assert fingerprint(deep(1)) == fingerprint(deep(1))
    assert fingerprint(deep(1)) != fingerprint(deep(2))


def test_many_functions_that_call_each_other_take_no_time(own_folder: Path) -> None:
    names = [f"g{n}" for n in range(60)]
    text = "\n".join(f"def {name}(x):\n    return [{', '.join(names)}], {name!r}" for name in names)
    start = time.process_time()
    one = loaded(own_folder / "a", text + "\nf = g0\n", ())
    assert time.process_time() - start < 2
    assert one != loaded(own_folder / "b", text.replace("'g59'", "'x'") + "\nf = g0\n", ())
