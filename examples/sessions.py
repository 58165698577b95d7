"""What did each visitor do in one go? A session ends with 30 minutes of silence.

`order_values` gives a reduce function the visits of an address in order of time.

python examples/sessions.py
mapreduce run examples/sessions.py --source 'logs/access-*.log' --output reports/sessions
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from mapreduce import Job, Records, params, run
from mapreduce.testing.logs import access_lines

SILENCE = timedelta(minutes=30)
Visit = tuple[datetime, str]


def visits(line: str) -> Iterator[tuple[str, Visit]]:
    """The address of a line, with the time of the visit and the request."""
    address = line.split(" ", 1)[0]
    time, _, rest = line.split("[", 1)[1].partition("]")
    yield address, (datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z"), rest.split('"')[1])


def sessions(address: str, visits: Iterator[Visit]) -> Iterator[dict[str, Any]]:
    """A record for each session of one address; its visits come in order of time."""
    session: list[Visit] = []
    for visit in visits:
        if session and visit[0] - session[-1][0] > SILENCE:
            yield summary(address, session)
            session = []
        session.append(visit)
    yield summary(address, session)


def summary(address: str, session: list[Visit]) -> dict[str, Any]:
    """What a session comes to."""
    start, entry = session[0]
    seconds = int((session[-1][0] - start).total_seconds())
    return {"address": address, "start": start, "seconds": seconds, "hits": len(session), "entry": entry}


job = Job(
    name="sessions",
    source=params.get("SOURCE") or Records(access_lines(20_000)),  # without a log: lines of a made-up one
    map=visits,
    reduce=sessions,
    order_values=itemgetter(0),
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for record in sorted(run(job), key=lambda record: -record["hits"])[:10]:
        start = record["start"].strftime("%d %b %H:%M")
        print(f"{start}  {record['address']:>15}  {record['seconds']:5} s  {record['hits']:3} hits")
