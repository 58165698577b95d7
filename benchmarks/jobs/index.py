"""In which documents does each word occur? An answer about as large as the input."""

from collections.abc import Iterator
from typing import Any

from mapreduce import Job, params


def words(line: str) -> list[tuple[str, int]]:
    number, _, text = line.partition("\t")
    document = int(number)
    return [(word, document) for word in set(text.split())]


def postings(word: str, documents: Iterator[int]) -> Iterator[dict[str, Any]]:
    """Documents come in the order of the input, in which their numbers ascend."""
    yield {"word": word, "documents": list(documents)}


job = Job(name="index", source=params["SOURCE"], map=words, reduce=postings, output=params["OUTPUT"])
