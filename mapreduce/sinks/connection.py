"""Connections to the servers that sinks tell: every wait on one ends in time, whatever the server does."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.figures import visible

CONNECT = 10.0
"""Seconds to find a server's address, and again to connect to it."""
WHOLE = 30.0
"""Seconds of a whole exchange."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ADDRESSES = 4
"""Of one name: so many are tried."""
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")


def checked_host(host: Any, what: str) -> str:
    """A name, or an address in its usual form (IPv6 without brackets). Raises JobError.

    Other spellings of an address, which resolvers take (127.1, 0x7f000001), are refused.
    """
    if type(host) is str and (_is_address(host) or _is_name(host)):
        return host
    raise JobError(
        f"{what}: the host {host!r}.",
        hint="Give a name in ASCII (IDNA for others) without a dot at its end, or an address such as "
        "192.0.2.1 or 2001:db8::1.",
    )


def is_loopback(host: str) -> bool:
    """Whether it is an address of this machine itself, as such."""
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _is_name(host: str) -> bool:
    labels = host.split(".")
    return len(host) <= 253 and all(map(_LABEL.match, labels)) and not _NUMBER.match(labels[-1])


def checked_port(port: Any, what: str) -> int:
    """A TCP port. Raises JobError."""
    if type(port) is int and 1 <= port <= 65_535:
        return port
    raise JobError(f"{what}: port={port!r}.", hint="Give a number from 1 to 65,535.")


def as_token(key: str) -> str:
    """An idempotency key as text that no protocol sees more in: itself, as it is hex, or else its digest."""
    if re.match(r"[A-Za-z0-9_-]{1,100}\Z", key):
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS that checks certificates and names: against the system's authorities, or those of `ca_file` alone.

    Raises SinkRefused.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SinkRefused(
            f"ca_file {ca_file} can't be read: {error.strerror or 'it holds no certificate'}.",
            hint="Give a PEM file with the certificates of the authorities to trust.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def checked_ca_file(path: Any, what: str) -> str | None:
    """The path as text. Raises JobError; whether the file is there is seen when it is used."""
    if path is None:
        return None
    if isinstance(path, str | os.PathLike) and isinstance(text := os.fspath(path), str) and text:
        return text
    raise JobError(f"{what}: ca_file={path!r}.", hint="Give the path of a PEM file with certificates.")


class Exchange:
    """One exchange with a server, in a `with` block, which closes what was opened.

    When its time is over, the connection is shut under whoever waits on it: a server that trickles bytes
    ends none of the time-outs of single reads.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._seconds = WHOLE
        self._end = time.monotonic() + WHOLE
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def server(self) -> str:
        """For messages."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def connect(self, check: Callable[[Address], None]) -> socket.socket:
        """A connection to the first address that takes one; it is closed with the exchange.

        The name is looked up once, and `check` sees every address before any is connected to; it refuses
        one by raising. Raises OSError, SinkError.
        """
        addresses = self._addresses()
        for address in addresses:
            check(address)
        seconds = min(CONNECT, self._left()) / len(addresses)
        failed: OSError | None = None
        for address in addresses:
            try:
                return self._guarded(socket.create_connection((str(address), self._port), seconds))
            except OSError as error:
                failed = error
        raise failed or OSError("no address")

    def secured(self, connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        """TLS over the connection, with the host's own name. Raises OSError."""
        return self._open.enter_context(context.wrap_socket(connection, server_hostname=self._host))

    def failure(self, error: Exception) -> SinkError:
        """What an error of socket, ssl, smtplib or http.client means to who asked for the exchange."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkRefused(
                f"{self.server} has a certificate that is not to be trusted: "
                f"{visible(error.verify_message or str(error))}.",
                hint="Give the host's name as its certificate has it, and for an authority of your own "
                "its certificate, as ca_file=.",
            )
        if time.monotonic() >= self._end or isinstance(error, TimeoutError):
            return SinkError(
                f"{self.server} did not answer in time ({self._seconds:g} s for all).",
                hint="Look whether the server is overloaded, or a firewall drops what is sent to it.",
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SinkError(
            f"{self.server} was not reached, or broke off: {visible(str(reason))[:300]}.",
            hint="Look at host and port, and whether the server runs and this machine may reach it.",
        )

    def _left(self) -> float:
        """Seconds for the next wait; more than none, as 0 would mean not to wait for a socket at all."""
        return max(self._end - time.monotonic(), 0.001)

    def _addresses(self) -> list[Address]:
        """Looked up in a thread of its own, as the system's resolver takes no time-out."""
        with suppress(ValueError):
            return [ipaddress.ip_address(self._host)]
        answers: SimpleQueue[list[Address] | Exception] = SimpleQueue()
        threading.Thread(target=self._look_up, args=(answers,), daemon=True).start()
        try:
            answer = answers.get(timeout=min(CONNECT, self._left()))
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise SinkError(
                f"The address of {self._host} was not found: {visible(str(answer))[:300]}.",
                hint="Look at the name, and at this machine's name service.",
            ) from answer
        return answer[:_ADDRESSES]

    def _look_up(self, answers: SimpleQueue[list[Address] | Exception]) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            answers.put([ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found])
        except (OSError, ValueError) as error:
            answers.put(error)

    def _guarded(self, connection: socket.socket) -> socket.socket:
        """Shut by a timer through a second descriptor, which stays valid when TLS takes over the first."""
        self._open.enter_context(connection)
        other = self._open.enter_context(connection.dup())
        timer = threading.Timer(self._left(), _shut, [other])
        timer.daemon = True
        timer.start()
        self._open.callback(timer.cancel)
        connection.settimeout(self._left())
        return connection


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
