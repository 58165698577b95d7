"""Lines of 100 bytes in ascending order, in parts that follow one another."""

from collections.abc import Iterator

from mapreduce import Job, Text, TotalOrder, blocks, params


@blocks
def keyed(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The first ten characters, and the line."""
    return zip([line[:10] for line in lines], lines, strict=True)


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
