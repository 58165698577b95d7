"""The same answers from a plain loop in one process: what the work costs when nobody takes care of speed.

python -m benchmarks.competitors.plain JOB SOURCE OUTPUT
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise


def path_of(line: str) -> str:
    return line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0]


def requests(source: str) -> Iterator[tuple[str, str]]:
    """Line and path of all lines with a request."""
    with open(source, encoding="utf-8") as file:
        for line in file:
            try:
                path = path_of(line)
            except IndexError:
                continue
            yield line, path


def hits(source: str) -> Iterator[dict[str, object]]:
    counts: Counter[str] = Counter()
    for _, path in requests(source):
        counts[path] += 1
    for path, number in counts.items():
        yield {"key": path, "value": number}


def words(source: str) -> Iterator[dict[str, object]]:
    counts: Counter[str] = Counter()
    with open(source, encoding="utf-8") as file:
        for line in file:
            for word in line.split():
                counts[word] += 1
    for word, number in counts.items():
        yield {"key": word, "value": number}


def status(source: str) -> Iterator[dict[str, object]]:
    counts: Counter[tuple[str, str]] = Counter()
    for line, _ in requests(source):
        hour = line.split("[", 1)[1].split(":", 2)[1]
        counts[hour, line.split('"', 2)[2].split()[0]] += 1
    for (hour, code), number in counts.items():
        yield {"hour": hour, "status": code, "value": number}


def sections(source: str) -> Iterator[dict[str, object]]:
    addresses: dict[str, set[str]] = defaultdict(set)
    for line, path in requests(source):
        addresses[path.split("/", 2)[1]].add(line.split(" ", 1)[0])
    for section, found in addresses.items():
        yield {"section": section, "addresses": len(found)}


def top(source: str) -> Iterator[dict[str, object]]:
    pages: dict[str, Counter[str]] = defaultdict(Counter)
    for line, path in requests(source):
        pages[line.split('"', 2)[2].split()[0]][path] += 1
    for code, counts in pages.items():
        yield {"status": code, "pages": sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]}


def sessions(source: str) -> Iterator[dict[str, object]]:
    times: dict[str, list[datetime]] = defaultdict(list)
    with open(source, encoding="utf-8") as file:
        for line in file:
            if "] " in line:
                time = line.split("[", 1)[1].split("]", 1)[0]
                times[line.split(" ", 1)[0]].append(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z"))
    for address, found in times.items():
        found.sort()
        pauses = [(after - before).total_seconds() for before, after in pairwise(found)]
        number = 1 + sum(pause > 1800 for pause in pauses)
        yield {"address": address, "sessions": number, "hits": len(found)}


def index(source: str) -> Iterator[dict[str, object]]:
    documents: dict[str, list[int]] = defaultdict(list)
    with open(source, encoding="utf-8") as file:
        for line in file:
            number, text = line.split("\t", 1)
            for word in set(text.split()):
                documents[word].append(int(number))
    for word, numbers in documents.items():
        yield {"word": word, "documents": sorted(numbers)}


JOBS = {
    "hits": hits,
    "words": words,
    "status": status,
    "sections": sections,
    "top": top,
    "sessions": sessions,
    "index": index,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=[*JOBS, "sort"])
    parser.add_argument("source")
    parser.add_argument("output")
    options = parser.parse_args()
    with open(options.output, "w", encoding="utf-8") as file:
        if options.job == "sort":
            with open(options.source, encoding="utf-8") as source:
                file.writelines(sorted(source))
        else:
            file.writelines(json.dumps(record) + "\n" for record in JOBS[options.job](options.source))


if __name__ == "__main__":
    main()
