"""What users, their programs and machines do without thinking of the engine; each was a defect once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fault.attempts import wait_for
from mapreduce import Identity, Job, Records, Sum, Text, run
from mapreduce.coordinator.log import read_log
from mapreduce.errors import UserFunctionError, WorkerCrash
from mapreduce.place import Place, place_of, run_directory, try_lock
from mapreduce.resume import find_begun
from mapreduce.store import open_store


def python(script: str, **options: Any) -> subprocess.Popen[str]:
    """A program of its own in a session of its own, in this folder."""
    Path("program.py").write_text(textwrap.dedent(script))
    return subprocess.Popen(
        [sys.executable, "program.py"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def accepted() -> set[str]:
    """The tasks that runs to `out` had accepted when they ended."""
    return {
        str(task) for root in Path().glob(".out.mapreduce/*") for task in read_log(open_store(root)).by_task
    }


# ---------------------------------------------------------------- stopping

TWO_SLOW_MAPS = """
    import os, signal, time
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from mapreduce import Job, Records, Sum, run

    def slow(record):
        open(f"started-{record}", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.005)
        yield record, 1

    run(Job("slow", Records(["a", "b"], split_size=1), slow, Sum(), "out"), workers=2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_to_the_whole_group_lets_running_attempts_end(number: signal.Signals) -> None:
    """As `timeout`, a supervisor, or a terminal that is closed send it."""
    process = python(TWO_SLOW_MAPS)
    wait_for(lambda: len(list(Path().glob("started-*"))) == 2, "two maps run")
    os.killpg(process.pid, number)
    Path("go").touch()
    process.communicate(timeout=30)
    assert accepted() >= {"map 0", "map 1"}


# ---------------------------------------------------------------- functions that use multiprocessing


def test_a_map_may_use_a_pool_in_every_attempt_of_a_worker() -> None:
    def pooled(record: int) -> Iterator[tuple[int, int]]:
        import multiprocessing

        with multiprocessing.Pool(1) as pool:
            yield record, pool.map(int, [str(record)])[0]

    result = run(Job("pooled", Records(range(3), split_size=1), pooled), workers=1)
    assert sorted(result) == [(0, 0), (1, 1), (2, 2)]
    assert {attempt.outcome for attempt in result.manifest.attempts} == {"succeeded"}


# ---------------------------------------------------------------- programs around the engine


def test_runs_in_several_threads_leave_the_main_module_alone() -> None:
    script = """
        import sys, threading
        from mapreduce import Job, Records, Sum, run

        def one(record):
            yield record, 1

        def job(number):
            run(Job("one", Records(range(8), split_size=1), one, Sum(), f"out-{number}"), workers=4)

        if __name__ == "__main__":
            main = sys.modules["__main__"]
            threads = [threading.Thread(target=job, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(sys.modules["__main__"] is main)
    """
    process = python(script)
    assert process.communicate(timeout=60)[0] == "True\n"


def test_a_forked_child_of_a_program_that_has_run_a_job_can_run_one() -> None:
    script = """
        import os, sys
        from mapreduce import Job, Records, Sum, run

        def one(record):
            yield record, 1

        def job(number):
            return len(list(run(Job("one", Records(range(8)), one, Sum(), f"out-{number}"), workers=1)))

        if __name__ == "__main__":
            job(0)
            child = os.fork()
            if child == 0:
                os._exit(job(1))
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), job(2))
    """
    process = python(script)
    assert process.communicate(timeout=60)[0] == "8 8\n"


def test_a_forkserver_that_can_t_be_started_says_so() -> None:
    folder = Path("x" * 120)
    folder.mkdir()
    script = """
        from mapreduce import Job, Records, run
        from mapreduce.errors import NoWorkers

        if __name__ == "__main__":
            try:
                run(Job("one", Records([1]), lambda record: [record], None, "out"))
            except NoWorkers as error:
                print(error)
    """
    process = python(script, env={**os.environ, "TMPDIR": str(folder.resolve())})
    said = process.communicate(timeout=60)[0]
    assert "can't be started: AF_UNIX path too long" in said
    assert "TMPDIR" in said


# ---------------------------------------------------------------- what runs leave, and who finds it

LINES = "".join(f"w{number % 7} {number}\n" for number in range(40))


def words(line: str) -> Iterator[tuple[str, int]]:
    yield line.split()[0], 1


def fails(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    if Path("fail").exists():
        raise ValueError("told to")
    yield key, sum(values)


def begin_a_run() -> Job:
    """Leave a run to `out` that has done its maps, and can go on; the job."""
    Path("in.txt").write_text(LINES)
    job = Job("begun", Text("in.txt", split_size=100), words, fails, "out", shards=2)
    Path("fail").touch()
    with pytest.raises(UserFunctionError):
        run(job, on="serial")
    Path("fail").unlink()
    return job


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_another_user_has_left_beside_the_output_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        monkeypatch.chdir(folder)
        place = place_of(begin_a_run(), "20260101T000000-00000001")
        os.chmod(".out.mapreduce", 0o777)
        [theirs] = Path(".out.mapreduce").glob("2*")
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(BaseException):
                os.setgid(4001)
                os.setuid(4001)
                assert find_begun(place) is None
                with run_directory(place):
                    code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert list(Path(".out.mapreduce").glob("2*")) == [theirs]


def test_resume_finds_the_run_of_an_output_that_is_a_link() -> None:
    Path("real").mkdir()
    Path("out").symlink_to("real")
    Path("in.txt").write_text("a\nb\n")
    Path("fail").touch()
    Path("program.py").write_text("""
import os
from mapreduce import Job, Text

def total(key, values):
    if os.path.exists("fail"):
        raise ValueError("told to")
    yield key, sum(values)

job = Job("begun", Text("in.txt"), lambda line: [(line, 1)], total, "out")
""")
    command = [sys.executable, "-m", "mapreduce"]
    failed = subprocess.run(
        [*command, "run", "program.py", "--on", "serial"], capture_output=True, check=False
    )
    assert failed.returncode != 0
    Path("fail").unlink()
    resumed = subprocess.run([*command, "resume", "out"], capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed" in resumed.stdout


def leave_a_dead_run(root: Path) -> None:
    """As a run that was killed leaves its directory."""
    for name in ("lock", "plan/000001", "log/000001.000001", "data/map-00000-00000000", "result/_COMMIT"):
        path = root / "20260101T000000-00000000" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_what_is_left_when_cleaning_up_is_killed_is_removed() -> None:
    """Killed before each file and folder that it removes."""
    root = Path(".out.mapreduce").resolve()
    later = Place("20260101T000000-00000002", Path("out").resolve(), root, kept=False)
    for at in count(1):
        leave_a_dead_run(root)
        child = os.fork()
        if child == 0:
            left = count(at, -1)

            def kill(event: str, arguments: object, left: Iterator[int] = left) -> None:
                if event in ("os.remove", "os.rmdir") and next(left) == 1:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill)
            with run_directory(replace(later, run_id="20260101T000000-00000001")):
                pass
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with run_directory(later):
            pass
        assert list(Path().iterdir()) == [], f"killed before removal {at}"
        if ended == 0:
            break
    assert at > 10


def test_a_run_that_was_killed_before_it_had_its_lock_leaves_nothing() -> None:
    Path(".out.mapreduce/20260101T000000-00000000").mkdir(parents=True)
    run(Job("one", Records([("a", 1)]), Identity(), Sum(), "out"), on="serial")
    assert list(Path().glob(".*")) == []


def test_a_lock_is_taken_through_a_file_that_is_open_for_writing() -> None:
    """NFS takes an exclusive lock of no other."""
    begin_a_run()
    [directory] = Path(".out.mapreduce").glob("2*")
    lock = try_lock(directory)
    assert lock is not None
    with lock:
        assert lock.writable()


# ---------------------------------------------------------------- functions that break what the engine needs


class Broken:
    """A stream as nobody should write one."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        raise SystemExit(3)


def take_away_stdout() -> None:
    del sys.stdout


def break_stdout() -> None:
    sys.stdout = Broken()  # type: ignore[assignment]


@pytest.mark.parametrize("does", [take_away_stdout, break_stdout])
def test_a_function_may_do_anything_to_its_streams(does: Callable[[], None]) -> None:
    def one(record: int) -> Iterator[tuple[int, int]]:
        does()
        yield record, 1

    result = run(Job("one", Records(range(2), split_size=1), one), workers=1)
    assert sorted(result) == [(0, 1), (1, 1)]
    assert {attempt.outcome for attempt in result.manifest.attempts} == {"succeeded"}


def test_a_function_that_closes_the_engine_s_descriptors_is_blamed() -> None:
    def one(record: int) -> Iterator[tuple[int, int]]:
        os.closerange(3, 300)
        while True:
            pass
        yield record, 1

    with pytest.raises(WorkerCrash, match=r"closed its pipe to the engine.*map 0") as raised:
        run(Job("one", Records([1]), one), workers=1)
    assert "descriptors" in raised.value.hint


def test_a_profiler_that_is_left_on_ends_with_its_attempt() -> None:
    def one(record: int) -> Iterator[tuple[int, int]]:
        found = sys.getprofile()
        yield record, int(found is not None)
        sys.setprofile(lambda *ignored: None)

    assert sorted(run(Job("one", Records(range(2), split_size=1), one), workers=1)) == [(0, 0), (1, 0)]


def test_damaged_data_of_a_map_is_made_again_also_where_nothing_is_tried_twice() -> None:
    begin_a_run()
    job = Job("begun", Text("in.txt", split_size=100), words, fails, "out", shards=2, max_attempts=1)
    data = min(Path(".out.mapreduce").glob("*/data/map-*"))
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    data.write_bytes(damaged)
    assert len(list(run(job, on="serial", resume=True))) == 7


def test_a_full_disk_while_attempts_end_does_not_hide_why_the_run_ends() -> None:
    process = python(
        TWO_SLOW_MAPS, env={**os.environ, "MAPREDUCE_FAULTS": "path=log/ do=enospc times=always"}
    )
    wait_for(lambda: len(list(Path().glob("started-*"))) == 2, "two maps run")
    process.send_signal(signal.SIGINT)
    Path("go").touch()
    said = process.communicate(timeout=30)[0]
    assert process.returncode in (-signal.SIGINT, 130), said
    assert "StorageError" not in said
    assert "No space left on device" in said
