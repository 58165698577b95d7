"""How long what one host wrote into a folder may be hidden from another one, by the mount it lies on."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ATTRIBUTES = 60.0
"""Seconds that NFS keeps what it knows of a directory (acdirmax), unless its mount says otherwise."""
_FUSE = 60.0
"""Seconds; what a FUSE file system caches can't be asked, and none is known that caches longer by itself."""
_CIFS = 1.0
"""Seconds (actimeo), unless the mount says otherwise."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo, as far as it matters here."""

    point: str
    type: str
    options: tuple[str, ...]


def mount_of(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a path lies on: the last of the deepest."""
    real = os.path.realpath(path)
    above = [mount for mount in mounts if _is_below(real, mount.point)]
    return max(above, key=lambda mount: len(mount.point), default=None)


def _is_below(path: str, point: str) -> bool:
    return point == "/" or path == point or path.startswith(f"{point}/")


def parsed_mounts(text: str) -> list[Mount]:
    """The mounts that /proc/self/mountinfo tells, the last one first."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, source = before.split(), after.split()
        if len(fields) > 5 and len(source) > 2:
            point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
            found.append(Mount(point, source[0], (*fields[5].split(","), *source[2].split(","))))
    return found[::-1]


def metadata_age(mount: Mount) -> float:
    """Seconds for which a host may believe what it knew of names in a folder."""
    given = dict(option.partition("=")[::2] for option in mount.options)
    if mount.type.startswith("nfs"):
        if "noac" in given or given.get("lookupcache") == "none":
            return 0.0
        return _seconds(given, ("acdirmax", "actimeo"), _ATTRIBUTES)
    if mount.type in ("cifs", "smb3"):
        return _seconds(given, ("acdirmax", "actimeo"), _CIFS)
    return _FUSE if mount.type.startswith("fuse.") else 0.0


def _seconds(given: dict[str, str], names: Sequence[str], otherwise: float) -> float:
    for name in names:
        with suppress(KeyError, ValueError):
            return float(given[name])
    return otherwise


def folder_age(folder: Path) -> float:
    """`metadata_age` of the mount that a folder lies on, or will; 0 where that can't be known."""
    try:
        mounts = parsed_mounts(Path("/proc/self/mountinfo").read_text())
    except OSError:
        return 0.0
    mount = mount_of(folder, mounts)
    return metadata_age(mount) if mount else 0.0
