"""Servers that refuse, break off, lie or say nothing: what a sink raises, and that it ends."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoints import (
    Authority,
    Endpoint,
    answering,
    endpoint,
    listening,
    mail_server,
    set_news,
    silent,
    trickling,
)

from mapreduce import Email, Secret, Webhook
from mapreduce.errors import SinkError, SinkRefused
from mapreduce.sinks import connection
from mapreduce.sinks.news import News

KEY = "ab" * 32
AT_MOST = 25.0
"""Seconds after which it has hung, on a machine that has much else to do; less than an exchange may take."""


@pytest.fixture
def news(own_folder: Path) -> News:
    return set_news(own_folder / "set")


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets how long an exchange may take, by what is to be told of it: short where that is the time alone,
    long enough for a busy machine where something is to be heard before, and as ever where it ends by itself.
    """

    def seconds(told: str) -> None:
        if told == "did not answer in time":
            monkeypatch.setattr(connection, "WHOLE", 0.5)
        elif told.startswith("answered 500"):
            monkeypatch.setattr(connection, "WHOLE", 4.0)

    return seconds


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "whsec_" + base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv("MAIL", "hunter-22")


def mail(port: int, to: Any = "ops@example.org", **options: Any) -> Email:
    return Email(
        to, **{"host": "127.0.0.1", "sender": "batch@example.org", "tls": "none", **options}, port=port
    )


def webhook(port: int, *, scheme: str = "http", path: str = "/hook", **options: Any) -> Webhook:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    return Webhook(url, secret=Secret.env("HOOK"), allow_private=True, **options)


def raised(tell: Callable[[], None]) -> SinkError:
    """What telling raises, which has a hint; in time."""
    began = time.monotonic()
    with pytest.raises(SinkError) as caught:
        tell()
    assert time.monotonic() - began < AT_MOST
    assert caught.value.hint
    return caught.value


def free_port() -> int:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---------------------------------------------------------------- mail


@pytest.mark.covers("X2", "4xx or 5xx to MAIL, RCPT or DATA")
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("421 closing", SinkError),
        ("450 4.2.1 try later", SinkError),
        ("451 \x1b[31mred", SinkError),
        ("550 5.1.1 no such user", SinkRefused),
        ("554 5.7.1 spam", SinkRefused),
    ],
)
def test_what_a_mail_server_refuses(command: str, reply: str, kind: type[SinkError], news: News) -> None:
    with mail_server() as server:
        server.replies[command] = reply
        error = raised(lambda: mail(server.port).tell(news, KEY))
        assert type(error) is kind
        assert f"127.0.0.1:{server.port}" in error.message
        assert f"SMTP {reply[:3]}" in error.message
        assert error.message.isprintable()
        assert server.mails == []
        server.replies.clear()
        mail(server.port).tell(news, KEY)
    assert len(server.mails) == 1


@pytest.mark.covers("X2", "some recipients are refused, for the time being or for good")
def test_recipients_that_are_refused_are_named_and_the_others_are_not_told_twice(news: News) -> None:
    with mail_server() as server:
        server.replies |= {"b@example.org": "450 later", "c@example.org": "550 unknown"}
        sink = mail(server.port, ["a@example.org", "b@example.org", "c@example.org"])
        error = raised(lambda: sink.tell(news, KEY))
        assert type(error) is SinkError
        assert "b@example.org (SMTP 450 later); c@example.org (SMTP 550 unknown)" in error.message
        assert "the other recipients have the mail" in error.message
        assert "a@example.org" not in error.message

        del server.replies["b@example.org"]
        error = raised(lambda: sink.tell(news, KEY))
        assert type(error) is SinkRefused
        assert "refused c@example.org (SMTP 550 unknown)" in error.message

        server.replies.clear()
        sink.tell(news, KEY)
        sink.tell(news, "cd" * 32)
    everybody = ["a@example.org", "b@example.org", "c@example.org"]
    assert [one.to for one in server.mails] == [*([one] for one in everybody), everybody]


@pytest.mark.covers("X2", "421 between two recipients: nobody has the mail")
def test_a_server_that_closes_between_two_recipients_has_told_nobody(news: News) -> None:
    with mail_server() as server:
        server.replies["b@example.org"] = "421 closing"
        sink = mail(server.port, ["a@example.org", "b@example.org"])
        error = raised(lambda: sink.tell(news, KEY))
        assert type(error) is SinkError
        assert "have the mail" not in error.message
        server.replies.clear()
        sink.tell(news, KEY)
    assert [one.to for one in server.mails] == [["a@example.org", "b@example.org"]]


@pytest.mark.covers("X2", "no server")
def test_no_mail_server(news: News) -> None:
    error = raised(lambda: mail(free_port()).tell(news, KEY))
    assert type(error) is SinkError
    assert "was not reached, or broke off: Connection refused" in error.message


def closing(connection: socket.socket) -> None:
    """Breaks off at once."""


def saying(text: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.sendall(text)
        silent(connection)

    return serve


@pytest.mark.covers("X2", "a server that hangs, trickles, breaks off or talks nonsense")
@pytest.mark.parametrize(
    ("serve", "told"),
    [
        (silent, "did not answer in time"),
        (saying(b"220 mail.test\r\n"), "did not answer in time"),
        (trickling(b"220-", b"x"), "did not answer in time"),
        (trickling(b"", b"220-more\r\n"), "did not answer in time"),
        (closing, "broke off"),
        (saying(b"554 no service\r\n"), "SMTP 554 no service"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n"), "answered: SMTP -1"),
        (saying(b"220 " + b"x" * 100_000), "Line too long"),
        (saying(b"\xff\x00\x1b\r\n"), "answered: SMTP -1"),
    ],
    ids=[
        "silent",
        "greets only",
        "trickles",
        "greets for ever",
        "closes",
        "554",
        "http",
        "long line",
        "binary",
    ],
)
def test_sick_mail_servers(
    serve: Callable[[socket.socket], None], told: str, news: News, hurry: Callable[[str], None]
) -> None:
    hurry(told)
    before = open_files()
    with listening(serve) as server:
        error = raised(lambda: mail(server.port).tell(news, KEY))
    assert told in error.message
    assert error.message.isprintable()
    assert open_files() <= before


@pytest.mark.covers("X2", "a server that hangs within the TLS handshake")
@pytest.mark.parametrize("serve", [silent, trickling(b"", b"\x16")], ids=["silent", "trickles"])
def test_a_tls_handshake_that_does_not_end(
    serve: Callable[[socket.socket], None], news: News, hurry: Callable[[str], None]
) -> None:
    hurry("did not answer in time")
    with listening(serve) as server:
        for sink in (mail(server.port, tls="implicit"), webhook(server.port, scheme="https")):
            error = raised(lambda sink=sink: sink.tell(news, KEY))  # type: ignore[misc]
            assert type(error) is SinkError


def echoing(connection: socket.socket) -> None:
    """A mail server that repeats what it does not understand, the login too."""
    connection.sendall(b"220 mail.test\r\n")
    with connection.makefile("rb") as lines:
        for line in lines:
            known = b"250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n"
            connection.sendall(known if line.lower().startswith(b"ehlo") else b"500 what? " + line)


def test_a_server_that_repeats_the_login_tells_nobody(news: News) -> None:
    with listening(echoing) as server:
        error = raised(lambda: mail(server.port, user="batch", password=Secret.env("MAIL")).tell(news, KEY))
    assert type(error) is SinkRefused
    for form in (b"hunter-22", b"\0batch\0hunter-22"):
        assert base64.b64encode(form).decode() not in str(error)
    assert "hunter" not in str(error)


# ---------------------------------------------------------------- webhooks


@pytest.mark.covers("X3", "every status")
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None),
        (201, None),
        (204, None),
        (299, None),
        (300, SinkRefused),
        (304, SinkRefused),
        (400, SinkRefused),
        (401, SinkRefused),
        (404, SinkRefused),
        (408, SinkError),
        (410, SinkRefused),
        (425, SinkError),
        (429, SinkError),
        (500, SinkError),
        (503, SinkError),
        (599, SinkError),
        (600, SinkError),
    ],
)
def test_what_a_status_means(status: int, kind: type[SinkError] | None, news: News) -> None:
    with endpoint(answering(status, "Retry-After: 7", body=b"because\x1b[31m\nmore")) as server:
        sink = webhook(server.port)
        if kind is None:
            sink.tell(news, KEY)
        else:
            error = raised(lambda: sink.tell(news, KEY))
            assert type(error) is kind
            assert f"http://127.0.0.1:{server.port}/hook answered {status}" in error.message
            assert error.message.isprintable()
            assert error.retry_after == (7.0 if kind is SinkError else None)
    assert len(server.requests) == 1


@pytest.mark.covers("X3", "301, 302, 303, 307 and 308 to a private address")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int, news: News) -> None:
    private = Endpoint(answering(200))
    with listening(private.serve) as hidden:
        location = f"Location: http://127.0.0.1:{hidden.port}/"
        with endpoint(answering(status, location)) as server:
            error = raised(lambda: webhook(server.port).tell(news, KEY))
    assert type(error) is SinkRefused
    assert "Redirects are not followed" in error.hint
    assert private.requests == []


class Flood:
    """An answer of 1 GB, and how much of it was taken."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.sent = 0
        self.done = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        try:
            connection.sendall(f"HTTP/1.1 {self.status} Said\r\nContent-Length: {10**9}\r\n\r\n".encode())
            while self.sent < 10**9:
                self.sent += connection.send(b"x" * 65_536)
        except OSError:
            return
        finally:
            self.done.set()


@pytest.mark.covers("X3", "a body of 1 GB")
@pytest.mark.parametrize("status", [200, 500])
def test_a_body_of_a_gigabyte_is_left_unread(status: int, news: News) -> None:
    flood = Flood(status)
    with endpoint(flood) as server:
        if status == 200:
            webhook(server.port).tell(news, KEY)
        else:
            error = raised(lambda: webhook(server.port).tell(news, KEY))
            assert len(error.message) < 500
        assert flood.done.wait(30)
    assert flood.sent < 50_000_000, "what buffers of the kernel hold"


@pytest.mark.covers("X3", "an answer that trickles: in its status, its headers, its body, or before them")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (silent, "did not answer in time"),
        (trickling(b"", b"H"), "did not answer in time"),
        (trickling(b"HTTP/1.1 500 No\r\nX: ", b"x"), "answered 500"),
        (trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "did not answer in time"),
        (trickling(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n", b"x"), "answered 500"),
        (trickling(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), "answered 500"),
    ],
    ids=["silent", "status", "headers", "100", "body", "chunks"],
)
def test_a_slow_answer_ends_in_time(
    answer: Callable[[socket.socket], None], told: str, news: News, hurry: Callable[[str], None]
) -> None:
    hurry(told)
    before = open_files()
    with endpoint(answer) as server:
        error = raised(lambda: webhook(server.port).tell(news, KEY))
    assert type(error) is SinkError
    assert told in error.message
    assert open_files() <= before


@pytest.mark.covers("X3", "200 whose body never ends")
def test_what_was_taken_is_told_whatever_becomes_of_the_body(news: News) -> None:
    with endpoint(trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")) as server:
        webhook(server.port).tell(news, KEY)


@pytest.mark.covers("X3", "an answer that is no HTTP, or none")
@pytest.mark.parametrize(
    "answer",
    [closing, saying(b"220 mail.test ESMTP\r\n"), saying(b"HTTP/1.1 abc\r\n\r\n"), saying(b"x" * 100_000)],
    ids=["none", "smtp", "no number", "long line"],
)
def test_an_answer_that_is_no_http(answer: Callable[[socket.socket], None], news: News) -> None:
    with endpoint(answer) as server:
        error = raised(lambda: webhook(server.port).tell(news, KEY))
    assert type(error) is SinkError


@pytest.mark.covers("X3", "no endpoint")
def test_no_endpoint(news: News) -> None:
    error = raised(lambda: webhook(free_port()).tell(news, KEY))
    assert type(error) is SinkError
    assert "Connection refused" in error.message


@pytest.mark.covers("X3", "bad TLS: an unknown authority, another name, expired TLS, none at all")
@pytest.mark.parametrize(
    ("name", "known", "told"),
    [
        ("127.0.0.1", False, "self-signed|unable to get"),
        ("hooks.example.org", True, "IP address mismatch"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted(
    name: str, known: bool, told: str, news: News, own_folder: Path
) -> None:
    authority = Authority.at(own_folder / "ca.pem")
    ca_file = authority.file if known else None
    with endpoint(answering(200), authority.server(name)) as server:
        error = raised(lambda: webhook(server.port, scheme="https", ca_file=ca_file).tell(news, KEY))
    assert type(error) is SinkRefused
    assert "certificate that is not to be trusted" in error.message
    assert "ca_file=" in error.hint
    assert server.requests == []


def test_https_to_a_server_that_speaks_none(news: News) -> None:
    with listening(saying(b"220 mail.test\r\n")) as server:
        error = raised(lambda: webhook(server.port, scheme="https").tell(news, KEY))
    assert type(error) is SinkError
    assert "broke off" in error.message


def repeating(server: list[Endpoint]) -> Callable[[socket.socket], None]:
    """Answers with what it was asked, as the status line and as the body."""

    def answer(connection: socket.socket) -> None:
        line = server[0].requests[-1].line
        start = line if "bare" in line else "HTTP/1.1 404 Not Found"
        connection.sendall(f"{start}\r\nContent-Length: {len(line)}\r\n\r\n{line}".encode())

    return answer


@pytest.mark.parametrize("path", ["/hook?token=opensesame", "/bare?token=opensesame"])
def test_an_endpoint_that_repeats_the_url_tells_nobody(path: str, news: News) -> None:
    servers: list[Endpoint] = []
    with endpoint(repeating(servers)) as server:
        servers.append(server)
        error = raised(lambda: webhook(server.port, path=path).tell(news, KEY))
    assert "opensesame" in server.requests[0].line
    assert "opensesame" not in str(error)


# ---------------------------------------------------------------- names


@pytest.mark.covers("X2", "a name server that does not answer, or knows no such name")
@pytest.mark.covers("X3", "a name server that does not answer, or knows no such name")
@pytest.mark.parametrize("kind", ["mail", "webhook"])
@pytest.mark.parametrize("answers", [True, False])
def test_names_that_are_not_found(
    kind: str, answers: bool, news: News, monkeypatch: pytest.MonkeyPatch, hurry: Callable[[str], None]
) -> None:
    told = "was not found" if answers else "did not answer in time"
    hurry(told)
    ended = threading.Event()

    def getaddrinfo(*args: Any, **more: Any) -> Any:
        if not answers:
            ended.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    sink: Email | Webhook = mail(25, host="mail.example.org", tls="starttls")
    if kind == "webhook":
        sink = Webhook("https://hooks.example.org", secret=Secret.env("HOOK"))
    error = raised(lambda: sink.tell(news, KEY))
    ended.set()
    assert type(error) is SinkError
    assert told in error.message
