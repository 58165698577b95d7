"""`check_determinism` finds maps that give other pairs when they run again, and passes the others."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Collect, Count, Job, JsonLines, Text, blocks
from mapreduce.testing import NonDeterminism, check_determinism

NUMBERS = itertools.count()


@pytest.fixture
def source(own_folder: Path) -> Text:
    (own_folder / "log").write_text("".join(f"{number}\n" for number in range(400)))
    return Text("log", split_size=200)


def good(line: str) -> Iterator[Any]:
    yield line, 1


def drawn(line: str) -> Iterator[Any]:
    yield line, random.random()


def counted(line: str) -> Iterator[Any]:
    yield next(NUMBERS), line


@blocks
def by_address(lines: list[str]) -> Iterator[Any]:
    kept.append([object() for _ in lines])
    return ((id(thing), 1) for thing in kept[-1])


kept: list[list[object]] = []


def counting_calls(line: str, ctx: Any) -> Iterator[Any]:
    ctx.count("calls", next(NUMBERS))
    yield line, 1


@pytest.mark.parametrize("reduce", [Count(), Collect(), None])
def test_a_map_that_gives_the_same_again_passes(reduce: Any, source: Text) -> None:
    check_determinism(Job("good", source, good, reduce, JsonLines("untouched")), sample=0.5)
    assert not Path("untouched").exists()


@pytest.mark.parametrize("function", [drawn, counted, by_address, counting_calls])
@pytest.mark.parametrize("reduce", [Collect(), None])
def test_a_map_that_does_not_is_named(function: Callable[..., Any], reduce: Any, source: Text) -> None:
    with pytest.raises(
        NonDeterminism, match=rf"(?s)map `{function.__name__}` \(test_determinism.py:.*log, 0 to"
    ):
        check_determinism(Job("bad", source, function, reduce))


def test_the_sample_is_spread_over_the_input(source: Text) -> None:
    seen: list[str] = []

    def seeing(line: str) -> Iterator[Any]:
        seen.append(line)
        yield line, 1

    check_determinism(Job("seen", source, seeing, Count()), sample=0.25)
    assert len(set(seen)) < 200
    assert int(max(seen, key=int)) > 200
    with pytest.raises(ValueError, match="above 0"):
        check_determinism(Job("seen", source, seeing, Count()), sample=0)
