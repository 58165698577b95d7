"""In which files does each word occur, and how often? `ctx.location` tells where a record stands.

python examples/inverted_index.py
mapreduce run examples/inverted_index.py --source 'books/*.txt' --output reports/index
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mapreduce import Context, Job, params, run


def words(line: str, ctx: Context) -> Iterator[tuple[str, str]]:
    """Every word of a line, with the name of its file."""
    file = Path(ctx.location.uri).name
    for word in re.findall(r"[^\W\d_]{3,}", line.lower()):
        yield word, file


def files(word: str, names: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The files of one word, the one with most of it first."""
    yield {"word": word, "files": dict(Counter(names).most_common())}


job = Job(
    name="inverted-index",
    source=params.get("SOURCE", str(Path(__file__).with_name("*.py"))),  # these examples themselves
    map=words,
    reduce=files,
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    common = sorted(run(job), key=lambda record: (-len(record["files"]), record["word"]))
    for record in common[:10]:
        print(record["word"], "in", ", ".join(f"{name} ({n})" for name, n in record["files"].items()))
