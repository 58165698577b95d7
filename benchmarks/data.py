"""What the programs read: seeded data, made once and kept in a folder.

    python -m benchmarks.data access 2GB [--data FOLDER] [--addresses 10000000]

A dataset is a function of its name, which bears kind, size, seed, number of client addresses, and a version
of the generators: the same name is the same bytes on every machine. It is written under another name and
renamed, so what has the right name is whole.

| kind | holds | who reads it |
|---|---|---|
| `access` | an access log, 0.1 % of its lines malformed, paths after Zipf, 200,000 addresses | jobs on logs |
| `access-parts` | the same log, cut at line ends into files of 32 MB | gz against plain |
| `access-gz` | those files, each compressed by gzip -6 | gz against plain |
| `access-one-gz` | the log as a single gzip member | one single .gz |
| `text` | lines of 12 words after Zipf, with a long tail of rare ones | word count |
| `documents` | lines of a number, TAB, and 170 words | inverted index |
| `records` | lines of 100 bytes that begin with 10 random characters | sort |
"""

import argparse
import os
import re
import shutil
import sys
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random

from benchmarks.generators import BLOCKS, VERSION
from mapreduce.testing import logs

ADDRESSES = 200_000
PATHS = 20_000
MALFORMED = 0.001
PART = 32_000_000  # bytes of a file of `access-parts`
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class Data:
    """The datasets of one size and seed, in one folder, made when they are first asked for."""

    def __init__(
        self, folder: Path, size: int, *, seed: int = 1, addresses: int = ADDRESSES, part: int = PART
    ) -> None:
        self.folder = folder
        self.size = size
        self.seed = seed
        self.addresses = addresses
        self.part = part

    def path(self, kind: str, size: int | None = None) -> Path:
        """A dataset, of the usual size if none is given; read once, so that it is in the page cache."""
        size = self.size if size is None else size
        target = self.folder / self._name(kind, size)
        if not target.exists():
            self._make(kind, size, target)
        for file in sorted(target.iterdir()) if target.is_dir() else [target]:
            warm(file)
        return target

    def _name(self, kind: str, size: int) -> str:
        addresses = f"-{self.addresses}" if kind.startswith("access") else ""
        return f"{kind}-{size}-{self.seed}{addresses}-v{VERSION}"

    def _make(self, kind: str, size: int, target: Path) -> None:
        print(f"making {target}", file=sys.stderr, flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            self._write(kind, size, temporary)
            temporary.rename(target)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)

    def _write(self, kind: str, size: int, target: Path) -> None:
        if kind == "access":
            logs.write_access_log(
                target, size, seed=self.seed, addresses=self.addresses, paths=PATHS, malformed=MALFORMED
            )
        elif kind == "access-parts":
            cut(self.path("access", size), target, self.part)
        elif kind == "access-gz":
            compress_each(self.path("access-parts", size), target)
        elif kind == "access-one-gz":
            compress(self.path("access", size), target)
        else:
            write_blocks(target, size, BLOCKS[kind](Random(self.seed)))


def default_folder() -> Path:
    """In $TMPDIR if there is one, or in the user's cache."""
    temporary = os.environ.get("TMPDIR")
    return Path(temporary) / "mapreduce-bench" if temporary else Path.home() / ".cache" / "mapreduce-bench"


def size_of(text: str) -> int:
    """Bytes, of a text such as 200MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(\w*)", text)
    if match is None or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number with one of {', '.join(filter(None, UNITS))}"
        )
    return round(float(match[1]) * UNITS[match[2]])


def warm(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        while opened.read(1 << 20):
            pass


# How it is written


def write_blocks(target: Path, size: int, blocks: Iterator[bytes]) -> None:
    """Whole lines, up to the first that reaches the size."""
    missing = size
    with target.open("xb") as file:
        while missing > 0:
            block = next(blocks)
            if len(block) > missing:
                block = block[: block.index(b"\n", missing - 1) + 1]
            file.write(block)
            missing -= len(block)


def cut(log: Path, folder: Path, part: int) -> None:
    """Files of about `part` bytes, at line ends."""
    folder.mkdir()
    with log.open("rb") as source:
        for number in count():
            data = source.read(part)
            if not data:
                return
            (folder / f"access-{number:05d}.log").write_bytes(data + source.readline())


def compress_each(parts: Path, folder: Path) -> None:
    folder.mkdir()
    files = sorted(parts.iterdir())
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # zlib works without the interpreter lock
        list(pool.map(compress, files, (folder / f"{file.name}.gz" for file in files)))


def compress(source: Path, target: Path) -> None:
    """What `gzip -6 -n` writes, but for the header."""
    packer = zlib.compressobj(6, wbits=31)
    with source.open("rb") as plain, target.open("xb") as file:
        while data := plain.read(1 << 20):
            file.write(packer.compress(data))
        file.write(packer.flush())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("kind", choices=["access", "access-parts", "access-gz", "access-one-gz", *BLOCKS])
    parser.add_argument("size", type=size_of)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--addresses", type=int, default=ADDRESSES)
    parser.add_argument("--data", type=Path, default=default_folder())
    options = parser.parse_args()
    data = Data(options.data, options.size, seed=options.seed, addresses=options.addresses)
    print(data.path(options.kind))


if __name__ == "__main__":
    main()
