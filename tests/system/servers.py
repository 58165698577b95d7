"""Servers that the tests start: on the loopback, on free ports, ended with the tests however those end."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import quote

BIN = Path(sys.executable).parent
READY = 60.0
"""Seconds within which a server must answer."""
KEY, SECRET, BUCKET = "key-of-the-tests", "secret-of-the-tests", "bucket"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Server:
    """An S3 server that answers, and has the bucket."""

    endpoint: str

    def options(self) -> dict[str, object]:
        """What a profile would hold."""
        return {
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def running(
    command: Sequence[str], is_ready: Callable[[], bool], log: Path, *, user: str | None = None
) -> Iterator[None]:
    """A server in a process group of its own, which is ready. user: who runs it, if another one does."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            cwd=log.parent,
            user=user,
        )
    try:
        _wait_for(is_ready, process, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _wait_for(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.02)  # between two looks at a port


@contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """S3 in Python, in memory."""
    (port,) = free_ports(1)
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, lambda: _connects(port), folder / "moto.log"):
        yield with_bucket(Server(f"http://127.0.0.1:{port}"))


_READY_WITHIN = """
import sys, time
sys.path.insert(0, sys.argv[1])
import servers
while not servers._connects(int(sys.argv[2])):
    time.sleep(0.05)
servers.with_bucket(servers.Server(f"http://127.0.0.1:{sys.argv[2]}"))
"""


@contextmanager
def moto_within(folder: Path, inside: Sequence[str]) -> Iterator[int]:
    """The same on all addresses of a network namespace, whose commands begin so; its port."""
    (port,) = free_ports(1)
    ready = [*inside, sys.executable, "-c", _READY_WITHIN, str(Path(__file__).parent), str(port)]

    def is_ready() -> bool:
        return subprocess.run(ready, timeout=READY, check=False, capture_output=True).returncode == 0

    with running(
        [*inside, str(BIN / "moto_server"), "-H", "0.0.0.0", "-p", str(port)], is_ready, folder / "log"
    ):
        yield port


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """S3 that keeps its objects on disk: master, volume, filer and gateway in one process."""
    names = ("s3", "master", "volume", "filer", "s3.grpc", "master.grpc", "volume.grpc", "filer.grpc")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [str(BIN / "weed"), "-logtostderr=true", "server", f"-dir={folder}", "-filer", "-s3"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=50"]
    command += ["-master.volumeSizeLimitMB=64", f"-s3.config={folder / 's3.json'}", "-s3.iam=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    for name, port in ports.items():
        server, _, grpc = name.partition(".")
        command.append(f"-{server}.port{'.' if grpc else ''}{grpc}={port}")
    with running(command, lambda: _connects(ports["s3"]), folder / "weed.log"):
        yield with_bucket(Server(f"http://127.0.0.1:{ports['s3']}"))


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """S3 that ignores conditions."""
    (port,) = free_ports(1)
    (folder / "served" / BUCKET).mkdir(parents=True)
    command = [str(BIN / "rclone"), "--config", os.devnull, "serve", "s3", str(folder / "served")]
    command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    with running(command, lambda: _connects(port), folder / "rclone.log"):
        yield Server(f"http://127.0.0.1:{port}")


USER, PASSWORD = "tester", "password-of-the-tests"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server that answers."""

    port: int

    def address(self, database: str) -> str:
        """What psycopg connects to."""
        return f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname={database}"

    @property
    def url(self) -> str:
        """What SQLAlchemy connects to, with the password."""
        return f"postgresql+psycopg://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    def query(self, query: str) -> list[Any]:
        """All rows that it gives."""
        import psycopg

        with psycopg.connect(self.address("postgres")) as connection:
            return connection.execute(query).fetchall()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, which does not run as root: as another user then, in a folder of theirs."""
    found = [
        *Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        *map(Path, filter(None, [which("postgres")])),
    ]
    binaries = sorted(path.resolve().parent for path in found)[-1]
    user = "postgres" if os.geteuid() == 0 else None
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "postgres"
        folder.mkdir()
        (folder / "password").write_text(PASSWORD)
        if user:
            os.chmod(top, 0o711)
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = str(folder / "data")
        make = [str(binaries / "initdb"), "-D", data, "-U", USER, "-A", "scram-sha-256", "--no-sync"]
        make += [f"--pwfile={folder / 'password'}", "--no-locale", "-E", "UTF8"]
        subprocess.run(make, check=True, user=user, capture_output=True, cwd=folder, timeout=READY)
        command = [str(binaries / "postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        command += ["-c", "fsync=off", "-c", "synchronous_commit=off"]  # power stays on
        with running(command, lambda: _connects(port), Path(top) / "postgres.log", user=user):
            server = Postgres(port)
            _wait_until_it_answers(server)
            yield server


def _wait_until_it_answers(server: Postgres) -> None:
    """It listens a while before it lets anybody in."""
    import psycopg

    end = time.monotonic() + READY
    while True:
        try:
            psycopg.connect(server.address("postgres")).close()
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
        else:
            return


def with_bucket(server: Server) -> Server:
    """The server, when it has made its bucket: one that has just started may not yet be able to."""
    import s3fs

    files = s3fs.S3FileSystem(**server.options(), use_listings_cache=False, skip_instance_cache=True)
    end = time.monotonic() + READY
    while True:
        try:
            files.call_s3("create_bucket", Bucket=BUCKET)
            files.call_s3("put_object", Bucket=BUCKET, Key="ready", Body=b"x")
            files.call_s3("delete_object", Bucket=BUCKET, Key="ready")
        except FileExistsError:
            continue
        except OSError:
            if time.monotonic() > end:
                raise
        else:
            return server
