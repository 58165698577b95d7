"""MapReduce for logs that one process can't read.

    from mapreduce import Job, Sum, run

    def hits(line):
        yield line.split('"', 2)[1].split(" ", 2)[1].split("?", 1)[0], 1

    job = Job(name="page-hits", source="logs/access-*.log", map=hits, reduce=Sum(), output="page-hits")

    for path, n in run(job):
        print(n, path)

The way of the data through the package:

    job         say it: Job, Input               functions    the shapes of functions, their set-up
    ordering    parts in key order               aggregates   Sum, Count, TopK, Quantiles, …
    quarantine  bad records, set aside           sifting      finds them
    plan        job + input → splits, shards     datasets     how a format is cut, read and written
    mapper      one map attempt                  shuffle      pairs as columns, segments, groups
    reducer     one reduce attempt               manifest     what a run did; makes it visible
    sinks       who is told

and of control:

    engine      run(): who does it               onhost, onstore  a run here, or by the hosts of a store
    jobset      say which jobs belong together   setrun       runs them
    ended       runs that have ended             coordinator  decides: a pure brain and its loop
    executors   run one attempt somewhere        worker       what an attempt is
    store       names and bytes                  observers    who watches

Public names are imported when they are first used, so that `import mapreduce` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mapreduce.aggregates import (
        ApproxDistinct,
        BottomK,
        Collect,
        CollectSet,
        Count,
        CountDistinct,
        First,
        Histogram,
        Last,
        Max,
        Mean,
        Min,
        Quantiles,
        Stats,
        Sum,
        TopK,
    )
    from mapreduce.context import Context
    from mapreduce.datasets import Csv, Files, JsonLines, Parquet, Records, Text
    from mapreduce.engine import run
    from mapreduce.errors import MapReduceError
    from mapreduce.functions import Identity, blocks, frames
    from mapreduce.job import Input, Job
    from mapreduce.jobset import JobSet
    from mapreduce.model import Status
    from mapreduce.ordering import TotalOrder
    from mapreduce.parameters import params
    from mapreduce.quarantine import Quarantine
    from mapreduce.result import JobResult
    from mapreduce.setresult import JobSetResult
    from mapreduce.sinks.command import Command
    from mapreduce.sinks.copy import Copy
    from mapreduce.sinks.email import Email
    from mapreduce.sinks.log import Log
    from mapreduce.sinks.notify import Notify
    from mapreduce.sinks.reportfile import ReportFile
    from mapreduce.sinks.secret import Secret
    from mapreduce.sinks.table import Table
    from mapreduce.sinks.webhook import Webhook

    __version__: str

_HOMES = {
    "aggregates": (
        "ApproxDistinct",
        "BottomK",
        "Collect",
        "CollectSet",
        "Count",
        "CountDistinct",
        "First",
        "Histogram",
        "Last",
        "Max",
        "Mean",
        "Min",
        "Quantiles",
        "Stats",
        "Sum",
        "TopK",
    ),
    "context": ("Context",),
    "datasets": ("Csv", "Files", "JsonLines", "Parquet", "Records", "Text"),
    "engine": ("run",),
    "errors": ("MapReduceError",),
    "functions": ("Identity", "blocks", "frames"),
    "job": ("Input", "Job"),
    "jobset": ("JobSet",),
    "model": ("Status",),
    "ordering": ("TotalOrder",),
    "parameters": ("params",),
    "quarantine": ("Quarantine",),
    "result": ("JobResult",),
    "setresult": ("JobSetResult",),
    "sinks.email": ("Email",),
    "sinks.log": ("Log",),
    "sinks.reportfile": ("ReportFile",),
    "sinks.secret": ("Secret",),
    "sinks.webhook": ("Webhook",),
    "sinks.table": ("Table",),
    "sinks.notify": ("Notify",),
    "sinks.command": ("Command",),
    "sinks.copy": ("Copy",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order in which one meets them
    "Job", "JobSet", "Input", "Identity", "TotalOrder", "Quarantine", "blocks", "frames", "Context", "params",
    "Text", "JsonLines", "Csv", "Parquet", "Files", "Records",
    "Count", "Sum", "Mean", "Stats", "Min", "Max", "First", "Last", "TopK", "BottomK",
    "CountDistinct", "ApproxDistinct", "Collect", "CollectSet", "Histogram", "Quantiles",
    "run", "JobResult", "JobSetResult", "Status",
    "Log", "ReportFile", "Email", "Webhook", "Secret",
    "Table", "Notify", "Command", "Copy",
    "MapReduceError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mapreduce")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"mapreduce.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
