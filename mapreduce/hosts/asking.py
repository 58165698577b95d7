"""A question to all hosts of a store, and their answers: who is there, and what each one finds.

Hosts see a question where they look for runs. Each answers once, beside its work, and nobody waits for
anybody: a host that does not answer may be busy with an earlier question, frozen, or not there.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mapreduce.codec import seal
from mapreduce.errors import MapReduceError, StorageError
from mapreduce.hosts import messages
from mapreduce.hosts.checkup import Checkup, check_up
from mapreduce.hosts.jobs import Cluster
from mapreduce.store import layout
from mapreduce.store.local import remove_empty
from mapreduce.store.together import do_all

_LOG = logging.getLogger("mapreduce.host")
_QUESTION = b"what is it like there?"
_SPARE = 2.5
"""Seconds that a host may take to find what it answers, without which nobody waits for it."""
LONGER = 30.0
"""Seconds that one may take which has said that it is at it."""


def interval(cluster: Cluster) -> float:
    """Seconds after which a host that works looks for questions again; where requests cost, seldom."""
    pace = cluster.pace()
    return pace.dead if cluster.store.capabilities.paid else pace.report


def patience(cluster: Cluster, took: float = 0.0) -> float:
    """Seconds in which hosts answer that are there, if nothing is slow.

    took: seconds in which this host found for itself what they are asked for; they may take twice as long.
    """
    return interval(cluster) + cluster.store.capabilities.listed_after + max(_SPARE, 2 * took)


@dataclass(frozen=True)
class Answer:
    """What a host has found, and how its clock compares with ours: to be shown, never to be used."""

    checkup: Checkup
    seconds: float
    """From the question until the answer was read."""
    offset: float
    """Seconds by which its clock is ahead of ours,"""
    uncertainty: float
    """more or less: half of the time that question and answer were on their way."""


def ask(
    cluster: Cluster,
    seconds: float | None = None,
    *,
    longer: float = 0.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Answer]:
    """Ask all hosts, and take the answers that come in so long, by default what hosts need that are there.

    longer: seconds for which those that have begun to look by then are waited for besides. Nothing is left
    behind. Raises StorageError.
    """
    store, token = cluster.signed(), secrets.token_hex(8)
    allowed = patience(cluster) if seconds is None else seconds
    found: dict[str, Answer] = {}
    begin = clock()
    store.create(layout.question_name(token), _QUESTION)
    try:
        while True:
            names = store.list(f"{layout.ANSWERS}/{token}")
            begun = set(filter(None, map(layout.begun_of, names)))
            for name in names:
                if name in found or layout.begun_of(name):
                    continue
                with suppress(FileNotFoundError, ValueError, TypeError):  # not signed, or not whole yet
                    checkup = messages.parse(Checkup, store.read(name))
                    found[name] = compared(checkup, begin, clock())
            if clock() - begin >= (allowed if begun <= found.keys() else allowed + longer):
                return sorted(found.values(), key=lambda answer: answer.checkup.host)
            sleep(max(cluster.pace().look, interval(cluster) / 10))
    finally:
        with suppress(StorageError):  # `mapreduce clean` finds it
            store.delete(layout.question_name(token))
            do_all(store, store.delete, store.list(f"{layout.ANSWERS}/{token}"))
        if cluster.folder is not None:
            remove_empty(cluster.folder / layout.ANSWERS)


def compared(checkup: Checkup, asked: float, read: float) -> Answer:
    """An answer that was asked for and read at these times of our clock; as in NTP (RFC 5905, section 8)."""
    offset = ((checkup.began - asked) + (checkup.ended - read)) / 2
    under_way = (read - asked) - (checkup.ended - checkup.began)
    return Answer(checkup, read - asked, offset, under_way / 2)


class Answering:
    """Answers for a host, in a thread: a mount that hangs must not keep the host from its work.

    id: the host's, which no other has. name: for messages.
    """

    def __init__(self, cluster: Cluster, id_: str, name: str) -> None:
        self._cluster, self._id, self._name = cluster, id_, name
        self._answered: set[str] = set()
        self._looked = time.monotonic()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Answer what is asked, if it is time to look again: for a host that works. Raises StorageError."""
        if time.monotonic() - self._looked >= interval(self._cluster):
            self._looked = time.monotonic()
            self.attend(self._cluster.store.list(layout.OPEN), at_work=True)

    def attend(self, names: Iterable[str], *, at_work: bool) -> None:
        """Answer what is asked among these names, one question at a time."""
        for token in filter(None, map(layout.question_of, names)):
            if token in self._answered or (self._thread and self._thread.is_alive()):
                continue
            self._answered.add(token)
            self._thread = threading.Thread(target=self._answer, args=(token, at_work), daemon=True)
            self._thread.start()

    def _answer(self, token: str, at_work: bool) -> None:
        try:
            if not self._is_asked(token):
                return
            self._cluster.signed().create(layout.begun_name(token, self._id), b"begun")
            found = check_up(self._cluster, self._name, at_work=at_work)
            if self._is_asked(token):
                self._cluster.signed().create(layout.answer_name(token, self._id), seal(found))
        except MapReduceError as error:
            _LOG.warning("a question is not answered: %s", error)

    def _is_asked(self, token: str) -> bool:
        try:
            asked = self._cluster.signed().read(layout.question_name(token))
        except FileNotFoundError:
            return False
        if asked != _QUESTION:
            _LOG.warning("a question is not answered: it is not signed with the key that is used here")
        return asked == _QUESTION
