"""A night as a user has it: two hundred file jobs and one over them, three fail; everybody is told, once."""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import servers
from endpoints import answering, endpoint, mail_server
from servers import Postgres
from standardwebhooks.webhooks import Webhook as Verifier

from mapreduce import JobSetResult

pytestmark = pytest.mark.system

FILES = 200
SECRET = "whsec_bmlnaHRseS1zZWNyZXQtb2YtdGhlLXRlc3Q="
PATHS = ["/", "/cart", "/login", "/search", "/help"]

JOB_FILE = """
import os
import sys
from pathlib import Path

from mapreduce import (
    Command, Email, Job, JobSet, JsonLines, Notify, ReportFile, Secret, Sum, Table, Text, Webhook
)


def hits(line):
    address, method, path, size = line.split(" ")
    if path == "/crash":
        os._exit(7)
    yield path, int(size)


def again(record):
    yield record["key"], record["value"]


def of_file(path):
    name = Path(path).stem
    return Job(name, Text(path), hits, Sum(), f"out/{name}", max_attempts=2)


MAIL, HOOK, CHAT = (int(os.environ[name]) for name in ("MAIL", "HOOK", "CHAT"))
PRINT = "import sys; open('printed', 'a').write(sys.stdin.read())"
told = [
    Email("ops@example.org", host="127.0.0.1", port=MAIL, sender="night@example.org", tls="none"),
    Webhook(f"http://127.0.0.1:{HOOK}/in", secret=Secret.env("HOOK_SECRET"), allow_private=True),
    Table(Secret.env("DATABASE"), "night", name="postgres"),
    Table("sqlite:///night.db", "night", name="sqlite"),
    Notify(f"json://127.0.0.1:{CHAT}/"),
    Command([sys.executable, "-c", PRINT], name="printer"),
    ReportFile("night.html"),
]
files = JobSet.from_files("files", "logs/*.log", of_file)
rows = [
    Table(Secret.env("DATABASE"), "hits", name="postgres"),
    Table("sqlite:///night.db", "hits", name="sqlite"),
]
total = Job("total", JsonLines([job.output for job in files.jobs]), again, Sum(), "out/total", sinks=rows)
night = JobSet("night", [*files.jobs, total], sinks=told, on_failure=0.05, output="night")
"""


def write_logs(folder: Path, rng: random.Random) -> Counter[str]:
    """Logs of 200 servers, three of them bad in different ways; bytes by path of the others."""
    folder.mkdir()
    expected: Counter[str] = Counter()
    bad = {
        17: b"10.0.0.1 GET /cart many\n",
        101: b"10.0.0.1 GET /crash 1\n",
        150: b"10.0.0.1 GET /\xff\xfe 1\n",
    }
    for number in range(FILES):
        lines = []
        for _ in range(rng.randrange(20, 40)):
            path, size = rng.choice(PATHS), rng.randrange(100, 10_000)
            lines.append(f"10.0.0.{number % 250} GET {path} {size}\n".encode())
            if number not in bad:
                expected[path] += size
        (folder / f"server-{number:03d}.log").write_bytes(b"".join(lines) + bad.get(number, b""))
    return expected


def attachment(message: EmailMessage) -> str:
    (found,) = message.iter_attachments()
    content = found.get_content()
    return content if isinstance(content, str) else content.decode()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.mark.timeout(600)
def test_two_hundred_jobs_and_everybody_is_told_once(
    own_folder: Path, postgres: Postgres, rng: random.Random
) -> None:
    expected = write_logs(Path("logs"), rng)
    Path("night.py").write_text(JOB_FILE)
    with (
        mail_server() as mailbox,
        endpoint(answering(204)) as hook,
        endpoint(answering(200)) as chat,
    ):
        environment = {
            **os.environ,
            "MAIL": str(mailbox.port),
            "HOOK": str(hook.port),
            "CHAT": str(chat.port),
            "HOOK_SECRET": SECRET,
            "DATABASE": postgres.url,
        }
        done = call("run", "night.py:night", "--workers", "2", environment=environment)
        assert done.returncode == 3, done.stderr[-3000:]
        result = JobSetResult.load("night")
        check_figures(result, expected)
        (mail,) = mailbox.mails
        check_mail(mail.data, result)
        (request,) = hook.requests
        facts = Verifier(SECRET).verify(request.body, request.headers)
        assert facts["counts"] == {"SUCCEEDED": 198, "COMPLETED_WITH_ERRORS": 0, "FAILED": 3, "CANCELLED": 0}
        assert len(facts["errors"]) == 3
        (notice,) = chat.requests
        assert "198 succeeded, 3 failed" in json.loads(notice.body)["title"]
        assert Path("printed").read_text().count(result.manifest.digest) == 1, "the printer was told once"
        check_rows(postgres, result, expected)
        again = told_again(environment)
        assert again.returncode == 0, again.stderr
        assert len(mailbox.mails) == 2
        keys = {request.headers["webhook-id"] for request in hook.requests}
        assert len(hook.requests) == 2
        assert len(keys) == 1, "told again with the same key"
        ids = {message_of(mail.data)["Message-ID"] for mail in mailbox.mails}
        assert len(ids) == 1
    check_rows(postgres, result, expected)


def call(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mapreduce", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)


def told_again(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A forced second delivery: the marks of the set and of its last job are gone."""
    for marks in [*Path("night/_sinks").glob("*/marks"), *Path("out/total/_sinks").glob("*/marks")]:
        for mark in marks.iterdir():
            mark.unlink()
    assert call("sinks", "retry", "out/total", environment=environment).returncode == 0
    return call("sinks", "retry", "night", environment=environment)


def check_figures(result: JobSetResult, expected: Counter[str]) -> None:
    assert {each.name for each in result.jobs if each.status == "FAILED"} == {
        "server-017",
        "server-101",
        "server-150",
    }
    assert {error.kind for error in result.errors} == {"UserFunctionError", "WorkerCrash", "DecodeError"}
    assert dict(result["total"]) == expected
    assert next(each for each in result.jobs if each.name == "total").without == (
        "server-017",
        "server-101",
        "server-150",
    )


def message_of(data: bytes) -> Any:
    return email.message_from_bytes(data, policy=email.policy.default)


def check_mail(data: bytes, result: JobSetResult) -> None:
    message = message_of(data)
    assert message["To"] == "ops@example.org"
    assert "201 jobs: 198 succeeded, 3 failed" in message["Subject"]
    text = message.get_body(("plain",)).get_content()
    page = attachment(message)
    records_in = sum(each.records_in for each in result.jobs)
    for told in (text, page):
        assert f"{records_in:,}" in told
        for cause in ("invalid literal for int()", "exit code 7", "server-150.log"):
            assert cause in told, cause
    assert page == Path("night.html").read_text()


def check_rows(postgres: Postgres, result: JobSetResult, expected: Counter[str]) -> None:
    """Both databases hold each row once."""
    with sqlite3.connect("night.db") as database:
        of_sqlite = [database.execute(query).fetchall() for query in QUERIES]
    for hits, jobs in (of_sqlite, [postgres.query(query) for query in QUERIES]):
        assert dict(hits) == expected
        assert len(hits) == len(PATHS)
        assert Counter(status for _, status in jobs) == {"SUCCEEDED": 198, "FAILED": 3}
        assert len({name for name, _ in jobs}) == 201


QUERIES = ("select key, value from hits", "select name, status from night")
