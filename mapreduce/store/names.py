"""Which names an object may have."""

from __future__ import annotations

from mapreduce.errors import StorageError

_NO_PART = frozenset({"", ".", ".."})


def checked_name(name: str, url: str) -> str:
    """The name. Raises StorageError for one that leaves the store, or that has an empty part or "." in it."""
    if "\0" in name or not _NO_PART.isdisjoint(name.split("/")):
        raise StorageError(f"{name!r} is not a name in {url}.")
    return name


def checked_directory(name: str, url: str) -> str:
    """A name whose objects are to be listed; "" is the store itself. Raises StorageError."""
    return name and checked_name(name, url)
