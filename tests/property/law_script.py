"""Some jobs, run by the reference and by the engine: prints a digest of the parts for each.

    law_script.py FOLDER HOW…        HOW: reference, serial, or a number of worker processes

A program of its own, so that it can run under any PYTHONHASHSEED, and so that the functions are those of
a script, as users write them.
"""

import hashlib
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mapreduce import (
    ApproxDistinct,
    Collect,
    CollectSet,
    Count,
    First,
    Job,
    JsonLines,
    Max,
    Records,
    Sum,
    Text,
    blocks,
    run,
)
from mapreduce.testing import run_sequential

SEED = 20241107


def itself(record: Any) -> list[Any]:
    return [record]


def listing(key: Any, values: Iterator[Any]) -> Iterator[Any]:
    yield key, list(values)


def joined(key: Any, values: Iterable[Any]) -> list[Any]:
    return [item for value in values for item in value]


def flat(key: Any, values: Iterable[Any]) -> list[Any]:
    return [(key, joined(key, values))]


def words(line: str, ctx: Any) -> Iterator[Any]:
    ctx.count("lines")
    for word in line.split():
        yield (word, len(word) % 3 == 0), ctx.location.offset + ctx.side["more"]


@blocks
def word_sets(lines: list[str]) -> list[Any]:
    """Sets, whose order differs with PYTHONHASHSEED."""
    return [(line[:1], set(line.split())) for line in lines]


def lines(line: str) -> list[str]:
    return [line.upper()] if line else []


def jobs(folder: Path) -> Iterator[Job]:
    chance = random.Random(SEED)
    names = [chance.choice("abcdefg") * chance.randint(0, 3) for _ in range(40)]
    text = "\n".join(" ".join(chance.choices(names, k=chance.randint(0, 6))) for _ in range(400))
    path = folder / "words.txt"
    path.write_text(text)
    source = Text(path, split_size=300, block_size=70)
    odd = [
        None,
        True,
        1,
        1.0,
        -0.0,
        0,
        2**53 + 1,
        2.0**53,
        2**70,
        "",
        "a",
        b"a",
        (),
        ("a", 1),
        ("a", True),
        (b"a", ("b",)),
    ]
    mixed = [(chance.choice(odd), [chance.choice([*odd, frozenset(names)])]) for _ in range(600)]
    floats = [
        (chance.choice(names), chance.uniform(-1, 1) * 10 ** chance.randint(-20, 20)) for _ in range(2_000)
    ]
    yield Job("sum", Records(floats, split_size=170), itself, Sum(), shards=3)
    yield Job("mixed", Records(mixed, split_size=70), itself, flat, shards=4, combine=joined)
    yield Job("words", source, words, Max(), JsonLines(folder / "words"), shards=2, side={"more": 7})
    together = {
        "n": Count(),
        "sum": Sum(of=1),
        "names": CollectSet(of=0),
        "about": ApproxDistinct(6, of=1),
        "first": First(),
    }
    pairs = [(chance.choice("ab"), (chance.choice(odd), number)) for _, number in floats]
    yield Job("together", Records(pairs, split_size=170), itself, together, shards=2)
    yield Job("sets", source, word_sets, Collect(), shards=3)
    yield Job("listing", source, words, listing, shards=5, side={"more": 0})
    yield Job("lines", source, lines, output=Text(folder / "lines"))


def digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def by_engine(job: Job, how: str) -> str:
    on: Any = "serial" if how == "serial" else "processes"
    result = run(job, on=on, workers=None if on == "serial" else int(how), overwrite=True)
    parts = [(result.path / part.name).read_bytes() for part in result.parts]
    return f"{digest(parts)} {sorted(result.counters.items())}"


def by_reference(job: Job) -> str:
    result = run_sequential(job)
    return f"{digest(result.parts)} {sorted(result.counters.items())}"


def main(folder: Path, hows: list[str]) -> None:
    for job in jobs(folder):
        for how in hows:
            print(job.name, by_reference(job) if how == "reference" else by_engine(job, how))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
