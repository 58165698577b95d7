"""Jobs over logs of real servers, each against an independent one-liner."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Count, Job, JsonLines, Max, Sum, Text, run
from mapreduce.cli.jobfile import load_job

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Job]:
    """The job of an example. Its folder, which then leads the path, is taken off again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda name: load_job(f"{EXAMPLES}/{name}")


def hits(line: str) -> Iterator[tuple[str, int]]:
    yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1


def by_hour_and_status(line: str) -> Iterator[tuple[tuple[str, int], int]]:
    _, _, rest = line.split('"', 2)
    yield (line.split("[", 1)[1][:14], int(rest.split()[0])), 1


def responses_by_zone(status: dict[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    for name, zone in status["server_zones"].items():
        yield name, zone["responses"]


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


def test_exceptions_by_class_of_messages_of_several_lines(
    real_logs: Path, example: Callable[[str], Job]
) -> None:
    path = real_logs / "kafka_controller.log"
    messages = Text(path, record_start=r"^\[2016-", split_size="20KB")
    result = run(replace(example("exceptions.py"), source=messages))
    lines = path.read_text().splitlines()
    wanted = Counter(line.split(":")[0] for line in lines if re.match(r"java\S+(Exception|Error)\b", line))
    assert {record["key"]: record["times"] for record in result} == wanted
    assert result.manifest.totals.records_in == 803 == sum(line.startswith("[2016-") for line in lines)
    assert sum(wanted.values()) > 10


def test_sessions_of_visitors(real_logs: Path, example: Callable[[str], Job]) -> None:
    path = real_logs / "apache_access.log"
    result = run(replace(example("sessions.py"), source=Text(path, split_size="300KB"), output="out"))
    visits = defaultdict(list)
    for address, time in re.findall(r"^(\S+) .*?\[(.{20})", path.read_text(), re.MULTILINE):
        visits[address].append(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S").timestamp())
    wanted = []
    for address, times in visits.items():
        times.sort()
        starts = [n for n, time in enumerate(times) if n == 0 or time - times[n - 1] > 1800]
        wanted += [(address, end - n) for n, end in zip(starts, [*starts[1:], len(times)], strict=True)]
    assert Counter((record["address"], record["hits"]) for record in result) == Counter(wanted)
    assert len(wanted) > 1_000


def test_nested_fields_of_json_lines(real_logs: Path) -> None:
    path = real_logs / "nginx_access.jsonl"
    source = JsonLines(path, split_size="300KB")
    reduce = {"times": Count(), "errors": Max(of="5xx"), "all": Sum(of="total")}
    result = run(Job("zones", source, responses_by_zone, reduce, "out"))
    records = [json.loads(line)["server_zones"] for line in path.read_text().splitlines()]
    for found in result:
        zones = [record[found["key"]]["responses"] for record in records if found["key"] in record]
        errors, total = max(zone["5xx"] for zone in zones), sum(zone["total"] for zone in zones)
        assert found == {"key": found["key"], "times": len(zones), "errors": errors, "all": total}
    assert {found["key"] for found in result} == {name for record in records for name in record}


@pytest.mark.parametrize(
    "names",
    [
        ("status_by_hour.py", "status_by_hour_frames.py"),
        ("top_pages.py:counts", "top_pages_frames.py:counts"),
    ],
)
def test_frames_give_what_records_give(
    real_logs: Path, example: Callable[[str], Job], names: tuple[str, str]
) -> None:
    source = Text(real_logs / "apache_access.log", split_size="300KB")
    results = [list(run(replace(example(name), source=source, output=f"out/{name}"))) for name in names]
    assert results[0] == results[1]
    assert len(results[0]) > 100
