"""Formats: how an input is cut and read, how an output is written and read back."""

from __future__ import annotations

import os
from typing import Any

from mapreduce.datasets.base import FileDataset, LineDataset
from mapreduce.datasets.csv import Csv
from mapreduce.datasets.files import FileRecord, Files
from mapreduce.datasets.jsonlines import JsonLines
from mapreduce.datasets.kept import Kept
from mapreduce.datasets.parquet import Parquet
from mapreduce.datasets.records import Records
from mapreduce.datasets.text import Text
from mapreduce.protocols import Output, Source

__all__ = [
    "Csv",
    "FileDataset",
    "FileRecord",
    "Files",
    "JsonLines",
    "Kept",
    "LineDataset",
    "Parquet",
    "Records",
    "Text",
    "as_output",
    "as_source",
]


def as_source(source: Any) -> Source:
    """A job's `source` as a dataset: paths are `Text`."""
    return source if isinstance(source, Source) else Text(source)


def as_output(output: Any) -> Output:
    """A job's `output` as a dataset: a path is `JsonLines`, None is `Kept`."""
    if output is None:
        return Kept()
    return JsonLines(output) if isinstance(output, (str, os.PathLike)) else output
