"""One large gzip file for several tasks: where it can be read from the middle, and how that is done.

A first reading, while the run is planned, finds blocks (or members) at which stretches may begin. It costs
what decompression costs, and raises what is wrong with the file. `docs/design.md` has the reasons.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, BinaryIO, cast

from mapreduce.datasets.decompression import PIECE, Decompressed, fast_zlib
from mapreduce.datasets.deflate import WINDOW, Middle, find_block
from mapreduce.errors import InputCorrupt
from mapreduce.model import Cut, InputFile, Stretch

_SEARCHED = 256 * 2**10
"""Stored bytes in which a block is looked for: several times what compressors make."""

_TRIES = 8
"""Blocks that are none, or searches without a find, after which only members are looked for: data that
was compressed before may look like a block everywhere.
"""

_STEP = 128 * 2**10
"""Plain bytes made at once: they stay in the processor's cache."""

_TRIAL = 2**10
"""Plain bytes that must be the same from a block on as they are in the reading from the beginning."""


def stretches_of(stored: BinaryIO, file: InputFile, max_ratio: int, borders: Sequence[int]) -> list[Cut]:
    """Cuts of a gzip file, each at the first place at or after a border where reading can begin.

    They depend on the content and the borders, ascending stored offsets, alone. Raises InputCorrupt.
    """
    survey = _Survey(stored, file, max_ratio, borders)
    while survey.read(_STEP):
        pass
    return survey.cuts()


class _Survey(Decompressed):
    """Reads a file once, and notes where its stretches begin."""

    def __init__(self, stored: BinaryIO, file: InputFile, max_ratio: int, borders: Sequence[int]) -> None:
        super().__init__(stored, file, max_ratio)
        self._borders = [*borders, file.size + 1]
        self._crc = 0
        self._tail = b""
        """The last plain bytes: a window's, if there are as many."""
        self._found = [Stretch(0, 0, 0, 0, 0)]
        self._tries = _TRIES
        self._block: int | None = None
        """The bit at which a block seems to begin; what is read ends with the byte before."""
        self._begun: Stretch | None = None
        self._trial = memoryview(b"")
        """What must be read from `_begun` on, as far as it has not been yet."""

    def cuts(self) -> list[Cut]:
        """The stretches, after everything was read; a file that can't be cut is one cut without."""
        found = [stretch for stretch in self._found if stretch.start < self._given]
        if len(found) < 2:
            return [Cut(self._file, 0, self._file.size)]
        last = Stretch(self._file.size * 8, self._given, self._given, self._crc, self._crc)
        return [
            Cut(self._file, one.bit // 8, other.bit // 8, stretch=_until(one, other))
            for one, other in pairwise([*found, last])
        ]

    # ------------------------------------------------------------ while it is read

    def _next(self, limit: int) -> bytes:
        made = super()._next(limit)
        self._crc = zlib.crc32(made, self._crc)
        self._tail = made if len(made) >= WINDOW else (self._tail + made)[-WINDOW:]
        if self._begun:
            self._compare(made)
        return made

    def _more(self) -> bytes:
        """Everything that was fed has been made when this is called."""
        if self._careful:  # only what is wrong is looked for
            self._piece = PIECE
            return super()._more()
        if self._block is not None and self._fed == -(-self._block // 8):
            self._begin_block(self._block)
        if self._wants_block():
            self._search()
        self._piece = self._fitting()
        return super()._more()

    def _fitting(self) -> int:
        """How many stored bytes to read, so that what is to be done next is done where it must be."""
        if self._begun:
            return _TRIAL
        border = self._borders[0] if self._block is None else -(-self._block // 8)
        return min(PIECE, border - self._fed) if border > self._fed else PIECE

    def _next_member(self) -> bool:
        self._block = None  # it lay in the member that has ended, or was none
        begins = super()._next_member()
        at = self._fed - len(self._held)
        if begins and at >= self._borders[0]:
            self._note(self._stretch(at * 8))
            self._pass(at)
        return begins

    def _stretch(self, bit: int) -> Stretch:
        """One that begins where the reading is; where it ends is not known yet."""
        before = self._tail[-1] if self._tail else -1
        return Stretch(bit, self._given, self._given, self._crc, self._crc, before)

    def _note(self, stretch: Stretch) -> None:
        if stretch.start > self._found[-1].start:
            self._found.append(stretch)

    def _pass(self, at: int) -> None:
        """Borders up to a place need no other."""
        while self._borders[0] <= at:
            del self._borders[0]

    def _wants_block(self) -> bool:
        searching = self._tries > 0 and self._block is None and self._begun is None
        return searching and not self._member.eof and self._fed >= self._borders[0]

    def _search(self) -> None:
        self._stored.seek(self._fed)
        bit = find_block(self._stored.read(_SEARCHED))
        self._stored.seek(self._fed)
        if bit is None:
            self._tries -= 1
        else:
            self._block = self._fed * 8 + bit

    def _begin_block(self, bit: int) -> None:
        """See what can be read from a block on."""
        self._block = None
        self._pass(bit // 8)
        self._stored.seek(bit // 8)
        data = self._stored.read(_TRIAL)
        self._stored.seek(self._fed)
        try:
            trial = Middle(zlib, bit % 8, self._tail).decompress(data, _TRIAL)
        except zlib.error:
            trial = b""
        if trial:
            window = base64.b64encode(zlib.compress(self._tail[-WINDOW:], 9)).decode()
            self._begun = replace(self._stretch(bit), window=window)
            self._trial = memoryview(trial)
        else:
            self._tries -= 1

    def _compare(self, made: bytes) -> None:
        """Accept the block when it has given what the reading from the beginning gave."""
        size = min(len(made), len(self._trial))
        if self._begun and self._trial[:size] == made[:size]:
            self._trial = self._trial[size:]
            if self._trial:
                return
            self._note(self._begun)
        else:
            self._tries -= 1
        self._begun = None


def _until(one: Stretch, other: Stretch) -> Stretch:
    return replace(one, stop=other.start, crc_after=other.crc)


# ---------------------------------------------------------------- reading one


class _Inner(Decompressed):
    """A gzip file from the beginning of a stretch on, to its end."""

    def __init__(self, stored: BinaryIO, file: InputFile, max_ratio: int, stretch: Stretch) -> None:
        self._stretch = stretch
        super().__init__(stored, file, max_ratio)

    def _begin(self, *, careful: bool) -> None:
        super()._begin(careful=careful)
        stretch = self._stretch
        self._fed, self._given = stretch.bit // 8, stretch.start
        self._stored.seek(self._fed)
        if stretch.window:
            module: Any = zlib if careful else fast_zlib()
            window = zlib.decompress(base64.b64decode(stretch.window))
            self._member = Middle(module, stretch.bit % 8, window)


class StretchReader:
    """The plain bytes from the one before a stretch on, to the end of the file.

    Those of the stretch must be what they were when the run was planned: raises InputCorrupt. What is
    read behind it, the rest of its last record, is compared by the task that has the next stretch.
    """

    def __init__(self, stored: BinaryIO, file: InputFile, max_ratio: int, stretch: Stretch) -> None:
        self._inner = _Inner(stored, file, max_ratio, stretch)
        self._file, self._stretch = file, stretch
        self._before = b"" if stretch.before < 0 else bytes([stretch.before])
        self._at, self._crc = stretch.start, stretch.crc

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end only."""
        if self._before:
            data, self._before = self._before, b""
            return data
        data = self._inner.read(size)
        if self._at < self._stretch.stop:
            self._check(data)
        return data

    def _check(self, data: bytes) -> None:
        left = self._stretch.stop - self._at
        self._at += len(data)
        self._crc = zlib.crc32(data if len(data) <= left else data[:left], self._crc)
        if not data or (self._at >= self._stretch.stop and self._crc != self._stretch.crc_after):
            span = f"{self._stretch.start:,} to {self._stretch.stop:,}"
            raise InputCorrupt(
                f"{self._file.uri} is damaged: plain bytes {span} are not those of when the run was planned.",
                hint="Look whether its storage is sound, and run again.",
            )


def stretch_reader(stored: BinaryIO, file: InputFile, max_ratio: int, stretch: Stretch) -> BinaryIO:
    """A `StretchReader`, as a stream to read."""
    return cast(BinaryIO, StretchReader(stored, file, max_ratio, stretch))
