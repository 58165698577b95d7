"""Servers, each started once, and profiles that lead to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from servers import Server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


class Profiles:
    """A file of profiles, each of which leads to a server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: dict[str, dict[str, object]] = {}

    def add(self, name: str, server: Server) -> str:
        """The name, which is a profile from now on."""
        self._tables[name] = server.options()
        self._path.write_text("\n".join(f"[{each}]\n{_lines(table)}" for each, table in self._tables.items()))
        return name


def _lines(table: dict[str, object]) -> str:
    return "".join(f"{name} = {_toml(value)}\n" for name, value in table.items())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    path = tmp_path / "profiles.toml"
    monkeypatch.setenv("MAPREDUCE_PROFILES", str(path))
    return Profiles(path)
