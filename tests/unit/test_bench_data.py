"""The benchmark's data: the same bytes under the same name, everywhere."""

import gzip
import hashlib
from pathlib import Path

import pytest

from benchmarks.data import Data, size_of


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("access", "dd2a78e0af1f96c5"),
        ("text", "20de413107f230cb"),
        ("documents", "c03ac6688cb4d33c"),
        ("records", "66c092dbf7f622c4"),
    ],
)
def test_the_bytes_are_pinned(tmp_path: Path, kind: str, digest: str) -> None:
    # Who changes the bytes raises `generators.VERSION` too: the name is what a kept dataset is known by.
    content = Data(tmp_path, 500_000, seed=7).path(kind).read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == digest


def test_the_name_tells_all_that_determines_the_bytes(tmp_path: Path) -> None:
    assert Data(tmp_path, 1000, seed=3, addresses=50).path("access").name == "access-1000-3-50-v1"
    assert Data(tmp_path, 1000, seed=3).path("text", 500).name == "text-500-3-v1"


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    made = Data(tmp_path, 1000).path("records")
    made.write_bytes(b"kept")
    assert Data(tmp_path, 1000).path("records").read_bytes() == b"kept"


def test_the_log_in_pieces_and_compressed_is_the_same_log(tmp_path: Path) -> None:
    data = Data(tmp_path, 300_000, part=100_000)
    log = data.path("access").read_bytes()
    parts = sorted(data.path("access-parts").iterdir())
    packed = sorted(data.path("access-gz").iterdir())
    assert len(parts) == len(packed) == 3
    assert all(part.read_bytes().endswith(b"\n") for part in parts)
    assert b"".join(part.read_bytes() for part in parts) == log
    assert b"".join(gzip.decompress(part.read_bytes()) for part in packed) == log
    assert gzip.decompress(data.path("access-one-gz").read_bytes()) == log


def test_a_failed_generation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Data(tmp_path, 1000).path("unknown")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "size"), [("20MB", 20_000_000), ("2 GB", 2 * 10**9), ("0.5GB", 5 * 10**8)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size
