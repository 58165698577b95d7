"""What all datasets of files share: paths, options, and files cut at line ends."""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, BinaryIO

from mapreduce.datasets.blocks import LineBlock
from mapreduce.datasets.compression import SUFFIXES, suffix_of
from mapreduce.datasets.decompression import decompressed
from mapreduce.datasets.lines import LF, line_blocks
from mapreduce.datasets.linetext import LineText
from mapreduce.datasets.stretches import stretch_reader, stretches_of
from mapreduce.errors import DecodeError, InputError, JobError
from mapreduce.model import Cut, InputFile, Location, Split
from mapreduce.store import inputs
from mapreduce.store.profiles import load_profile
from mapreduce.units import parse_size

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

TakeBad = Callable[[Location, bytes, InputError], None]

RECORDS_BLOCK = 128 * 2**10
FRAMES_BLOCK = 4 * 2**20
"""Bytes of a block, where the user gave no `block_size`: records stay in the processor's cache,
frames are worth their overhead."""


FEW = 4
"""A gzip file is cut if it is more than one so manieth of the input's stored bytes: finding out where costs
a reading, and so many files are tasks enough.
"""


class FileDataset:
    """Files at paths; as an output, one directory."""

    format_suffix = ""

    def __init__(
        self, paths: Paths, *, storage_options: str | None = None, compression: str | None = None
    ) -> None:
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self.paths = [os.fspath(path) for path in given]
        self.profile = _profile(type(self).__name__, storage_options)
        self.suffix = self.format_suffix + suffix_of(compression)
        self.compression = SUFFIXES[compression] if compression else ""

    @property
    def path(self) -> str | None:
        """The directory, as an output."""
        return self.paths[0] if len(self.paths) == 1 else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.paths)})"

    @property
    def reading(self) -> dict[str, Any]:
        """Options, as plain data, that reading a part of this output needs, beside its path."""
        return {}

    def files(self) -> list[InputFile]:
        """The input's files in order, each with size, fingerprint and compression."""
        load_profile(self.profile)  # which must be there, whether a path needs it or not
        return [self._describe(path) for path in inputs.expand(self.paths, self.profile)]

    def _describe(self, path: str) -> InputFile:
        return inputs.describe(path, self.profile)


def _profile(name: str, given: object) -> str:
    if isinstance(given, Mapping):
        raise JobError(
            f"{name}: storage_options is a dict, whose secrets would travel in jobs, logs and manifests.",
            hint="Give the name of a profile, and write the options into the file of profiles on each host.",
        )
    if given is not None and (not isinstance(given, str) or not given):
        raise JobError(f"{name}: storage_options={given!r}.", hint="Give the name of a profile.")
    return given or ""


class LineDataset(FileDataset):
    """Files of text that are cut at line ends."""

    def __init__(
        self,
        paths: Paths,
        *,
        encoding: str,
        errors: str,
        split_size: int | str,
        block_size: int | str | None,
        max_record: int | str,
        max_ratio: int,
        growing: str | None,
        storage_options: str | None,
        compression: str | None,
    ) -> None:
        super().__init__(paths, storage_options=storage_options, compression=compression)
        self._lines = LineText(encoding, errors, type(self).__name__)
        self.split_size = parse_size("split_size", split_size)
        self.block_size = None if block_size is None else parse_size("block_size", block_size)
        self.max_record = parse_size("max_record", max_record)
        self.max_ratio = _ratio(max_ratio)
        if growing not in (None, "snapshot"):
            raise JobError(f"growing={growing!r}.", hint='Give None or "snapshot".')
        self.growing = growing is not None
        self._undecodable = 0
        self._take_bad: TakeBad | None = None

    @property
    def encoding(self) -> str:
        """The encoding's name as Python normalises it."""
        return self._lines.encoding

    @property
    def undecodable(self) -> int:
        """Lines read by this object so far that had bytes which `errors` let pass."""
        return self._undecodable

    def set_aside(self, take: TakeBad | None) -> None:
        """From now on give lines that are no records to `take`, with place and error, instead of raising
        what is wrong with them; None: raise.
        """
        self._take_bad = take

    @property
    def errors(self) -> str:
        """What happens to bytes that are not text."""
        return self._lines.errors

    @property
    def reading(self) -> dict[str, Any]:
        """How bytes become text."""
        return {"encoding": self.encoding, "errors": self.errors}

    def _describe(self, path: str) -> InputFile:
        return inputs.describe(path, self.profile, self.growing)

    @property
    def _needs_whole_files(self) -> bool:
        """Whether records can't be found from the middle of a file."""
        return False

    def splits(self, files: Sequence[InputFile], *, read_ahead: bool = True) -> list[Cut]:
        """Equal byte ranges of at most `split_size`. A large gzip file is cut where it can be read from the
        middle; it is read for that, unless `read_ahead` is False. Other compressed files are one range.
        """
        least = sum(file.size for file in files) // FEW if read_ahead else math.inf
        return [cut for file in files for cut in self._cuts(file, least)]

    def _cuts(self, file: InputFile, least: float) -> list[Cut]:
        pieces = _pieces(file.size, self.split_size)
        borders = [file.size * piece // pieces for piece in range(pieces + 1)] if pieces else []
        if file.compression or self._needs_whole_files:
            if pieces > 1 and file.size > least and self._has_middles(file):
                with inputs.opened(file) as stored:
                    return stretches_of(stored, file, self.max_ratio, borders[1:-1])
            borders = borders[:1] + borders[-1:]
        return [Cut(file, start, stop) for start, stop in pairwise(borders)]

    def _has_middles(self, file: InputFile) -> bool:
        """Whether several tasks may read a compressed file. One that is far off would come twice."""
        return file.compression == "gzip" and not self._needs_whole_files and not inputs.is_url(file.uri)

    @contextmanager
    def _opened(self, split: Split) -> Iterator[BinaryIO]:
        """The plain bytes of the split's file, from the one before the split on."""
        file, stretch = split.file, split.stretch
        with inputs.opened(file) as stored:
            if stretch:
                yield stretch_reader(stored, file, self.max_ratio, stretch)
                return
            if not file.compression:
                stored.seek(max(split.start - 1, 0))
            yield decompressed(stored, file, self.max_ratio)

    def _data(
        self, stream: BinaryIO, file: InputFile, start: int, stop: int | None, default_size: int
    ) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of the whole lines that begin in [start, stop), without a byte order mark."""
        size = self.block_size or default_size
        blocks = line_blocks(stream, start, stop, size, self.max_record, file.uri, self._take_bad)
        for offset, data in blocks:
            if self.errors != "strict":
                self._undecodable += self._lines.undecodable(data)
            if offset == 0 and self.encoding == "utf-8" and data.startswith(codecs.BOM_UTF8):
                yield len(codecs.BOM_UTF8), data[len(codecs.BOM_UTF8) :]
            else:
                yield offset, data

    def _decoded(self, data: bytes, offset: int, uri: str) -> tuple[list[str], list[int] | None]:
        """The lines of a block, and their numbers within it; None: all. Raises DecodeError."""
        try:
            return self._lines.decode(data, offset, uri), None
        except DecodeError:
            if self._take_bad is None:
                raise
        block = LineBlock(uri, offset, data, [])
        lines: list[str] = []
        numbers: list[int] = []
        for index, line in enumerate(data.removesuffix(LF).split(LF)):
            place = block.locate(index)
            try:
                lines += self._lines.decode(line + LF, place.offset, uri)
                numbers.append(index)
            except DecodeError as error:
                self._take_bad(place, line, error)
        return lines, numbers

    def _range(self, split: Split) -> tuple[int, int | None]:
        """The bytes in which the split's records begin; None: to the end."""
        if split.stretch:
            return split.stretch.start, split.stretch.stop
        return (0, None) if split.file.compression else (split.start, split.stop)


def _pieces(size: int, most: int) -> int:
    """How many equal ranges of at most `most` bytes: a number that 2, 4 or 8 workers share evenly, so
    that they end together.
    """
    least = -(-size // most)
    even = 8 if least > 4 else 4 if least > 2 else max(least, 1)
    return min(-(-least // even) * even, size)


def _ratio(max_ratio: Any) -> int:
    if type(max_ratio) is not int or max_ratio < 1:
        raise JobError(f"max_ratio={max_ratio!r}.", hint="Give a whole number, from 1.")
    return max_ratio
