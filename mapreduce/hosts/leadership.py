"""Which coordinator leads: the one with the highest epoch.

An epoch is a name that one coordinator creates. Nobody is asked to leave, and no clock is compared: the
older one sees the newer name, or a host that has heard of it, and stops. Until then it does no harm: what it
accepts is its own, and of two commits one wins.
"""

from __future__ import annotations

from mapreduce.codec import seal
from mapreduce.errors import Superseded
from mapreduce.protocols import Store
from mapreduce.store import layout

ENDED = b"ended"
"""What the object says that tells of a run's end."""


def claim(store: Store, nonce: str) -> int:
    """Lead from now on; the new epoch. `nonce` is no other coordinator's. Raises StorageError."""
    epoch = newest(store) + 1
    while not store.create(layout.epoch_name(epoch), seal({"nonce": nonce})):
        epoch = max(epoch, newest(store)) + 1
    return epoch


def newest(store: Store) -> int:
    """The highest epoch that can be seen, and that a coordinator has claimed; 0 if there is none."""
    epochs = sorted(filter(None, map(layout.epoch_of, store.list(layout.EPOCHS))), reverse=True)
    return next((epoch for epoch in epochs if _is_claimed(store, epoch)), 0)


def _is_claimed(store: Store, epoch: int) -> bool:
    """Whether the claim is one: what somebody without the cluster's key has written holds nothing."""
    try:
        return store.read(layout.epoch_name(epoch)) != b""
    except FileNotFoundError:  # not yet to be seen
        return True


def has_ended(store: Store) -> bool:
    """Whether the run is known to have ended, though nobody has said so to who asks."""
    try:
        return store.read(layout.ENDED) == ENDED
    except FileNotFoundError:
        return False


def superseded(epoch: int, newer: int) -> Superseded:
    """The error of a coordinator that has seen a newer epoch."""
    return Superseded(f"Coordinator {newer} leads the run now; this was coordinator {epoch}.")
