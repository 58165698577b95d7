"""The mail: what it says and to whom, how it is protected, and what its arguments may be."""

from __future__ import annotations

import email
import pickle
import re
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from endpoints import Authority, Mail, mail_server, set_news

from mapreduce import Email, Job, Records, Secret, Sum, run
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.model import ErrorGroup
from mapreduce.sinks.news import Alert, News

KEY = "ab" * 32
PASSWORD = "hunter-22"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL", PASSWORD)


@pytest.fixture
def news(own_folder: Path) -> News:
    return set_news(own_folder / "set")


def sink(port: int, to: Any = "ops@example.org", **options: Any) -> Email:
    """To a server on this machine, without TLS."""
    return Email(
        to, **{"host": "127.0.0.1", "sender": "batch@example.org", "tls": "none", **options}, port=port
    )


def parsed(mail: Mail) -> EmailMessage:
    found = email.message_from_bytes(mail.data, policy=default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def parts(message: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in message.walk()]


# ---------------------------------------------------------------- what is mailed


def test_the_mail_of_a_run() -> None:
    with mail_server() as server:
        job = Job(
            "words",
            Records(["a", "b", "a"]),
            lambda word: [(word, 1)],
            Sum(),
            "out",
            sinks=[sink(server.port, ["ops@example.org", "two@example.org"])],
        )
        result = run(job, on="serial")
    assert [(one.delivered, one.error) for one in result.deliveries] == [(True, "")]
    (mail,) = server.mails
    assert (mail.sender, mail.to) == ("batch@example.org", ["ops@example.org", "two@example.org"])
    message = parsed(mail)
    key = result.deliveries[0].key
    assert message["Subject"].startswith("words succeeded: 3 records in, 2 out")
    assert message["From"] == "batch@example.org"
    assert message["To"] == "ops@example.org, two@example.org"
    assert message["Message-ID"] == f"<{key[:32]}@example.org>"
    assert message["X-Idempotency-Key"].strip() == key
    assert message["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(message["Date"]).tzinfo is not None
    assert parts(message) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/html",
    ]
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert page is not None
    assert "\na        2\nb        1\n" in text.get_content().replace("\r\n", "\n")
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == f"words-{result.manifest.run_id}.html"
    assert attached.get_content().startswith("<!DOCTYPE html>")
    assert page.get_content().split() == attached.get_content().split()


def test_lines_that_every_server_passes_on(news: News) -> None:
    data = sink(25).message(replace(news, subject="täglich " * 20), KEY).as_bytes()
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert b"\n" not in data.replace(b"\r\n", b"")


def test_the_message_id_is_the_same_when_it_is_mailed_again_and_another_for_other_news(news: News) -> None:
    with mail_server() as server:
        for key in (KEY, KEY, "cd" * 32):
            sink(server.port).tell(news, key)
    first, again, other = (parsed(mail)["Message-ID"] for mail in server.mails)
    assert first == again != other


def test_without_attachment(news: News) -> None:
    message = sink(25, attach=False).message(news, KEY)
    assert parts(message) == ["multipart/alternative", "text/plain", "text/html"]


def test_a_warning_has_no_attachment() -> None:
    with mail_server() as server:
        alert = Alert(
            "words", "run-1", "", ErrorGroup("InputMissing", "no file"), "2026-01-01T00:00:00+00:00"
        )
        sink(server.port, alert=True).warn(alert, KEY)
    message = parsed(server.mails[0])
    assert message["Subject"] == "words goes on, but: no file"
    assert "text/html" in parts(message)
    assert not list(message.iter_attachments())


@pytest.mark.covers("Q12", "a page over the limit of size")
def test_a_page_that_is_too_large_is_not_mailed_and_the_text_says_where_the_result_lies(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapreduce.sinks.email._TEXT", 1_000)
    message = sink(25).message(set_news(own_folder / "set", jobs=200), KEY, page_limit=5_000)
    assert parts(message) == ["text/plain"]
    text = message.get_content()
    assert text.startswith(
        "The report's page is too large for a mail.\n"
        f"The result, with its manifest, lies in\n  {own_folder}/set\n"
    )
    assert text.rstrip().endswith("The rest is left out here.")
    assert len(message.as_bytes()) < 400_000


def test_a_server_that_takes_little_gets_the_text_alone(news: News) -> None:
    with mail_server(data_size_limit=9_000) as server:
        sink(server.port).tell(news, KEY)
    assert parts(parsed(server.mails[0])) == ["text/plain"]


HOSTILE = "a\r\nBcc: evil@example.org\r\n\r\n<script>\x00\x1b[31m\u202e\u2028Bcc: x@example.org\x85"


@pytest.mark.covers("Q12", "CR and LF in subject, name, run id, key and report")
def test_no_text_makes_a_header(news: News) -> None:
    facts = {**news.facts, "name": HOSTILE, "run_id": HOSTILE}
    report = replace(news.report, title=HOSTILE, status=HOSTILE, subtitle=HOSTILE, footer=HOSTILE)
    with mail_server() as server:
        sink(server.port).tell(News("run.failed", HOSTILE, report, facts), HOSTILE)
        sink(server.port).tell(news, KEY)
    hostile, usual = map(parsed, server.mails)
    assert hostile.keys() == usual.keys()
    assert server.mails[0].to == ["ops@example.org"]
    assert "\n" not in hostile["Subject"]
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", hostile["Message-ID"])
    (attached,) = hostile.iter_attachments()
    name = attached.get_filename()
    assert name is not None
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.html", name)
    assert attached.keys() == next(usual.iter_attachments()).keys()


# ---------------------------------------------------------------- how it is protected


@pytest.mark.covers("Q12", "a server with STARTTLS or TLS, whose certificate is checked")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_login_over_tls(tls: str, news: News, own_folder: Path) -> None:
    authority = Authority.at(own_folder / "ca.pem")
    context = authority.server("127.0.0.1")
    login = {"user": "batch", "password": Secret.env("MAIL"), "ca_file": authority.file, "tls": tls}
    with mail_server(**{tls: context}) as server:
        sink(server.port, **login).tell(news, KEY)
    (mail,) = server.mails
    assert (mail.user, mail.secured) == ("batch", True)


@pytest.mark.covers("X2", "TLS: a certificate of an unknown authority, or of another name")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(("name", "known"), [("127.0.0.1", False), ("mail.example.org", True)])
def test_a_certificate_that_is_not_to_be_trusted(
    tls: str, name: str, known: bool, news: News, own_folder: Path
) -> None:
    authority = Authority.at(own_folder / "ca.pem")
    ca_file = authority.file if known else Authority.at(own_folder / "other.pem").file
    login = {"user": "batch", "password": Secret.env("MAIL")}
    told = "has a certificate that is not to be trusted"
    with (
        mail_server(**{tls: authority.server(name)}) as server,
        pytest.raises(SinkRefused, match=told) as caught,
    ):
        sink(server.port, tls=tls, ca_file=ca_file, **login).tell(news, KEY)
    assert "ca_file=" in caught.value.hint
    assert server.mails == []


@pytest.mark.covers("X2", "a server that offers no STARTTLS, or somebody who took it out")
def test_nothing_is_sent_in_plaintext_where_tls_was_asked_for(news: News) -> None:
    with mail_server() as server, pytest.raises(SinkRefused, match="offers no STARTTLS"):
        sink(server.port, tls="starttls", user="batch", password=Secret.env("MAIL")).tell(news, KEY)
    assert server.mails == []


def test_a_login_on_this_machine_may_go_without_tls(news: News) -> None:
    with mail_server() as server:
        sink(server.port, host="localhost", user="batch", password=Secret.env("MAIL")).tell(news, KEY)
    assert server.mails[0].user == "batch"


@pytest.mark.parametrize("reply", ["535 5.7.8 no: hunter-22", "534 5.7.9 Application password required"])
def test_a_login_that_is_refused(reply: str, news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL", "hunter-23")
    with mail_server() as server:
        server.replies["AUTH"] = reply
        with pytest.raises(SinkRefused, match=rf"refused the login of batch \(SMTP {reply[:3]}\)") as caught:
            sink(server.port, user="batch", password=Secret.env("MAIL")).tell(news, KEY)
    assert "hunter" not in str(caught.value)
    assert "password" in caught.value.hint


def test_a_login_that_fails_for_the_time_being(news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL", "hunter-23")
    with mail_server() as server:
        server.replies["AUTH"] = "454 4.7.0 try later"
        with pytest.raises(SinkError, match="can't take the login of batch now") as caught:
            sink(server.port, user="batch", password=Secret.env("MAIL")).tell(news, KEY)
    assert type(caught.value) is SinkError


@pytest.mark.parametrize("value", ["zwölf", "two\nlines", "\n"])
def test_a_password_that_cannot_be_sent_is_not_quoted(
    value: str, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL", value)
    with pytest.raises(SinkRefused, match=r"Secret.env\('MAIL'\) holds no password") as caught:
        sink(25, user="batch", password=Secret.env("MAIL")).tell(news, KEY)
    assert value not in str(caught.value)


def test_localhost_must_be_this_machine(news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("192.0.2.1", 25))])
    with pytest.raises(SinkRefused, match=r"leads to 192\.0\.2\.1, which is not this machine"):
        sink(25, host="localhost").tell(news, KEY)


# ---------------------------------------------------------------- arguments

LOGIN = {"user": "batch", "password": Secret.env("MAIL")}


@pytest.mark.covers("Q12", "CR, LF and more in addresses, host and user")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"to": []}, "Email: to"),
        ({"to": ["a@example.org"] * 101}, "Email: to"),
        ({"to": None}, "Email: to"),
        ({"to": "ops"}, "to has 'ops'"),
        ({"to": "@example.org"}, "to has"),
        ({"to": "a@"}, "to has"),
        ({"to": "a b@example.org"}, "to has"),
        ({"to": "a@example..org"}, "to has"),
        ({"to": ".a@example.org"}, "to has"),
        ({"to": "a@example.org\r\nBcc: b@example.org"}, "to has"),
        ({"to": "a@example.org\n"}, "to has"),
        ({"to": "a@example.org, b@example.org"}, "to has"),
        ({"to": "A <a@example.org>"}, "to has"),
        ({"to": "ä@example.org"}, "to has"),
        ({"to": "a@exämple.org"}, "to has"),
        ({"to": ["a@example.org", 3]}, "to has 3"),
        ({"sender": "a\r\n@example.org"}, "sender has"),
        ({"sender": ""}, "sender has"),
        ({"host": "mail\r\n.example.org"}, "the host"),
        ({"host": "mail.example.org:25"}, "the host"),
        ({"host": "127.1"}, "the host"),
        ({"host": ""}, "the host"),
        ({"port": 0}, "port=0"),
        ({"port": "25"}, "port='25'"),
        ({"port": True}, "port=True"),
        ({"tls": True}, "tls=True"),
        ({"tls": "ssl"}, "tls='ssl'"),
        ({"user": "batch"}, "user and password go together"),
        ({"password": Secret.env("MAIL")}, "user and password go together"),
        ({"user": "batch", "password": "opensesame"}, "password is a str, not a Secret"),
        ({**LOGIN, "user": "a\r\nb"}, "user="),
        ({**LOGIN, "user": ""}, "user="),
        ({"attach": "yes"}, "attach='yes'"),
        ({"tls": "none"}, "read and change the mail"),
        ({"tls": "none", **LOGIN}, "show the password"),
        ({"tls": "none", "allow_plaintext": True, **LOGIN}, "show the password"),
        ({"ca_file": ""}, "ca_file=''"),
        ({"name": "a\r\nb"}, "name="),
    ],
)
def test_arguments_are_checked_when_it_is_made(options: dict[str, Any], told: str) -> None:
    usual = {"to": "a@example.org", "host": "mail.example.org", "sender": "batch@example.org"}
    with pytest.raises(JobError, match=told) as caught:
        Email(**{**usual, **options})
    assert caught.value.hint
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ({}, 587),
        ({"tls": "implicit"}, 465),
        ({"tls": "none", "host": "::1"}, 25),
        ({"tls": "none", "allow_plaintext": True}, 25),
        ({"port": 2525}, 2525),
    ],
)
def test_ports(options: dict[str, Any], port: int) -> None:
    made = Email("a+b@example.org", **{"host": "mail.example.org", "sender": "c@example.org", **options})
    assert made.port == port


def test_neither_repr_nor_pickle_holds_a_secret() -> None:
    made = sink(25, ["a@example.org", "b@example.org"], **LOGIN)
    assert repr(made) == "Email('a@example.org, b@example.org', host='127.0.0.1', name='email')"
    data = pickle.dumps(made)
    assert PASSWORD.encode() not in data
    assert vars(pickle.loads(data)) == vars(made)
