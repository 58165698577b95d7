"""Requests that don't rest on one another, several on their way at once where the store asks for that.

A bucket answers in milliseconds, however many are asked for. Other stores are asked for one thing after the
other, each when what came before was taken, so that what happens is the same each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from threading import Thread, local
from typing import TypeVar

from mapreduce.protocols import Store

A = TypeVar("A")
T = TypeVar("T")

_thread = local()


def together(store: Store, act: Callable[[A], T], items: Iterable[A]) -> Iterator[T]:
    """What an act gives for each item, in order: `map`, but for `Capabilities.together` acts at once.

    Nothing is done that is not taken. Raises the first error in the order of the items, when all acts that
    were begun have ended. An act that calls this again does all by itself.
    """
    items, most = list(items), store.capabilities.together
    if most == 1 or len(items) < 2 or getattr(_thread, "acts", False):
        return map(act, items)
    return _at_once(act, items, most)


def do_all(store: Store, act: Callable[[A], object], items: Iterable[A]) -> None:
    """The same, of an act that gives nothing."""
    for _ in together(store, act, items):
        pass


def _at_once(act: Callable[[A], T], items: Iterable[A], most: int) -> Iterator[T]:
    begun: deque[Future[T]] = deque()
    try:
        for item in items:
            if len(begun) == most:
                yield begun.popleft().result()
            begun.append(_begun(act, item))
        while begun:
            yield begun.popleft().result()
    except (Exception, GeneratorExit):  # who stops at once does not wait
        wait(begun)
        raise


def _begun(act: Callable[[A], T], item: A) -> Future[T]:
    """An act in a thread of its own, for which the end of the process does not wait."""
    future: Future[T] = Future()

    def work() -> None:
        _thread.acts = True
        try:
            future.set_result(act(item))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is taken
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future
