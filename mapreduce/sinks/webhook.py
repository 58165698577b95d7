"""Tell an HTTP endpoint, signed as in Standard Webhooks, and no address that the sender's network hides."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from importlib.metadata import version
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.figures import visible
from mapreduce.sinks.connection import (
    Address,
    Exchange,
    as_token,
    checked_ca_file,
    checked_host,
    checked_port,
    tls_context,
)
from mapreduce.sinks.news import News
from mapreduce.sinks.secret import Secret, is_secret
from mapreduce.sinks.teller import Teller

_ANSWER = 65_536
"""Bytes of an answer that are read."""
_PAYLOAD = 256_000
"""Bytes of a payload."""
_TEXT = 2_000
"""Characters of one text, in a payload that is too large."""
_LONGEST_WAIT = 600.0
_AGAIN = frozenset({408, 425, 429})
"""Refusals that say: later. So do all from 500 on."""

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}\Z")
_OURS = re.compile(
    r"(host|connection|content-.*|transfer-encoding|expect|te|trailer|upgrade|webhook-.*)\Z", re.IGNORECASE
)
_SENSITIVE = re.compile(r"auth|cookie|token|secret|key|password|credential", re.IGNORECASE)
_SAFE_URL = re.compile(r"[!-~]{1,2000}\Z")


class Webhook(Teller):
    """Posts what there is to tell as a JSON object, signed as in Standard Webhooks (standardwebhooks.com).

    `webhook-id` is the idempotency key: the same whenever the same news is posted again.
    url: https; or a Secret that holds one. secret: "whsec_" and the base64 of 24 bytes or more.
    allow_private: post to loopback and private addresses as well, and there also by http. Addresses of
    clouds' metadata, link-local and multicast ones stay refused.
    headers: more headers; a value that is a secret must be a Secret.
    ca_file: certificates of the authorities to trust instead of the system's.
    Redirects are not followed, and no proxy is used.
    """

    def __init__(
        self,
        url: str | Secret,
        *,
        secret: Secret,
        name: str = "webhook",
        alert: bool = False,
        patience: float = 60.0,
        allow_private: bool = False,
        headers: Mapping[str, str | Secret] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(name, alert=alert, patience=patience)
        if type(allow_private) is not bool:
            raise JobError(f"Webhook: allow_private={allow_private!r}.", hint="Give True or False.")
        self.url = url
        self.secret = is_secret(secret, "Webhook: secret")
        self.allow_private = allow_private
        self.headers = _checked_headers(headers)
        self.ca_file = checked_ca_file(ca_file, "Webhook")
        if not isinstance(url, Secret):
            _target(url, allow_private)
        kept = (url, secret, *self.headers.values())
        self.secrets = tuple(value for value in kept if isinstance(value, Secret))

    def __repr__(self) -> str:
        shown = repr(self.url) if isinstance(self.url, Secret) else repr(self.url.partition("?")[0])
        return f"Webhook({shown}, name={self.name!r})"

    def tell(self, news: News, key: str) -> None:
        """Post it once. Raises SinkError, which has `retry_after` if the endpoint asked for a pause, and
        SinkRefused.
        """
        target = self._target()
        body = payload(news.facts)
        request = self._headers(target) | signed(key, body, datetime.now(UTC), signing_key(self.secret))
        context = tls_context(self.ca_file) if target.secure else None
        with Exchange(target.host, target.port) as exchange:
            try:
                self._post(exchange, context, target, body, request)
            except OSError as error:
                raise exchange.failure(error) from error
            except HTTPException:  # whose text may quote what was sent
                raise exchange.failure(OSError("what it answers is no HTTP")) from None

    def _target(self) -> _Target:
        if not isinstance(self.url, Secret):
            return _target(self.url, self.allow_private)
        try:
            return _target(self.url.reveal(), self.allow_private, self.url)
        except JobError as error:
            raise SinkRefused(error.message, hint=error.hint) from None

    def _headers(self, target: _Target) -> dict[str, str]:
        found = {
            "Host": target.netloc,
            "Content-Type": "application/json",
            "User-Agent": f"mapreduce/{version('mapreduce')}",
            "Connection": "close",
        }
        for name, value in self.headers.items():
            found[name] = value.reveal() if isinstance(value, Secret) else value
            if not _is_header_value(found[name]):
                raise SinkRefused(
                    f"{value!r} holds no text for the header {name}.",
                    hint="A header's value is one line of ASCII.",
                )
        return found

    def _post(
        self,
        exchange: Exchange,
        context: ssl.SSLContext | None,
        target: _Target,
        body: bytes,
        headers: dict[str, str],
    ) -> None:
        check = partial(_check, target=target, allow_private=self.allow_private)
        connection = exchange.connect(check)
        if context is not None:
            connection = exchange.secured(connection, context)
        http = _Connection(target.host, connection)
        http.request("POST", target.path, body, headers)
        with http.getresponse() as response:
            if not 200 <= response.status <= 299:
                raise _refusal(target, response)


class _Connection(HTTPConnection):
    """HTTP over a connection that there is, to an address that was checked; it opens no other."""

    auto_open = 0

    def __init__(self, host: str, connection: socket.socket) -> None:
        super().__init__(host, 80)
        self.sock = connection


# ---------------------------------------------------------------- where to


@dataclass(frozen=True)
class _Target:
    host: str
    port: int
    secure: bool
    netloc: str
    path: str
    """With the query, which may hold a token."""
    shown: str
    """For messages."""
    discreet: bool
    """What is answered may repeat a secret part of the URL, so it is not quoted."""


def _target(url: Any, allow_private: bool, secret: Secret | None = None) -> _Target:
    """The parts of a URL. Raises JobError, which quotes neither its query, nor anything of a secret one."""
    what = f"Webhook({secret!r})" if secret else "Webhook: url"
    if type(url) is not str or not _SAFE_URL.match(url) or "\\" in url:
        raise JobError(
            f"{what} is no URL of printable ASCII.", hint='Give text such as "https://example.org/hook".'
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise JobError(f"{what} is no valid URL.", hint="Look at its host and port.") from None
    _check_parts(parts, what, allow_private)
    try:
        host = checked_host(parts.hostname or "", what)
        port = checked_port(_usual_port(parts) if port is None else port, what)
    except JobError as error:
        raise JobError(f"{what} has no valid host or port.", hint=error.hint) from None
    netloc = parts.netloc.removesuffix(":")
    shown = f"{parts.scheme}://{netloc}" + ("" if secret else parts.path)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(host, port, parts.scheme == "https", netloc, path, shown, bool(secret or parts.query))


def _usual_port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _check_parts(parts: SplitResult, what: str, allow_private: bool) -> None:
    if parts.scheme not in ("https", "http"):
        raise JobError(f"{what} is not https.", hint='Give a URL that begins with "https://".')
    if parts.scheme == "http" and not allow_private:
        raise JobError(
            f"{what} is http, which anybody on the way can read and change.",
            hint="Give a URL with https; or, within a private network, allow_private=True.",
        )
    if "@" in parts.netloc:
        raise JobError(
            f"{what} has a user or a password in it.",
            hint='Give them as a header: headers={"Authorization": Secret.env("NAME")}.',
        )
    if parts.fragment:
        raise JobError(f"{what} has a fragment.", hint="Leave out the '#' and what follows.")


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


_PRIVATE = _networks(
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"
)  # fmt: skip
"""Loopback, private, behind a carrier's NAT: for `allow_private`."""
_NEVER = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128",
    "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)  # fmt: skip
"""This network, link-local, for protocols, documentation and benchmarks, 6to4 and Teredo, multicast,
reserved (RFC 6890 and IANA's registries of special addresses); clouds' services of metadata."""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""The one part of IPv6 that is given out for the internet."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def kind_of(address: Address) -> str:
    """Whose an address is: "public", "private" or "special". One that carries an IPv4 address is of its
    kind.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return kind_of(address.ipv4_mapped)
        if address in _NAT64:
            return kind_of(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    if any(address in network for network in _NEVER):
        return "special"
    if any(address in network for network in _PRIVATE):
        return "private"
    return "public" if address.version == 4 or address in _GLOBAL_V6 else "special"


def _check(address: Address, target: _Target, allow_private: bool) -> None:
    kind = kind_of(address)
    if kind == "special" or (kind == "private" and not allow_private):
        raise SinkRefused(
            f"{target.shown} leads to {address}, an address of the sender's own network or of none.",
            hint="Give a public endpoint"
            + ("." if kind == "special" else ", or allow_private=True if it shall be a private one."),
        )
    if kind == "public" and not target.secure:
        raise SinkRefused(
            f"{target.shown} leads to {address}, a public address, by http.", hint="Give a URL with https."
        )


# ---------------------------------------------------------------- what is posted


def payload(facts: dict[str, Any]) -> bytes:
    """The facts as JSON of at most 256,000 bytes.

    If they are more, long texts are cut, and then the longest lists and objects; "shortened" says of each
    how many items it had.
    """
    text = _json(facts)
    return text if len(text) <= _PAYLOAD else _shortened(facts)


def _shortened(facts: dict[str, Any]) -> bytes:
    whole = facts
    facts = {name: _cut(value) for name, value in whole.items()}
    had = {
        name: len(value)
        for name, value in whole.items()
        if isinstance(value, list | dict) and facts[name] != value
    }
    while len(text := _json({**facts, "shortened": had})) > _PAYLOAD:
        sizes = {name: len(_json(value)) for name, value in facts.items() if isinstance(value, list | dict)}
        name = max(sizes, key=lambda one: sizes[one])
        had[name] = len(whole[name])
        facts[name] = _first_half(facts[name])
    return text


def _first_half(value: Any) -> Any:
    half = len(value) // 2
    return dict(list(value.items())[:half]) if isinstance(value, dict) else value[:half]


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, dict):
        return {name: _cut(item) for name, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


def _json(value: Any) -> bytes:
    """Lone surrogates, which strict readers refuse, become question marks."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def signing_key(secret: Secret) -> bytes:
    """Raises SinkError, and SinkRefused for a text that is no key."""
    try:
        found = base64.b64decode(secret.reveal().removeprefix("whsec_").encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        found = b""
    if len(found) < 24:
        raise SinkRefused(
            f"{secret!r} holds no secret of Standard Webhooks.",
            hint='It is "whsec_" and the base64 of 24 bytes or more: '
            "python -c 'import base64, secrets; "
            'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\'',
        )
    return found


def signed(key: str, body: bytes, now: datetime, secret: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0.0: HMAC-SHA256 of "id.timestamp.body"."""
    message_id = as_token(key)
    timestamp = str(int(now.timestamp()))
    content = b".".join([message_id.encode(), timestamp.encode(), body])
    signature = base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def _checked_headers(headers: Any) -> dict[str, str | Secret]:
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise JobError(
            f"Webhook: headers is a {type(headers).__name__}.", hint='Give a dict, {"Name": "value"}.'
        )
    for name, value in headers.items():
        if type(name) is not str or not _HEADER.match(name) or _OURS.match(name):
            raise JobError(
                f"Webhook: the header {name!r}.",
                hint="Give names of letters, digits and '-'; what says host, content or signature is set "
                "by the sink.",
            )
        if _SENSITIVE.search(name):
            is_secret(value, f"Webhook: the header {name}")
        elif not isinstance(value, Secret) and not _is_header_value(value):
            raise JobError(
                f"Webhook: the value of the header {name}.", hint="Give one line of ASCII, or a Secret."
            )
    return dict(headers)


def _is_header_value(value: Any) -> bool:
    return type(value) is str and value.isascii() and value.isprintable()


# ---------------------------------------------------------------- what is answered


def _refusal(target: _Target, response: HTTPResponse) -> SinkError:
    status = response.status
    told = f"{target.shown} answered {status}{'' if target.discreet else _excerpt(response)}."
    if 300 <= status <= 399:
        return SinkRefused(told, hint="Redirects are not followed: give the URL that it leads to.")
    if status in _AGAIN or status >= 500:
        error = SinkError(told, hint="The endpoint can't take it now: look at its own log.")
        error.retry_after = retry_after(response.getheader("Retry-After"), datetime.now(UTC))
        return error
    return SinkRefused(told, hint="The endpoint does not take it: look at the URL, the secret and its log.")


def _excerpt(response: HTTPResponse) -> str:
    """The beginning of the answer's first line; the status counts, whatever becomes of the rest."""
    try:
        body = response.read(_ANSWER)
    except (OSError, HTTPException, ValueError):
        return ""
    line = body.decode("utf-8", "replace").strip().partition("\n")[0].strip()
    return f": {visible(line[:200])}" if line else ""


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, from 0 to 600, that a `Retry-After` asks for, in seconds or as a date; None if it says
    nothing.
    """
    if value is None:
        return None
    value = value.strip()
    if re.match(r"[0-9]{1,15}\Z", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), _LONGEST_WAIT)
