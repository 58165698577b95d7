"""A program of one's own as a sink: what it is given, and what becomes of those that fail or hang."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path

import pytest

from mapreduce import Command, Job, Records, Sum, run
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.model import ErrorGroup
from mapreduce.sinks.news import Alert, News, news_of
from mapreduce.sinks.report import render

KEY = "f" * 64


@pytest.fixture
def news(own_folder: Path) -> News:
    """Of a run whose data is hostile."""
    words = ["$(touch hacked)", "`touch hacked`", "; touch hacked", "\x1b[31m\nMAPREDUCE_STATUS=FAILED"]
    result = run(Job("words", Records(words), lambda word: [(word, 1)], Sum(), "out"), on="serial")
    return news_of(result)


def python(code: str, **options) -> Command:
    """A sink that runs some Python."""
    return Command([sys.executable, "-c", code], **options)


TELL = """
import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("MAPREDUCE_")}
with open("told.json", "w") as file:
    text = sys.stdin.buffer.read().decode()
    json.dump({"input": text, "environment": told, "arguments": sys.argv[1:]}, file)
"""


def told() -> dict:
    return json.loads(Path("told.json").read_text())


@pytest.mark.parametrize("form", ["text", "html", "markdown"])
def test_the_report_is_on_standard_input(news: News, form):
    python(TELL, form=form).tell(news, KEY)
    assert told()["input"] == render(news.report, form)


def test_json_is_the_facts_alone(news: News):
    python(TELL, form="json").tell(news, KEY)
    assert json.loads(told()["input"]) == json.loads(json.dumps(news.facts))


def test_the_environment_tells_what_happened_and_keeps_the_clusters_key(news: News, monkeypatch):
    monkeypatch.setenv("MAPREDUCE_KEY", "k" * 64)
    monkeypatch.setenv("MAPREDUCE_STATUS", "of something else")
    python(TELL).tell(news, KEY)
    expected = {
        "MAPREDUCE_EVENT": "run.succeeded",
        "MAPREDUCE_STATUS": "SUCCEEDED",
        "MAPREDUCE_RUN_ID": news.facts["run_id"],
        "MAPREDUCE_SUBJECT": news.subject,
        "MAPREDUCE_IDEMPOTENCY_KEY": KEY,
    }
    environment = told()["environment"]
    assert "MAPREDUCE_KEY" not in environment
    assert {name: environment.get(name) for name in expected} == expected


@pytest.mark.covers("X6", "an alert while the run goes on, told to a program")
def test_an_alert_says_that_the_run_goes_on(own_folder: Path):
    error = ErrorGroup("WorkerCrash", "it crashed\x1b[31m")
    alert = Alert("words", "20260101T000000-00000001", "nightly", error, "2026-01-01T00:00:00+00:00")
    python(TELL, alert=True).warn(alert, KEY)
    environment = told()["environment"]
    assert environment["MAPREDUCE_EVENT"] == "jobset.alert"
    assert environment["MAPREDUCE_STATUS"] == "RUNNING"
    assert environment["MAPREDUCE_SUBJECT"] == r"nightly: words goes on, but: it crashed\x1b[31m"


def test_no_shell_reads_the_arguments(news: News):
    hostile = ["$(touch hacked)", "; touch hacked", "*", "a b", "", "-x"]
    Command([sys.executable, "-c", TELL, *hostile]).tell(news, KEY)
    assert told()["arguments"] == hostile
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "import sys; sys.stdin.read(1)",
        "import sys, os; os.close(0)",
        "print('x' * 10_000_000)",
    ],
    ids=["doesn't read", "reads a byte", "closes its input", "says much"],
)
def test_who_ends_with_0_was_told(news: News, code):
    python(code).tell(news, KEY)


def long_report(news: News) -> News:
    """More than a pipe holds."""
    return News(news.event, news.subject, news.report, {**news.facts, "long": "x" * 1_000_000})


def test_a_program_that_closes_its_input_early_is_no_error_with_a_long_report(news: News):
    python("import sys; sys.stdin.close()", form="json").tell(long_report(news), KEY)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit(3)", "ended with exit code 3."),
        (
            "import sys; print('no such list'); sys.exit(1)",
            'ended with exit code 1, and said "no such list".',
        ),
        ("import sys; sys.exit('on stderr')", 'ended with exit code 1, and said "on stderr".'),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL."),
        (
            r"import sys; print('\x1b[31mred\nMORE'); sys.exit(1)",
            r'ended with exit code 1, and said "\x1b[31mred\nMORE".',
        ),
    ],
)
def test_who_fails_is_told_again(news: News, code, message):
    with pytest.raises(SinkError) as failed:
        python(code).tell(news, KEY)
    assert type(failed.value) is SinkError
    assert failed.value.message == f"{sys.executable} {message}"
    assert failed.value.hint


def test_of_what_it_says_the_end_is_quoted(news: News):
    with pytest.raises(SinkError) as failed:
        python("import sys; print('x' * 5_000_000 + 'the end'); sys.exit(1)").tell(news, KEY)
    assert failed.value.message.endswith('xthe end".')
    assert len(failed.value.message) < 3_000


def is_there(process: int) -> bool:
    """Whether a process lives; one that nobody has waited for has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(process: int) -> None:
    """Who is killed may be there for a moment."""
    end = time.monotonic() + 30
    while is_there(process):
        assert time.monotonic() < end, "the process lives on"
        os.sched_yield()


STUBBORN = "trap '' TERM; "
HANG = "sleep 600 & echo $$ $! > pids; echo it waits; wait; sleep 600"


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.covers("X2", "a program that hangs, with a child of its own")
def test_who_hangs_is_ended_with_its_children(news: News, stubborn, monkeypatch):
    monkeypatch.setattr("mapreduce.sinks.command._GRACE", 0.2)
    hanging = STUBBORN + HANG if stubborn else HANG
    with pytest.raises(SinkError) as failed:
        Command(["sh", "-c", hanging], timeout=3).tell(news, KEY)
    assert type(failed.value) is SinkError
    assert failed.value.message == 'sh did not end within 3 s and was stopped, and said "it waits".'
    for process in map(int, Path("pids").read_text().split()):
        wait_until_gone(process)


LEAVE = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open("pids", "w") as file:
    file.write(str(child.pid))
"""


def test_nobody_waits_for_what_a_program_leaves_behind(news: News):
    """It holds the program's output open."""
    begin = time.monotonic()
    python(LEAVE, timeout=100).tell(news, KEY)
    assert time.monotonic() - begin < 60
    child = int(Path("pids").read_text())
    assert is_there(child)
    os.kill(child, signal.SIGKILL)


def test_what_is_interrupted_leaves_no_program(news: News, monkeypatch):
    from mapreduce.sinks import command

    def interrupted(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(command._Program, "_read", interrupted)
    started = []
    popen = command.subprocess.Popen
    monkeypatch.setattr(
        command.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    with pytest.raises(KeyboardInterrupt):
        python("import signal; signal.pause()").tell(news, KEY)
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("what", ["missing", "not executable", "a folder", "no program"])
def test_what_cant_be_run_is_refused(news: News, own_folder: Path, what):
    path = own_folder / "program"
    if what == "a folder":
        path.mkdir()
    elif what != "missing":
        path.write_text("text")
        path.chmod(0o755 if what == "no program" else 0o644)
    with pytest.raises(SinkRefused, match="can't be run") as refused:
        Command([str(path)]).tell(news, KEY)
    assert refused.value.hint == "Install it where the job is run, or give its whole path."


def test_descriptors_are_closed(news: News):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        python("pass").tell(news, KEY)
        with pytest.raises(SinkError):
            python("import sys; sys.exit(1)").tell(news, KEY)
        with pytest.raises(SinkRefused):
            Command(["/no/program"]).tell(news, KEY)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "arguments", ["rm -rf x", b"x", [], [""], ["a", 1], ["a\0b"], {"a"}, None, [Path("x")]]
)
def test_what_is_no_list_of_arguments_is_refused(arguments):
    with pytest.raises(JobError, match="Command: ") as refused:
        Command(arguments)
    assert "no shell reads it" in refused.value.hint


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": "1"}, {"timeout": 3601}, {"form": "pdf"}, {"name": "a/b"}, {"alert": 1}],
)
def test_options_are_checked(options):
    with pytest.raises(JobError, match=f"{next(iter(options))}="):
        Command(["true"], **options)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["/usr/bin/mail", "-s"], "mail"), (["./täglich"], "t-glich"), (["/_"], "command")],
)
def test_the_sinks_name(arguments, name):
    assert Command(arguments).name == name


def test_it_travels_with_the_job():
    sink = pickle.loads(pickle.dumps(Command(["true"], timeout=5, form="json", alert=True)))
    assert (sink.arguments, sink.name, sink.timeout, sink.form, sink.alert) == (
        ["true"],
        "true",
        5,
        "json",
        True,
    )
    assert repr(sink) == "Command(['true'])"


def test_a_job_with_a_program(own_folder: Path):
    job = Job(
        "words", Records(["a"]), lambda word: [(word, 1)], Sum(), "out", sinks=[python(TELL, name="it")]
    )
    (delivery,) = run(job, on="serial").deliveries
    assert delivery.delivered
    assert told()["environment"]["MAPREDUCE_IDEMPOTENCY_KEY"] == delivery.key
