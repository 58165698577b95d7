"""A few stories of the simulation; `make simulation` tells ten thousand."""

from __future__ import annotations

import pytest

from .mutants import MUTANTS, patched
from .story import Story
from .world import Violated

BLOCK = 15


@pytest.mark.parametrize("first", range(0, 150, BLOCK))
def test_whatever_happens_the_result_is_one_and_right(first: int) -> None:
    for seed in range(first, first + BLOCK):
        print(f"seed {seed}")
        Story(seed).tell()


@pytest.mark.parametrize("seed", [3, 11, 150])
def test_a_seed_tells_the_same_story_again(seed: int) -> None:
    first, second = Story(seed), Story(seed)
    assert first.tell() == second.tell()
    assert first.world.counts == second.world.counts


def test_a_name_that_is_written_twice_is_noticed() -> None:
    story = Story(1)
    story.bucket.write("jobs/run/data/x", b"1", None)
    story.bucket.write("jobs/run/data/x", b"1", None)
    with pytest.raises(Violated):
        story.bucket.write("jobs/run/data/x", b"2", None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_has_something_to_change(mutant: object) -> None:
    assert patched(mutant)  # type: ignore[arg-type]


def test_there_are_enough_mutants_each_with_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40
