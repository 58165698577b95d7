"""Hosts that import the job: those that lack it, or have another version; and that nothing is unpickled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce.codec import from_plain, unseal
from mapreduce.hosts.jobs import Form, Spec
from mapreduce.hosts.signing import new_key

from .attempts import wait_for
from .clusters import FILES, LONG, Processes, accepted, assert_right, called, callers, ended, kill_group

AUDIT = """
import os, sys

def noted(event, arguments):
    name = str(arguments[0]) if event == "pickle.find_class" else ""
    if event == "exec" and arguments[0].co_filename.endswith("jobs/words.py"):
        name = "jobs.words"
    if name:
        with open(os.environ["AUDITED"], "a") as stream:
            print(os.getpid(), event, name, file=stream)

sys.addaudithook(noted)
"""
"""As `sitecustomize` it is run by every process before anything else."""


@pytest.fixture
def module(cluster: Path) -> Path:
    """The job as a module of a package; its file."""
    path = Path("jobs/words.py")
    path.parent.mkdir()
    path.write_text(Path("job.py").read_text())
    return path.resolve()


def run(processes: Processes, *options: str, **environment: str) -> subprocess.Popen[str]:
    return processes.start("run", "jobs.words", "--on", "./store", *options, **environment)


def host(processes: Processes, store: Path, folder: str, **environment: str) -> subprocess.Popen[str]:
    """One that imports from a folder."""
    arguments = ("worker", str(store), "--processes", "1")
    return processes.start(*arguments, folder=folder, **environment)


def told(process: subprocess.Popen[str], text: str) -> str:
    """The line of a process that holds a text, waited for."""
    assert process.stderr is not None
    while text not in (line := process.stderr.readline()):
        assert line, f"it has ended without {text!r}"
    return line


def nothing(folder: Path) -> None:
    """There is no such module."""


def another(folder: Path) -> None:
    """There is another version of it."""
    (folder / "jobs").mkdir()
    text = Path("jobs/words.py").read_text()
    (folder / "jobs/words.py").write_text(text.replace("yield word, 1", "yield word, 2"))


@pytest.mark.covers("U11", "each of: a host lacks the module, has another version of it; another host has it")
@pytest.mark.parametrize(
    ("lay", "why"),
    [
        (nothing, "jobs.words can't be imported on {host}. There is no module jobs.words"),
        (another, "jobs.words on {host} is not the job that was planned: map `words` has changed"),
    ],
)
def test_a_host_with_other_code_is_done_without(
    cluster: Path, module: Path, processes: Processes, lay: Callable[[Path], None], why: str
) -> None:
    there = Path("there")
    there.mkdir()
    lay(there)
    why = why.format(host=os.uname().nodename)
    begun = run(processes)
    without = host(processes, cluster, "there")
    for line in (told(begun, "takes no part"), told(without, "left run")):
        assert why in line
        assert "Deploy the same code there, or send it by value: mapreduce run FILE.py" in line
    code, shown = ended(processes.start("status", "./store"))
    assert code == 0, shown
    assert f"takes no part: {why}" in shown
    assert not callers(), "nothing was done by it"
    host(processes, cluster, ".")
    code, shown = ended(begun)
    assert code == 0, shown
    assert_right()
    assert called() == {f"n{number}": 1 for number in range(FILES)}


@pytest.mark.covers("U11", "another version is deployed on a host while it works, and a worker starts anew")
def test_a_host_whose_code_changes_takes_no_more_part(
    cluster: Path, module: Path, processes: Processes
) -> None:
    there = Path("there/jobs")
    there.mkdir(parents=True)
    (there / "words.py").write_text(module.read_text())
    Path("hold-n3").touch()
    changing = host(processes, cluster, "there")
    begun = run(processes, "--no-backups")
    wait_for(lambda: len(accepted(cluster)) >= 3 and called()["n3"], "it is at it", LONG)
    (there / "words.py").write_text(module.read_text().replace("word, 1", "word, 1 + 1"))
    (worker,) = callers()
    os.kill(worker, signal.SIGKILL)
    assert "map `words` has changed" in told(changing, "left run")
    assert "map `words` has changed" in told(begun, "takes no part")
    Path("hold-n3").unlink()
    host(processes, cluster, ".")
    code, shown = ended(begun)
    assert code == 0, shown
    assert_right()


@pytest.mark.covers("Q1", "an audit hook in every process of a host that imports the job")
@pytest.mark.covers("Q2", "a payload by import path: nothing is unpickled")
def test_a_job_that_is_imported_is_never_unpickled(cluster: Path, module: Path, processes: Processes) -> None:
    Path("audit").mkdir()
    Path("audit/sitecustomize.py").write_text(AUDIT)
    path = str(Path("audit").resolve()) + os.pathsep + os.environ.get("PYTHONPATH", "")
    key = new_key()
    audited = str(Path("audited").resolve())
    working = host(processes, cluster, ".", MAPREDUCE_KEY=key, PYTHONPATH=path, AUDITED=audited)
    Path("hold-n3").touch()
    begun = run(processes, MAPREDUCE_KEY=key)
    wait_for(lambda: called()["n3"], "it is at it", LONG)
    (spec,) = cluster.glob("jobs/*/spec")
    assert from_plain(Spec, unseal(spec.read_bytes())).form is Form.IMPORT
    assert json.loads((spec.parent / "code").read_bytes())["module"] == "jobs.words"
    Path("hold-n3").unlink()
    code, shown = ended(begun)
    assert code == 0, shown
    assert_right()
    noted = [line.split() for line in Path("audited").read_text().splitlines()]
    found = {name for _, event, name in noted if event == "pickle.find_class"}
    own = {name for name in found if not name.startswith("multiprocessing.")}
    assert own == {"mapreduce.executors.child"}, "that is how processes are started"
    importing = {int(process) for process, event, _ in noted if event == "exec"}
    assert callers() <= importing
    assert working.pid not in importing, "only workers import it"


@pytest.mark.covers("C1", "kill -9 of a coordinator whose hosts import the job, then `resume`")
def test_a_run_by_import_path_is_resumed(cluster: Path, module: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    host(processes, cluster, ".")
    begun = run(processes, "--set", "DAY=7")
    wait_for(lambda: len(accepted(cluster)) >= 3 and called()["n11"], "some are accepted", LONG)
    kill_group(begun)
    begun.wait()
    before = called()
    Path("hold-n11").unlink()
    Path("elsewhere").mkdir()
    code, shown = ended(processes.start("resume", str(cluster), folder="elsewhere"))
    assert code == 0, shown
    assert "mapreduce run jobs.words --on ./store --set DAY=7" in shown
    assert_right()
    assert not (called() - before).keys() - {"n11"}, "what was accepted did not run again"


PROGRAM = """
from mapreduce import params, run
params["SHARDS"] = "2"
from jobs.words import job
print(sum(1 for _ in run(job, on="./store", import_path="jobs.words:job")))
"""


def test_run_sends_an_import_path_and_params(cluster: Path, module: Path, processes: Processes) -> None:
    text = module.read_text().replace("shards=2", 'shards=int(params["SHARDS"])')
    module.write_text("from mapreduce import params\n" + text)
    host(processes, cluster, ".")
    code, shown = ended(processes.start(program=PROGRAM))
    assert code == 0, shown
    assert_right()


@pytest.mark.parametrize("on", ["processes", "serial"])
def test_a_module_runs_on_one_host(cluster: Path, module: Path, processes: Processes, on: str) -> None:
    text = module.read_text().replace("shards=2", 'shards=int(params["SHARDS"])')
    module.write_text("from mapreduce import params\n" + text)
    code, shown = ended(processes.start("run", "jobs.words", "--on", on, "--set", "SHARDS=2"))
    assert code == 0, shown
    assert_right()
