"""A small job that can be killed and gone on with, thousands of times: each run is a fork of one process
that has imported everything and run nothing.

    with Runs() as runs: runs.run(folder, faults="op=* nth=3 do=kill_after") -> Ended
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHARDS = 2
LINES = [f"{word} {number}" for number in range(12) for word in ("a", "b", "c", "d")]
SPLIT = 32

# ---------------------------------------------------------------- the job, as it runs in the folder


def note(text: str) -> None:
    """One line of the account of calls, written at once."""
    descriptor = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def words(line: str, ctx: Any) -> Iterator[tuple[str, int]]:
    note(f"map {ctx.location.offset}")
    word, number = line.split()
    yield word, int(number)


def total(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
    note(f"reduce {key}")
    yield key, sum(values)


class Told:
    """A sink that keeps the keys it was told with."""

    name = "told"

    def deliver(self, result: Any, key: str) -> None:
        if result.status in ("FAILED", "CANCELLED"):
            return
        descriptor = os.open("told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{key}\n".encode())
        os.close(descriptor)


def small_set() -> Any:
    """Two jobs, a third that fails, and one that reads what two write; sinks for the set and for one."""
    from mapreduce import Identity, Job, JobSet, JsonLines, Text

    def first(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
        note(f"sum {record['key']}")
        yield record["key"], record["value"]

    jobs = [
        Job(name, Text("in.log"), words, total, f"results/{name}", sinks=[Told()] if name == "one" else [])
        for name in ("one", "two")
    ]
    broken = Job("broken", Text("in.log"), Identity(), None, "results/broken")
    both = Job("both", JsonLines(["results/one", "results/two"]), first, total, "results/both")
    return JobSet("set", [both, *jobs, broken], sinks=[TheSetTold()], output="report")


class TheSetTold(Told):
    """The same for the set."""

    def deliver(self, result: Any, key: str) -> None:
        note(f"told {result.status} {key}")


def small_job(*, with_reduce: bool = True, split: int = SPLIT) -> Any:
    from mapreduce import Job, Text

    reduce = total if with_reduce else None
    shards = {"shards": SHARDS} if with_reduce else {}
    source = Text("in.log", split_size=split)
    return Job("small", source, words, reduce, "out", sinks=[Told()], timeout=60, **shards)


# ---------------------------------------------------------------- the server that forks


def serve() -> None:
    """Read requests, a line each; fork for each, and answer with how the child ended."""
    import mapreduce.engine
    import mapreduce.executors.processes
    import mapreduce.testing
    import mapreduce.worker  # noqa: F401 - imported once, for all children

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_child(request))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(request: dict[str, Any]) -> int:
    import mapreduce
    from mapreduce.errors import MapReduceError

    os.chdir(request["folder"])
    os.environ["MAPREDUCE_FAULTS"] = request["faults"]
    os.setpgid(0, 0)
    answer: dict[str, str] = {}
    try:
        if request["of_set"]:
            job = small_set()
        else:
            job = small_job(with_reduce=request["with_reduce"], split=request["split"])
        mapreduce.run(job, on=request["on"], workers=2, **request["options"])
        code = 0
    except MapReduceError as error:
        answer = {**error.to_plain(), "notes": "\n".join(getattr(error, "__notes__", ()))}
        code = 1
    with open(request["answer"], "w") as stream:
        json.dump(answer, stream)
    return code


@dataclass
class Ended:
    """How a run ended: the exit code (−9: killed), and the error's fields."""

    code: int
    error: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.error.get("kind", "")


class Runs:
    """The server's other end."""

    def __enter__(self) -> Runs:
        tests = str(Path(__file__).parents[1])
        path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._server = subprocess.Popen(
            [sys.executable, "-c", "from fault.small_run import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "POLARS_MAX_THREADS": "1"},
        )
        return self

    def __exit__(self, *ignored: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)
        if self._server.stdout is not None:
            self._server.stdout.close()

    def run(
        self,
        folder: Path,
        faults: str = "",
        *,
        on: str = "serial",
        with_reduce: bool = True,
        split: int = SPLIT,
        of_set: bool = False,
        **options: Any,
    ) -> Ended:
        """Run the job in a folder, with the faults that rules say, to its end or its death."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        answer = folder / "answer"
        request = {
            "folder": str(folder),
            "faults": faults,
            "on": on,
            "with_reduce": with_reduce,
            "split": split,
            "of_set": of_set,
            "options": options,
            "answer": str(answer),
        }
        answer.unlink(missing_ok=True)
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return Ended(code, json.loads(answer.read_text()) if answer.exists() else {})


# ---------------------------------------------------------------- what must hold


def new_folder(parent: Path, name: str) -> Path:
    """A folder with the job's input."""
    folder = parent / name
    folder.mkdir()
    (folder / "in.log").write_text("".join(line + "\n" for line in LINES))
    return folder


def calls(folder: Path) -> Counter[str]:
    """How often the functions were called, by record and by key."""
    path = folder / "calls"
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def told(folder: Path) -> list[str]:
    """The keys that the sink was told with."""
    path = folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def parts(folder: Path) -> list[bytes]:
    """The bytes of the parts that the manifest names, which must be as it says, and alone."""
    from mapreduce.manifest import verify

    manifest, findings = verify(folder / "out")
    assert findings == []
    return [(folder / "out" / part.name).read_bytes() for part in manifest.parts]


def tasks_called(called: Iterable[str]) -> set[str]:
    """The tasks that calls belong to."""
    from mapreduce.datasets import Text
    from mapreduce.model import InputFile
    from mapreduce.testing.keyrules import place

    size = sum(len(line) + 1 for line in LINES)
    starts = [cut.start for cut in Text("in.log", split_size=SPLIT).splits([InputFile("in.log", size, "")])]
    found = set()
    for kind, what in (call.split() for call in called):
        index = bisect_right(starts, int(what)) - 1 if kind == "map" else place(what) * SHARDS >> 64
        found.add(f"{kind} {index}")
    return found


def tasks_accepted(folder: Path) -> set[str]:
    """The tasks that the run in a folder had accepted when it ended."""
    from mapreduce.coordinator.log import read_log
    from mapreduce.store import open_store

    return {
        str(task) for root in folder.glob(".out.mapreduce/*") for task in read_log(open_store(root)).by_task
    }
