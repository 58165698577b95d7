"""Which exceptions are in a log, and how often? A record is a message with the lines of its stack trace.

python examples/exceptions.py
mapreduce run examples/exceptions.py --source 'logs/server-*.log' --output reports/exceptions
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mapreduce import Count, Job, Min, Text, params, run

START = r"^\[\d{4}-\d\d-\d\d "  # the first line of a record begins with its time
CLASS = re.compile(r"^(?:Caused by: )?((?:\w+\.)+\w*(?:Exception|Error))\b", re.MULTILINE)


def exceptions(message: str) -> Iterator[tuple[str, str]]:
    """The class of each exception in a message, with the message's time."""
    time = message[1:20]
    for name in CLASS.findall(message):
        yield name, time


job = Job(
    name="exceptions",
    source=Text(params.get("SOURCE", "server.log"), record_start=START),
    map=exceptions,
    reduce={"times": Count(), "first": Min()},
    output=params.get("OUTPUT"),
)


def write_log(path: Path) -> None:
    """A log of one message a second; every third one has a stack trace."""
    names = ("java.io.IO", "java.net.Socket", "java.sql.SQL", "shop.Cart", "shop.Login")
    with path.open("w") as log:
        for n in range(3_000):
            time = f"2024-10-07 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}"
            print(f"[{time},000] INFO request {n}", file=log)
            if n % 3 == 0:
                kind = "Error" if n % 5 == 0 else "Exception"
                print(f"{names[n % 37 % 5]}{kind}: no luck\n\tat shop.Cart.add(Cart.java:{n})", file=log)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        path = Path(folder, "server.log")
        write_log(path)
        result = run(replace(job, source=Text(path, record_start=START)))
    for record in sorted(result, key=lambda record: -record["times"]):
        print(f"{record['times']:7,}  first at {record['first']}  {record['key']}")
