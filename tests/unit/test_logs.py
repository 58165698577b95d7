"""The log generator: the same bytes everywhere, and the shape of a real log."""

import hashlib
import os
import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mapreduce.testing import logs
from mapreduce.testing.logs import access_lines, write_access_log

COMBINED = re.compile(
    r"(?P<address>\d{1,3}(?:\.\d{1,3}){3}) - (?P<user>-|[a-z]+) "
    r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<method>GET|POST|PUT|DELETE|HEAD) (?P<path>/[^ ?"]*)(?:\?(?P<query>[^ "]+))? HTTP/[12]\.[01]" '
    r'(?P<status>200|304|404|301|500) (?P<bytes>-|\d+) "(?P<referrer>-|https://[^ "]+)" "(?P<agent>[^"]+)"'
)


def fields(count: int, **options: int) -> list[dict[str, str]]:
    found = []
    for line in access_lines(count, **options):
        match = COMBINED.fullmatch(line)
        assert match is not None, line
        found.append(match.groupdict())
    return found


def path_of(line: str) -> str:
    return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]


def test_the_bytes_are_pinned(tmp_path: Path) -> None:
    # The digest changes if the generator does, and must not if only Python or the machine does.
    lines = write_access_log(tmp_path / "log", 1_000_000, seed=7, addresses=500, paths=700, malformed=0.01)
    content = (tmp_path / "log").read_bytes()
    assert lines == content.count(b"\n") == 4_315
    assert (
        hashlib.sha256(content).hexdigest()
        == "a750eab1c5aa852856113df46337eb8d6693e7acb644b7905e00a9146cb84317"
    )


def test_arguments_alone_determine_the_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_access_log(tmp_path / name, 300_000, seed=seed, addresses=50, paths=50)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert list(access_lines(50, seed=3)) == list(access_lines(50, seed=3))


@pytest.mark.parametrize("size", [0, 1, 150, 9_999, 476_000, 1_000_000])
def test_the_file_ends_with_the_line_that_reaches_the_size(tmp_path: Path, size: int) -> None:
    lines = write_access_log(tmp_path / "log", size, addresses=50, paths=50)
    content = (tmp_path / "log").read_bytes()
    found = content.splitlines(keepends=True)
    assert len(found) == lines
    assert len(content) >= size
    assert sum(map(len, found[:-1])) < max(size, 1)
    assert not content or content.endswith(b"\n")


def test_a_size_that_a_line_reaches_exactly(tmp_path: Path) -> None:
    # The pace of the clock differs a little, but times are of one width, so that lines end at the same bytes.
    lines = write_access_log(tmp_path / "log", 900_000, addresses=50, paths=50)
    size = (tmp_path / "log").stat().st_size
    assert write_access_log(tmp_path / "again", size, addresses=50, paths=50) == lines
    assert (tmp_path / "again").stat().st_size == size


def test_file_and_lines_share_their_pieces(tmp_path: Path) -> None:
    write_access_log(tmp_path / "log", 233 * 300, paths=100)
    lines = (tmp_path / "log").read_text(encoding="ascii").splitlines()
    assert lines[:250] == list(access_lines(300, paths=100))[:250]


def test_every_line_is_of_the_combined_format() -> None:
    assert len(fields(5_000)) == 5_000
    assert len(fields(100, addresses=1, paths=1)) == 100


def test_times_ascend_over_some_days() -> None:
    times = [datetime.strptime(each["time"], "%d/%b/%Y:%H:%M:%S %z") for each in fields(20_000)]
    assert times == sorted(times)
    assert timedelta(days=3) < times[-1] - times[0] < timedelta(days=5)
    assert all(later - earlier < timedelta(minutes=30) for earlier, later in pairwise(times))


def test_paths_follow_zipf() -> None:
    counts = Counter(each["path"] for each in fields(50_000, paths=1_000))
    hits = [count for _, count in counts.most_common()]
    assert 900 < len(counts) <= 1_000
    assert hits[0] == pytest.approx(50_000 / 7.5, rel=0.1)  # 7.5: the sum of 1/r up to 1,000
    for rank in (2, 5, 10, 50):
        assert hits[rank - 1] == pytest.approx(hits[0] / rank, rel=0.25)


def test_the_shape_is_that_of_a_real_log() -> None:
    found = fields(20_000)
    share = {status: n / 20_000 for status, n in Counter(each["status"] for each in found).items()}
    assert share["200"] == pytest.approx(0.88, abs=0.02)
    assert share["200"] > share["304"] > share["404"] > share["301"] > share["500"] > 0
    assert {each["method"] for each in found} >= {"GET", "POST", "HEAD"}
    assert 0.02 < sum(each["query"] is not None for each in found) / 20_000 < 0.3
    assert {each["status"] for each in found if each["bytes"] == "-"} == {"304"}
    assert 0.2 < sum(each["referrer"] == "-" for each in found) / 20_000 < 0.7
    assert 30 < len({each["agent"] for each in found}) < 100
    endings = {each["path"].rpartition(".")[2] for each in found}
    assert endings >= {"js", "css", "jpg", "html"}
    assert any(each["path"].startswith("/api/") for each in found)


def test_tens_of_millions_of_clients_take_no_memory_and_most_occur_once_at_first() -> None:
    found = fields(20_000, addresses=30_000_000)
    clients = Counter(each["address"] for each in found)
    assert len({(each["address"], each["agent"], each["user"]) for each in found}) == len(clients)
    assert 12_000 < len(clients) < 18_000
    assert max(clients.values()) > 200


def test_many_clients_are_all_drawn_and_no_others() -> None:
    clients = logs._ManyClients(50, 0)
    places = [clients[place] for place in range(0, len(clients), len(clients) // 5_000)]
    assert len(set(places)) == 50
    assert clients[: len(clients) : len(clients) - 1] == [clients[0], clients[len(clients) - 1]]


def test_a_client_has_one_agent_and_clients_differ_in_activity() -> None:
    found = fields(50_000, addresses=300)
    clients = Counter(each["address"] for each in found)
    assert len(clients) == 300
    assert len({(each["address"], each["agent"], each["user"]) for each in found}) == 300
    assert max(clients.values()) > 5 * min(clients.values())


def test_malformed_lines_replace_others_and_have_no_path() -> None:
    good = list(access_lines(5_000))
    bad = list(access_lines(5_000, malformed=0.1))
    broken = [line for line, other in zip(bad, good, strict=True) if line != other]
    assert len(broken) == pytest.approx(500, rel=0.2)
    for line in broken:
        with pytest.raises(IndexError):
            path_of(line)
    assert all(not COMBINED.fullmatch(line) for line in access_lines(100, malformed=1.0))


def test_lines_come_one_by_one() -> None:
    assert list(access_lines(0)) == []
    assert len(list(access_lines(3, addresses=5, paths=5))) == 3
    assert next(access_lines(10**12, addresses=5, paths=5))


@pytest.mark.parametrize(
    ("argument", "value"), [("addresses", 0), ("paths", 0), ("malformed", 1.5), ("malformed", -0.1)]
)
def test_arguments_are_checked_before_anything_is_made(tmp_path: Path, argument: str, value: float) -> None:
    options: dict[str, float] = {argument: value}
    with pytest.raises(ValueError, match=argument):
        access_lines(1, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=argument):
        write_access_log(tmp_path / "log", 1, **options)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_negative_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size"):
        write_access_log(tmp_path / "log", -1)
    with pytest.raises(ValueError, match="count"):
        access_lines(-1)


def test_a_log_replaces_another_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old")
    write_access_log(str(log), 1_000, addresses=5, paths=5)
    assert log.stat().st_size >= 1_000
    assert os.listdir(tmp_path) == ["log"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()  # a file cannot replace a directory
    with pytest.raises(OSError, match="log"):
        write_access_log(tmp_path / "log", 1_000, addresses=5, paths=5)
    assert os.listdir(tmp_path) == ["log"]
