"""What users, their programs and machines do without thinking of the engine; each was a defect once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fault.attempts import wait_for
from mapreduce import Job, Records, run
from mapreduce.coordinator.log import read_log
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
    assert accepted() == {"map 0", "map 1"}


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
