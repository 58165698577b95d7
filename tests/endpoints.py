"""Servers on the loopback that sinks tell, healthy and sick, and what they were told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from mapreduce.model import ErrorGroup, SetJob, SetManifest, Status
from mapreduce.setresult import JobSetResult
from mapreduce.sinks.news import News, news_of


@dataclass(frozen=True)
class Authority:
    """Signs certificates of servers; `file` is what a client is to trust."""

    file: str
    _ca: trustme.CA

    @classmethod
    def at(cls, path: Path) -> Authority:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(path)
        return cls(str(path), ca)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        return context


# ---------------------------------------------------------------- connections by script


class Listener:
    """Hands each connection to a function, in a thread of its own; all are shut when the test ends."""

    def __init__(self, serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self._serve, self._tls = serve, tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._tls is None:
                self._serve(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                self.connections.append(secured)
                self._serve(secured)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._threads[0].join(10)
        for connection in self.connections:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


@contextmanager
def listening(
    serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None
) -> Iterator[Listener]:
    listener = Listener(serve, tls)
    try:
        yield listener
    finally:
        listener.close()


def silent(connection: socket.socket) -> None:
    """Reads all, and says nothing."""
    while connection.recv(65_536):
        pass


def trickling(start: bytes, more: bytes) -> Callable[[socket.socket], None]:
    """Says `start`, and then a little again and again, until nobody listens."""
    gone = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(start)
        while not gone.wait(0.02):
            connection.sendall(more)

    return serve


# ---------------------------------------------------------------- HTTP


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Endpoint:
    """What it was asked; `answer` says the answer, to the connection itself."""

    answer: Callable[[socket.socket], None]
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        with stream:
            line = stream.readline().decode().strip()
            headers = {}
            while text := stream.readline().decode().strip():
                name, _, value = text.partition(": ")
                headers[name.lower()] = value
            body = stream.read(int(headers.get("content-length", 0)))
        self.requests.append(Request(line, headers, body))
        self.answer(connection)


def answering(status: int, *headers: str, body: bytes = b"") -> Callable[[socket.socket], None]:
    head = "\r\n".join([f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers])
    return lambda connection: connection.sendall(f"{head}\r\n\r\n".encode() + body)


@contextmanager
def endpoint(
    answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None
) -> Iterator[Endpoint]:
    found = Endpoint(answer)
    with listening(found.serve, tls) as listener:
        found.port = listener.port
        yield found


# ---------------------------------------------------------------- SMTP


@dataclass
class Mail:
    sender: str
    to: list[str]
    data: bytes
    user: str
    secured: bool


class Mailbox:
    """A handler of aiosmtpd: takes mail, but for what `replies` has another reply to, by command or
    recipient.
    """

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.mails: list[Mail] = []
        self.port = 0

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        if isinstance(data, LoginPassword) and data == LoginPassword(b"batch", b"hunter-22"):
            return AuthResult(success=True, auth_data=data)
        return AuthResult(success=False, handled=False, message=self.replies.get("AUTH"))

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.replies.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        reply = self.replies.get(address) or self.replies.get("RCPT", "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if "DATA" in self.replies:
            return self.replies["DATA"]
        user = session.auth_data.login.decode() if session.auth_data else ""
        secured = session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        self.mails.append(Mail(envelope.mail_from, envelope.rcpt_tos, envelope.content, user, secured))
        return "250 OK"


class _Controller(Controller):
    def _create_server(self) -> Any:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        return self.loop.create_server(self._factory_invoker, sock=self.listening, ssl=self.ssl_context)

    def _trigger_server(self) -> None:
        self._factory_invoked.set()
        self.smtpd = self.factory  # what is only asked for being there


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, **options: Any
) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = _Controller(
        mailbox,
        hostname="127.0.0.1",
        ssl_context=implicit,
        tls_context=starttls,
        server_hostname="mail.test",
        authenticator=mailbox.login,
        auth_require_tls=starttls is not None,
        **options,
    )
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()


# ---------------------------------------------------------------- news


def set_news(folder: Path, *, jobs: int = 2, **changes: Any) -> News:
    """News of a set, of which one job has failed."""
    from mapreduce.manifest import seal

    error = ErrorGroup("UserFunctionError", changes.pop("message", "map failed"), hint="Mend the function.")
    done = [SetJob(f"job-{number}", Status.SUCCEEDED, records_in=10) for number in range(1, jobs)]
    manifest = SetManifest(
        version=1,
        jobset="nightly",
        run_id="20260101T000000-abcdef01",
        status=Status.FAILED,
        on_failure="continue",
        jobs=(SetJob("job-0", Status.FAILED, errors=(error,)), *done),
        workers=2,
        started="2026-01-01T00:00:00+00:00",
        seconds={"total": 12.0},
        versions={"python": "3.11"},
    )
    folder.mkdir(exist_ok=True)
    (folder / "_manifest.json").write_bytes(seal(manifest)[1])
    return news_of(JobSetResult.load(folder))
