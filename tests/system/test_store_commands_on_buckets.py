"""Commands that look after a bucket that hosts share, while two hosts are in the middle of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import LONG, assert_right, environment, kill, new_place, started, told, wait_for
from servers import Server

from mapreduce.store import layout, open_store

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

JOB = """
import os, time
from mapreduce import Job, Sum, Text

def words(line):
    while line.startswith("held") and os.path.exists("hold"):
        time.sleep(0.02)
    for word in line.split():
        yield word, 1

job = Job("words", Text("in-*.log"), words, Sum(), "out", shards=2)
"""
FREE, HELD = 4, 4
"""Files whose maps end, and files whose maps don't while `hold` is there."""


def asked(variables: dict[str, str], *arguments: str) -> tuple[int, Any]:
    """The exit code and the document of a command."""
    command = [sys.executable, "-m", "mapreduce", *arguments, "--json"]
    found = subprocess.run(command, env=variables, timeout=LONG, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stdout + found.stderr
    return found.returncode, json.loads(found.stdout)


@pytest.mark.parametrize("server", ["moto", "seaweedfs"])
def test_a_run_on_a_bucket_is_looked_after(
    server: str, own_folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: Server = request.getfixturevalue(server)
    Path("job.py").write_text(JOB)
    for number in range(FREE + HELD):
        beginning = "free" if number < FREE else "held"
        Path(f"in-{number}.log").write_text("".join(f"{beginning} a w{line}\n" for line in range(30)))
    Path("hold").touch()
    variables = {**environment(), "AWS_ENDPOINT_URL": running.endpoint}
    for name in filter(lambda name: name.startswith("AWS_"), variables):
        monkeypatch.setenv(name, variables[name])
    place = new_place()
    store = open_store(place)

    def both_at_it() -> Any:
        code, found = asked(variables, "status", place)
        runs = [host["runs"] for host in found["hosts"] if host["wrote"] is not None]
        done = found["facts"]["maps_done"]
        return code == 0 and done == FREE and len(runs) == 2 and all(runs) and found["answered"] and found

    def both_answer() -> Any:
        code, found = asked(variables, "doctor", place)
        return code == 0 and len(found["answers"]) == 2 and found

    def stopped() -> bool:
        code, found = asked(variables, "stop", place)
        return code == 0 and found["outcome"] in ("stopped", "already stopped")

    hosts = [started(variables, f"told-{n}", "worker", place, "--processes", "1") for n in range(2)]
    run = started(variables, "told-run", "run", "job.py", "--on", place)
    resumed = None
    try:
        wait_for(lambda: store.list(layout.OPEN), "a run is there")
        (listed,) = asked(variables, "jobs", place)[1]["runs"]
        assert (listed["job"], listed["state"] in ("queued", "mapping")) == ("words", True)

        found = wait_for(both_at_it, "both hosts are at what is held")
        assert found["facts"]["run"] == listed["run"]
        assert found["facts"]["coordinator"].endswith(f":{run.pid}")
        assert found["phase"] == f"maps {FREE} of {FREE + HELD}"
        by_process = {int(host["name"].rpartition(":")[2]) for host in found["hosts"]}
        assert by_process == {host.pid for host in hosts}

        found = wait_for(both_answer, "both hosts answer")
        assert found["problems"] == []
        checkups = [answer["checkup"] for answer in found["answers"]]
        assert {int(checkup["host"].rpartition(":")[2]) for checkup in checkups} == by_process
        assert [checkup["at_work"] for checkup in checkups] == [True, True]
        assert [each["looked_at"] for checkup in checkups for each in checkup["runs"]] == [FREE + HELD] * 2
        assert store.list(layout.ANSWERS) == store.list(layout.PROBES) == []
        assert store.list(layout.OPEN) == [layout.open_name(listed["run"])]

        wait_for(stopped, "the run has stopped")
        assert run.wait(LONG) == 130, told()
        Path("hold").unlink()
        resumed = started(variables, "told-resumed", "resume", place)
        resumed.wait(LONG)
        assert f"{FREE} of {FREE + HELD + 2} tasks done" in Path("told-resumed").read_text()
        assert_right(resumed.returncode)
        for host in hosts:
            kill(host)

        assert asked(variables, "jobs", place) == (0, {"store": place, "runs": []})
        (listed,) = asked(variables, "jobs", "--all", place)[1]["runs"]
        assert listed["state"] == "ended"
        (gone,) = asked(variables, "clean", place)[1]["runs"]
        assert (gone["run"], gone["stays"]) == (listed["run"], "")
        kept = (layout.epoch_name(1), layout.epoch_name(2), layout.COMMIT, layout.ENDED)
        assert store.list() == [layout.in_job(listed["run"], name) for name in kept]
        assert_right(0)
    finally:
        for process in filter(None, (*hosts, run, resumed)):
            kill(process)
