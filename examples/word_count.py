"""How often does each word occur? A `@blocks` function gets many lines at once, and is quick.

python examples/word_count.py
mapreduce run examples/word_count.py --source 'books/*.txt' --output reports/words
"""

import re
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from mapreduce import Job, Sum, blocks, params, run


@blocks
def words(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Every word of the lines, with a one."""
    return zip(re.findall(r"[^\W\d_]+", "\n".join(lines).lower()), repeat(1))


job = Job(
    name="word-count",
    source=params.get("SOURCE", str(Path(__file__).with_name("*.py"))),  # these examples themselves
    map=words,
    reduce=Sum(),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for word, n in sorted(run(job), key=lambda pair: -pair[1])[:10]:
        print(f"{n:7,}  {word}")
