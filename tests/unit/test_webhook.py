"""The webhook: what it posts and how it is signed, where it posts to, and what its arguments may be."""

from __future__ import annotations

import base64
import ipaddress
import json
import pickle
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from endpoints import Authority, answering, endpoint, set_news
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from mapreduce import JobSetResult, Secret, Webhook
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.sinks.webhook import kind_of, payload, retry_after

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections went; each is refused, so that nothing leaves this machine."""
    places: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        places.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return places


def webhook(url: str | Secret, **options: Any) -> Webhook:
    return Webhook(url, secret=Secret.env("HOOK"), **options)


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A resolver that gives these answers one after the other, and nothing after the last one; addresses
    stay what they are.
    """
    asked: list[str] = []
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            asked.append(host)
            found = answers[len(asked) - 1]
            return [entry for one in found for entry in system(one, port, type=socket.SOCK_STREAM)]
        return system(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


# ---------------------------------------------------------------- what is posted


def test_what_is_posted_verifies_and_is_the_same_when_it_is_posted_again(own_folder: Path) -> None:
    news = set_news(own_folder / "set")
    with endpoint(answering(204)) as server:
        hook = webhook(
            f"http://127.0.0.1:{server.port}/hook?a=1", allow_private=True, headers={"X-Team": "data"}
        )
        hook.deliver(JobSetResult.load(own_folder / "set"), KEY)
        hook.tell(news, KEY)
    first, again = server.requests
    assert first.line == "POST /hook?a=1 HTTP/1.1"
    assert first.headers["host"] == f"127.0.0.1:{server.port}"
    assert (first.headers["content-type"], first.headers["x-team"]) == ("application/json", "data")
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == KEY
    assert first.body == again.body
    assert Verifier(SECRET).verify(first.body, first.headers) == news.facts
    assert json.loads(first.body)["event"] == "jobset.failed"
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(first.body + b" ", first.headers)


def test_a_key_that_is_no_token_becomes_one(own_folder: Path) -> None:
    with endpoint(answering(200)) as server:
        webhook(f"http://127.0.0.1:{server.port}", allow_private=True).tell(
            set_news(own_folder / "set"), "a\r\nX-Injected: 1"
        )
    (request,) = server.requests
    assert "x-injected" not in request.headers
    assert len(request.headers["webhook-id"]) == 64
    Verifier(SECRET).verify(request.body, request.headers)


def test_a_url_and_headers_by_reference(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(answering(200)) as server:
        monkeypatch.setenv("URL", f"http://127.0.0.1:{server.port}/services/T0/token")
        monkeypatch.setenv("TOKEN", "Bearer opensesame")
        hook = webhook(Secret.env("URL"), allow_private=True, headers={"Authorization": Secret.env("TOKEN")})
        assert set(hook.secrets) == {Secret.env("URL"), Secret.env("HOOK"), Secret.env("TOKEN")}
        hook.tell(set_news(own_folder / "set"), KEY)
    (request,) = server.requests
    assert request.line == "POST /services/T0/token HTTP/1.1"
    assert request.headers["authorization"] == "Bearer opensesame"


def test_it_uses_no_proxy_of_the_environment(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(answering(200)) as proxy, endpoint(answering(200)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        webhook(f"http://127.0.0.1:{server.port}", allow_private=True).tell(set_news(own_folder / "set"), KEY)
    assert (len(server.requests), len(proxy.requests)) == (1, 0)


def test_facts_within_the_limit_are_posted_as_they_are() -> None:
    facts = {"event": "run.failed", "errors": [{"message": "x" * 100_000}] * 2}
    assert json.loads(payload(facts)) == facts


@pytest.mark.parametrize(
    ("facts", "shortened", "first"),
    [
        (
            {"jobs": [{"name": f"job-{n}", "text": "x" * 100} for n in range(10_000)]},
            {"jobs": 10_000},
            "job-0",
        ),
        ({"errors": [{"name": "why", "details": "x" * 1_000_000}]}, {"errors": 1}, "why"),
        (
            {"parts": ["p" * 90] * 9_000, "jobs": [{"name": "job-0"}], "counters": {}},
            {"parts": 9_000},
            "job-0",
        ),
        (
            {"counters": {f"c{n}": n for n in range(30_000)}, "jobs": [{"name": "a"}]},
            {"counters": 30_000},
            "a",
        ),
    ],
    ids=["many jobs", "long text", "many parts", "many counters"],
)
def test_a_payload_that_is_too_large_is_shortened_and_says_so(
    facts: dict[str, Any], shortened: dict[str, int], first: str
) -> None:
    text = payload({"event": "jobset.failed", **facts})
    found = json.loads(text)
    assert len(text) <= 256_000
    assert found["shortened"] == shortened
    assert found["event"] == "jobset.failed"
    assert (found.get("jobs") or found.get("errors"))[0]["name"] == first


def test_lone_surrogates_are_not_posted() -> None:
    assert json.loads(payload({"key": "a\ud800b"})) == {"key": "a?b"}


# ---------------------------------------------------------------- where to

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1", "172.32.0.1"]
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
]  # fmt: skip
SPECIAL = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "100.100.100.200", "168.63.129.16", "::", "::127.0.0.1", "fe80::1", "fec0::1", "ff02::1",
    "fd00:ec2::254", "fd20:ce::254", "2001:db8::1", "2001::1", "2002:7f00:1::", "2002:101:101::",
    "64:ff9b:1::1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "100::1", "3fff::1",
]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        *((one, "public") for one in PUBLIC),
        *((one, "private") for one in PRIVATE),
        *((one, "special") for one in SPECIAL),
    ],
)
def test_whose_an_address_is(address: str, kind: str) -> None:
    assert kind_of(ipaddress.ip_address(address)) == kind


FORMS = [
    # (URL, what the resolver says of a name)
    ("https://127.0.0.1/", []),
    ("https://127.0.0.1:8443/hook", []),
    ("https://127.1/", []),
    ("https://127.0.1/", []),
    ("https://0/", []),
    ("https://0.0.0.0/", []),
    ("https://2130706433/", []),
    ("https://017700000001/", []),
    ("https://0177.0.0.1/", []),
    ("https://0x7f000001/", []),
    ("https://0x7f.0x0.0x0.0x1/", []),
    ("https://0x7F.1/", []),
    ("https://[::1]/", []),
    ("https://[::]/", []),
    ("https://[::ffff:127.0.0.1]/", []),
    ("https://[::ffff:7f00:1]/", []),
    ("https://[::127.0.0.1]/", []),
    ("https://[64:ff9b::127.0.0.1]/", []),
    ("https://[2002:7f00:1::]/", []),
    ("https://[fe80::1%25lo]/", []),
    ("https://[fd00:ec2::254]/latest/meta-data/", []),
    ("https://169.254.169.254/latest/meta-data/", []),
    ("https://169.254.169.254./", []),
    ("https://2852039166/", []),
    ("https://10.0.0.1/", []),
    ("https://192.168.0.1/", []),
    ("https://100.64.0.1/", []),
    ("https://224.0.0.1/", []),
    ("https://localhost/", ["127.0.0.1"]),
    ("https://LOCALHOST:443/", ["::1"]),
    ("https://localhost./", ["127.0.0.1"]),
    ("https://metadata.google.internal/", ["169.254.169.254"]),
    ("https://inside.example.org/", ["1.1.1.1", "10.0.0.1"]),
    ("https://sixth.example.org/", ["fe80::1"]),
    ("https://example.org@127.0.0.1/", []),
    ("https://127.0.0.1@example.org/", []),
    ("https://user:opensesame@example.org/", []),
    ("https://example.org\\@127.0.0.1/", []),
    ("https://example.org#@127.0.0.1/", []),
    ("https://127.0.0.1\t/", []),
    ("https://127.0.0.1%2f@example.org/", []),
    ("https://%31%32%37.0.0.1/", []),
    ("https://①②⑦.0.0.1/", []),
    ("https://127。0。0。1/", []),
    ("https:///127.0.0.1/", []),
    ("https:127.0.0.1", []),
    ("//127.0.0.1/", []),
    ("http://example.org/", []),
    ("HTTP://example.org/", []),
    ("ftp://example.org/", []),
    ("file:///etc/passwd", []),
    ("gopher://127.0.0.1:25/_HELO", []),
    ("https://example.org:0/", []),
    ("https://example.org:99999/", []),
    ("https://example.org:x/", []),
    ("https://exa mple.org/", []),
    ("https://[::1/", []),
    ("https://example.org/a\r\nHost: x", []),
]  # fmt: skip


@pytest.mark.covers("Q13", "58 forms of URLs that lead to no public https endpoint")
@pytest.mark.parametrize(("url", "answer"), FORMS, ids=[str(number) for number in range(len(FORMS))])
def test_forms_that_lead_nowhere_public_are_refused_before_any_connection(
    url: str, answer: list[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    news = set_news(own_folder / "set")
    names(monkeypatch, answer)
    with pytest.raises((JobError, SinkRefused)) as caught:
        webhook(url).tell(news, KEY)
    assert connected == []
    assert caught.value.hint
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://1.1.1.1/", "https://[2606:4700::1111]/x", "https://example.org/x?y"]
)
def test_public_endpoints_are_connected_to(
    url: str, own_folder: Path, monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    names(monkeypatch, ["93.184.216.34"])
    with pytest.raises(SinkError, match="was not reached") as caught:
        webhook(url).tell(set_news(own_folder / "set"), KEY)
    assert type(caught.value) is SinkError
    assert len(connected) == 1


@pytest.mark.covers("Q13", "DNS rebinding: public when it is checked, private when it is connected to")
def test_a_name_is_looked_up_once_and_its_address_is_the_one_that_is_connected_to(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    asked = names(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(SinkError, match="was not reached"):
        webhook("https://rebinding.example.org/").tell(set_news(own_folder / "set"), KEY)
    assert (asked, connected) == (["rebinding.example.org"], ["93.184.216.34"])


@pytest.mark.covers("Q13", "a name whose address changes while it is posted to: SNI and certificate by name")
def test_the_certificate_is_checked_against_the_name_not_the_address(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.at(own_folder / "ca.pem")
    asked = names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    with endpoint(answering(200), authority.server("hooks.example.org")) as server:
        webhook(
            f"https://hooks.example.org:{server.port}/x", allow_private=True, ca_file=authority.file
        ).tell(set_news(own_folder / "set"), KEY)
    assert asked == ["hooks.example.org"]
    assert server.requests[0].headers["host"] == f"hooks.example.org:{server.port}"


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1"])
def test_allow_private_allows_no_metadata_nor_special_addresses(
    address: str, own_folder: Path, connected: list[Any]
) -> None:
    with pytest.raises(SinkRefused, match=f"leads to {address}"):
        webhook(f"http://{address}/", allow_private=True).tell(set_news(own_folder / "set"), KEY)
    assert connected == []


def test_http_stays_within_private_networks(own_folder: Path, connected: list[Any]) -> None:
    news = set_news(own_folder / "set")
    with pytest.raises(SinkRefused, match="a public address, by http"):
        webhook("http://1.1.1.1/", allow_private=True).tell(news, KEY)
    assert connected == []
    with pytest.raises(SinkError, match="was not reached"):
        webhook("http://10.0.0.1/", allow_private=True).tell(news, KEY)
    assert connected == ["10.0.0.1"]


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"secret": "whsec_abc"}, "secret is a str, not a Secret"),
        ({"allow_private": 1}, "allow_private=1"),
        ({"headers": ["a"]}, "headers is a list"),
        ({"headers": {"Host": "x"}}, "the header 'Host'"),
        ({"headers": {"webhook-id": "x"}}, "the header 'webhook-id'"),
        ({"headers": {"Content-Length": "1"}}, "the header 'Content-Length'"),
        ({"headers": {"X y": "x"}}, "the header 'X y'"),
        ({"headers": {"X\r\nY": "x"}}, "the header"),
        ({"headers": {"X": "a\r\nY: b"}}, "the value of the header X"),
        ({"headers": {"X": "ä"}}, "the value of the header X"),
        ({"headers": {"Authorization": "Bearer opensesame"}}, "is a str, not a Secret"),
        ({"headers": {"X-Api-Key": "opensesame"}}, "is a str, not a Secret"),
        ({"ca_file": 3}, "ca_file=3"),
        ({"name": "a b"}, "name="),
        ({"patience": -1}, "patience="),
    ],
)
def test_arguments_are_checked_when_it_is_made(options: dict[str, Any], told: str) -> None:
    with pytest.raises(JobError, match=told) as caught:
        Webhook("https://example.org", **{"secret": Secret.env("HOOK"), **options})
    assert "opensesame" not in str(caught.value)


def test_neither_repr_nor_pickle_holds_a_secret() -> None:
    hook = webhook("https://example.org/hook?token=opensesame")
    assert repr(hook) == "Webhook('https://example.org/hook', name='webhook')"
    by_reference = webhook(Secret.env("URL"))
    assert repr(by_reference) == "Webhook(Secret.env('URL'), name='webhook')"
    data = pickle.dumps(by_reference)
    assert SECRET.encode() not in data
    assert repr(pickle.loads(data)) == repr(by_reference)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HOOK", "", "no HOOK"),
        ("HOOK", "opensesame", "holds no secret of Standard Webhooks"),
        ("HOOK", "whsec_b3BlbnNlc2FtZQ==", "holds no secret of Standard Webhooks"),
        ("HOOK", "öffne dich", "holds no secret of Standard Webhooks"),
        ("URL", "http://opensesame.example.org/", "is http"),
        ("URL", "https://u:opensesame@example.org/", "has a user or a password"),
        ("URL", "https://example.org:opensesame/", "no valid URL"),
        ("URL", "https://opensesame.1/", "no valid host"),
        ("TOKEN", "opensesame\r\nX: y", "holds no text for the header X-Token"),
    ],
)
def test_secrets_that_are_of_no_use_are_told_without_being_quoted(
    variable: str,
    value: str,
    told: str,
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    connected: list[Any],
) -> None:
    monkeypatch.setenv("URL", "https://1.1.1.1/")
    monkeypatch.setenv("TOKEN", "t")
    monkeypatch.setenv(variable, value)
    hook = webhook(Secret.env("URL"), headers={"X-Token": Secret.env("TOKEN")})
    with pytest.raises(SinkError, match=told) as caught:
        hook.tell(set_news(own_folder / "set"), KEY)
    assert "opensesame" not in str(caught.value)
    assert caught.value.hint
    assert connected == []


def test_a_ca_file_that_is_none(own_folder: Path, connected: list[Any]) -> None:
    news = set_news(own_folder / "set")
    (own_folder / "no.pem").write_text("no certificate")
    for path in ("missing.pem", "no.pem"):
        with pytest.raises(SinkRefused, match=f"ca_file {path} can't be read"):
            webhook("https://1.1.1.1/", ca_file=path).tell(news, KEY)


# ---------------------------------------------------------------- Retry-After

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 30 ", 30.0),
        ("100000", 600.0),
        ("9" * 400, None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=1), usegmt=True), 600.0),
        ("Thu, 01 Jan 2026 00:00:10 -0000", 10.0),
        ("Thu, 99 Jan 2026 00:00:10 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
