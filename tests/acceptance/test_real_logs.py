"""Jobs over logs of real servers, each against an independent one-liner."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Max, Sum, Text, run


def hits(line: str) -> Iterator[tuple[str, int]]:
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


def by_hour_and_status(line: str) -> Iterator[tuple[tuple[str, int], int]]:
    _, _, rest = line.split('"', 2)
    yield (line.split("[", 1)[1][:14], int(rest.split()[0])), 1


def requests_by_version(line: str) -> Iterator[tuple[str, int]]:
    status = json.loads(line)
    yield status["nginx_version"], status["requests"]["total"]


@pytest.mark.parametrize("shards", [1, 3])
def test_page_hits(real_logs: Path, shards: int) -> None:
    path = real_logs / "apache_access.log"
    result = run(Job("hits", Text(path, split_size="300KB"), hits, Sum(), "out", shards=shards))
    wanted = Counter(re.findall(r'^[^"]*"\S+ ([^ ?"]+)', path.read_text(), re.MULTILINE))
    assert dict(result) == wanted
    assert result.manifest.totals.records_in == 10_000


def test_hits_by_hour_and_status(real_logs: Path) -> None:
    path = real_logs / "apache_access.log"
    result = run(Job("hours", Text(path, split_size="300KB"), by_hour_and_status, Sum(), "out"))
    found = re.findall(r'\[([^:]+:\d\d)[^"]*"(?:[^"\\]|\\.)*" (\d+)', path.read_text())
    assert dict(result) == Counter((hour, int(status)) for hour, status in found)


def test_largest_requests_total_per_version(real_logs: Path) -> None:
    path = real_logs / "nginx_access.jsonl"
    result = run(Job("nginx", Text(path, split_size="300KB"), requests_by_version, Max(), "out"))
    wanted: dict[Any, int] = {}
    for status in map(json.loads, path.read_text().splitlines()):
        version, total = status["nginx_version"], status["requests"]["total"]
        wanted[version] = max(wanted.get(version, 0), total)
    assert dict(result) == wanted
    assert len(wanted) > 0
