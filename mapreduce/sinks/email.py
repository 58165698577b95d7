"""Tell people by mail: the report as text, as a page, and as a file to keep."""

from __future__ import annotations

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from typing import Any, Literal

from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.figures import visible
from mapreduce.sinks.connection import (
    Address,
    Exchange,
    as_token,
    checked_ca_file,
    checked_host,
    checked_port,
    is_loopback,
    tls_context,
)
from mapreduce.sinks.news import News
from mapreduce.sinks.plain import plain
from mapreduce.sinks.report import render
from mapreduce.sinks.secret import Secret, is_secret
from mapreduce.sinks.teller import Teller

_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9.-]{1,253})\Z")
_RECIPIENTS = 100
_PAGE = 2_000_000
"""Bytes of a page that is mailed; it is in the mail twice, and many servers take 10 MB."""
_TEXT = 200_000
"""Characters of the text part."""
_ID = 32
"""Characters of a key in a Message-ID, which some programs don't find on a line of its own."""
_POLICY = SMTP.clone(cte_type="7bit")
"""Lines that any server passes on unchanged."""


class Email(Teller):
    """Mails the report: as text and as a page, which is attached as well.

    to: addresses, such as "ops@example.org". tls: "starttls" (port 587), "implicit" (465), both with the
    server's certificate checked, or "none" (25): to this machine itself, or else without login and with
    `allow_plaintext=True`, as anybody on the way can read and change it.
    attach: attach the page, as "<name>-<run id>.html". A page of more than 2 MB is not mailed.
    ca_file: certificates of the authorities to trust instead of the system's.
    `Message-ID` comes from the idempotency key: it is the same whenever the same news is mailed again.
    """

    def __init__(
        self,
        to: str | Sequence[str],
        *,
        host: str,
        sender: str,
        port: int | None = None,
        user: str | None = None,
        password: Secret | None = None,
        tls: Literal["starttls", "implicit", "none"] = "starttls",
        name: str = "email",
        alert: bool = False,
        patience: float = 60.0,
        attach: bool = True,
        ca_file: str | os.PathLike[str] | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        super().__init__(name, alert=alert, patience=patience)
        for what, value in (("attach", attach), ("allow_plaintext", allow_plaintext)):
            if type(value) is not bool:
                raise JobError(f"Email: {what}={value!r}.", hint="Give True or False.")
        if tls not in _PORTS:
            raise JobError(f"Email: tls={tls!r}.", hint='Give "starttls", "implicit" or "none".')
        self.to = _recipients(to)
        self.sender = _address(sender, "sender")
        self.host = checked_host(host, "Email")
        self.port = checked_port(_PORTS[tls] if port is None else port, "Email")
        self.user, self.password = _login(user, password)
        self.tls = tls
        self.attach = attach
        self.ca_file = checked_ca_file(ca_file, "Email")
        self.allow_plaintext = allow_plaintext
        self.secrets = () if self.password is None else (self.password,)
        self._taken: dict[str, frozenset[str]] = {}
        """By key: who has this mail, where some were refused for the time being."""
        _check_plaintext(self)

    def __repr__(self) -> str:
        return f"Email({', '.join(self.to)!r}, host={self.host!r}, name={self.name!r})"

    def tell(self, news: News, key: str) -> None:
        """Mail it once; who has it does not get it again when others are tried again. Raises SinkError and
        SinkRefused.
        """
        password = _revealed(self.user, self.password)
        context = None if self.tls == "none" else tls_context(self.ca_file)
        with Exchange(self.host, self.port) as exchange:
            try:
                refused = self._send(exchange, context, password, news, key)
            except smtplib.SMTPRecipientsRefused as error:
                raise _refusal(exchange.server, error.recipients) from error
            except smtplib.SMTPResponseException as error:
                raise _answered(exchange.server, error.smtp_code, error.smtp_error) from error
            except OSError as error:
                raise exchange.failure(error) from error
        if refused:
            self._taken[key] = frozenset(self.to) - frozenset(refused)
            raise _refusal(exchange.server, refused, "; the other recipients have the mail")
        self._taken.pop(key, None)

    def _send(
        self, exchange: Exchange, context: ssl.SSLContext | None, password: str, news: News, key: str
    ) -> _Refused:
        connection = exchange.connect(partial(_check, sink=self))
        if context is not None and self.tls == "implicit":
            connection = exchange.secured(connection, context)
        client = _Client(self.host, connection)
        try:
            if context is not None and self.tls == "starttls":
                _start_tls(client, exchange.server, context)
            client.ehlo_or_helo_if_needed()
            if self.user is not None:
                _log_in(client, exchange.server, self.user, password)
            return self._mail(client, news, key)
        finally:
            client.close()

    def _mail(self, client: smtplib.SMTP, news: News, key: str) -> _Refused:
        limit = client.esmtp_features.get("size", "")
        largest = int(limit) if re.match(r"[1-9][0-9]{0,11}\Z", limit) else None
        data = self.message(news, key).as_bytes()
        if largest is not None and len(data) > largest:
            data = self.message(news, key, page_limit=0).as_bytes()
        to = [address for address in self.to if address not in self._taken.get(key, ())]
        refused = client.sendmail(self.sender, to, data)
        with suppress(OSError):  # it has the mail, however it says good-bye
            client.quit()
        return refused

    def message(self, news: News, key: str, page_limit: int = _PAGE) -> EmailMessage:
        """The mail. page_limit: bytes of the page, which is left out if it is larger."""
        token = as_token(key)
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = visible(news.subject)[:200]
        mail["Date"] = datetime.now(UTC)
        mail["Message-ID"] = f"<{token[:_ID]}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Idempotency-Key"] = token
        page = render(news.report, "html").encode("utf-8", "replace")
        fits = len(page) <= page_limit
        mail.set_content(_text(news, with_page=fits))
        if fits:
            mail.add_alternative(page.decode(), subtype="html")
            if self.attach and not news.event.endswith(".alert"):
                mail.add_attachment(
                    page,
                    maintype="text",
                    subtype="html",
                    params={"charset": "utf-8"},
                    filename=_file_name(news.facts),
                )
        return mail


_Refused = Mapping[str, tuple[int, bytes]]


class _Client(smtplib.SMTP):
    """SMTP over a connection that there is."""

    def __init__(self, host: str, connection: socket.socket) -> None:
        self._given = connection
        super().__init__(host, 1, _own_name(connection))

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        return self._given


def _own_name(connection: socket.socket) -> str:
    """What EHLO says: the full name of this machine, or else its address. Nothing is looked up."""
    name = socket.gethostname()
    if re.match(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\Z", name):
        return name
    address = str(connection.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


# ---------------------------------------------------------------- arguments


def _recipients(to: Any) -> tuple[str, ...]:
    found = (to,) if isinstance(to, str) else tuple(to) if isinstance(to, list | tuple) else ()
    if not 1 <= len(found) <= _RECIPIENTS:
        raise JobError("Email: to.", hint=f"Give an address, or a list of 1 to {_RECIPIENTS}.")
    return tuple(dict.fromkeys(_address(address, "to") for address in found))


def _address(address: Any, what: str) -> str:
    found = _ADDRESS.match(address) if type(address) is str else None
    if found and not re.search(r"^\.|\.\.|\.@", address):
        with suppress(JobError):
            checked_host(found[1], what)
            return str(address)
    raise JobError(
        f"Email: {what} has {address!r}.", hint='Give the bare address in ASCII, such as "ops@example.org".'
    )


def _login(user: Any, password: Any) -> tuple[str | None, Secret | None]:
    if password is not None:
        is_secret(password, "Email: password")
    if (user is None) != (password is None):
        raise JobError("Email: user and password go together.", hint="Give both, or none.")
    if user is not None and not (type(user) is str and _is_login_text(user)):
        raise JobError(f"Email: user={user!r}.", hint="Give one line of ASCII.")
    return user, password


def _is_login_text(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def _check_plaintext(sink: Email) -> None:
    if sink.tls != "none" or sink.host == "localhost" or is_loopback(sink.host):
        return
    if sink.user is not None:
        raise JobError(
            'Email: tls="none" would show the password to anybody on the way.',
            hint='Give tls="starttls" or tls="implicit".',
        )
    if not sink.allow_plaintext:
        raise JobError(
            f'Email: tls="none" lets anybody on the way to {sink.host} read and change the mail.',
            hint='Give tls="starttls" or tls="implicit"; or allow_plaintext=True in a network you trust.',
        )


def _check(address: Address, *, sink: Email) -> None:
    """A name that need not use TLS, as it is this machine's, must lead there."""
    if sink.tls == "none" and sink.host == "localhost" and not address.is_loopback:
        raise SinkRefused(
            f"{sink.host} leads to {address}, which is not this machine.", hint="Look at its name service."
        )


def _revealed(user: str | None, password: Secret | None) -> str:
    if user is None or password is None:
        return ""
    found = password.reveal()
    if not _is_login_text(found):
        raise SinkRefused(
            f"{password!r} holds no password for a mail server.",
            hint="It is one line of ASCII, as Python sends no other.",
        )
    return found


# ---------------------------------------------------------------- what is said


def _start_tls(client: smtplib.SMTP, server: str, context: ssl.SSLContext) -> None:
    try:
        client.starttls(context=context)
    except smtplib.SMTPNotSupportedError:
        raise SinkRefused(
            f"{server} offers no STARTTLS.",
            hint='Give the port on which it does (587), or tls="implicit" (465). If it did yesterday, '
            "somebody on the way may have taken it out.",
        ) from None


def _log_in(client: smtplib.SMTP, server: str, user: str, password: str) -> None:
    """Nothing is quoted that the server says meanwhile: it may repeat what it was sent."""
    try:
        client.login(user, password)
    except smtplib.SMTPResponseException as error:
        if error.smtp_code < 500:
            raise SinkError(
                f"{server} can't take the login of {user} now (SMTP {error.smtp_code}).",
                hint="Look at the server's log.",
            ) from None
        raise SinkRefused(
            f"{server} refused the login of {user} (SMTP {error.smtp_code}).",
            hint="Look at user and password; some providers want a password made for the program.",
        ) from None
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException:
        raise SinkRefused(
            f"{server} offers no login that Python knows.",
            hint="It should offer AUTH PLAIN, LOGIN or CRAM-MD5 on this port. Leave out user for no login.",
        ) from None
    except ValueError:
        raise SinkError(
            f"{server} made no sense during the login.", hint="Look at the server's log."
        ) from None


def _answered(server: str, code: int, text: bytes | str) -> SinkError:
    told = f"{server} answered: {_reply(code, text)}."
    if code < 500:
        return SinkError(told, hint="The server may take it later: look at its log.")
    return SinkRefused(told, hint="Look at the sender, the recipients and what the server's log says.")


def _refusal(server: str, refused: _Refused, others: str = "") -> SinkError:
    """Recipients were refused: for the time being, if any of them may be taken later."""
    told = "; ".join(f"{address} ({_reply(code, text)})" for address, (code, text) in refused.items())
    message = f"{server} refused {told}{others}."
    if any(code < 500 for code, _ in refused.values()):
        return SinkError(message, hint="It may take it later: look at its log.")
    return SinkRefused(message, hint="Look at the addresses, and at what the server asks of the sender.")


def _reply(code: int, text: bytes | str) -> str:
    plain_text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"SMTP {code} {visible(' '.join(plain_text.split()))[:200]}".strip()


def _text(news: News, *, with_page: bool) -> str:
    text = plain(news.report)
    whole = text if len(text) <= _TEXT else f"{text[:_TEXT]}…\n\nThe rest is left out here.\n"
    if with_page:
        return whole
    place = visible(str(news.facts.get("place", "")))
    where = f"The result, with its manifest, lies in\n  {place}\n" if place else ""
    return f"The report's page is too large for a mail.\n{where}\n{whole}"


def _file_name(facts: Mapping[str, Any]) -> str:
    """As `<name>-<run id>.html`, of letters, digits, ".", "_" and "-"."""
    parts = [re.sub(r"[^A-Za-z0-9._-]", "-", str(facts.get(name, ""))) for name in ("name", "run_id")]
    return "-".join(part.lstrip(".")[:100] for part in parts) + ".html"
