"""Commands that look after a store that hosts share, with real hosts and coordinators at work, or gone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from mapreduce.hosts.leadership import CLEANED
from mapreduce.hosts.signing import new_key
from mapreduce.store import layout

from .attempts import wait_for
from .clusters import (
    FILES,
    JOB,
    LONG,
    Processes,
    accepted,
    assert_right,
    called,
    callers,
    ended,
    kill_group,
)

pytestmark = pytest.mark.sweep

TASKS = FILES + 2


def told(processes: Processes, command: str, *arguments: str, code: int = 0, **environment: str) -> Any:
    """The document that a command prints; it must end with this code."""
    process = processes.start(command, "./store", *arguments, "--json", **environment)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == code, out + err
    return json.loads(out)


def only_run(cluster: Path) -> str:
    (path,) = cluster.glob("jobs/*")
    return path.name


def objects(cluster: Path) -> list[Path]:
    """All that lies there, with a name."""
    return sorted(path for path in cluster.rglob("*") if not path.name.startswith("."))


def at_it(processes: Processes, cluster: Path, workers: int = 2) -> tuple[Any, Any]:
    """A host and a run that works there, and does not end."""
    Path("hold").touch()
    host, run = processes.host(workers), processes.run()
    wait_for(lambda: len(callers()) == workers, "they are at it", LONG)
    return host, run


# ---------------------------------------------------------------- status


def test_status_tells_who_is_at_work_on_what(cluster: Path, processes: Processes) -> None:
    run = processes.run()
    wait_for(lambda: list(cluster.glob("jobs/*/coord/*")), "it leads", LONG)
    waiting = told(processes, "status")
    assert waiting["phase"] == "waits for hosts"
    assert waiting["answered"] is not None, "a coordinator without hosts answers too"
    assert waiting["facts"]["coordinator"].endswith(f":{run.pid}")
    Path("hold-n11").touch()
    host = processes.host()
    wait_for(lambda: len(accepted(cluster)) == FILES - 1, "one map is left", LONG)
    working = told(processes, "status")
    assert working["phase"] == f"maps {FILES - 1} of {FILES}"
    assert (working["facts"]["state"], working["facts"]["epoch"]) == ("mapping", 1)
    (seen,) = working["hosts"]
    assert seen["name"].endswith(f":{host.pid}")
    assert seen["slots"] == 2
    assert set(seen["runs"]) == {"map 11"}, "maybe twice: the rest is idle"
    assert seen["wrote"] is not None
    assert told(processes, "jobs")["runs"][0]["done"] == FILES - 1
    assert not list(cluster.glob("jobs/*/coord/*-*")), "what was asked is taken away"
    Path("hold-n11").unlink()
    code, said = ended(run)
    assert code == 0, said
    over = told(processes, "status", only_run(cluster)[:12])
    assert over["phase"] == "ended"
    assert over["facts"]["epoch"] == 1
    assert told(processes, "jobs")["runs"] == []
    assert [each["state"] for each in told(processes, "jobs", "--all")["runs"]] == ["ended"]


def test_status_tells_a_frozen_coordinator_from_a_silent_host(cluster: Path, processes: Processes) -> None:
    host, run = at_it(processes, cluster)
    kill_group(run, signal.SIGSTOP)
    frozen = told(processes, "status")
    assert frozen["phase"] == "waits for a coordinator"
    assert frozen["answered"] is None
    assert [each["wrote"] is None for each in frozen["hosts"]] == [False]
    kill_group(run, signal.SIGCONT)
    kill_group(host, signal.SIGSTOP)
    silent = told(processes, "status", "--watch", "1.5")
    assert silent["phase"] == "waits for hosts"
    assert [each["wrote"] for each in silent["hosts"]] == [None]


def test_status_tells_why_a_run_has_failed(cluster: Path, processes: Processes) -> None:
    Path("job.py").write_text(Path("job.py").read_text().replace("yield word, 1", "yield 1 // 0, 1"))
    processes.host()
    code, _ = ended(processes.run())
    assert code == 1
    failed = told(processes, "status")
    assert failed["phase"] == "failed"
    assert "ZeroDivisionError" in failed["facts"]["error"]["message"]
    assert [each["state"] for each in told(processes, "jobs")["runs"]] == ["failed"]
    assert told(processes, "stop")["outcome"] == "failed"


def test_a_name_that_means_no_run_or_several_is_told(cluster: Path, processes: Processes) -> None:
    assert "is open" in told(processes, "status", code=2)["error"]["message"]
    assert "There is no run '2026'" in told(processes, "status", "2026", code=2)["error"]["message"]
    processes.run()
    processes.run("--output", "other", "--new")
    wait_for(lambda: len(list(cluster.glob("open/*"))) == 2, "two are there", LONG)
    assert "may be any of" in told(processes, "status", "20", code=2)["error"]["message"]
    assert "has 2 open runs" in told(processes, "stop", code=2)["error"]["message"]


# ---------------------------------------------------------------- stop and resume


def test_a_run_that_was_stopped_is_gone_on_with(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    host = processes.host(1)
    run = processes.run()
    wait_for(lambda: len(accepted(cluster)) >= 3, "some are accepted", LONG)
    stopped = told(processes, "stop")
    assert stopped["outcome"] == "stopped"
    assert stopped["hosts"] == []
    code, said = ended(run)
    assert code == 130
    assert "was stopped by `mapreduce stop`" in said
    assert f"mapreduce resume {cluster} {only_run(cluster)}" in said
    assert told(processes, "stop")["outcome"] == "already stopped"
    assert told(processes, "status")["phase"] == "stopped"
    before, done = called(), {f"n{task.split()[1]}" for task in accepted(cluster) if "map" in task}
    Path("hold-n11").unlink()
    code, said = ended(processes.start("resume", "store"))
    assert code == 0, said
    assert_right()
    assert done
    assert not done & set(called() - before), "what was accepted did not run again"
    assert told(processes, "stop", only_run(cluster))["outcome"] == "ended"
    assert host.poll() is None, "the host stays, for other runs"


def test_a_run_that_nobody_leads_is_not_stopped_in_advance(cluster: Path, processes: Processes) -> None:
    _, run = at_it(processes, cluster)
    kill_group(run)
    assert told(processes, "stop", "--wait", "2", code=1)["outcome"] == "silent"
    Path("hold").unlink()
    code, said = ended(processes.run())
    assert code == 0, said
    assert_right()


def test_a_coordinator_that_was_frozen_stops_when_it_wakes_up(cluster: Path, processes: Processes) -> None:
    _, run = at_it(processes, cluster)
    kill_group(run, signal.SIGSTOP)
    assert told(processes, "stop", "--wait", "1", code=1)["outcome"] == "silent"
    kill_group(run, signal.SIGCONT)
    code, said = ended(run)
    assert code == 130, said
    assert told(processes, "stop")["outcome"] == "already stopped"


@pytest.mark.covers("C1", "kill -9 of a coordinator of hosts, then `mapreduce resume` in another folder")
def test_a_run_is_resumed_from_another_folder(
    cluster: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    run = processes.run("--set", "unused=x")
    wait_for(lambda: len(accepted(cluster)) >= 3, "some are accepted", LONG)
    alive = processes.start("resume", "./store")
    code, said = ended(alive)
    assert code == 2
    assert "goes on already" in said
    kill_group(run)
    before, done = called(), {f"n{task.split()[1]}" for task in accepted(cluster) if "map" in task}
    Path("hold-n11").unlink()
    other = tmp_path / "other"
    other.mkdir()
    with monkeypatch.context() as moved:
        moved.chdir(other)
        code, said = ended(processes.start("resume", str(cluster), only_run(cluster)[:20]))
    assert code == 0, said
    assert "mapreduce run job.py --on ./store --set unused=x" in said
    assert_right()
    assert not done & set(called() - before), "what was accepted did not run again"
    code, said = ended(processes.start("resume", "./store", only_run(cluster)))
    assert code == 2
    assert "has ended" in said


def test_what_is_missing_to_resume_a_run_is_told(cluster: Path, processes: Processes) -> None:
    run = processes.run()
    wait_for(lambda: list(cluster.glob("jobs/*/coord/*")), "it leads", LONG)
    kill_group(run)
    Path("job.py").rename("elsewhere.py")
    assert "job.py, which is not here" in told(processes, "resume", code=2)["error"]["message"]
    assert "is none" in ended(processes.start("resume", "out", "20261126"))[1]


# ---------------------------------------------------------------- clean


def test_clean_removes_what_ended_and_leaves_what_is_open(cluster: Path, processes: Processes) -> None:
    processes.host()
    code, said = ended(processes.run())
    assert code == 0, said
    (first,) = [path.name for path in cluster.glob("jobs/*")]
    stray = cluster / layout.in_job(first, "data/.map-00000-x.somebody-00000000.12345678.tmp")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"half")
    part = Path("out") / layout.part_name(0, first, "12345678", ".jsonl")
    part.write_bytes(b"of an attempt that lost")
    Path("hold").touch()
    processes.run("--output", "other")
    wait_for(lambda: len(list(cluster.glob("jobs/*/coord/??????"))) == 2, "another one is led", LONG)
    looked = told(processes, "clean", "--dry-run")
    assert [(each["run"], each["stays"]) for each in looked["runs"]] == [(first, "")]
    assert looked["runs"][0]["files"] == 2
    assert looked["runs"][0]["size"] > 0
    assert stray.exists()
    assert part.exists()
    assert told(processes, "clean")["runs"] == looked["runs"]
    assert not part.exists()
    left = {str(path.relative_to(cluster / "jobs" / first)) for path in (cluster / "jobs" / first).rglob("*")}
    assert left == {"coord", "coord/000001", "result", layout.COMMIT, layout.ENDED}
    assert told(processes, "clean")["runs"] == []
    assert [each["state"] for each in told(processes, "jobs", "--all")["runs"]] == ["mapping"]
    Path("hold").unlink()
    assert_right()


def test_clean_leaves_a_run_that_is_alive(cluster: Path, processes: Processes) -> None:
    _, run = at_it(processes, cluster)
    (stays,) = told(processes, "clean", only_run(cluster), code=1)["runs"]
    assert f":{run.pid}) leads it" in stays["stays"]
    assert [each["stays"] != "" for each in told(processes, "clean", "--all")["runs"]] == [True]
    kill_group(run)
    (stays,) = told(processes, "clean", only_run(cluster), code=1)["runs"]
    assert "hosts report to it" in stays["stays"]
    Path("hold").unlink()
    code, said = ended(processes.run())
    assert code == 0, said
    assert_right()


@pytest.mark.covers("C4", "SIGSTOP of coordinator and host, the run is cleaned, SIGCONT")
def test_who_wakes_up_after_its_run_was_cleaned_changes_nothing(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    host, run = processes.host(), processes.run()
    wait_for(lambda: len(accepted(cluster)) == FILES - 1, "one map is left", LONG)
    kill_group(run, signal.SIGSTOP)
    kill_group(host, signal.SIGSTOP)
    (gone,) = told(processes, "clean", only_run(cluster))["runs"]
    assert gone["stays"] == ""
    assert not list(cluster.glob("open/*"))
    Path("hold-n11").unlink()
    kill_group(host, signal.SIGCONT)
    kill_group(run, signal.SIGCONT)
    code, said = ended(run)
    assert code == 1
    assert "was removed by `mapreduce clean`" in said, said
    assert not Path("out", layout.MANIFEST).exists()
    wait_for(lambda: not list(cluster.glob("jobs/*/data/.*")), "the host has let go of it", LONG)
    run_id = only_run(cluster)
    assert (cluster / layout.in_job(run_id, layout.COMMIT)).read_bytes() == CLEANED
    told(processes, "clean")
    left = {path.name for path in (cluster / "jobs" / run_id).rglob("*") if path.is_file()}
    assert left == {"000001", "_COMMIT", "_ENDED"}
    code, said = ended(processes.run())
    assert code == 0, said
    assert_right()


def test_a_result_that_was_decided_is_not_cleaned_away(cluster: Path, processes: Processes) -> None:
    host = processes.host()
    killed = processes.run(MAPREDUCE_FAULTS="op=create path=_manifest.json do=kill_before")
    code, said = ended(killed)
    assert code == -signal.SIGKILL, said
    kill_group(host)
    assert told(processes, "status")["phase"] == "committed, not yet published"
    parts = sorted(Path("out").iterdir())
    (stays,) = told(processes, "clean", only_run(cluster), code=1)["runs"]
    assert "decided and not yet published" in stays["stays"]
    assert sorted(Path("out").iterdir()) == parts
    before = called()
    code, said = ended(processes.start("resume", "./store"))
    assert code == 0, said
    assert called() == before
    assert_right()


# ---------------------------------------------------------------- doctor


def test_doctor_tells_what_each_host_lacks(
    cluster: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("hold").touch()
    here = processes.host()
    run = processes.run()
    wait_for(lambda: len(callers()) == 2, "it is at it", LONG)
    healthy = told(processes, "doctor")
    assert healthy["problems"] == []
    (answer,) = healthy["answers"]
    assert answer["checkup"]["host"].endswith(f":{here.pid}")
    assert answer["checkup"]["at_work"]
    assert abs(answer["offset"]) <= answer["uncertainty"], "it is one clock"
    assert answer["checkup"]["runs"][0]["looked_at"] == FILES
    assert not list(cluster.glob("open/ask*"))
    assert not list(cluster.glob("answer/*"))
    Path("in-00.log").write_text("n0 changed since\n")
    Path("in-01.log").unlink()
    ill = told(processes, "doctor", code=1)
    assert sum("in-01.log" in problem for problem in ill["problems"]) == 2, "here, and at the host"
    assert sum("in-00.log has 17 bytes, and 9 are planned" in problem for problem in ill["problems"]) == 2
    kill_group(run)


def test_doctor_tells_which_host_lacks_the_input(
    own_folder: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder where the run was begun is gone, so each host looks where it was started."""
    store, output = own_folder / "store", own_folder / "result"
    store.mkdir(mode=0o700)
    for name in ("begun", "empty"):
        (own_folder / name).mkdir()
    monkeypatch.chdir("begun")
    Path("job.py").write_text(JOB)
    Path("in-0.log").write_text("n0 a b a\n")
    processes.start("run", "job.py", "--on", str(store), "--output", str(output))
    wait_for(lambda: list(store.glob("jobs/*/coord/??????")), "it leads", LONG)
    Path("../begun").rename("../moved")
    monkeypatch.chdir(own_folder / "empty")
    lacking = processes.start("worker", str(store), "--processes", "1")
    monkeypatch.chdir(own_folder / "moved")
    Path("hold").touch()
    having = processes.start("worker", str(store), "--processes", "1")

    def doctored() -> Any:
        process = processes.start("doctor", str(store), "--json")
        found = json.loads(process.communicate(timeout=LONG)[0])
        return len(found["answers"]) == 2 and found

    found = wait_for(doctored, "both answer", LONG)
    problems = {answer["checkup"]["host"]: answer["checkup"]["runs"] for answer in found["answers"]}
    by_process = {int(host.rpartition(":")[2]): runs for host, runs in problems.items()}
    assert by_process[having.pid][0]["problems"] == []
    (problem,) = by_process[lacking.pid][0]["problems"]
    assert "in-0.log" in problem
    (told_of,) = found["problems"]
    assert f":{lacking.pid}: run " in told_of


def test_doctor_asks_a_host_at_work_and_one_that_waits(cluster: Path, processes: Processes) -> None:
    processes.host()
    processes.host()
    idle = wait_for(lambda: told(processes, "doctor")["answers"], "they answer", LONG)
    assert {answer["checkup"]["at_work"] for answer in idle} == {False}
    Path("hold").touch()
    processes.run()
    wait_for(lambda: len(callers()) == 4, "they are at it", LONG)
    busy = told(processes, "doctor", "--wait", "5")["answers"]
    assert [answer["checkup"]["at_work"] for answer in busy] == [True, True]


@pytest.mark.covers("Q2", "a question that is signed with another key, or with none")
def test_a_host_answers_nobody_without_its_key(cluster: Path, processes: Processes) -> None:
    key, other = new_key(), new_key()
    host = processes.host(MAPREDUCE_KEY=key)
    asked = wait_for(lambda: told(processes, "doctor", MAPREDUCE_KEY=key)["answers"], "it answers", LONG)
    assert len(asked) == 1
    for environment in ({"MAPREDUCE_KEY": other}, {}):
        assert told(processes, "doctor", **environment)["answers"] == []
    kill_group(host, signal.SIGTERM)
    code, said = ended(host)
    assert code == 0, said
    assert said.count("a question is not answered: it is not signed with the key") == 2
    assert key not in said


@pytest.mark.covers("Q2", "each of: jobs, status, stop, clean with another key")
def test_commands_touch_no_run_of_another_key(cluster: Path, processes: Processes) -> None:
    run = processes.run(MAPREDUCE_KEY=new_key())
    wait_for(lambda: list(cluster.glob("jobs/*/coord/??????")), "it leads", LONG)
    before = objects(cluster)
    other = {"MAPREDUCE_KEY": new_key()}
    assert told(processes, "jobs", code=1, **other)["runs"][0]["state"] == "unreadable"
    for command in ("status", "stop", "resume"):
        assert "not signed with the key" in told(processes, command, code=2, **other)["error"]["message"]
    assert (
        "not signed with the key"
        in told(processes, "clean", only_run(cluster), code=2, **other)["error"]["message"]
    )
    assert "not signed with the key" in told(processes, "clean", "--all", **other)["runs"][0]["stays"]
    assert objects(cluster) == before
    assert run.poll() is None
