"""The jobs as Dask Bags on the scheduler that bags use by default, processes.

    python -m benchmarks.competitors.dask_bag JOB SOURCE OUTPUT [--workers N]

Its documentation advises against `groupby`, which moves every item: so items are counted by `frequencies`,
and where a group is needed each partition makes a dict of its own first, and the dicts are merged by `fold`.
A bag has no order, so there is no sort.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.bag as db

from benchmarks.competitors.lines import (
    best,
    document_and_words,
    hour_and_status,
    path_of,
    section_and_address,
    sessions,
    status_and_path,
    visit,
)

BLOCK = "48MiB"


def times_by_address(lines: Iterable[str]) -> list[dict[str, list[int]]]:
    times: dict[str, list[int]] = defaultdict(list)
    for address, time in filter(None, map(visit, lines)):
        times[address].append(time)
    return [times]


def addresses_by_section(lines: Iterable[str]) -> list[dict[str, set[str]]]:
    addresses: dict[str, set[str]] = defaultdict(set)
    for section, address in filter(None, map(section_and_address, lines)):
        addresses[section].add(address)
    return [addresses]


def documents_by_word(lines: Iterable[str]) -> list[dict[str, list[int]]]:
    index: dict[str, list[int]] = defaultdict(list)
    for document, words in map(document_and_words, lines):
        for word in words:
            index[word].append(document)
    return [index]


def lists_merged(some: dict[str, list[int]], more: dict[str, list[int]]) -> dict[str, list[int]]:
    for key, values in more.items():
        some[key] = some[key] + values if key in some else values
    return some


def sets_merged(some: dict[str, set[str]], more: dict[str, set[str]]) -> dict[str, set[str]]:
    for key, values in more.items():
        some[key] = some[key] | values if key in some else values
    return some


def hits(lines: db.Bag) -> Iterator[dict[str, Any]]:
    for path, number in lines.map(path_of).remove(is_none).frequencies().compute():
        yield {"key": path, "value": number}


def words(lines: db.Bag) -> Iterator[dict[str, Any]]:
    for word, number in lines.map(str.split).flatten().frequencies().compute():
        yield {"key": word, "value": number}


def status(lines: db.Bag) -> Iterator[dict[str, Any]]:
    for (hour, code), number in lines.map(hour_and_status).remove(is_none).frequencies().compute():
        yield {"hour": hour, "status": code, "value": number}


def top(lines: db.Bag) -> Iterator[dict[str, Any]]:
    pages: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (code, path), number in lines.map(status_and_path).remove(is_none).frequencies().compute():
        pages[code].append((-number, path))
    for code, found in pages.items():
        yield {"status": code, "pages": best(found)}


def sections(lines: db.Bag) -> Iterator[dict[str, Any]]:
    found = lines.map_partitions(addresses_by_section).fold(sets_merged).compute()
    for section, addresses in found.items():
        yield {"section": section, "addresses": len(addresses)}


def sessions_of_addresses(lines: db.Bag) -> Iterator[dict[str, Any]]:
    found = lines.map_partitions(times_by_address).fold(lists_merged).compute()
    for address, times in found.items():
        yield {"address": address, "sessions": sessions(times), "hits": len(times)}


def index(lines: db.Bag) -> Iterator[dict[str, Any]]:
    found = lines.map_partitions(documents_by_word).fold(lists_merged).compute()
    for word, documents in found.items():
        yield {"word": word, "documents": sorted(documents)}


def is_none(item: object) -> bool:
    return item is None


JOBS: dict[str, Callable[[db.Bag], Iterator[dict[str, Any]]]] = {
    "hits": hits,
    "words": words,
    "status": status,
    "top": top,
    "sections": sections,
    "sessions": sessions_of_addresses,
    "index": index,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    with (
        dask.config.set(scheduler="processes", num_workers=options.workers),
        options.output.open("w", encoding="utf-8") as file,
    ):
        lines = db.read_text(options.source, blocksize=BLOCK)
        file.writelines(json.dumps(record) + "\n" for record in JOBS[options.job](lines))


if __name__ == "__main__":
    main()
