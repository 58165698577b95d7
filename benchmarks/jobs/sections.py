"""How many different addresses asked for something in each section of the site? Exactly, by an aggregate."""

from collections.abc import Iterator

from mapreduce import CountDistinct, Job, blocks, params


def section_and_address(line: str) -> tuple[str, str] | None:
    try:
        head, request, _ = line.split('"', 2)
        path = request.split(" ", 2)[1].split("?", 1)[0]
    except (ValueError, IndexError):
        return None
    return path.split("/", 2)[1], head.split(" ", 1)[0]


@blocks
def visits(lines: list[str]) -> Iterator[tuple[str, str]]:
    return filter(None, map(section_and_address, lines))


job = Job(
    name="sections", source=params["SOURCE"], map=visits, reduce=CountDistinct(), output=params["OUTPUT"]
)
