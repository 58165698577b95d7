"""References to secrets: a job names where one is kept, and only who needs it reads it, at that moment."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from mapreduce.errors import JobError, SinkError
from mapreduce.store.profiles import load_profile

_HIDDEN = "…"


class Secret:
    """Where a secret is kept: `Secret.env(NAME)`, `Secret.file(PATH)`, `Secret.profile(NAME, KEY)`.

    What is pickled, shown or compared is the reference alone.
    """

    __slots__ = ("_key", "_kind", "_name")

    def __init__(self, kind: str, name: str, key: str = "") -> None:
        for text in (name, *([key] if kind == "profile" else [])):
            if type(text) is not str or not text:
                raise JobError(f"Secret.{kind}({text!r}).", hint="Give the name of where the secret is kept.")
        self._kind, self._name, self._key = kind, name, key

    @classmethod
    def env(cls, name: str) -> Secret:
        """In an environment variable."""
        return cls("env", name)

    @classmethod
    def file(cls, path: str | os.PathLike[str]) -> Secret:
        """In a file: all of it but the line ends that it closes with."""
        return cls("file", os.fspath(path))

    @classmethod
    def profile(cls, name: str, key: str) -> Secret:
        """Under `key` in a profile: a table of the file that $MAPREDUCE_PROFILES names."""
        return cls("profile", name, key)

    def __repr__(self) -> str:
        key = f", {self._key!r}" if self._key else ""
        return f"Secret.{self._kind}({self._name!r}{key})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (self._kind, self._name, self._key)

    def reveal(self) -> str:
        """The secret itself. Raises SinkError, which names the place where it was not found."""
        if self._kind == "env":
            found = os.environ.get(self._name, "")
            missing = f"The environment has no {self._name}."
        elif self._kind == "file":
            found, missing = _content(self._name), f"The file {self._name} is empty."
        else:
            found = _of_profile(self._name, self._key)
            missing = f"The profile {self._name!r} has no text {self._key!r}."
        if not found:
            raise SinkError(missing, hint=f"Put the secret there: it is read as {self!r}.")
        return found


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SinkError(f"The secret's file {path} can't be read: {reason}.") from None


def _of_profile(name: str, key: str) -> str:
    try:
        found = load_profile(name).get(key)
    except JobError as error:
        raise SinkError(error.message, hint=error.hint) from None
    return found if isinstance(found, str) else ""


def is_secret(value: Any, what: str) -> Secret:
    """The reference that was given for `what`. Raises JobError for a secret itself, without quoting it."""
    if isinstance(value, Secret):
        return value
    raise JobError(
        f"{what} is a {type(value).__name__}, not a Secret.",
        hint='A secret in a job would travel with it: say where it is kept, Secret.env("NAME"), '
        'Secret.file("path") or Secret.profile("name", "key").',
    )


def scrubbed(text: str, secrets: Iterable[Secret]) -> str:
    """The text without any of the secrets, in the forms in which libraries quote them."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    return text


def _forms(secret: Secret) -> set[str]:
    try:
        plain = secret.reveal()
    except SinkError:
        return set()
    coded = base64.b64encode(plain.encode()).decode()
    return {
        plain,
        quote(plain),
        quote(plain, safe=""),
        quote_plus(plain),
        repr(plain)[1:-1],
        coded,
        coded.rstrip("="),
    }
