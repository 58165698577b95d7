"""What a worker may hold: the host's memory, its control groups, and what follows for an attempt."""

from pathlib import Path

import pytest

from mapreduce import host
from mapreduce.errors import MemoryExceeded, Retry
from mapreduce.room import LEAST, MOST, Room

MB = 2**20


def limit(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_limits_of_the_first_version_of_control_groups(tmp_path: Path) -> None:
    limit(tmp_path / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    limit(tmp_path / "memory/outer/memory.limit_in_bytes", "3000\n")
    limit(tmp_path / "memory/outer/inner/memory.limit_in_bytes", "5000\n")
    limit(tmp_path / "memory/other/memory.limit_in_bytes", "1\n")
    groups = "5:cpu,cpuacct:/other\n4:hugetlb,memory:/outer/inner\n"
    assert min(host.memory_limits(groups, tmp_path)) == 3000


@pytest.mark.parametrize("mounted", ["", "unified"], ids=["alone", "beside the first version"])
def test_limits_of_the_second_version(tmp_path: Path, mounted: str) -> None:
    limit(tmp_path / mounted / "outer/inner/memory.max", "max\n")
    limit(tmp_path / mounted / "outer/memory.max", "7000\n")
    assert host.memory_limits("0::/outer/inner\n", tmp_path) == [7000]


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    limit(tmp_path / "memory.max", "4000\n")
    assert host.memory_limits("0::/system.slice/of/the/host\n", tmp_path) == [4000]
    limit(tmp_path / "memory/memory.limit_in_bytes", "3000\n")
    assert host.memory_limits("4:memory:/docker/0123\n", tmp_path) == [3000]


def test_a_host_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert host.memory_limits("", tmp_path) == []
    assert host.memory_limits("0::/\n", tmp_path) == []


def test_workers_share_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory", lambda: 1000 * MB)
    assert host.worker_budget(4) == 200 * MB


@pytest.mark.parametrize("budget", [100, 256, 300, 512, 1024, 100_000])
def test_what_is_worked_on_at_once_is_a_part_of_the_budget(budget: int) -> None:
    at_once = Room(budget * MB).at_once
    assert LEAST <= at_once <= MOST
    assert at_once == LEAST or 6 * at_once + 96 * MB <= budget * MB


def test_without_a_budget_nobody_looks() -> None:
    assert Room().left() is None
    Room().demand(2**60, "A list", "Don't.")


def test_what_is_not_left_is_refused() -> None:
    room = Room(2**40)
    left = room.left()
    assert left is not None
    room.demand(left - 100 * MB, "A list", "Make it shorter.")
    with pytest.raises(
        MemoryExceeded, match=r"^A list takes about 2\.0 TB, where 1\.0 TB are left of the 1\.0 TB"
    ) as caught:
        room.demand(2**41, "A list", "Make it shorter.")
    assert caught.value.hint == "Make it shorter."
    assert caught.value.retry is Retry.ALONE
