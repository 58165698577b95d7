"""Lines of 100 bytes in ascending order, in parts that follow one another.

The key is no longer than it must be to make small groups: the function sorts each. With ten characters
every line is a group of its own, and a call.
"""

from collections.abc import Iterator

from mapreduce import Job, Text, TotalOrder, blocks, params


@blocks
def keyed(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The first three characters, and the line."""
    return zip([line[:3] for line in lines], lines, strict=True)


def in_order(_key: str, lines: Iterator[str]) -> list[str]:
    return sorted(lines)


job = Job(
    name="sort",
    source=params["SOURCE"],
    map=keyed,
    reduce=in_order,
    partition=TotalOrder(),
    output=Text(params["OUTPUT"]),
)
