"""Whole files: a record is a file, which the map opens itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader

from mapreduce.datasets.base import FileDataset, Paths
from mapreduce.errors import JobError
from mapreduce.model import Cut, InputFile, Location, Split
from mapreduce.store import inputs


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of the input, as it was when the run was planned."""

    file: InputFile

    @property
    def path(self) -> str:
        """The path or URL."""
        return self.file.uri

    @property
    def size(self) -> int:
        """Stored bytes."""
        return self.file.size

    def open(self) -> BufferedReader:
        """The stored bytes, as a stream to read and to close; use it in a `with` statement.

        Raises InputChanged if the file is not the planned one, now or at the end of the statement.
        """
        return inputs.CheckedReader(self.file)


class Files(FileDataset):
    """A source of files: a record has `path`, `size` and `open()`. Compressed files stay as they are.

    paths: a path, glob, directory, URL, or a list of these.
    per_task: files for each map task.
    storage_options: as for `Text`.
    """

    def __init__(self, paths: Paths, *, per_task: int = 1, storage_options: str | None = None) -> None:
        if type(per_task) is not int or per_task < 1:
            raise JobError(f"Files: per_task={per_task!r}.", hint="Give a number of files, from 1.")
        super().__init__(paths, storage_options=storage_options)
        self.per_task = per_task

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """`per_task` neighbours each."""
        groups = (files[start : start + self.per_task] for start in range(0, len(files), self.per_task))
        return [Cut(first, 0, first.size, more=tuple(more)) for first, *more in groups]

    def read(self, split: Split) -> Iterator[FileBlock]:
        """The files of the split, one after another."""
        chosen = (split.file, *split.more)
        return map(FileBlock, chosen[: split.records])


class FileBlock:
    """One file."""

    def __init__(self, file: InputFile) -> None:
        self.records = [FileRecord(file)]
        self.location = Location(file.uri, 0, file.size)
        self.size = file.size

    def locate(self, index: int) -> Location:
        """Of the whole file."""
        return self.location
