"""Whether a store keeps its promises, found out with two small objects that are removed again.

A store that lets a second exclusive create win would let two coordinators commit; some servers of
S3's language do, because they ignore the condition. What only shows when several hosts race can't be
seen from one place.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from mapreduce.errors import StorageError, StoreNotSafe
from mapreduce.protocols import Store
from mapreduce.store import layout

_FIRST, _SECOND = b"first", b"second"
_CONDITION = (
    "Take a store that obeys conditional writes (If-None-Match), such as S3 itself or a recent version of "
    "the server; or a shared folder."
)
_BUG = "Take another store, and tell its makers."


@dataclass(frozen=True)
class Finding:
    """A promise, and whether it was kept."""

    check: str
    kept: bool
    seen: str = ""
    """What was seen instead."""
    advice: str = ""


def probe(store: Store, token: str = "") -> tuple[Finding, ...]:
    """Try every operation on names that nobody else has. Leaves nothing behind that it can remove.

    token: a part of the names; by default a random one. Each promise has one finding, in the order in which
    they were tried; where an operation fails the finding says how, and is the last one.
    """
    names = [layout.probe_name(f"{token or secrets.token_hex(8)}-{number}") for number in (1, 2)]
    found: list[Finding] = []
    try:
        for finding in _findings(store, *names):
            found.append(finding)  # noqa: PERF402 - what came before an error is kept
    except (StorageError, FileNotFoundError) as error:
        found.append(_failed(error))
    finally:
        for name in names:
            with suppress(StorageError):  # if it can't delete, a finding says so
                store.delete(name)
    return tuple(found)


def check_store(store: Store) -> None:
    """Raise StoreNotSafe, which names what was seen and what to do, if the store breaks a promise.

    An operation that fails is raised as it is.
    """
    broken = [finding for finding in probe(store) if not finding.kept]
    if broken:
        seen = "; ".join(f"{finding.check}: {finding.seen}" for finding in broken)
        raise StoreNotSafe(f"{store.url} can't be a store of several hosts. {seen}.", hint=broken[0].advice)


def _findings(store: Store, name: str, empty: str) -> Iterator[Finding]:
    first = store.create(name, _FIRST)
    yield _finding("a new name can be created", first, "the first create did not win", _BUG)
    second, found = store.create(name, _SECOND), store.read(name)
    yield _finding("a second create loses", not second and found == _FIRST, _both(second, found), _CONDITION)
    yield _finding(
        "its own bytes are recognised", store.create(name, found), "a repeated create did not win", _BUG
    )
    store.create(empty, b"")
    second, found = store.create(empty, _SECOND), store.read(empty)
    yield _finding(
        "an empty object keeps its name too", not second and not found, _both(second, found), _CONDITION
    )
    yield from _reads(store, name)
    listed = store.list(layout.PROBES)
    yield _finding("a new name is listed", name in listed or _may_be_late(store), "the list lacks it", _BUG)
    store.delete(name)
    store.delete(name)
    yield _finding("a deleted object is gone", _is_missing(store, name), "it can still be read", _BUG)


def _reads(store: Store, name: str) -> Iterator[Finding]:
    store.put(name, _SECOND)
    found = store.read(name)
    yield _finding("a put replaces", found == _SECOND, f"it holds {found!r}", _BUG)
    part = store.read(name, 1, 3)
    yield _finding("a range is read exactly", part == _SECOND[1:4], f"bytes 1 to 3 came as {part!r}", _BUG)
    missing = _is_missing(store, layout.probe_name(f"{secrets.token_hex(8)}-none"))
    yield _finding("a missing object is told", missing, "it was read", _BUG)


def _finding(check: str, kept: bool, seen: str, advice: str) -> Finding:
    return Finding(check, True) if kept else Finding(check, False, seen, advice)


def _both(second: bool, found: bytes) -> str:
    won = "the second create won too" if second else "the second create lost"
    return f"{won}, and the object holds {found!r}"


def _may_be_late(store: Store) -> bool:
    return store.capabilities.listed_after > 0


def _is_missing(store: Store, name: str) -> bool:
    try:
        store.read(name)
    except FileNotFoundError:
        return True
    return store.capabilities.missing_for > 0


def _failed(error: StorageError | FileNotFoundError) -> Finding:
    if isinstance(error, StorageError):
        return Finding("every operation may be used", False, error.message, error.hint or error.advice)
    return Finding("what was written can be read", False, "an object was not there a moment later", _BUG)
