"""Ten thousand tasks that do nothing: what a task costs by itself."""

from mapreduce import Job, Records, Sum, params

TASKS = 10_000


def nothing(item: int) -> list[tuple[int, int]]:
    return [] if item else [(item, TASKS)]


job = Job(
    name="tasks",
    source=Records(range(TASKS), split_size=1),
    map=nothing,
    reduce=Sum(),
    shards=1,
    output=params["OUTPUT"],
)
