"""How far a run is, from results that come and go."""

from __future__ import annotations

from dataclasses import replace

from mapreduce.coordinator.standing import Standing
from mapreduce.events import Reported
from mapreduce.model import Attempt, InputFile, Kind, Plan, Progress, Result, Split, TaskId, Work

FILE = InputFile("a.log", 100, "1")
PLAN = Plan("run", "job", (Split(0, FILE, 0, 60), Split(1, FILE, 60, 100)), (FILE,), 1, "", "")
MAPPED = Result(Work(records=6, pairs=5, pairs_out=4, bytes_out=50), {})
REDUCED = Result(Work(pairs=4), {})


def progress(standing: Standing) -> Progress:
    return standing.progress(retries=0, workers=1)


def test_results_are_added_up_and_taken_off_again() -> None:
    standing = Standing(PLAN)
    begin = progress(standing)
    assert (begin.phase, begin.maps, begin.bytes_total, begin.bytes_done) == ("map", 2, 100, 0)
    standing.accept(TaskId(Kind.MAP, 0), MAPPED)
    one = progress(standing)
    assert (one.maps_done, one.bytes_done, one.records, one.pairs) == (1, 60, 6, 5)
    assert (one.pairs_shuffled, one.bytes_shuffled) == (4, 50)
    standing.accept(TaskId(Kind.MAP, 1), MAPPED)
    standing.accept(TaskId(Kind.REDUCE, 0), REDUCED)
    all_done = progress(standing)
    assert (all_done.phase, all_done.bytes_done, all_done.reduces_done) == ("reduce", 100, 1)
    assert all_done.pairs_reduced == 4
    standing.drop(TaskId(Kind.REDUCE, 0), REDUCED)
    standing.drop(TaskId(Kind.MAP, 1), MAPPED)
    assert progress(standing) == one


def test_a_report_counts_until_its_attempt_has_ended_and_the_furthest_of_a_task_only() -> None:
    standing = Standing(PLAN)
    begin = progress(standing)
    first, second = (Attempt(TaskId(Kind.MAP, 0), number, number) for number in (1, 2))
    standing.report(Reported(first, 20, 2, 3))
    standing.report(Reported(second, 70, 5, 6))
    there = progress(standing)
    assert (there.bytes_done, there.records, there.pairs) == (60, 5, 6), "a split's end is the most"
    standing.ended(second)
    assert progress(standing).records == 2
    standing.ended(first)
    assert progress(standing) == begin


def test_items_in_memory_are_no_bytes() -> None:
    items = InputFile("records:", 2, "2")
    standing = Standing(replace(PLAN, splits=(Split(0, items, 0, 1), Split(1, items, 1, 2)), inputs=(items,)))
    standing.accept(TaskId(Kind.MAP, 0), MAPPED)
    assert (progress(standing).bytes_total, progress(standing).bytes_done) == (0, 0)
