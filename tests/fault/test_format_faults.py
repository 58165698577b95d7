"""Bad input of each format and compression: a typed error with the place, and never fewer records."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
import zstandard

from mapreduce import Csv, Files, Job, JsonLines, Parquet, Sum, Text, run
from mapreduce.datasets.decompression import Decompressed
from mapreduce.errors import (
    DecodeError,
    InputChanged,
    InputCorrupt,
    InputError,
    InputMissing,
    JobError,
    MapReduceError,
    RecordMalformed,
    RecordTooLarge,
)
from mapreduce.model import InputFile, Split
from mapreduce.store.profiles import VARIABLE

LINES = b"".join(b"word%d rest of line %d\n" % (n, n * 7919) for n in range(20_000))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
PACKED = {kind: pack(LINES) for kind, pack in PACKERS.items()}


def read(source: Any) -> list[Any]:
    """All records, in this process."""
    splits = (Split.of(i, cut) for i, cut in enumerate(source.splits(source.files())))
    return [record for split in splits for block in source.read(split) for record in block.records]


def frames(source: Any) -> list[Any]:
    """All rows of all frames, as dicts."""
    splits = (Split.of(i, cut) for i, cut in enumerate(source.splits(source.files())))
    return [row for split in splits for block in source.read_frames(split) for row in block.frame.to_dicts()]


def fails(kind: type[MapReduceError], call: Callable[[], object]) -> MapReduceError:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint, "every error says what to do"
    return caught.value


# ---------------------------------------------------------------- compression


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "the last byte is missing": lambda data: data[:-1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "only the first bytes": lambda data: data[:11],
    "a bit flipped": flipped,
    "junk behind": lambda data: data + b"garbage garbage garbage",
    "a byte behind": lambda data: data + b"g",
    "a second member cut": lambda data: data + data[:-1],
    "a second member damaged": lambda data: data + flipped(data),
    "junk between members": lambda data: data + b"garbage!" + data,
}


@pytest.mark.covers("D7", "each codec truncated, a bit flipped, junk behind")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", PACKERS)
def test_damage_never_gives_fewer_records(kind: str, damage: str) -> None:
    data = DAMAGES[damage](PACKED[kind])
    Path("bad.log").write_bytes(data)
    error = fails(InputCorrupt, lambda: read(Text("bad.log")))
    assert error.message.startswith("bad.log is ")
    assert f"of {len(data):,} stored" in error.message
    assert "good bytes" in error.message


def gzip_member(flags: int, extra: bytes, data: bytes, level: int) -> bytes:
    """A member with a header's optional parts, and blocks of 127 symbols; flag 2 is its checksum."""
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff" + extra
    if flags & 2:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 1)
    packed = deflate.compress(data) + deflate.flush()
    return head + packed + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")


GZIP_FILES = {
    "blocks": gzip_member(0, b"", LINES[:900], 6),
    "stored": gzip_member(0, b"", LINES[:150], 0),
    "every header": gzip_member(30, b"\3\0abc" + b"name\0" + b"comment\0", LINES[:90], 9),
    "members": gzip_member(2, b"", LINES[:80], 6) + b"\0" * 5 + gzip_member(8, b"n\0", b"", 6),
}


@pytest.mark.covers(
    "D7", "each byte of a gzip file changed, left out, doubled; each end; by zlib and by isal"
)
@pytest.mark.parametrize("name", GZIP_FILES)
def test_isal_and_zlib_read_the_same_and_refuse_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("isal")
    stored = GZIP_FILES[name]
    changed = [
        stored[:place] + new + stored[place + rest :]
        for place in range(2, len(stored))
        for new, rest in [
            *((bytes([stored[place] ^ 1 << bit]), 1) for bit in range(8)),
            (b"", 1),
            (b"", len(stored)),
            (stored[place : place + 1] * 2, 1),
        ]
    ]
    outcomes: list[list[tuple[bytes, str]]] = []
    for module in ("isal", "zlib"):
        if module == "zlib":
            monkeypatch.setitem(sys.modules, "isal", None)
        outcomes.append([plain_bytes(data) for data in [stored, *changed]])
    assert outcomes[0][0][1] == ""
    assert [error for _, error in outcomes[0]] == [error for _, error in outcomes[1]]
    whole = [data for data, error in outcomes[0] if not error]
    assert whole == [data for data, error in outcomes[1] if not error]


def plain_bytes(data: bytes) -> tuple[bytes, str]:
    """What is in a gzip file, or all of it that is read before the error, and that in words."""
    stream = Decompressed(io.BytesIO(data), InputFile("file", len(data), "", "gzip"), max_ratio=500)
    found = b""
    try:
        while made := stream.read(50):
            found += made
    except InputCorrupt as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize("kind", PACKERS)
def test_every_truncation_of_a_small_file(kind: str) -> None:
    whole = PACKERS[kind](b"one\ntwo\n")
    for length in range(5 if kind == "bzip2" else 6 if kind == "xz" else 4, len(whole)):
        Path("cut").write_bytes(whole[:length])
        fails(InputCorrupt, lambda: read(Text("cut")))


@pytest.mark.covers("D7", "concatenated members")
@pytest.mark.parametrize("kind", PACKERS)
def test_all_members_are_read(kind: str) -> None:
    pack = PACKERS[kind]
    Path("many").write_bytes(pack(b"a\nb") + pack(b"") + pack(b"c\n") + pack(b"") + pack(b"d\n") + pack(b""))
    assert read(Text("many")) == ["a", "bc", "d"]


def test_padding_of_zeros_is_none_of_the_data() -> None:
    for kind in ("gzip", "xz"):
        pack = PACKERS[kind]
        Path("padded").write_bytes(pack(b"a\n") + b"\0" * 8 + pack(b"b\n") + b"\0" * 4096)
        assert read(Text("padded")) == ["a", "b"]
    Path("padded").write_bytes(PACKERS["xz"](b"a\n") + b"\0" * 3)
    assert "padding" in fails(InputCorrupt, lambda: read(Text("padded"))).message


def test_skippable_frames_of_zstd() -> None:
    skippable = b"\x52\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    Path("skip").write_bytes(skippable + zstd(b"a\n") + skippable + zstd(b"b\n"))
    assert read(Text("skip")) == ["a", "b"]


@pytest.mark.covers("D8", "plain as .gz, gzip as .log")
def test_the_content_says_what_is_compressed_and_the_name_does_not() -> None:
    for kind, pack in PACKERS.items():
        Path(f"{kind}.log").write_bytes(pack(b"packed\n"))
        assert read(Text(f"{kind}.log")) == ["packed"]
    for suffix in ("gz", "bz2", "xz", "zst"):
        Path(f"plain.{suffix}").write_bytes(b"plain\n")
        assert read(Text(f"plain.{suffix}")) == ["plain"]
    Path("text").write_bytes(b"BZh9 is how bzip2 begins\n")
    assert read(Text("text")) == ["BZh9 is how bzip2 begins"]


@pytest.mark.covers("D8", "bz2, lzma or zstandard missing")
@pytest.mark.parametrize(("kind", "module"), [("bzip2", "bz2"), ("xz", "lzma"), ("zstd", "zstandard")])
def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, kind: str, module: str) -> None:
    Path("packed").write_bytes(PACKED[kind])
    monkeypatch.setitem(sys.modules, module, None)
    error = fails(InputError, lambda: read(Text("packed")))
    assert f"packed: {kind} needs the module {module}" in error.message
    assert ("mapreduce[zstd]" in error.hint) == (kind == "zstd")


@pytest.mark.covers("D13", "a bomb of each codec")
@pytest.mark.parametrize("kind", PACKERS)
def test_a_bomb_ends_before_it_fills_the_memory(kind: str) -> None:
    Path("bomb").write_bytes(PACKERS[kind](b"0" * 79 + b"\n") * 3 + PACKERS[kind](b"0" * 2**26))
    source = Text("bomb", max_ratio=20, max_record="1GB")
    error = fails(InputCorrupt, lambda: read(source))
    assert error.message.startswith("bomb expands beyond max_ratio (20)")
    assert "raise max_ratio" in error.hint


def test_a_small_file_may_have_any_ratio() -> None:
    Path("zeros").write_bytes(gzip.compress((b"0" * 1023 + b"\n") * 2**13))  # 8 MB
    assert len(read(Text("zeros", max_ratio=1))) == 2**13
    Path("zeros").write_bytes(gzip.compress((b"0" * 1023 + b"\n") * 2**15))
    fails(InputCorrupt, lambda: read(Text("zeros", max_ratio=100)))
    assert len(read(Text("zeros", max_ratio=2000))) == 2**15


# ---------------------------------------------------------------- lines and rows


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": 1', "no JSON: Expecting ',' delimiter"),
        (b"{'a': 1}", "no JSON: Expecting property name"),
        (b"1 2", "no JSON: Extra data"),
        (b"[" * 100_000, "no JSON: maximum recursion"),
        (b"9" * 5_000, "no JSON: Exceeds the limit"),
        (b"nul", "no JSON: Expecting value"),
        (b"\x0b", "no JSON: Expecting value"),
    ],
    ids=lambda value: repr(value[:9]),
)
@pytest.mark.parametrize("split_size", [10, 10**6])
def test_a_malformed_line_of_json_is_named(line: bytes, why: str, split_size: int) -> None:
    Path("bad.jsonl").write_bytes(b'{"fine": 1}\n\n' + line + b"\n[2]\n")
    error = fails(RecordMalformed, lambda: read(JsonLines("bad.jsonl", split_size=split_size)))
    assert error.message.startswith(f"bad.jsonl, byte 13: {why}")
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("field", "kind", "value"),
    [
        ("text", str, "1"),
        ("number", int, "1.0"),
        ("number", int, "true"),
        ("number", int, str(2**63)),
        ("share", float, '"1"'),
        ("flag", bool, "1"),
        ("day", "date", '"yesterday"'),
        ("text", str, '"\\ud800"'),
    ],
)
def test_a_frame_takes_no_value_of_another_type(field: str, kind: Any, value: str) -> None:
    from datetime import date

    Path("typed.jsonl").write_text('{"other": 1}\n\n{"%s": %s}\n' % (field, value))  # noqa: UP031
    source = JsonLines("typed.jsonl", schema={field: date if kind == "date" else kind})
    error = fails(RecordMalformed, lambda: frames(source))
    assert "typed.jsonl, byte 14: the column" in error.message
    assert len(read(source)) == 2


@pytest.mark.parametrize(
    ("make", "content", "at"),
    [
        (JsonLines, '"é"\n'.encode() * 5 + b'"\xc3"\n', "26"),
        (Csv, "a\né\n".encode() + b"\xff\n", "5"),
        (lambda path, **options: Csv(path, multiline=True, **options), "a\né\n".encode() + b"\xff\n", "5"),
        (lambda path, **options: Text(path, record_start="x", **options), b"x\na\n" * 9 + b"\xe2\x82", "36"),
    ],
    ids=["JsonLines", "Csv", "multiline", "record_start"],
)
@pytest.mark.parametrize("block_size", [1, 4, 1000])
def test_bytes_that_are_not_text_are_named(make: Any, content: bytes, at: str, block_size: int) -> None:
    Path("bad").write_bytes(content)
    error = fails(DecodeError, lambda: read(make("bad", block_size=block_size)))
    assert error.message.startswith(f"bad, byte {at}: not utf-8 text")
    assert read(make("bad", errors="replace", encoding="latin-1"))
    if make is not Csv:
        return
    fails(DecodeError, lambda: frames(Csv("bad", schema={"a": str}, block_size=block_size)))


HEAD = b"a,b\nx,y\n\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"1,2,3", "3 fields where 2 belong"),
        (b"1", "1 fields where 2 belong"),
        (b'1,"2', "a quote is not closed"),
        (b'1,"2"x', "there is text after a closing quote"),
        (b'1,"2""', "a quote is not closed"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"split_size": 3}, {"block_size": 1}, {"multiline": True}], ids=str)
def test_a_malformed_row_is_named(row: bytes, why: str, options: dict[str, Any]) -> None:
    Path("bad.csv").write_bytes(HEAD + row)
    for call in (read, frames):
        source = Csv("bad.csv", schema={"b": str}, **options)
        error = fails(RecordMalformed, lambda call=call, source=source: call(source))
        assert error.message.startswith(f"bad.csv, byte 9: {why}: {row.decode()!r}")
    if why == "a quote is not closed":
        assert ("multiline=True" in error.hint) == ("multiline" not in options)


def test_a_row_over_max_record_is_not_collected_without_end() -> None:
    Path("open.csv").write_bytes(b'a\n"' + b"line\n" * 1000)
    error = fails(RecordTooLarge, lambda: read(Csv("open.csv", multiline=True, max_record=100)))
    assert "byte 2 is longer than max_record (100 bytes)" in error.message


def test_a_record_of_several_lines_over_max_record() -> None:
    Path("trace.log").write_bytes(b"2024 a\n2024 b\n" + b" at x\n" * 1000)
    error = fails(RecordTooLarge, lambda: read(Text("trace.log", record_start="2024", max_record=100)))
    assert "byte 7 is longer" in error.message


def test_a_header_with_two_equal_names() -> None:
    Path("twice.csv").write_bytes(b"a,b,a\n1,2,3\n")
    assert (
        "two fields of the header are named 'a'"
        in fails(RecordMalformed, lambda: read(Csv("twice.csv"))).message
    )


def test_a_schema_that_the_file_does_not_have() -> None:
    Path("a.csv").write_bytes(b"a,b\n1,2\n")
    assert "no column 'c'" in fails(InputError, lambda: frames(Csv("a.csv", schema={"c": str}))).message
    error = fails(RecordMalformed, lambda: frames(Csv("a.csv", schema={"b": bool})))
    assert "a.csv, byte 4: the column 'b' is Boolean" in error.message


# ---------------------------------------------------------------- Parquet


@pytest.fixture
def table() -> Path:
    path = Path("table.parquet")
    pl.DataFrame({"n": range(1000), "s": [f"text {n}" for n in range(1000)]}).write_parquet(
        path, row_group_size=100
    )
    return path


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("empty", lambda data: b""),
        ("text", lambda data: b"key,value\n1,2\n"),
        ("cut", lambda data: data[:-1]),
        ("compressed as a whole", gzip.compress),
        ("a footer of any length", lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1"),
        ("a damaged footer", lambda data: data[:-60] + b"\xff" * 50 + data[-10:]),
        ("rows that are gone", lambda data: data[:4] + b"\0" * 3000 + data[3004:]),
    ],
)
def test_a_damaged_parquet_file(table: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    table.write_bytes(change(table.read_bytes()))
    error = fails(InputCorrupt, lambda: read(Parquet(table)))
    assert error.message.startswith("table.parquet")


def test_a_column_that_is_not_there(table: Path) -> None:
    error = fails(InputError, lambda: read(Parquet(table, columns=["nothing"])))
    assert "table.parquet has no column 'nothing'; it has n, s." in error.message


# ---------------------------------------------------------------- files that change


class Meddling:
    """A map that does something to the input when it sees the first record."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def __call__(self, line: str) -> Iterator[tuple[str, int]]:
        if line.startswith("first"):
            self.action()
        yield line.split(" ")[0], 1


def append() -> None:
    with open("live.log", "ab") as stream:
        stream.write(b"more lines\n" * 10_000)


def replace() -> None:
    Path("new").write_bytes(Path("live.log").read_bytes())
    os.replace("new", "live.log")


def truncate() -> None:
    os.truncate("live.log", 10)


def rewrite(at: int) -> Callable[[], None]:
    def action() -> None:
        with open("live.log", "r+b") as stream:
            stream.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
            stream.write(b"XX")

    return action


CONTENT = b"first\n" + b"other line\n" * 50_000


def test_a_growing_file_is_read_as_long_as_it_was() -> None:
    Path("live.log").write_bytes(CONTENT + b"half a li")
    source = Text("live.log", growing="snapshot", split_size=100_000)
    result = run(Job("live", source, Meddling(append), Sum()), on="serial")
    assert dict(result) == {"first": 1, "other": 50_000, "half": 1}
    assert result.manifest.inputs[0].size == len(CONTENT) + 9


@pytest.mark.covers("D9", "a growing file that is another one")
@pytest.mark.parametrize(
    "action",
    [replace, truncate, lambda: Path("live.log").unlink(missing_ok=True), rewrite(0), rewrite(-2)],
    ids=["replaced", "truncated", "removed", "another beginning", "another end"],
)
def test_a_growing_file_that_is_another_one(action: Callable[[], object]) -> None:
    Path("live.log").write_bytes(CONTENT)
    job = Job("live", Text("live.log", growing="snapshot"), Meddling(action), Sum(), "out")
    fails(InputChanged, lambda: run(job, on="serial"))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_growing_file_may_be_compressed(kind: str) -> None:
    Path("live.log").write_bytes(PACKERS[kind](b"a\n"))
    source = Text("live.log", growing="snapshot")
    files = source.files()
    with open("live.log", "ab") as stream:
        stream.write(PACKERS[kind](b"b\n"))
    (cut,) = source.splits(files)
    blocks = source.read(Split.of(0, cut))
    assert [record for block in blocks for record in block.records] == ["a"]


def test_only_local_lines_can_grow() -> None:
    fsspec.filesystem("memory").pipe_file("/grow/a.log", b"a\n")
    assert (
        "only local files"
        in fails(JobError, lambda: Text("memory://grow/a.log", growing="snapshot").files()).message
    )
    fails(JobError, lambda: Parquet("x", growing="snapshot"))  # type: ignore[arg-type]
    fails(JobError, lambda: Text("x", growing="yes"))


def test_a_file_record_is_the_planned_file() -> None:
    Path("a.bin").write_bytes(b"one")
    (record,) = read(Files("a.bin"))
    with record.open() as stream:
        assert stream.read() == b"one"
    with pytest.raises(InputChanged), record.open() as stream:
        Path("a.bin").write_bytes(b"other")
    fails(InputChanged, record.open)
    Path("a.bin").unlink()
    fails(InputChanged, record.open)


# ---------------------------------------------------------------- profiles


SECRET = "s3cr3t-t0ken"


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path("profiles.toml").resolve()
    path.write_text(f'[store]\nnothing = "{SECRET}"\n[list]\nkeys = ["{SECRET}"]\n')
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def test_storage_options_are_a_name() -> None:
    for cls in (Text, JsonLines, Csv, Parquet, Files):
        error = fails(JobError, lambda cls=cls: cls("x", storage_options={"key": SECRET}))
        assert "would travel" in error.message
        assert SECRET not in str(error)


def test_a_missing_profile_names_the_file_and_the_profile(profiles: Path) -> None:
    error = fails(JobError, lambda: Text("memory://x/*", storage_options="other").files())
    assert "'other'" in error.message
    assert str(profiles) in error.message
    profiles.unlink()
    error = fails(JobError, lambda: Text("memory://x/*", storage_options="store").files())
    assert "'store'" in error.message
    assert str(profiles) in error.message


def test_a_broken_file_of_profiles_is_not_quoted(profiles: Path) -> None:
    profiles.write_text(f"[store]\nkey = {SECRET}\n")
    error = fails(JobError, lambda: Text("memory://x/*", storage_options="store").files())
    assert "no valid TOML" in error.message
    assert SECRET not in shown(error)


def shown(error: BaseException) -> str:
    """All that a traceback would show."""
    import traceback

    return "".join(traceback.format_exception(error))


class Refusing(fsspec.AbstractFileSystem):
    """A store that tells its keys in every error, as some do."""

    protocol = "refusing"

    def __init__(self, token: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.token = token

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        if path.endswith("missing"):
            raise FileNotFoundError(f"no {path} for {self.token}")
        if path.endswith("io"):
            raise OSError(5, f"token {self.token} is wrong")
        if path.endswith("broken"):
            raise RuntimeError(f"token {self.token} is wrong")
        return {"name": path, "size": 2, "type": "file", "mtime": 1}

    def isdir(self, path: str) -> bool:
        return False

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        return b"a\n"

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        assert self.token == SECRET
        return io.BytesIO(b"a\n")


@pytest.fixture
def refusing(profiles: Path) -> Path:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    profiles.write_text(f'[store]\ntoken = "{SECRET}"\n')
    return profiles


def test_what_a_profile_says_reaches_the_storage_and_nothing_else(refusing: Path) -> None:
    source = Text("refusing://x/a.log", storage_options="store")
    result = run(Job("profile", source, lambda line: [(line, 1)], Sum(), "out"), on="serial")
    assert list(result) == [("a", 1)]
    assert result.manifest.inputs[0].profile == "store"
    assert all(SECRET.encode() not in path.read_bytes() for path in Path("out").iterdir())
    assert SECRET not in repr(source)


@pytest.mark.parametrize("name", ["missing", "io", "broken"])
def test_no_secret_in_a_storages_errors(refusing: Path, name: str) -> None:
    error = fails_any(lambda: Text(f"refusing://x/{name}", storage_options="store").files())
    assert isinstance(error, InputMissing if name == "missing" else InputError)
    assert SECRET not in shown(error)


def test_options_that_a_storage_does_not_know(refusing: Path) -> None:
    refusing.write_text(f'[store]\ntoken = ["{SECRET}"]\nprotocol = 7\n')
    error = fails_any(lambda: Text("refusing://x/io", storage_options="store").files())
    assert SECRET not in shown(error)


def fails_any(call: Callable[[], object]) -> MapReduceError:
    with pytest.raises(MapReduceError) as caught:
        call()
    return caught.value
