"""Rules of a faulty store: how they read, and when they fire. `mapreduce.store.faulty` has what they mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from mapreduce.errors import JobError

OPERATIONS = ("put", "create", "new_file", "read", "list", "delete")
WHO = ("coordinator", "worker")
TIMES = ("once", "always")
ERRORS = {
    "eio": errno.EIO,
    "enospc": errno.ENOSPC,
    "edquot": errno.EDQUOT,
    "erofs": errno.EROFS,
    "estale": errno.ESTALE,
    "emfile": errno.EMFILE,
    "eacces": errno.EACCES,
    "ebusy": errno.EBUSY,
    "timeout": errno.ETIMEDOUT,
    "reset": errno.ECONNRESET,
}
_PLAIN = (*ERRORS, "lost_reply", "overwrite", "missing", "short", "flip", "kill_before", "kill_after", "torn")
_NUMBERED = ("late", "twice", "stale")
_ALLOWED = {
    "op": ", ".join((*OPERATIONS, "*")),
    "path": "a part of a name",
    "who": ", ".join((*WHO, "*")),
    "nth": "a number from 1",
    "times": ", ".join(TIMES),
    "once": "a file",
    "do": ", ".join((*_PLAIN, "late:N", "twice:N", "stale:K", "stall:SECONDS", "note:FILE")),
}


@dataclass(frozen=True)
class Rule:
    """One fault: when it fires, and what it does."""

    do: str
    op: str = "*"
    path: str = ""
    who: str = "*"
    nth: int = 1
    times: str = "once"
    once: str = ""

    @property
    def argument(self) -> str:
        """What follows the colon in `do`."""
        return self.do.partition(":")[2]

    @property
    def number(self) -> int | None:
        """N of `late:N` and the like; None for other rules."""
        return int(self.argument) if self.do.startswith(tuple(f"{name}:" for name in _NUMBERED)) else None

    def matches(self, who: str, op: str, name: str) -> bool:
        """Whether the rule is about such an operation."""
        return self.op in ("*", op) and self.who in ("*", who) and self.path in name


class Rules:
    """Rules, and how many operations each has seen. Stores that share them count together."""

    def __init__(self, text: str) -> None:
        """Raises JobError, with the values that are allowed, for a text that is not rules."""
        self.text = text
        self._rules = [_parsed(rule.strip()) for rule in text.split(";") if rule.strip()]
        self._seen = [0] * len(self._rules)
        self._late: list[tuple[int, Callable[[], object]]] = []
        self._begun = 0
        self.written: list[str] = []
        """Names in the order in which they were written."""

    def fired(self, who: str, op: str, name: str) -> tuple[Rule, ...]:
        """Count an operation; the rules that fire for it, in their order."""
        found = []
        for index, rule in enumerate(self._rules):
            if rule.matches(who, op, name):
                self._seen[index] += 1
                if self._is_due(rule, self._seen[index]):
                    found.append(rule)
        return tuple(found)

    def postpone(self, operations: int, write: Callable[[], object]) -> None:
        """Let a write be done when so many more operations have begun."""
        self._late.append((self._begun + operations, write))

    def arriving(self) -> list[Callable[[], object]]:
        """Count an operation that begins; the writes that arrive before it."""
        self._begun += 1
        due = [write for begun, write in self._late if begun <= self._begun]
        self._late = [each for each in self._late if each[0] > self._begun]
        return due

    @staticmethod
    def _is_due(rule: Rule, seen: int) -> bool:
        due = seen == rule.nth if rule.times == "once" else seen >= rule.nth
        return due and (not rule.once or _is_first(rule.once))


def _is_first(marker: str) -> bool:
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError as error:
        raise JobError(f"The marker once={marker} can't be created: {error.strerror}.") from error
    return True


def _parsed(text: str) -> Rule:
    given: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if name not in _ALLOWED or not equals or name in given:
            raise JobError(
                f"The fault rule {text!r} can't be read at {word!r}.",
                hint=f"Give each name once, as name=value: {', '.join(f'{each}=' for each in _ALLOWED)}.",
            )
        if not _is_valid(name, value):
            raise JobError(f"The fault rule {text!r} has {word}.", hint=f"{name}= takes {_ALLOWED[name]}.")
        given[name] = value
    if "do" not in given:
        raise JobError(f"The fault rule {text!r} does nothing.", hint=f"do= takes {_ALLOWED['do']}.")
    nth = int(given.pop("nth", "1"))
    return Rule(**given, nth=nth)


def _is_valid(name: str, value: str) -> bool:
    match name:
        case "op":
            return value in (*OPERATIONS, "*")
        case "who":
            return value in (*WHO, "*")
        case "times":
            return value in TIMES
        case "nth":
            return value.isascii() and value.isdigit() and int(value) > 0
        case "do":
            return value in _PLAIN or _has_argument(value)
        case _:
            return bool(value)


def _has_argument(value: str) -> bool:
    name, _, argument = value.partition(":")
    if name == "note":
        return bool(argument)
    if name in _NUMBERED:
        return argument.isascii() and argument.isdigit() and int(argument) > 0
    return name == "stall" and argument.replace(".", "", 1).isdecimal()
