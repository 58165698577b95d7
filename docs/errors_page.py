"""Writes the table of docs/errors.md anew, from the classes in `mapreduce.errors`: `make errors`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mapreduce import errors
from mapreduce.errors import MapReduceError, Retry

PAGE = Path(__file__).with_name("errors.md")
BEGIN = "<!-- from here to the end mark: made by docs/errors_page.py -->\n"
END = "<!-- end -->\n"
AGAIN = {
    Retry.NEVER: "no",
    Retry.CONFIRM: "until twice in one place",
    Retry.ALWAYS: "up to `max_attempts`",
    Retry.ALONE: "once, alone",
}


def with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """All classes in the order of the tree; those below another are named with a dash in front."""
    rows = [
        "| error | category | when | what to do | tried again | exit code |",
        "|---|---|---|---|---|---|",
        *(_row(cls, depth) for cls, depth in classes(MapReduceError)),
    ]
    return "".join(f"{row}\n" for row in rows)


def classes(cls: type[MapReduceError], depth: int = 0) -> Iterator[tuple[type[MapReduceError], int]]:
    """A class and those below it, in the order of the file, with their depths."""
    if depth:
        yield cls, depth
    below = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    for child in below:
        yield from classes(child, depth + 1)


def _row(cls: type[MapReduceError], depth: int) -> str:
    name = f"`{cls.__name__}`" if depth > 1 else f"**`{cls.__name__}`**"
    cells = [name, cls.category, when(cls), vars(cls).get("advice", "")]
    if vars(cls).get("advice"):
        cells += [AGAIN[cls.retry], str(cls.exit_code)]
    else:
        cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


def when(cls: type[MapReduceError]) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((cls.__doc__ or "").split("\n\n", 1)[0].split())


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
