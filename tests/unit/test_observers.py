"""What is told of a run while it runs and at its end, with a clock that the tests turn."""

import io
import logging
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from mapreduce import Job, Records, Sum, run
from mapreduce.figures import facts
from mapreduce.model import AttemptRecord, Progress
from mapreduce.observers.log import LogLines
from mapreduce.observers.pace import Line, Meter, Pace
from mapreduce.observers.summary import Summary, shown_path, summary
from mapreduce.observers.terminal import Terminal, fitted, picture

MB = 2**20
LOST = AttemptRecord("map 3", 1, 0, "lost", 1.0, "Worker process 17 was ended by \x1bSIGKILL.\nmore")


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def mapping(done: int, **more: int) -> Progress:
    """A run that maps 100 MB in 10 tasks and has done so many of them."""
    figures = {
        "bytes_total": 100 * MB,
        "bytes_done": done * 10 * MB,
        "records": done * 1000,
        "pairs_shuffled": done * 100,
        "bytes_shuffled": done * MB,
    }
    return Progress(phase="map", maps=10, maps_done=done, reduces=4, **(figures | more))


def reducing(done: int) -> Progress:
    """The same run, reducing."""
    return Progress(
        phase="reduce", maps=10, maps_done=10, reduces=4, reduces_done=done,
        bytes_total=100 * MB, bytes_done=100 * MB, records=10_000,
        pairs_shuffled=1000, bytes_shuffled=10 * MB, pairs_reduced=done * 250,
    )  # fmt: skip


# ---------------------------------------------------------------- how fast


def test_a_rate_looks_back_ten_seconds():
    meter = Meter()
    for second in range(30):
        meter.add(second, second * 5 if second < 15 else 70 + (second - 14) * 2)
    assert meter.rate == 2


def test_a_rate_begins_when_something_moves():
    meter = Meter()
    for now, value in ((0, 0), (50, 0), (51, 100), (52, 200)):
        meter.add(now, value)
        if value < 100:
            assert meter.rate == 0
    assert meter.rate == 100


def test_no_rate_from_one_instant():
    meter = Meter()
    meter.add(1.0, 0)
    meter.add(1.1, 500)
    assert meter.rate == 0


def test_lines_of_a_run():
    pace = Pace()
    pace.lines(mapping(1), 0)
    mapped, shuffled, reduced = pace.lines(mapping(3), 2)
    assert mapped == Line("map", 0.3, "3/10", "30 MB", "10 MB/s", "1k records/s", "7.0 s left")
    assert shuffled == Line("shuffle", 0.3, "", "3 MB", "1 MB/s", "300 pairs", "")
    assert reduced == Line("reduce", 0.0, "0/4", "", "", "", "")
    pace.lines(reducing(0), 10)
    mapped, shuffled, reduced = pace.lines(reducing(2), 15)
    assert (mapped.left, shuffled.left) == ("done", "done")
    assert reduced == Line("reduce", 0.5, "2/4", "", "", "100 pairs/s", "5.0 s left")
    assert pace.lines(reducing(4), 16)[2].left == "done"


def test_a_phase_is_full_only_when_its_last_task_is_accepted():
    assert Pace().lines(mapping(9, bytes_done=100 * MB), 0)[0].fraction == 0.99


def test_records_in_memory_have_no_bytes():
    progress = Progress(phase="map", maps=4, maps_done=1, reduces=1, records=25)
    line = Pace().lines(progress, 0)[0]
    assert (line.fraction, line.amount, line.speed) == (0.25, "25 records", "")


def test_a_job_without_reduce_has_one_line():
    assert [line.name for line in Pace().lines(Progress(phase="map", maps=2), 0)] == ["map"]


# ---------------------------------------------------------------- on a terminal


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 160])
def test_the_picture_fits_and_leaves_room_for_an_echo(width):
    pace = Pace()
    pace.lines(mapping(1), 0)
    lines = pace.lines(mapping(3), 2)
    console = Console(width=width, file=io.StringIO())
    drawn = picture(lines, [LOST.error] * 2, console).plain.split("\n")
    assert len(drawn) == 4
    assert max(map(len, drawn)) <= width - 2
    assert drawn[0].startswith("map")
    assert drawn[0].rstrip().endswith("7.0 s left")
    assert ("10 MB/s" in drawn[0]) == (width >= 60)
    assert drawn[3].startswith("2 attempts fail")
    assert "\x1b" not in drawn[3]


def test_bars_are_at_most_forty_cells():
    assert fitted(Pace().lines(mapping(1), 0), 200)[0] == 40


def terminal(monkeypatch, clock: Clock) -> tuple[Terminal, io.StringIO]:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "25")):
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    return Terminal(stream, clock), stream


def test_a_short_run_draws_nothing(monkeypatch):
    clock = Clock()
    observer, stream = terminal(monkeypatch, clock)
    with observer:
        observer.progress(mapping(1))
        clock.now += 0.4
        observer.progress(mapping(9))
        observer.finished(None)
    assert stream.getvalue() == ""


def test_what_is_drawn_is_erased_and_the_cursor_comes_back(monkeypatch):
    clock = Clock()
    observer, stream = terminal(monkeypatch, clock)
    drawn = []
    with suppress(KeyboardInterrupt), observer:
        observer.attempt_ended(LOST)
        for seconds, done in ((1, 3), (0.05, 4), (0.1, 5)):
            clock.now += seconds
            observer.progress(mapping(done))
            drawn.append(stream.getvalue())
        raise KeyboardInterrupt
    assert drawn[0].startswith("\x1b[?25l")
    assert "3/10" in drawn[0]
    assert "1 attempt failed and tried again: Worker process 17" in drawn[0]
    assert drawn[1] == drawn[0], "at most ten pictures a second"
    assert "5/10" in drawn[2]
    after = stream.getvalue().removeprefix(drawn[2])
    assert after.rindex("\x1b[?25h") > after.rindex("map")
    assert after.endswith("\x1b[1A\x1b[2K" * 4), "all four lines are erased"


# ---------------------------------------------------------------- as lines of a log


def test_log_lines(caplog):
    caplog.set_level(logging.INFO, "mapreduce")
    clock = Clock()
    observer = LogLines(clock=clock)
    for seconds, progress in (
        (0, mapping(0)),
        (4, mapping(1)),
        (5, mapping(2)),
        (1, mapping(2)),
        (3, reducing(0)),
        (12, reducing(3)),
    ):
        clock.now += seconds
        observer.progress(progress)
    observer.attempt_ended(LOST)
    assert caplog.messages == [
        "map: 10 tasks, 100 MB",
        "map: 2/10 tasks, 20 %, 20 MB, 2 MB/s, 200 records/s, 40 s left",
        "map: 10/10 tasks, 100 MB, 2 MB/s, 200 records/s, done",
        "shuffle: 10 MB, 205 KB/s, 1k pairs, done",
        "reduce: 4 tasks, 1,000 pairs, 10 MB",
        "reduce: 3/4 tasks, 75 %, 62 pairs/s, 4.0 s left",
        r"map 3, attempt 1 lost: Worker process 17 was ended by \x1bSIGKILL.",
    ]
    assert caplog.records[-1].levelno == logging.WARNING


def test_an_empty_run_logs_no_map(caplog):
    caplog.set_level(logging.INFO, "mapreduce")
    LogLines().progress(Progress(phase="reduce", reduces=1))
    assert caplog.messages == ["reduce: 1 task, 0 pairs, 0 B"]


# ---------------------------------------------------------------- at the end


def test_summary(own_folder: Path):
    def letters(word, ctx):
        ctx.count("words")
        return ((letter, 1) for letter in word)

    job = Job("letters", Records(["abba", "cab"]), letters, Sum(), "out/letters", shards=2)
    lines: list[str] = []
    result = run(job, on="serial", observers=[Summary(lines.append)])
    assert lines == summary(result)
    told = dict(line.strip().split("  ", 1) for line in lines[1:])
    told = {name: text.strip() for name, text in told.items()}
    assert lines[0].startswith("letters succeeded in ")
    assert told["records"] == "2 in, 3 out"
    assert told["pairs"] == "7, in 3 groups"
    assert told["tasks"] == "1 map and 2 reduce, on 1 worker"
    assert told["counters"] == "words 2"
    assert told["time"].startswith("functions ")
    assert told["slowest task"]
    assert told["largest shard"].endswith("to reduce")
    assert told["result"] == "out/letters (2 parts)"
    assert "retried" not in told


def test_summary_of_a_job_without_reduce(own_folder: Path):
    result = run(Job("copy", Records([1]), lambda n: [{"n": n}], output="out"), on="serial")
    assert not {"pairs", "largest shard", "counters", "retried"} & set(dict(facts(result.manifest)))


def test_attempts_that_were_retried_are_told_by_cause(own_folder: Path):
    def flaky(n):
        if not Path("tried").exists():
            Path("tried").touch()
            raise OSError("disk on fire")
        yield n, 1

    result = run(Job("flaky", Records([1]), flaky, Sum(), output="out"), on="serial")
    assert dict(facts(result.manifest))["retried"].startswith("1 × map ")
    assert any("disk on fire" in line for line in summary(result))


def test_paths_are_shown_as_one_would_type_them(own_folder: Path):
    assert shown_path(own_folder / "out") == "out"
    assert shown_path(own_folder.parent / "elsewhere") == str(own_folder.parent / "elsewhere")
