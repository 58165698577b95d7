"""Requests to a bucket of S3, or of what speaks its language, by s3fs.

s3fs and botocore try again by themselves, out of sight; here they don't: how often, and for how long, is the
business of `patience`. aiohttp alone may send a request once more, when a connection breaks under it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, BinaryIO, cast
from weakref import WeakValueDictionary

from mapreduce.errors import JobError, MapReduceError, StorageError
from mapreduce.protocols import Capabilities
from mapreduce.store.local import short_read
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import Patience
from mapreduce.store.profiles import load_profile, without_secrets
from mapreduce.store.s3errors import answered, meaning

LARGEST_PUT = 5 << 30
"""Bytes of one put, by S3's rules."""
TOGETHER = 8
"""Requests of one step that are on their way at once."""
_TOKEN = "mapreduce-token"
"""The metadata by which a writer knows its own object."""
_CONFIG = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 4 * TOGETHER,
    # Checksums in trailers are unknown to many servers; bodies are signed, and segments have digests.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
"""Of botocore, unless the profile says otherwise."""
_URL = "Write s3://bucket/prefix, and give keys by the environment or in a profile."
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+\Z")
_NO_PREFIX = re.compile(r"[?#\0]|^/|//|(^|/)\.\.?(/|$)")


def open_bucket(url: str, profile: str, patience: Patience) -> ObjectStore:
    """The store of `s3://bucket/prefix`. Raises JobError for what is no such URL, or if s3fs is missing."""
    name, prefix = _parts(url)
    shown = f"s3://{name}/{prefix}".rstrip("/")
    capabilities = Capabilities("S3", wait_by="read", largest_put=LARGEST_PUT, paid=True, together=TOGETHER)
    bucket = _shared(name, profile)
    return ObjectStore(bucket, shown, prefix and f"{prefix}/", capabilities, patience=patience)


_SHARED: WeakValueDictionary[tuple[str, ...], S3Bucket] = WeakValueDictionary()
_SHARING = Lock()


def _shared(name: str, profile: str) -> S3Bucket:
    """One for all stores on a bucket, while any of them is there: a client costs what thirty requests do.

    It is another one where what leads there has changed: the profile, or the environment.
    """
    options = load_profile(profile)
    led = sorted(f"{variable}={value}" for variable, value in os.environ.items() if variable[:4] == "AWS_")
    key = (name, profile, repr(options), *led)
    with _SHARING:
        bucket = _SHARED.get(key)
        if bucket is None:
            bucket = _SHARED[key] = S3Bucket(name, options, profile)
        return bucket


def _parts(url: str) -> tuple[str, str]:
    path = url.partition("://")[2]
    if "@" in path.partition("/")[0]:
        raise JobError("A store's URL has keys in it, which would stand in logs.", hint=_URL)
    bucket, _, prefix = path.partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.match(bucket) or _NO_PREFIX.search(prefix):
        raise JobError("A URL that begins with s3:// is not that of a store.", hint=_URL)  # it may hold keys
    return bucket, prefix


class S3Bucket:
    """A `mapreduce.store.objects.Bucket`. A fork is noticed: the child gets a client of its own."""

    def __init__(self, name: str, options: dict[str, Any], profile: str = "") -> None:
        """options: keyword arguments of s3fs. Raises JobError if it is missing or does not take them."""
        self._name = name
        self._options = options
        self._profile = profile
        self._process = os.getpid()
        self._files = self._opened()
        self._inherited: list[Any] = []
        """Clients of a parent process; if they ended here they would close its connections."""

    def _opened(self) -> Any:
        import fsspec

        config = {**_CONFIG, **self._options.get("config_kwargs", {}), "retries": {"total_max_attempts": 1}}
        options = {**self._options, "config_kwargs": config}
        options |= {"use_listings_cache": False, "skip_instance_cache": True}
        try:
            if "session" not in options:
                options["session"] = _session(options.pop("profile", None))
            files = fsspec.filesystem("s3", **options)
        except ImportError:
            raise JobError(
                f"s3://{self._name} needs the package s3fs, which can't be imported.",
                hint="Install it: pip install 'mapreduce[s3]'.",
            ) from None
        except (TypeError, ValueError) as error:
            text = without_secrets(f"{type(error).__name__}: {error}", self._options)
            raise JobError(
                f"s3://{self._name} can't be opened with the profile {self._profile!r}: {text}.",
                hint="Mend the profile.",
            ) from None
        files.retries = 1
        return files

    def _client(self) -> Any:
        if self._process != os.getpid():
            self._inherited.append(self._files)
            self._files, self._process = self._opened(), os.getpid()
        return self._files

    def _call(self, request: str, **arguments: Any) -> dict[str, Any]:
        answer = self._client().call_s3(request, Bucket=self._name, **arguments)
        return cast("dict[str, Any]", answer)

    def get(self, key: str, start: int, end: int | None) -> bytes:
        whole = not start and end is None
        wanted = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with self._asking("read", key):
            try:
                answer = self._call("get_object", Key=key, **wanted)
            except OSError as error:
                if answered(error)[1] == 416:  # the object is there, and ends before `start`
                    return b""
                raise
            data = self._body(answer)
        # A server may answer with status 200 and a range all the same: what it gave is what counts.
        if not whole and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            raise StorageError(
                f"{self._where(key)} came whole where a range was asked for.",
                hint="The server does not know ranges: take another store.",
            )
        if len(data) != answer.get("ContentLength", len(data)):
            raise short_read(self._where(key), start, int(answer["ContentLength"]), len(data))
        return data

    def _body(self, answer: dict[str, Any]) -> bytes:
        from fsspec.asyn import sync

        stream = answer["Body"]
        try:
            return cast(bytes, sync(self._files.loop, stream.read))
        finally:
            stream.close()

    def put(self, key: str, body: bytes | BinaryIO, *, exclusive: bool, token: str = "") -> None:
        with self._asking("write", key):
            self._call("put_object", Key=key, Body=body, **_condition(exclusive), **_metadata(token))

    def token(self, key: str) -> str:
        with self._asking("look at", key):
            answer = self._call("head_object", Key=key)
        return str(answer.get("Metadata", {}).get(_TOKEN, ""))

    def delete(self, key: str) -> None:
        with self._asking("delete", key):
            self._call("delete_object", Key=key)

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        follow = {"ContinuationToken": after} if after else {}
        with self._asking("list", prefix):
            answer = self._call("list_objects_v2", Prefix=prefix, **follow)
        keys = [found["Key"] for found in answer.get("Contents", ())]
        return keys, answer.get("NextContinuationToken", "") if answer.get("IsTruncated") else ""

    def begin(self, key: str, token: str) -> str:
        with self._asking("write", key):
            answer = self._call("create_multipart_upload", Key=key, **_metadata(token))
        return str(answer["UploadId"])

    def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        with self._asking("write", key):
            answer = self._call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body)
        return str(answer["ETag"])

    def complete(self, key: str, upload: str, tags: list[str], *, exclusive: bool) -> None:
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        with self._asking("write", key):
            self._call(
                "complete_multipart_upload",
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **_condition(exclusive),
            )

    def abandon(self, key: str, upload: str) -> None:
        with self._asking("write", key):
            self._call("abort_multipart_upload", Key=key, UploadId=upload)

    @contextmanager
    def _asking(self, action: str, key: str) -> Iterator[None]:
        """Whatever the client raises is told in words of ours: its own may quote keys and addresses."""
        try:
            yield
        except MapReduceError:
            raise
        except Exception as error:  # noqa: BLE001 - there is no list of what s3fs, botocore and aiohttp raise
            told = meaning(action, self._where(key), error)
        else:
            return
        raise told from told.__cause__

    def _where(self, key: str) -> str:
        return f"s3://{self._name}/{key}"


def _session(profile: str | None) -> Any:
    """A session that leaves dates as text: to parse them is half of a list's cost, and nobody reads them."""
    from aiobotocore.session import AioSession

    session = AioSession(profile=profile)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return session


def _condition(exclusive: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if exclusive else {}


def _metadata(token: str) -> dict[str, dict[str, str]]:
    return {"Metadata": {_TOKEN: token}} if token else {}
