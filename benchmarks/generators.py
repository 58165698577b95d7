"""Seeded text, documents and records to sort. Every function here is part of what determines the bytes.

All is drawn from a `random.Random` through `choices` without weights, `random` and `randbytes`, the methods
whose sequence Python keeps, so that a seed gives the same bytes on every machine.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

VERSION = 1  # of all bytes that come from here and from the generator of logs; part of a dataset's name
BLOCK = 1 << 15  # lines that are drawn at once
HALVES = 1 << 16  # half lines of six words that a text is made of: 393,216 draws of a word
WORDS = 17  # octaves of ranks: 131,071 words
RARE = 1 << 20  # words of which every 16th line has one
DOCUMENT = 14  # lines of text in a document


def text_blocks(random: Random) -> Iterator[bytes]:
    for lines in _text_lines(random):
        yield "\n".join([*lines, ""]).encode("ascii")


def document_blocks(random: Random) -> Iterator[bytes]:
    number = count(1)
    for lines in _text_lines(random):
        texts = (" ".join(lines[start : start + DOCUMENT]) for start in range(0, BLOCK, DOCUMENT))
        yield "".join(f"{next(number)}\t{text}\n" for text in texts).encode("ascii")


def record_blocks(random: Random) -> Iterator[bytes]:
    """Key, number of the line, and padding: 99 characters and the line's end."""
    padding = [chr(65 + letter % 26) * 69 for letter in range(26)]
    for first in count(0, BLOCK):
        keys = b64encode(random.randbytes(BLOCK * 30 // 4)).decode("ascii")
        yield "".join(
            [
                f"{keys[10 * row : 10 * row + 10]}  {first + row:016d}  {padding[row % 26]}\n"
                for row in range(BLOCK)
            ]
        ).encode("ascii")


BLOCKS: dict[str, Callable[[Random], Iterator[bytes]]] = {
    "text": text_blocks,
    "documents": document_blocks,
    "records": record_blocks,
}


def _text_lines(random: Random) -> Iterator[list[str]]:
    """Lists of BLOCK lines without end. Every 16th line has a rare word."""
    words = [word(_rank(random)) for _ in range(6 * HALVES)]
    halves = [" ".join(words[start : start + 6]) for start in range(0, 6 * HALVES, 6)]
    while True:
        first, second = random.choices(halves, k=BLOCK), random.choices(halves, k=BLOCK)
        lines = [f"{one} {other}" for one, other in zip(first, second, strict=True)]
        for line in range(0, BLOCK, 16):
            lines[line] += " " + word(2**WORDS + int(random.random() * RARE))
        yield lines


def _rank(random: Random) -> int:
    """About as 1/r: each octave of ranks is as likely as every other."""
    octave = int(random.random() * WORDS)
    return (1 << octave) - 1 + int(random.random() * (1 << octave))


def word(rank: int) -> str:
    """A word of its own for each rank: syllables are its digits, so that common words are short."""
    syllables = []
    number = rank + 1
    while number:
        number, digit = divmod(number - 1, 100)
        syllables.append("bcdfghjklmnpqrstvwxz"[digit % 20] + "aeiou"[digit // 20])
    return "".join(reversed(syllables))
