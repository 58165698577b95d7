"""One hash of an answer, the same for every program that gave the same one.

An answer is a file or a folder of files. Records may come in any order, in any files, and with any names of
fields: what counts is each record's values in their order. Sorted lines must come in their order.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_128

SUM = 1 << 128


def answer(output: Path, *, ordered: bool = False) -> str:
    """Records or lines, and a hash over all.

    Raises OSError, ValueError or KeyError for an output that is missing or that is none.
    """
    return _of_lines(output) if ordered else _of_records(output)


def _of_lines(output: Path) -> str:
    digest, lines = xxh3_128(), 0
    for file in files(output):
        with file.open("rb") as opened:
            while data := opened.read(1 << 20):
                digest.update(data)
                lines += data.count(b"\n")
    return f"{lines}-{digest.hexdigest()}"


def _of_records(output: Path) -> str:
    """The records' hashes are added, which is the same in any order."""
    total = records = 0
    for file in files(output):
        with file.open("rb") as opened:
            for line in opened:
                text = "\t".join(map(str, _leaves([*json.loads(line).values()])))
                total += xxh3_128(text.encode()).intdigest()
                records += 1
    return f"{records}-{total % SUM:032x}"


def _leaves(values: list[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, dict):
            yield from _leaves([*value.values()])
        elif isinstance(value, list):
            yield from _leaves(value)
        else:
            yield value


def files(output: Path) -> list[Path]:
    """What a manifest names, or all in the folder whose name doesn't begin with a dot or an underscore."""
    if not output.is_dir():
        return [output]
    manifest = output / "_manifest.json"
    if manifest.exists():
        parts = json.loads(manifest.read_text(encoding="utf-8"))["parts"]
        return [output / str(part["name"]) for part in parts]
    return sorted(file for file in output.iterdir() if file.name[0] not in "._")
