"""Profiles: options of a file system under a name, in a file that stays on the machine.

A job says the name; what stands behind it (endpoints, keys) is read where a file system is opened,
and reaches no job, manifest, log or message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mapreduce.errors import JobError

VARIABLE = "MAPREDUCE_PROFILES"
_HIDDEN = "…"


def profiles_path() -> str:
    """The file of profiles: $MAPREDUCE_PROFILES, or one in the user's configuration."""
    return os.environ.get(VARIABLE) or os.path.expanduser("~/.config/mapreduce/profiles.toml")


def load_profile(name: str) -> dict[str, Any]:
    """The table `[name]`: keyword arguments for fsspec; none for "". Raises JobError."""
    if not name:
        return {}
    import tomllib

    path = profiles_path()
    hint = f"Write the table [{name}] into it, or let {VARIABLE} name another file."
    try:
        with open(path, "rb") as stream:
            profiles = tomllib.load(stream)
    except OSError as error:
        reason = f"{path} can't be read ({error.strerror})"
        raise JobError(f"The storage profile {name!r} was not found: {reason}.", hint=hint) from None
    except ValueError:  # its message would quote the file
        raise JobError(
            f"The storage profile {name!r} was not found: {path} is no valid TOML.",
            hint="Mend it; Python's `tomllib` says which line.",
        ) from None
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        raise JobError(f"The storage profile {name!r} was not found: {path} has no such table.", hint=hint)
    return profile


def without_secrets(text: str, profile: dict[str, Any]) -> str:
    """A message of somebody else's, without any text of the profile's values."""
    for value in sorted(set(_texts(profile)), key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif not isinstance(value, bool) and len(text := str(value)) > 2:
        yield text
