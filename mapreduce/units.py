"""Sizes as people write them."""

from __future__ import annotations

import re

from mapreduce.errors import JobError

_UNITS = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?B)?\Z", re.IGNORECASE)


def parse_size(name: str, size: int | str) -> int:
    """Bytes of 4096 or "64MB" (units are powers of 1024). Raises JobError naming the option."""
    if type(size) is int and size >= 1:
        return size
    match = _SIZE.match(size.strip()) if isinstance(size, str) else None
    if not match or (count := int(float(match[1]) * _UNITS[match[2].upper() + "B"])) < 1:
        raise JobError(f"{name}={size!r} is no size.", hint='Give bytes, or text such as "64MB".')
    return count


def show_size(size: float) -> str:
    """Bytes for people: "1.4 GB"."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.1f} TB"
