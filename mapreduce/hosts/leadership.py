"""Which coordinator leads: the one with the highest epoch.

An epoch is a name that one coordinator creates. Nobody is asked to leave, and no clock is compared: the
older one sees the newer name, or a host that has heard of it, and stops. Until then it does no harm: what it
accepts is its own, and of two commits one wins.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from mapreduce.codec import seal, unseal
from mapreduce.errors import Interrupted, MapReduceError, StorageError, Superseded, internal
from mapreduce.protocols import Store
from mapreduce.store import layout

ENDED, LATE = b"ended", b"late"
"""What the object says that tells of a run's end: LATE if its output had got another run's result."""
CLEANED = b"cleaned"
"""What stands in the place of the commit when there shall be none any more."""
STOP, ASKED, RETRY = b"stop", b"ask", b"retry"
"""What those objects say by which somebody asks for something."""


def claim(store: Store, nonce: str, name: str) -> int:
    """Lead from now on; the new epoch. Raises StorageError.

    nonce: no other coordinator's. name: of its host and process, for messages.
    """
    epoch = newest(store) + 1
    while not store.create(layout.epoch_name(epoch), seal({"nonce": nonce, "name": name})):
        epoch = max(epoch, newest(store)) + 1
    return epoch


def newest(store: Store) -> int:
    """The highest epoch that can be seen, and that a coordinator has claimed; 0 if there is none."""
    return _newest(store, store.list(layout.EPOCHS))


def _newest(store: Store, names: Iterable[str]) -> int:
    epochs = sorted(filter(None, map(layout.epoch_of, names)), reverse=True)
    return next((epoch for epoch in epochs if _is_claimed(store, epoch)), 0)


def _is_claimed(store: Store, epoch: int) -> bool:
    """Whether the claim is one: what somebody without the cluster's key has written holds nothing."""
    try:
        return store.read(layout.epoch_name(epoch)) != b""
    except FileNotFoundError:  # not yet to be seen
        return True


def has_ended(store: Store) -> bool:
    """Whether the run is known to have ended, though nobody has said so to who asks."""
    return _end_of(store) in (ENDED, LATE)


def was_late(store: Store) -> bool:
    """Whether a run has ended without publishing, because its output had got another run's result."""
    return _end_of(store) == LATE


def _end_of(store: Store) -> bytes:
    try:
        return store.read(layout.ENDED)
    except FileNotFoundError:
        return b""


def superseded(epoch: int, newer: int) -> Superseded:
    """The error of a coordinator that has seen a newer epoch."""
    return Superseded(f"Coordinator {newer} leads the run now; this was coordinator {epoch}.")


# ---------------------------------------------------------------- what others say to who leads


def attend(store: Store, epoch: int, answered: set[str], answer: Callable[[], dict[str, Any]]) -> bool:
    """Look, by one list, what there is for the coordinator of an epoch: whether it is asked to stop.

    Who asks whether it is there is answered; `answered` keeps whom. Raises Superseded if another one leads.
    """
    names = store.list(layout.EPOCHS)
    if (newer := _newest(store, names)) > epoch:
        raise superseded(epoch, newer)
    for asked, token in filter(None, map(layout.asked_of, names)):
        if asked == epoch and token not in answered:
            answered.add(token)
            with suppress(StorageError):  # whoever asks may ask again
                if _says(store, layout.ask_name(epoch, token), ASKED):
                    store.create(layout.here_name(epoch, token), seal(answer()))
    return layout.stop_name(epoch) in names and _says(store, layout.stop_name(epoch), STOP)


def _says(store: Store, name: str, what: bytes) -> bool:
    try:
        return store.read(name) == what
    except FileNotFoundError:
        return False


def request_stop(store: Store, epoch: int) -> None:
    """Ask the coordinator of an epoch to stop; a later one is not asked. Raises StorageError."""
    store.create(layout.stop_name(epoch), STOP)


class Asking:
    """Asks the coordinator of an epoch whether it is there; leaves nothing behind. Raises StorageError."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store, self._epoch, self._token = store, epoch, secrets.token_hex(8)

    def __enter__(self) -> Asking:
        self._store.create(layout.ask_name(self._epoch, self._token), ASKED)
        return self

    def __exit__(self, *ignored: object) -> None:
        for name in (layout.ask_name, layout.here_name):
            with suppress(StorageError):  # it goes with the run
                self._store.delete(name(self._epoch, self._token))

    def answer(self) -> dict[str, Any] | None:
        """What it has said; None: nothing yet."""
        return _record(self._store, layout.here_name(self._epoch, self._token))


def _record(store: Store, name: str) -> dict[str, Any] | None:
    """An object's fields; None if it is not there, not whole, or not signed."""
    try:
        fields = unseal(store.read(name))
    except (FileNotFoundError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def leader(store: Store, epoch: int) -> str:
    """Host and process of the coordinator of an epoch; "" if that can't be known."""
    return str((_record(store, layout.epoch_name(epoch)) or {}).get("name", ""))


# ---------------------------------------------------------------- how a coordinator ended


def is_interruption(error: BaseException) -> bool:
    """Whether a coordinator ends by it because it was asked to, not because of its job."""
    return isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit))


def say_end(store: Store, epoch: int, error: BaseException) -> None:
    """Leave word how the coordinator of an epoch ended, if not with a result. Raises StorageError."""
    stopped = is_interruption(error)
    typed = error if isinstance(error, MapReduceError) else internal(error)
    said = {} if stopped else {name: typed.to_plain()[name] for name in ("kind", "message", "hint")}
    store.create(layout.end_name(epoch), seal(said))


def said_end(store: Store, epoch: int) -> dict[str, str] | None:
    """What the coordinator of an epoch ended by: an error's fields, none of them if it was stopped.

    None: it has not said so. It leads, is frozen, or was killed.
    """
    return _record(store, layout.end_name(epoch))


def request_retry(store: Store, epoch: int) -> None:
    """Let others lead a run though the coordinator of its newest epoch has said how it ended.

    Raises StorageError.
    """
    store.put(layout.retry_name(epoch), RETRY)


def withdraw_retry(store: Store, epoch: int) -> None:
    """Take that back; who has begun to lead is not stopped by it. Raises StorageError."""
    store.delete(layout.retry_name(epoch))


def is_retried(store: Store, epoch: int) -> bool:
    """Whether that was asked for since that coordinator ended."""
    return _says(store, layout.retry_name(epoch), RETRY)
