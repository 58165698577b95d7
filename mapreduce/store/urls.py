"""URLs: the one door to fsspec for input."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, cast

from mapreduce.errors import InputDenied, InputError, InputMissing, JobError, MapReduceError
from mapreduce.store import layout
from mapreduce.store.profiles import load_profile, without_secrets


def is_url(path: str) -> bool:
    """Whether a path belongs to fsspec."""
    return "://" in path


def folder_or_url(place: Path | str) -> Path | str:
    """Where a result lies: the URL of a bucket as it is, anything else as a folder."""
    if isinstance(place, Path):
        return place
    local = place.removeprefix("file://")
    return place if is_url(local) else Path(local)


def refuse_password(path: str) -> None:
    """Raise InputError for a URL with a password in it."""
    if is_url(path) and re.search(r"://[^/@]*:[^/@]*@", path):
        shown = re.sub(r"://[^/@]*@", "://…@", path)
        raise InputError(
            f"{shown} has a password in it, which would stand in the manifest and in logs.",
            hint="Give it by the environment, or in a profile: storage_options=NAME.",
        )


def filesystem(url: str, profile: str = "") -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it. Raises InputError, JobError."""
    import fsspec

    options = load_profile(profile)
    try:
        found = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
        return cast("tuple[Any, str]", found)
    except (ImportError, ValueError) as error:
        message = f"{url} can't be opened: {without_secrets(str(error), options)}."
        cause = None if options else error
        raise InputError(message, hint="Install what the scheme needs.") from cause
    except Exception as error:
        if not options:
            raise
        text = without_secrets(f"{type(error).__name__}: {error}", options)
        raise JobError(
            f"{url} can't be opened with the profile {profile!r}: {text}.", hint="Mend the profile."
        ) from None


@contextmanager
def url_errors(url: str, profile: str = "") -> Iterator[None]:
    """Whatever fsspec raises in the block becomes an InputError without a word of the profile."""
    try:
        yield
    except MapReduceError:
        raise
    except OSError as error:
        if not profile:
            raise input_error(url, error) from error
        raise input_error(url, error, load_profile(profile)) from None
    except Exception as error:
        if not profile:
            raise InputError(f"{url} can't be read: {type(error).__name__}: {error}.") from error
        text = without_secrets(f"{type(error).__name__}: {error}", load_profile(profile))
        raise InputError(f"{url} can't be read: {text}.") from None


def input_error(path: str, error: OSError, profile: dict[str, Any] | None = None) -> InputError:
    """The InputError that an OSError means."""
    if isinstance(error, PermissionError):
        return InputDenied(f"{path} may not be read: permission denied.", hint="Change its permissions.")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return InputMissing(f"There is no file {path!r}.", hint="Check the path.")
    reason = without_secrets(str(error.strerror or error), profile or {})
    return InputError(f"{path} can't be read: {reason}.")


def expand_url(url: str, profile: str = "") -> list[str]:
    """The files that a URL, a pattern or a directory means; names with `_` or `.` in front are left out.

    Of a result it is what its manifest names.
    """
    files, path = filesystem(url, profile)
    with url_errors(url, profile):
        if glob.has_magic(path):
            found = _as_named(files, files.glob(path))
            matches = [match for match in found if not files.isdir(match)]
        elif files.isdir(path):
            found = _as_named(files, files.find(path))
            matches = [match for match in found if not _hidden_below(match, path)]
        else:
            return [url]
    _, chain, rest = url.partition("::")
    shown = (match for match in matches if not hidden(match.rsplit("/", 1)[-1]))
    return [files.unstrip_protocol(match) + chain + rest for match in shown]


def hidden(name: str) -> bool:
    """Whether patterns and directories leave a name out."""
    return name.startswith(("_", "."))


def _hidden_below(match: str, top: str) -> bool:
    return any(map(hidden, match.removeprefix(top).strip("/").split("/")))


def _as_named(files: Any, found: Iterable[str]) -> list[str]:
    """Of what was found below a folder with a manifest, and of parts anywhere, what a manifest names."""
    found = list(found)
    tops = {match.rpartition("/")[0] for match in found if match.endswith(f"/{layout.MANIFEST}")}

    @cache
    def named(folder: str) -> set[str]:
        try:
            parts = json.loads(files.cat_file(f"{folder}/{layout.MANIFEST}"))["parts"]
            return {f"{folder}/{part['name'].rpartition('/')[2]}" for part in parts}
        except FileNotFoundError:
            return set()
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder}/{layout.MANIFEST} can't be read ({type(error).__name__}: {error}).",
                hint="Run `mapreduce verify` on that folder.",
            ) from error

    def is_visible(match: str) -> bool:
        folders = list(accumulate(match.split("/")[:-1], "{}/{}".format))
        is_part = layout.writer_of(match.rpartition("/")[2]) is not None
        top = next(filter(tops.__contains__, folders), folders[-1] if is_part and folders else None)
        return top is None or match in named(top)

    return list(filter(is_visible, found))


def url_info(url: str, profile: str) -> tuple[int, str]:
    """Size and fingerprint of the object behind a URL. Raises InputError."""
    files, path = filesystem(url, profile)
    with url_errors(url, profile):
        return _identity(files.info(path))


def _identity(info: dict[str, Any]) -> tuple[int, str]:
    names = ("ETag", "etag", "e_tag", "mtime", "LastModified", "last_modified", "updated", "created")
    marks = [str(info[name]) for name in names if info.get(name)]
    size = info.get("size")
    if size is None:
        raise InputError(
            f"{info.get('name')} has no known size.", hint="Copy it to a store that tells sizes."
        )
    return int(size), ":".join([str(size), *marks[:1]])


def url_head(url: str, profile: str, length: int) -> bytes:
    """The first bytes behind a URL. Raises InputError."""
    files, path = filesystem(url, profile)
    with url_errors(url, profile):
        return cast(bytes, files.cat_file(path, start=0, end=length))


def open_url(url: str, profile: str) -> tuple[BinaryIO, object]:
    """The bytes behind a URL as a seekable stream, and what must live as long as it. Raises InputError."""
    files, path = filesystem(url, profile)
    with url_errors(url, profile):
        return cast(BinaryIO, files.open(path, "rb")), files
