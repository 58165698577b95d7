"""Going on with a run that did not end: what is done again, what is compared, what is refused and shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, JsonLines, Max, Sum, Text, run
from mapreduce.errors import JobChanged, JobError, MapReduceError, OutputExists, UserFunctionError
from mapreduce.manifest import verify

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def four_files() -> None:
    CALLS.clear()
    for name in "abcd":
        Path(f"{name}.log").write_text(f"{name} 1\n{name} 2\n")


def words(line: str) -> Iterator[tuple[str, int]]:
    CALLS.append(f"map {line[0]}")
    if line.startswith("d") and Path("fail").exists():
        raise ValueError("d is not ready")
    yield line[0], int(line[2:])


def words_anew(line: str) -> Iterator[tuple[str, int]]:
    yield line[0], 10 * int(line[2:])


def total(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    CALLS.append(f"reduce {key}")
    if key == "a" and Path("fail in reduce").exists():  # of the last shard
        raise ValueError("a is not ready")
    yield key, sum(values)


def total_anew(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    CALLS.append(f"reduce anew {key}")
    yield key, -sum(values)


def job(**changes: Any) -> Job:
    given = {
        "name": "resumed",
        "source": "?.log",
        "map": words,
        "reduce": total,
        "output": "out",
        "shards": 4,
    }
    return Job(**(given | changes))


def begin(failing: str = "fail", **changes: Any) -> MapReduceError:
    """A run that fails when it has done some of its work."""
    Path(failing).touch()
    with pytest.raises(UserFunctionError) as caught:
        run(job(**changes), on="serial")
    Path(failing).unlink()
    assert not Path("out/_manifest.json").exists()
    assert "What was done is kept" in "".join(caught.value.__notes__)
    CALLS.clear()
    return caught.value


def assert_right(expected: dict[str, int], directory: str = "out") -> None:
    assert verify(Path(directory))[1] == []
    assert dict(JobResult.load(directory)) == expected
    assert list(Path().glob(".*")) == [], "nothing else lies about"


RIGHT = {"a": 3, "b": 3, "c": 3, "d": 3}


def test_what_was_accepted_is_not_done_again() -> None:
    begin()
    result = run(job(), on="serial")
    assert [call for call in CALLS if call.startswith("map")] == ["map d", "map d"]
    assert result.manifest.resumed == 1
    assert result.manifest.tasks == {"map": 4, "reduce": 4}
    assert [attempt.task for attempt in result.manifest.attempts if attempt.outcome == "succeeded"].count(
        "map 0"
    ) == 1
    assert_right(RIGHT)


def test_reduces_that_were_accepted_are_not_done_again() -> None:
    begin("fail in reduce")
    run(job(), on="serial")
    assert CALLS == ["reduce a"]
    assert_right(RIGHT)


def test_a_run_that_had_accepted_nothing_leaves_nothing() -> None:
    Path("fail").touch()
    with pytest.raises(UserFunctionError) as caught:
        run(job(source="d.log"), on="serial")
    assert not getattr(caught.value, "__notes__", [])
    assert sorted(os.listdir()) == ["a.log", "b.log", "c.log", "d.log", "fail"]


def test_new_starts_afresh() -> None:
    begin()
    result = run(job(), on="serial", resume=False)
    assert CALLS.count("map a") == 2
    assert result.manifest.resumed == 0
    assert_right(RIGHT)


def test_resume_demands_a_run_that_can_go_on() -> None:
    with pytest.raises(JobError, match=r"no run to .*out that can go on"):
        run(job(), on="serial", resume=True)
    begin()
    assert run(job(), on="serial", resume=True).manifest.resumed == 1


@pytest.mark.covers("C6", "the same run again after its end")
def test_a_run_that_has_ended_is_not_run_again() -> None:
    run(job(), on="serial")
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    CALLS.clear()
    with pytest.raises(OutputExists, match="already holds a result"):
        run(job(), on="serial")
    assert CALLS == []
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_no_run_goes_on_from_what_others_may_have_written(mode: int) -> None:
    begin()
    (directory,) = Path(".out.mapreduce").glob("2*")
    directory.chmod(mode)
    assert run(job(), on="serial").manifest.resumed == 0
    assert CALLS.count("map a") == 2


def test_no_run_goes_on_from_a_link() -> None:
    begin()
    (directory,) = Path(".out.mapreduce").glob("2*")
    directory.rename("elsewhere")
    directory.symlink_to(Path("elsewhere").absolute())
    assert run(job(), on="serial").manifest.resumed == 0


# ---------------------------------------------------------------- what is refused


def grow() -> None:
    with open("a.log", "a") as stream:
        stream.write("a 4\n")


def touch() -> None:
    os.utime("a.log", ns=(1, 1))


def nothing() -> None:
    return


CHANGES: list[tuple[str, Callable[[], object], dict[str, Any], str]] = [
    ("map", nothing, {"map": words_anew}, "map has changed"),
    ("reduce", nothing, {"reduce": total_anew}, "reduce has changed"),
    ("combine", nothing, {"combine": lambda key, values: sum(values)}, "combine was added"),
    ("shards", nothing, {"shards": 5}, "shards: 4 → 5"),
    ("name", nothing, {"name": "other"}, "name: resumed → other"),
    ("side", nothing, {"side": {"a": 1}}, "side has changed"),
    ("output format", nothing, {"output": JsonLines("out", compression="gz")}, "output"),
    ("split size", nothing, {"source": Text("?.log", split_size=4)}, "split_size"),
    ("grown input", grow, {}, "a.log has changed (8 → 12 bytes)"),
    ("touched input", touch, {}, "a.log has changed since (same size)"),
    ("new input", lambda: Path("e.log").write_text("e 1\n"), {}, "e.log is new"),
    ("lost input", lambda: Path("a.log").unlink(), {}, "a.log is gone"),
]


@pytest.mark.covers("C7", "a run goes on with other code, options, number of shards, input")
@pytest.mark.covers("D9", "an input that grew, was touched, is new or gone when the run goes on")
@pytest.mark.parametrize(("change", "options", "told"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_changed_job_is_refused_with_what_has_changed(
    change: Callable[[], object], options: dict[str, Any], told: str
) -> None:
    begin()
    change()
    with pytest.raises(JobChanged) as caught:
        run(job(**options), on="serial")
    assert told in caught.value.message
    assert "3 of 4 map tasks" in caught.value.message
    assert "--new" in caught.value.hint
    assert CALLS == []
    run(job(**options), on="serial", resume=False)
    assert verify(Path("out"))[1] == []
    assert list(Path().glob(".*")) == []


@pytest.mark.covers("C7", "a run goes on with other versions")
def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    begin()
    from mapreduce import plan

    versions = plan.versions()
    monkeypatch.setattr(plan, "versions", lambda: {**versions, "polars": "9.9"})
    with pytest.raises(JobChanged, match=f"polars {versions['polars']} → 9.9"):
        run(job(), on="serial")


def test_what_does_not_change_the_result_may_change() -> None:
    begin()
    run(job(max_attempts=1, timeout=60, memory="1GB", sinks=[lambda result: None]), on="processes", workers=2)
    assert_right(RIGHT)


# ---------------------------------------------------------------- new code that is accepted


def test_a_new_reduce_keeps_map_results_when_that_is_accepted() -> None:
    begin("fail in reduce")
    with pytest.raises(JobChanged, match="reduce has changed") as caught:
        run(job(reduce=total_anew), on="serial")
    assert "--accept-new-code" in caught.value.hint
    run(job(reduce=total_anew), on="serial", accept_new_code=True)
    assert sorted(CALLS) == [f"reduce anew {key}" for key in "abcd"], "no map, and every reduce"
    assert_right({key: -value for key, value in RIGHT.items()})


def test_a_run_with_accepted_new_code_goes_on_with_it() -> None:
    begin("fail in reduce")
    Path("fail anew").touch()

    def half(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
        CALLS.append(f"reduce half {key}")
        if key == "a" and Path("fail anew").exists():
            raise ValueError
        yield key, sum(values)

    with pytest.raises(UserFunctionError):
        run(job(reduce=half), on="serial", accept_new_code=True)
    Path("fail anew").unlink()
    with pytest.raises(JobChanged, match="reduce has changed"):
        run(job(), on="serial")
    CALLS.clear()
    run(job(reduce=half), on="serial")
    assert CALLS == ["reduce half a"]
    assert_right(RIGHT)


def test_other_changes_are_not_accepted_as_new_code() -> None:
    begin()
    for changes in ({"map": words_anew}, {"reduce": total_anew, "shards": 5}):
        with pytest.raises(JobChanged):
            run(job(**changes), on="serial", accept_new_code=True)


def test_map_results_that_hold_an_aggregate_s_states_are_not_kept() -> None:
    begin(reduce=Sum())
    with pytest.raises(JobChanged) as caught:
        run(job(reduce=Max()), on="serial", accept_new_code=True)
    assert "can't be kept" in caught.value.hint


# ---------------------------------------------------------------- where the work lies


def test_the_work_lies_where_it_is_said() -> None:
    Path("fail").touch()
    with pytest.raises(UserFunctionError):
        run(job(), on="serial", work="scratch")
    Path("fail").unlink()
    assert list(Path().glob(".*")) == []
    assert len(list(Path("scratch").glob("out-*/*/data/map-*"))) == 3
    CALLS.clear()
    run(job(), on="serial", work="scratch")
    assert "map a" not in CALLS
    assert list(Path("scratch").rglob("*")) == []
    assert_right(RIGHT)


def test_a_kept_work_directory_is_no_run_to_go_on_with() -> None:
    run(job(), on="serial", keep=True)
    (directory,) = Path(".out.mapreduce").glob("2*")
    assert {"plan", "log", "data", "result"} <= set(os.listdir(directory))
    with pytest.raises(OutputExists):
        run(job(), on="serial")
    run(job(), on="serial", overwrite=True)
    assert verify(Path("out"))[1] == []
    assert list(Path(".out.mapreduce").glob("2*")) == [directory], "it stays until somebody removes it"


def test_a_result_that_is_kept_with_its_run_goes_on_too() -> None:
    Path("fail").touch()
    with pytest.raises(UserFunctionError):
        run(job(output=None), on="serial")
    Path("fail").unlink()
    CALLS.clear()
    result = run(job(output=None), on="serial")
    assert "map a" not in CALLS
    assert dict(result) == RIGHT
    assert verify(result.path)[1] == []


def test_a_changed_job_whose_result_is_kept_with_its_run_begins_anew() -> None:
    Path("fail").touch()
    with pytest.raises(UserFunctionError):
        run(job(output=None), on="serial")
    assert dict(run(job(output=None, map=words_anew), on="serial")) == dict.fromkeys("abcd", 30)
    assert len(list(Path(".mapreduce/resumed").glob("2*"))) == 1


def test_a_reader_of_the_output_sees_nothing_of_a_run_that_did_not_end() -> None:
    begin("fail in reduce")
    assert list(Path("out").glob("part-*")) != []
    with pytest.raises(MapReduceError):
        JobResult.load("out")
    with pytest.raises(MapReduceError, match="out"):
        run(Job("reader", "out", lambda line: [(line, 1)], Sum(), "other"), on="serial")


# ---------------------------------------------------------------- from the command line

SCRIPT = """
import os
from mapreduce import Job, params

def words(line):
    with open("calls", "a") as stream:
        stream.write(line + "\\n")
    if line.startswith("d") and os.path.exists("fail"):
        raise ValueError("d is not ready")
    yield line[0], int(line[2:]) * int(params["TIMES"])

def total(key, values):
    yield key, sum(values)

job = Job("resumed", "?.log", words, total, "out", shards=2)
"""


def command(*arguments: str, folder: str = ".") -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "mapreduce", *arguments]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def begin_by_command(*options: str) -> subprocess.CompletedProcess[str]:
    Path("job.py").write_text(SCRIPT)
    Path("fail").touch()
    done = command("run", "job.py", "--set", "TIMES=2", "--workers", "1", *options)
    assert done.returncode == 1
    Path("fail").unlink()
    Path("calls").unlink()
    return done


@pytest.mark.parametrize("where", ["out", ".out.mapreduce"])
def test_the_command_resume_does_the_same_command_again(where: str) -> None:
    failed = begin_by_command("--new")
    assert "go on with `mapreduce resume out`, or the same command" in failed.stderr
    Path("elsewhere").mkdir()
    done = command("resume", f"../{where}", "--json", folder="elsewhere")
    assert done.returncode == 0, done.stderr
    assert "3 of 4 map tasks" in done.stderr
    assert json.loads(done.stdout)["resumed"] == 1
    assert set(Path("calls").read_text().split()[::2]) == {"d"}
    assert_right({key: 2 * value for key, value in RIGHT.items()})


def test_resume_finds_the_run_in_the_given_work_directory() -> None:
    begin_by_command("--work", "scratch")
    assert command("resume", "scratch").returncode == 0
    assert_right({key: 2 * value for key, value in RIGHT.items()})


def test_resume_without_a_run_says_so() -> None:
    done = command("resume", "nowhere")
    assert done.returncode == 2
    assert "No run to nowhere can go on" in done.stderr


def test_the_same_command_goes_on_and_says_so() -> None:
    begin_by_command()
    done = command("run", "job.py", "--set", "TIMES=2", "--workers", "1")
    assert done.returncode == 0
    assert "going on with run" in done.stderr
    assert "resumed        1 time" in done.stdout


def test_another_setting_is_noticed_where_the_functions_read_it() -> None:
    begin_by_command()
    done = command("run", "job.py", "--set", "TIMES=3", "--workers", "1")
    assert done.returncode == 1
    assert "map has changed" in done.stderr
