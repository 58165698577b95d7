"""Bad input: each kind ends with an error of its own, and nothing of the job is visible."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Sum, Text, run
from mapreduce.errors import (
    DecodeError,
    InputChanged,
    InputCorrupt,
    InputDenied,
    InputError,
    InputMissing,
    MapReduceError,
    OutputExists,
    RecordTooLarge,
)

OUT = Path("out")


def first_word(line: str) -> Iterator[tuple[str, int]]:
    yield line.split(" ", 1)[0], 1


def job(source: Any, **options: Any) -> Job:
    return Job("faults", source, options.pop("map", first_word), Sum(), options.pop("output", OUT), **options)


def fails(job: Job, kind: type[MapReduceError], on: Any = "processes") -> MapReduceError:
    """The job's error; of what the run wrote only what it had accepted may be there."""
    with pytest.raises(kind) as caught:
        run(job, on=on, workers=2)
    assert not OUT.exists() or not list(OUT.iterdir())
    kept = any(Path().glob(".out.mapreduce/*/log/*"))
    assert kept == any(Path().rglob("*.mapreduce*"))
    return caught.value


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


PLAIN = b"".join(b"word%d rest of line\n" % n for n in range(20_000))
PACKED = gz(PLAIN)


def test_no_file_matches() -> None:
    error = fails(job("nothing-*.log"), InputMissing)
    assert "nothing-*.log" in error.message
    assert "allow_empty" in error.hint


def test_no_such_file() -> None:
    assert "'nothing.log'" in fails(job("nothing.log"), InputMissing).message


def test_allow_empty_commits_an_empty_result() -> None:
    result = run(job("nothing-*.log", allow_empty=True), on="serial")
    assert list(result) == []
    assert len(result.parts) == 1
    assert result.parts[0].size == 0


def test_a_pipe_is_refused() -> None:
    os.mkfifo("pipe")
    assert "not a regular file" in fails(job("pipe"), InputError).message


@pytest.mark.parametrize(
    ("name", "content", "offset"),
    [
        ("whole", b"ok\n" * 1000 + b"caf\xe9 latte\n" + b"ok\n", "3,003"),
        ("at the end", b"ok\n" * 10 + b"caf\xe9", "33"),
        ("half a character before a line end", "é\n".encode() * 5 + b"\xc3\n", "15"),
        ("packed", gz(b"ok\n" * 1000 + b"\xff\n"), "3,000"),
    ],
)
def test_bytes_that_are_not_text_are_named_with_their_offset(name: str, content: bytes, offset: str) -> None:
    Path("bad.log").write_bytes(content)
    error = fails(job("bad.log"), DecodeError)
    assert f"bad.log, byte {offset}: not utf-8" in error.message
    assert "latin-1" in error.hint


@pytest.mark.covers("D7", "gzip truncated, a bit flipped, junk behind")
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("truncated", PACKED[:-9], "is truncated"),
        ("truncated in the middle", PACKED[: len(PACKED) // 2], "is truncated"),
        ("a bit flipped", PACKED[:500] + bytes([PACKED[500] ^ 4]) + PACKED[501:], "is damaged"),
        ("a wrong checksum", PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "is damaged"),
        ("garbage behind", PACKED + b"garbage", "is damaged"),
        ("a second member truncated", PACKED + PACKED[:-9], "is truncated"),
    ],
)
def test_damaged_gzip_never_gives_fewer_records(name: str, content: bytes, says: str) -> None:
    Path("bad.gz").write_bytes(content)
    error = fails(job("bad.gz"), InputCorrupt)
    assert error.message.startswith(f"bad.gz {says}")
    assert "stored" in error.message


def test_all_members_of_a_gzip_are_read() -> None:
    Path("two.gz").write_bytes(gz(b"a\nb") + gz(b"c\n") + gz(b"") + gz(b"d\n"))
    assert sorted(run(job("two.gz"), on="serial")) == [("a", 1), ("bc", 1), ("d", 1)]


def test_gzip_is_known_by_content_alone() -> None:
    Path("plain.gz").write_bytes(b"a\n")
    Path("packed.log").write_bytes(gz(b"b\n"))
    assert sorted(run(job(["plain.gz", "packed.log"]), on="serial")) == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("before", [0, 7, 300_000])
def test_a_record_over_max_record_is_named_with_its_offset(before: int) -> None:
    Path("long.log").write_bytes(b"x" * (before - 1) + b"\n" * (before > 0) + b"y" * 2_000_000 + b"\nz\n")
    error = fails(job(Text("long.log", max_record=1_000_000)), RecordTooLarge)
    assert f"byte {before:,} is longer than max_record" in error.message


def test_max_record_is_exact() -> None:
    Path("a.log").write_bytes(b"12345\r\n1234\n12345")
    assert len(list(run(job(Text("a.log", max_record=5)), on="serial"))) == 2
    OUT.rename("done")
    assert "byte 0 " in fails(job(Text("a.log", max_record=4)), RecordTooLarge, on="serial").message


class Meddling:
    """A map that does something to the input when it sees the first record."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def __call__(self, line: str) -> Iterator[tuple[str, int]]:
        if line.startswith("first"):
            self.action()
        yield line.split(" ")[0], 1


def replaced() -> None:
    Path("new").write_bytes(Path("live.log").read_bytes())
    os.replace("new", "live.log")


def grown() -> None:
    with open("live.log", "ab") as stream:
        stream.write(b"more\n")


def truncated() -> None:
    os.truncate("live.log", 10)


def removed() -> None:
    Path("live.log").unlink(missing_ok=True)


@pytest.mark.covers("D9", "replaced, grown, truncated, removed while it runs")
@pytest.mark.parametrize(
    ("action", "says"),
    [(replaced, "changed"), (grown, "changed"), (truncated, "changed"), (removed, "went away")],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_changes_while_the_job_runs(
    action: Callable[[], object], says: str, packed: bool
) -> None:
    content = b"first\n" + b"other line\n" * 200_000
    Path("live.log").write_bytes(gz(content) if packed else content)
    error = fails(job("live.log", map=Meddling(action)), InputChanged)
    assert f"live.log {says}" in error.message


@pytest.mark.covers("D9", "gone between plan and attempt")
def test_a_file_that_goes_between_plan_and_map() -> None:
    Path("a.log").write_bytes(b"first\n")
    Path("b.log").write_bytes(b"x\n")
    action = Meddling(lambda: Path("b.log").unlink(missing_ok=True))
    error = fails(job(["a.log", "b.log"], map=action), InputChanged, on="serial")
    assert "b.log went away" in error.message


AS_NOBODY = """
import os, sys
from mapreduce import Job, Records, Sum, run
from mapreduce.errors import InputDenied
# Another user may not be able to import from where Python lies: one run imports everything.
run(Job("warm", Records(["a"]), lambda line: [(line, 1)], Sum(), sys.argv[2] + ".warm"), on="serial")
os.setgid(65534); os.setuid(65534)
try:
    run(Job("denied", sys.argv[1], lambda line: [(line, 1)], Sum(), sys.argv[2]), on="serial")
except InputDenied as error:
    print(error)
    sys.exit(7)
"""


def as_nobody(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    folder.chmod(0o777)
    for parent in folder.parents:
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    script = folder / "nobody.py"
    script.write_text(textwrap.dedent(AS_NOBODY))
    return subprocess.run(
        [sys.executable, str(script), source, str(folder / "out")],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.covers("D12", "root is dropped")
@pytest.mark.skipif(os.geteuid() != 0, reason="dropping root needs root; without it the test below serves")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_permission_denied_for_another_user(tmp_path: Path, what: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.log").write_text("a\n")
    (secret / "a.log" if what == "file" else secret).chmod(0)
    done = as_nobody(tmp_path, str(secret / "a.log" if what == "file" else secret))
    assert done.returncode == 7, done.stderr
    assert "may not be read: permission denied" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.covers("D12", "no right to read")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; the test above drops root")
def test_permission_denied() -> None:
    Path("a.log").write_text("a\n")
    Path("a.log").chmod(0)
    assert "may not be read" in fails(job("a.log"), InputDenied).message


# ---------------------------------------------------------------- the output


def test_an_output_that_holds_a_result_is_refused_and_overwritten_on_demand() -> None:
    Path("a.log").write_bytes(b"a\n")
    first = run(job("a.log"), on="serial")
    before = sorted(OUT.iterdir())
    with pytest.raises(OutputExists, match="already holds a result") as caught:
        run(job("a.log"), on="serial")
    assert "--overwrite" in caught.value.hint
    assert sorted(OUT.iterdir()) == before
    second = run(job("a.log"), on="serial", overwrite=True)
    assert second.manifest.previous == first.manifest.digest
    assert {path.name for path in OUT.iterdir()} == {"_manifest.json", second.parts[0].name}


def test_a_failing_overwrite_keeps_the_old_result() -> None:
    Path("a.log").write_bytes(b"a\n")
    run(job("a.log"), on="serial")
    before = {path: path.read_bytes() for path in OUT.iterdir()}
    Path("a.log").write_bytes(b"\xff\n")
    with pytest.raises(DecodeError):
        run(job("a.log"), on="serial", overwrite=True)
    assert {path: path.read_bytes() for path in OUT.iterdir()} == before


def test_an_output_with_other_files_is_refused() -> None:
    Path("a.log").write_bytes(b"a\n")
    OUT.mkdir()
    (OUT / "diary.txt").write_text("dear")
    with pytest.raises(OutputExists, match=r"diary\.txt"):
        run(job("a.log"), on="serial", overwrite=True)
    assert [path.name for path in OUT.iterdir()] == ["diary.txt"]


def test_an_output_that_is_a_file_is_refused() -> None:
    Path("a.log").write_bytes(b"a\n")
    OUT.write_text("file")
    with pytest.raises(OutputExists, match="is a file"):
        run(job("a.log"), on="serial")
    assert OUT.read_text() == "file"
