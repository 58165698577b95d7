"""S3 without a server: what its errors mean, what the client is told, and what nobody must read."""

from __future__ import annotations

import errno
import io
import os
import traceback
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import botocore.exceptions
import fsspec
import pytest
from botocore.exceptions import ClientError
from fsspec.exceptions import FSTimeoutError

from mapreduce.errors import JobError, MapReduceError, StorageError
from mapreduce.store import open_store
from mapreduce.store.patience import Patience, may_pass
from mapreduce.store.s3 import S3Bucket, open_bucket
from mapreduce.store.s3errors import meaning

CANARY = "c4n4ry-s3cr3t"


def answer(status: int, code: str) -> OSError:
    """As s3fs tells an answer of the server."""
    said = {"Error": {"Code": code, "Message": CANARY}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = FileNotFoundError(CANARY) if status == 404 else OSError(errno.EINVAL, CANARY)
    error.__cause__ = ClientError(said, "GetObject")
    return error


UNREACHABLE = botocore.exceptions.EndpointConnectionError(endpoint_url=CANARY)
PASSES = [
    answer(503, "SlowDown"),
    answer(503, "ServiceUnavailable"),
    answer(503, ""),
    answer(200, "SlowDown"),
    answer(200, "InternalError"),
    answer(429, "TooManyRequests"),
    answer(429, "429"),
    answer(409, "ConditionalRequestConflict"),
    answer(409, "OperationAborted"),
    answer(500, "InternalError"),
    answer(502, ""),
    answer(504, ""),
    answer(599, "Strange"),
    answer(400, "RequestTimeout"),
    answer(400, "IncompleteBody"),
    UNREACHABLE,
    botocore.exceptions.ConnectTimeoutError(endpoint_url=CANARY),
    botocore.exceptions.ReadTimeoutError(endpoint_url=CANARY),
    botocore.exceptions.ConnectionClosedError(endpoint_url=CANARY),
    botocore.exceptions.HTTPClientError(error=CANARY),
    aiohttp.ClientPayloadError(CANARY),
    aiohttp.ServerDisconnectedError(CANARY),
    FSTimeoutError(CANARY),
    TimeoutError(CANARY),
    ConnectionResetError(errno.ECONNRESET, CANARY),
]
STAYS = [
    answer(403, "AccessDenied"),
    answer(403, "SignatureDoesNotMatch"),
    answer(403, "RequestTimeTooSkewed"),
    answer(400, "InvalidArgument"),
    answer(400, "EntityTooLarge"),
    answer(404, "NoSuchBucket"),
    answer(404, "NoSuchUpload"),
    answer(404, ""),
    answer(501, "NotImplemented"),
    answer(507, "QuotaExceeded"),
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.ProfileNotFound(profile=CANARY),
    botocore.exceptions.ParamValidationError(report=CANARY),
    RuntimeError(CANARY),
]


def named(errors: list[Any]) -> list[Any]:
    return [pytest.param(error, id=f"{type(error).__name__}-{n}") for n, error in enumerate(errors)]


@pytest.mark.covers("S3", "409, 429, 500, 502, 503, 504, time-outs and resets as a bucket tells them")
@pytest.mark.parametrize("error", named(PASSES))
@pytest.mark.parametrize("action", ["read", "write", "list", "delete", "look at"])
def test_what_may_be_tried_again(action: str, error: Exception) -> None:
    told = meaning(action, "s3://bucket/a", error)
    assert isinstance(told, StorageError), "never a missing object"
    assert may_pass(told)
    assert "s3://bucket/a" in told.message
    assert CANARY not in str(told.to_plain())


@pytest.mark.parametrize("error", named(STAYS))
def test_what_stays(error: Exception) -> None:
    told = meaning("read", "s3://bucket/a", error)
    assert isinstance(told, StorageError), "never a missing object"
    assert not may_pass(told)
    assert CANARY not in str(told.to_plain())


def test_what_is_missing_and_what_is_taken() -> None:
    assert isinstance(meaning("read", "a", answer(404, "NoSuchKey")), FileNotFoundError)
    assert isinstance(meaning("look at", "a", answer(404, "404")), FileNotFoundError)
    for action in ("write", "list", "delete"):
        assert isinstance(meaning(action, "a", answer(404, "NoSuchKey")), StorageError)
    for code in ("PreconditionFailed", ""):
        assert isinstance(meaning("write", "a", answer(412, code)).__cause__, FileExistsError)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (answer(503, "SlowDown"), "Can't read a: it asks to slow down (503 SlowDown).", ""),
        (answer(403, "AccessDenied"), "Can't read a: access is denied (403 AccessDenied).", "Check keys"),
        (answer(403, "RequestTimeTooSkewed"), "(403 RequestTimeTooSkewed).", "The clock of this host"),
        (answer(404, "NoSuchBucket"), "there is no such bucket (404 NoSuchBucket)", "Make the bucket"),
        (answer(400, f"<{CANARY}>"), "the server refuses the request (400).", ""),
        (
            UNREACHABLE,
            "the server can't be reached (EndpointConnectionError).",
            "Check the `endpoint_url`",
        ),
    ],
)
def test_messages_say_what_was_answered_and_what_to_do(error: Exception, message: str, hint: str) -> None:
    told = meaning("read", "a", error)
    assert isinstance(told, StorageError)
    assert message in told.message
    assert told.hint.startswith(hint)


# ---------------------------------------------------------------- the client


class Client:
    """An s3fs that answers every request with `answers` in turn, and notes what it was asked."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.retries = 5
        self.loop = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[Any] = []

    def call_s3(self, request: str, **arguments: Any) -> Any:
        self.asked.append((request, arguments))
        found = self.answers.pop(0) if self.answers else {}
        if isinstance(found, BaseException):
            raise found
        return found


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """Those that are made."""
    made: list[Client] = []

    def filesystem(protocol: str, **options: Any) -> Client:
        assert protocol == "s3"
        made.append(Client(**options))
        return made[-1]

    monkeypatch.setattr(fsspec, "filesystem", filesystem)
    monkeypatch.setattr("mapreduce.store.s3._SHARED", WeakValueDictionary())
    monkeypatch.setattr("fsspec.asyn.sync", lambda loop, function: function())
    return made


def got(data: bytes, length: int | None = None, content_range: str = "") -> dict[str, Any]:
    told = {"ContentRange": content_range} if content_range else {}
    return {"Body": io.BytesIO(data), "ContentLength": len(data) if length is None else length, **told}


def test_a_client_caches_nothing_and_tries_nothing_again(clients: list[Client]) -> None:
    S3Bucket("bucket", {"key": "k", "config_kwargs": {"read_timeout": 5, "retries": {"max_attempts": 9}}})
    (client,) = clients
    assert client.options["use_listings_cache"] is False
    assert client.options["skip_instance_cache"] is True
    assert client.options["config_kwargs"]["retries"] == {"total_max_attempts": 1}
    assert client.options["config_kwargs"]["read_timeout"] == 5
    assert client.options["key"] == "k"
    assert client.retries == 1


def test_stores_on_a_bucket_share_a_client(clients: list[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [open_store(f"s3://bucket/{name}") for name in ("x", "y/z")]
    for store in stores:
        store.delete("a")
    (client,) = clients
    assert [asked["Key"] for _, asked in client.asked] == ["x/a", "y/z/a"]
    stores.append(open_store("s3://other/x"))
    assert len(clients) == 2, "another bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    stores.append(open_store("s3://bucket/x"))
    assert len(clients) == 3, "another server"


def test_a_fork_is_noticed(clients: list[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = S3Bucket("bucket", {})
    bucket.delete("a")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    bucket.delete("b")
    bucket.delete("c")
    assert [len(client.asked) for client in clients] == [1, 2]


def test_an_exclusive_put_is_conditional_also_of_no_bytes(clients: list[Client]) -> None:
    bucket = S3Bucket("bucket", {})
    bucket.put("a", b"", exclusive=True, token="t")
    bucket.put("a", b"x", exclusive=False)
    conditional, plain = (asked for _, asked in clients[0].asked)
    assert conditional["IfNoneMatch"] == "*"
    assert conditional["Metadata"] == {"mapreduce-token": "t"}
    assert plain == {"Bucket": "bucket", "Key": "a", "Body": b"x"}


@pytest.mark.covers("S5", "a bucket gives fewer bytes than it announced, or the whole for a range")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (got(b"1234", length=9), "ends at byte"),
        (got(b"0123456789"), "came whole where a range was asked for"),
        (got(b"0123", content_range="bytes 0-3/10"), "came whole where a range was asked for"),
    ],
)
def test_a_range_that_is_not_what_was_asked_for(
    clients: list[Client], given: dict[str, Any], words: str
) -> None:
    store = open_bucket("s3://bucket/x", "", Patience(1))
    clients[0].answers = [given | ({"ContentRange": "bytes 3-6/10"} if given["ContentLength"] == 9 else {})]
    with pytest.raises(StorageError, match=words):
        store.read("a", 3, 4)


def test_a_whole_object_that_breaks_off_is_an_error(clients: list[Client]) -> None:
    store = open_bucket("s3://bucket/x", "", Patience(1))
    clients[0].answers = [got(b"1234", length=9)]
    with pytest.raises(StorageError) as caught:
        store.read("a")
    assert may_pass(caught.value)


def test_a_range_behind_the_end_is_empty(clients: list[Client]) -> None:
    clients_of = open_bucket("s3://bucket/x", "", Patience(1))
    clients[0].answers = [answer(416, "InvalidRange"), answer(416, "InvalidRange")]
    assert clients_of.read("a", 10) == b""
    with pytest.raises(StorageError, match="ends at byte 10, before 12"):
        clients_of.read("a", 10, 2)


# ---------------------------------------------------------------- URLs and profiles


@pytest.mark.parametrize(
    ("url", "shown", "key"),
    [
        ("s3://bucket", "s3://bucket", "a"),
        ("s3://bucket/", "s3://bucket", "a"),
        ("s3://my.bucket-1/a b/ü/", "s3://my.bucket-1/a b/ü", "a b/ü/a"),
    ],
)
def test_a_url_is_a_bucket_and_a_prefix(clients: list[Client], url: str, shown: str, key: str) -> None:
    store = open_store(url)
    assert store.url == shown
    store.delete("a")
    assert clients[0].asked[0][1]["Key"] == key


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{CANARY}@bucket/x",
        f"s3://key:{CANARY}/of/it@bucket/x",
        f"s3://bucket/x?secret={CANARY}",
        f"s3://bucket/{CANARY}/../y",
        f"s3://bucket//{CANARY}",
        "s3://",
        f"s3:///{CANARY}",
        f"gs://{CANARY}/x",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_words(clients: list[Client], url: str) -> None:
    with pytest.raises(JobError) as caught:
        open_store(url)
    assert CANARY not in told_by(caught.value)
    assert "s3://bucket/prefix" in caught.value.hint


def test_without_s3fs_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(protocol: str, **options: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(JobError, match=r"needs the package s3fs.*pip install 'mapreduce\[s3\]'"):
        open_store("s3://bucket/x")


def test_an_option_that_s3fs_does_not_know_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def picky(protocol: str, **options: Any) -> Any:
        raise TypeError(f"got an unexpected keyword argument {CANARY}")

    monkeypatch.setattr(fsspec, "filesystem", picky)
    with pytest.raises(JobError, match=r"can't be opened with the profile 'mine': TypeError") as caught:
        S3Bucket("bucket", {"secret": CANARY}, "mine")
    assert CANARY not in told_by(caught.value)


# ---------------------------------------------------------------- secrets


def told_by(error: BaseException) -> str:
    """All that a log could say of an error."""
    plain = str(error.to_plain()) if isinstance(error, MapReduceError) else ""
    return plain + repr(error) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("error", named([*PASSES, *STAYS, answer(404, "NoSuchKey"), answer(412, "")]))
def test_no_error_quotes_a_key(
    clients: list[Client], error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("MAPREDUCE_PROFILES", os.path.join(tmp_path, "profiles.toml"))
    with open(os.path.join(tmp_path, "profiles.toml"), "w") as file:
        file.write(f'[mine]\nsecret = "{CANARY}"\nendpoint_url = "http://me:{CANARY}@host"\n')
    store = open_bucket("s3://bucket/x", "mine", Patience(1))
    assert clients[0].options["secret"] == CANARY
    for operation in (
        lambda: store.read("a"),
        lambda: store.create("a", b""),
        lambda: store.put("a", b""),
        lambda: store.list("a"),
        lambda: store.delete("a"),
    ):
        clients[0].answers = [error, error]
        with pytest.raises((StorageError, FileNotFoundError)) as caught:
            operation()
        assert CANARY not in told_by(caught.value)
    assert CANARY not in repr(store) + str(store) + repr(store.capabilities)
