"""Secrets of eight shapes are found nowhere: not in files, logs, messages, pages or process lists."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

COMMAND = [sys.executable, "-m", "mapreduce"]

MARK = "cAnArY"
"""In every secret, so that a part of one is found too."""
CANARIES = {
    "SMTP_PASSWORD": f"pa ss/{MARK}1+&'\"é",
    "HOOK_URL": f"https://127.0.0.1:PORT/in?token={MARK}2%2Fx",
    "HOOK_TOKEN": f"Bearer {MARK}3",
    "DATABASE_URL": f"postgresql+psycopg://batch:{MARK}4%40x@127.0.0.1:PORT/db",
    "NOTIFY_URL": f"json://batch:{MARK}5@127.0.0.1:PORT/hook",
    "MAPREDUCE_KEY": f"{MARK}6" + "0" * 57,
}
IN_A_FILE = "whsec_" + base64.b64encode(f"{MARK}7-{MARK}7-{MARK}7-x".encode()).decode()
IN_A_PROFILE = f"{MARK}8/+="

JOB = """
import sys
from pathlib import Path
from mapreduce import (
    Command, Email, Job, JobSet, Log, Notify, Quarantine, Records, ReportFile, Secret, Sum, Table, Webhook
)

PORT = int(Path("port").read_text())

def seen(text):
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                with open("processes", "ab") as file:
                    file.write((process / "cmdline").read_bytes() + b"\\n")
            except OSError:
                pass
    return text

def pair(word):
    seen(word)
    if word == "bad":
        raise ValueError("a bad word")
    yield word, 1

def sinks():
    return [
        Email(
            "ops@example.org", host="127.0.0.1", port=PORT, sender="batch@example.org", user="batch",
            password=Secret.env("SMTP_PASSWORD"), patience=0,
        ),
        Webhook(
            Secret.env("HOOK_URL"), secret=Secret.file("hook.secret"), allow_private=True, patience=0,
            headers={"Authorization": Secret.env("HOOK_TOKEN")},
        ),
        Webhook(
            f"https://127.0.0.1:{PORT}/x", secret=Secret.profile("hook", "secret"), name="second",
            allow_private=True, patience=0,
        ),
        Table(Secret.env("DATABASE_URL"), "hits", patience=0),
        Notify(Secret.env("NOTIFY_URL"), patience=0),
        Command([sys.executable, "-c", "raise SystemExit('no')"], name="command", patience=0),
        ReportFile("report.html"), ReportFile("report.md"), ReportFile("report.json"), Log(),
    ]

good = Job("good", Records(["a", "b"]), pair, Sum(), "out/good", sinks=sinks())
bad = Job("bad", Records(["a", "bad"]), pair, Sum(), "out/bad", sinks=sinks())
allowed = Quarantine(max_records=1)
some = Job("some", Records(["a", "bad"]), pair, Sum(), "out/some", on_error=allowed, sinks=sinks())
both = JobSet("both", [good, bad], sinks=sinks(), output="both")
"""


def forms(secret: str) -> set[str]:
    """How a secret may look: as it is, quoted for a URL, in base64, escaped."""
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, quote(secret, safe=""), quote_plus(secret), coded, json.dumps(secret)[1:-1], MARK}


@pytest.fixture
def environment(own_folder: Path) -> Iterator[dict[str, str]]:
    """A folder with the job file, secrets where they are kept, and a port at which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        Path("port").write_text(port)
        Path("job.py").write_text(JOB)
        kept = own_folder.parent / f"{own_folder.name}-kept"
        kept.mkdir(mode=0o700)
        (kept / "hook.secret").write_text(f"{IN_A_FILE}\n")
        os.symlink(kept / "hook.secret", "hook.secret")
        (kept / "profiles.toml").write_text(f'[hook]\nsecret = "whsec_{IN_A_PROFILE}"\n')
        secrets = {name: secret.replace("PORT", port) for name, secret in CANARIES.items()}
        yield {**os.environ, **secrets, "MAPREDUCE_PROFILES": str(kept / "profiles.toml")}


def leaks(texts: dict[str, str]) -> list[str]:
    wanted = {form for secret in [*CANARIES.values(), IN_A_FILE, IN_A_PROFILE] for form in forms(secret)}
    return [f"{where}: {form}" for where, text in texts.items() for form in wanted if form in text]


def everything_written() -> dict[str, str]:
    return {
        str(path): path.read_bytes().decode("utf-8", "replace")
        for path in Path().rglob("*")
        if path.is_file() and not path.is_symlink() and path.name != "__pycache__"
    }


@pytest.mark.covers("Q3", "secrets in environment, file, profile and key: runs that succeed, fail, set aside")
@pytest.mark.covers("Q4", "credentials of eight shapes, all targets down, messages of six libraries")
@pytest.mark.parametrize(("job", "code"), [("good", 4), ("bad", 1), ("some", 4), ("both", 4)])
def test_secrets_are_found_nowhere(environment: dict[str, str], job: str, code: int) -> None:
    told: dict[str, str] = {}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=110, env=environment
        )
        told[f"{arguments} out"], told[f"{arguments} err"] = done.stdout, done.stderr
        return done

    done = call("run", f"job.py:{job}", "--workers", "2", "--traceback", "--json")
    assert done.returncode == code, done.stderr
    place = {"both": "both"}.get(job, f"out/{job}")
    listed = json.loads(call("sinks", place, "--json").stdout)["sinks"]
    rows_are_told = job == "bad"  # a run that failed has none
    assert {each["sink"]: each["delivered"] for each in listed} == {
        **dict.fromkeys(["email", "webhook", "second", "notify", "command"], False),
        **dict.fromkeys(["report.html", "report.md", "report.json", "log"], True),
        "table": rows_are_told,
    }
    assert all(each["error"] for each in listed if not each["delivered"])
    call("sinks", "retry", place)
    call("report", place, "--to", "again.html")
    call("runs", "--json")
    assert "mapreduce" in everything_written()["processes"], "process lists were looked at"
    assert leaks(told | everything_written()) == []


@pytest.mark.covers("Q16", "job files are Python and profiles TOML: nothing else is configuration")
def test_no_data_is_evaluated() -> None:
    import mapreduce

    root = Path(mapreduce.__file__).parent
    sources = {path: path.read_text() for path in root.rglob("*.py")}
    banned = ("yaml", "eval(", "exec(", "literal_eval", "configparser")
    allowed = {"exec_module("}
    found: list[Any] = []
    for path, text in sources.items():
        for word in allowed:
            text = text.replace(word, "")
        found += [(path.name, word) for word in banned if word in text]
    assert found == []


def test_a_canary_is_found_where_there_is_one(own_folder: Path) -> None:
    Path("leaky").write_text(f"x{quote(CANARIES['SMTP_PASSWORD'], safe='')}x")
    assert leaks(everything_written()) != []


@pytest.mark.covers(
    "Q15", "umask 000: what a run keeps, and records of failures, lie in folders of their user alone"
)
def test_what_a_run_keeps_is_its_user_s_alone(own_folder: Path) -> None:
    from mapreduce import Job, Records, Sum, run

    def broken(word: str) -> list[tuple[str, int]]:
        if word == "bad":
            raise ValueError("a bad word")
        return [(word, 1)]

    before = os.umask(0)
    try:
        run(Job("good", Records(["a"]), broken, Sum(), "good"), workers=1, keep=True)
        job = Job(
            "bad", Records(["a", "bad"], split_size=1), broken, Sum(), "bad", sinks=[lambda result: None]
        )
        with pytest.raises(Exception, match="a bad word"):
            run(job, workers=1)
    finally:
        os.umask(before)
    kept = [
        path for name in ("good", "bad") for path in Path(f".{name}.mapreduce").rglob("*") if path.is_file()
    ]
    assert {path.parts[1] for path in kept} >= {"failed"}
    assert len(kept) > 5
    for path in kept:
        above = path.parents[-3]  # .name.mapreduce/<run>, or failed
        assert above.stat().st_mode & 0o777 == 0o700, path
