"""Real servers of S3's language: answers that get lost, objects in parts, wrong keys, and no server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import servers
from proxy import Proxy, proxying
from servers import BUCKET, Server, free_ports
from test_s3_stores import new_place

from mapreduce.errors import StorageError
from mapreduce.protocols import Capabilities
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import Patience, may_pass
from mapreduce.store.retrying import RetryingStore
from mapreduce.store.s3 import S3Bucket
from mapreduce.testing.stores import run_processes, write_new

pytestmark = pytest.mark.system

CANARY = "c4n4ry-s3cr3t"
PART = 5 << 20
"""Bytes of the smallest part that S3 takes, but for the last one."""


def store_at(options: dict[str, object], *, largest_put: int = 1 << 30) -> ObjectStore:
    """A store with a prefix of its own, which tries nothing twice."""
    url = new_place()
    capabilities = Capabilities("S3", wait_by="read", largest_put=largest_put)
    prefix = url.removeprefix(f"s3://{BUCKET}/") + "/"
    bucket = S3Bucket(BUCKET, options)
    return ObjectStore(bucket, url, prefix, capabilities, patience=Patience(1), part_size=PART)


@pytest.fixture(params=["moto", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


# ---------------------------------------------------------------- lost answers


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxying(server.endpoint) as proxy:
        yield proxy


@pytest.mark.covers("S2", "the answer of a conditional put to a real server is dropped on the way")
def test_a_create_whose_answer_is_lost_is_its_own_success(server: Server, proxy: Proxy) -> None:
    store = store_at({**server.options(), "endpoint_url": proxy.endpoint})
    proxy.losing = b"PUT "
    assert store.create("a", b"mine")
    assert proxy.lost == 1
    assert not store.create("a", b"theirs")
    proxy.losing = b"PUT "
    assert not store.create("a", b"theirs")
    assert proxy.lost == 2
    assert store.read("a") == b"mine"


@pytest.mark.parametrize("used", [False, True], ids=["new connection", "used connection"])
def test_a_new_file_whose_answer_is_lost_is_there(server: Server, proxy: Proxy, used: bool) -> None:
    store = store_at({**server.options(), "endpoint_url": proxy.endpoint})
    if used:  # aiohttp sends a request again when a connection breaks that served before
        store.list()
    proxy.losing = b"PUT "
    write_new(store, "a", b"mine" * 100_000)
    assert proxy.lost == 1
    assert store.read("a") == b"mine" * 100_000


def test_a_read_whose_answer_is_lost_is_tried_again(server: Server, proxy: Proxy) -> None:
    store = RetryingStore(store_at({**server.options(), "endpoint_url": proxy.endpoint}))
    store.put("a", b"x")
    proxy.losing = b"GET "
    assert store.read("a") == b"x"
    assert proxy.lost == 1


# ---------------------------------------------------------------- objects in parts


def uploads(server: Server) -> list[object]:
    import s3fs

    files = s3fs.S3FileSystem(**server.options(), use_listings_cache=False, skip_instance_cache=True)
    return files.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", [])


def test_a_large_file_is_sent_in_parts_and_takes_nobodys_name(server: Server) -> None:
    store = store_at(server.options(), largest_put=PART)
    data = os.urandom(1000) * 12_000
    write_new(store, "a", data, parts=5)
    assert store.read("a") == data
    with pytest.raises(StorageError) as caught:
        write_new(store, "a", data, parts=5)
    assert isinstance(caught.value.__cause__, FileExistsError)
    assert store.list() == ["a"]
    assert uploads(server) == []


def test_an_exception_leaves_no_upload(server: Server) -> None:
    store = store_at(server.options(), largest_put=PART)

    def half() -> None:
        with store.new_file("a") as stream:
            stream.write(bytes(2 * PART))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.list() == []
    assert uploads(server) == []


# ---------------------------------------------------------------- processes


def read_a(store: ObjectStore) -> bytes:
    return store.read("a")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_store_that_was_opened_before_a_fork_serves_in_the_child_and_in_the_parent(server: Server) -> None:
    store = store_at(server.options())
    store.put("a", b"x")
    assert run_processes("fork", [(read_a, (store,)), (read_a, (store,))]) == [b"x", b"x"]
    assert store.read("a") == b"x"


# ---------------------------------------------------------------- keys, addresses


def told_by(error: BaseException) -> str:
    return repr(error) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("wrong", [{"key": CANARY}, {"secret": CANARY}, {"key": CANARY, "token": CANARY}])
def test_wrong_keys_are_a_typed_error_that_does_not_quote_them(
    seaweedfs: Server, wrong: dict[str, object]
) -> None:
    store = store_at({**seaweedfs.options(), **wrong})
    for operation in (lambda: store.read("a"), store.list, lambda: store.create("a", b"x")):
        with pytest.raises(StorageError, match="access is denied") as caught:
            operation()
        assert not may_pass(caught.value)
        assert "keys and rights" in caught.value.hint
        assert CANARY not in told_by(caught.value)


def test_a_server_that_is_gone_is_told_at_once(moto: Server) -> None:
    (port,) = free_ports(1)
    store = store_at({**moto.options(), "endpoint_url": f"http://127.0.0.1:{port}/{CANARY}"})
    for operation in (lambda: store.read("a"), store.list, lambda: store.create("a", b"x")):
        with pytest.raises(StorageError, match="can't be reached") as caught:
            operation()
        assert may_pass(caught.value)
        assert CANARY not in told_by(caught.value)


@pytest.mark.covers("S3", "a server that takes the connection and never answers")
def test_a_server_that_does_not_answer_is_given_up(moto: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {**moto.options(), "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        options["config_kwargs"] = {"read_timeout": 1}
        with pytest.raises(StorageError, match="no answer came in time") as caught:
            store_at(options).read("a")
    assert may_pass(caught.value)


# ---------------------------------------------------------------- the servers themselves

HOLDING = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import servers
with servers.moto(Path(sys.argv[2])) as server:
    print(server.endpoint, flush=True)
    time.sleep(600)
"""


def test_a_server_ends_with_the_tests_also_if_they_are_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        holding = subprocess.Popen(
            [sys.executable, "-c", HOLDING, str(Path(servers.__file__).parent), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(holding.wait)
        stack.callback(holding.kill)
        assert holding.stdout
        stack.callback(holding.stdout.close)
        endpoint = holding.stdout.readline().strip()
        connection = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), 10)
        stack.callback(connection.close)
        holding.send_signal(signal.SIGKILL)
        connection.settimeout(30)
        with pytest.raises((ConnectionError, AssertionError)):
            assert connection.recv(1), "its end closes the connection"
