"""Results as runs would leave them, made by hand: for the tests of reports, and for their pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapreduce import Job, JobResult, JobSetResult, Records, Sum, run
from mapreduce.manifest import seal
from mapreduce.model import (
    AttemptRecord,
    BadRecord,
    ErrorGroup,
    InputFile,
    Location,
    Manifest,
    Part,
    SetJob,
    SetManifest,
    SkewedShard,
    Status,
    Totals,
)

HOSTILE = (
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "'\"><svg onload=alert(1)>&lt;b&gt;",
    "\u202egnp.exe\u202c \u2066hidden\u2069",
    "x" * 10_000,
    "&" * 10_000,
    "👩‍👩‍👧‍👦🏳️‍🌈" * 40,
    "a\ud800b",
    "z" + "\u0335\u0321\u0322" * 60 + "algo",
    "שלום עולם",
    '=HYPERLINK("http://evil","x")',
    "\x1b[31mred\x1b[0m\r\n\ttab\0",
    "| a | b |\n---\n# head",
)
_RUN = "20261126-210400-6f1c2b"
_HITS = (
    ("/", 1_204_331), ("/search", 843_118), ("/api/v2/items", 611_040), ("/static/app.js", 598_112),
    ("/login", 301_775), ("/product/4711", 148_002), ("/product/815", 97_313), ("/cart", 80_100),
    ("/api/v2/price", 61_022), ("/robots.txt", 40_021), ("/favicon.ico", 39_870), ("/help/returns", 12_118),
)  # fmt: skip
_TRACE = """  File "/srv/jobs/page_hits.py", line 14, in hits
    status = int(line.split('"', 2)[2].split()[0])
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: invalid literal for int() with base 10: 'GET'
"""
_VERSIONS = {"python": "3.11.7", "mapreduce": "0.1.0", "polars": "2.1.0", "xxhash": "3.5.0"}


def sealed(place: Path, manifest: Manifest) -> JobResult:
    """The result of a manifest, written into a folder."""
    whole, data = seal(manifest)
    place.mkdir(parents=True, exist_ok=True)
    (place / "_manifest.json").write_bytes(data)
    return JobResult(place, whole)


def committed(
    place: Path, pairs: Sequence[tuple[Any, int]] = _HITS, shards: int = 4, **fields: Any
) -> JobResult:
    """A result with these records; `fields` are those of its manifest."""
    job = Job("page-hits", Records(pairs), lambda pair: [pair], Sum(), str(place), shards=shards)
    made = run(job, on="serial", overwrite=True)
    totals = replace(
        made.manifest.totals,
        records_in=4_211_045, pairs=4_211_045, bytes_in=931 << 20, bytes_shuffled=3 << 20,
        user_seconds=96.4, engine_seconds=41.7, slowest_task="map 11", slowest_seconds=9.8,
    )  # fmt: skip
    common = {
        "run_id": _RUN, "started": "2026-11-26T21:04:00.000+00:00", "versions": _VERSIONS, "workers": 4,
        "seconds": {"plan": 0.2, "map": 41.0, "reduce": 4.1, "total": 45.6}, "totals": totals,
        "tasks": {"map": 48, "reduce": 4}, "attempts": attempts(52, 4),
        "inputs": tuple(
            InputFile(f"logs/access-2026-11-{day:02d}.log.gz", (18 + day % 7) << 20, "f", "gzip")
            for day in range(1, 27)
        ),
    }  # fmt: skip
    return sealed(place, replace(made.manifest, **{**common, **fields}))


def attempts(
    number: int, workers: int, failing: dict[int, str] | None = None, error: str = ""
) -> tuple[AttemptRecord, ...]:
    """So many attempts one after another on each worker; `failing` says which did not succeed, and how."""
    chance = random.Random(number)
    free = [0.2] * workers
    found = []
    for index in range(number):
        worker = min(range(workers), key=lambda each: free[each]) if workers <= 64 else index % workers
        took = 0.4 + chance.expovariate(0.4)
        outcome = (failing or {}).get(index, "succeeded")
        kind, told = {
            "failed": ("UserFunctionError", error),
            "lost": ("WorkerKilled", "A worker was killed by SIGKILL, by somebody else."),
        }.get(outcome, ("", ""))
        task = f"map {index}" if index < number - 4 or number < 8 else f"reduce {index - number + 4}"
        began, seconds = round(free[worker], 3), round(took, 3)
        found.append(AttemptRecord(task, 1, worker, outcome, seconds, told, kind, told, began))
        free[worker] += took + 0.05
    return tuple(found)


def good(place: Path) -> JobResult:
    """A run in which nothing went wrong."""
    return committed(place)


def troubled(place: Path) -> JobResult:
    """A run with failed attempts and records that were set aside."""
    error = "map `hits` (page_hits.py:14) failed on logs/access-2026-11-07.log.gz, byte 1,048,576: "
    bad = tuple(
        BadRecord(
            Location("logs/access-2026-11-07.log.gz", 1_048_576 * (1 + index), 88),
            "UserFunctionError",
            f"{error}ValueError: invalid literal for int() with base 10: 'GET'",
            '10.0.0.7 - - [07/Nov/2026:10:01:00 +0000] "GET GET /a HTTP/1.1" 200 51',
            "ValueError:page_hits.py:14",
        )
        for index in range(24)
    )
    made = committed(place)
    totals = replace(
        made.manifest.totals,
        set_aside=1_842,
        skewed=(
            SkewedShard(2, 1_204_331, 61 << 20, "/", 1_204_331),
            SkewedShard(0, 601_118, 30 << 20, "", 0),
        ),
    )
    failing = {7: "failed", 19: "failed", 23: "lost", 30: "stopped", 31: "stopped"}
    return sealed(
        place,
        replace(
            made.manifest,
            status=Status.COMPLETED_WITH_ERRORS,
            bad=bad,
            totals=totals,
            attempts=attempts(57, 4, failing, f"{error}OSError: [Errno 5] Input/output error."),
            counters={"lines without a referrer": 88_101, "robots": 40_021},
            set_aside=made.manifest.parts[:1],
        ),
    )


def failed(place: Path, status: Status = Status.FAILED) -> JobResult:
    """A run that came to nothing."""
    failure = ErrorGroup(
        "UserFunctionError",
        "map `hits` (page_hits.py:14) failed on logs/access-2026-11-07.log.gz, byte 1,048,576: ValueError: "
        "invalid literal for int() with base 10: 'GET'.\n  record: 10.0.0.7 - - \"GET GET /a HTTP/1.1\" 200",
        4,
        "Mend the function, or let it skip such input.",
        _TRACE,
        "ValueError:page_hits.py:14",
    )
    if status is Status.CANCELLED:
        failure = ErrorGroup(
            "Interrupted", "The run was stopped by SIGTERM.", 1, "Go on with it: mapreduce resume."
        )
    made = committed(place)
    return sealed(
        place,
        replace(
            made.manifest,
            status=status,
            failure=failure,
            parts=(),
            counters={},
            totals=Totals(records_in=1_204_112, bytes_in=270 << 20, user_seconds=31.1, engine_seconds=11.9),
            attempts=attempts(24, 4, {5: "lost", 22: "stopped", 23: "stopped"}),
            seconds={"plan": 0.2, "map": 16.0, "total": 16.2},
        ),
    )


def many_attempts(place: Path, number: int = 100_000, workers: int = 200) -> JobResult:
    """A run of a large cluster."""
    failing = {index: ("failed", "lost", "stopped")[index % 3] for index in range(0, number, 997)}
    error = "map `hits` (page_hits.py:14) failed on a.log: OSError: timed out."
    pairs = [(f"/product/{index}", 1 + 7_919 * index % 10_007) for index in range(3_000)]
    tried = attempts(number, workers, failing, error)
    return committed(place, pairs, shards=60, attempts=tried, workers=workers)


def hostile(place: Path) -> JobResult:
    """A run whose every text is an attack."""
    made = committed(place)
    text = "\n".join(HOSTILE)
    return sealed(
        place,
        replace(
            made.manifest,
            job=HOSTILE[0] + HOSTILE[4],
            run_id=HOSTILE[1],
            started=HOSTILE[3],
            status=Status.FAILED,
            failure=ErrorGroup(HOSTILE[0], text, 3, text, text),
            parts=tuple(Part(i, each, 1, 10 + i, each, 1, each, True) for i, each in enumerate(HOSTILE)),
            inputs=tuple(InputFile(each, 1, "f", each) for each in HOSTILE),
            bad=tuple(BadRecord(Location(each, 1, 1), each, each, each) for each in HOSTILE),
            counters=dict.fromkeys(HOSTILE, 1),
            versions=dict.fromkeys(HOSTILE, text),
            attempts=tuple(
                AttemptRecord(each, 1, i % 3, each, 1.0 + i, each, each, each, float(i))
                for i, each in enumerate(HOSTILE)
            ),
            totals=Totals(
                records_in=1,
                set_aside=len(HOSTILE),
                slowest_task=HOSTILE[0],
                largest_key=HOSTILE[1],
                largest_key_pairs=9_999,
                pairs=10_000,
                skewed=tuple(SkewedShard(i, 9, 9, each, 9) for i, each in enumerate(HOSTILE)),
            ),
        ),
    )


def of_set(place: Path, jobs: int = 200, failing: int = 3) -> JobSetResult:
    """A set of which some jobs failed, and one was cancelled because it reads one of them."""
    chance = random.Random(jobs)
    groups = (
        ErrorGroup(
            "InputCorrupt",
            "logs/shop-017/access.log.gz ends in the middle of its data.",
            hint="Get the file again, or leave it out.",
        ),
        ErrorGroup(
            "UserFunctionError",
            "map `hits` (page_hits.py:14) failed on logs/shop-103/access.log, byte 88,104: ValueError: "
            "invalid literal for int() with base 10: 'GET'.",
            4,
            "Mend the function, or let it skip such input.",
            _TRACE,
            "ValueError:page_hits.py:14",
        ),
    )
    failed = {17 + 43 * index: groups[min(index, 1)] for index in range(failing)}
    made = []
    for index in range(jobs):
        name, where = f"shop-{index:03d}", f"s3://reports/november/shop-{index:03d}"
        took, records = round(2 + chance.expovariate(0.1), 1), chance.randrange(20_000, 900_000)
        job = SetJob(name, Status.SUCCEEDED, f"r{index}", where, "0" * 64, took, records, 812, kept=index < 2)
        if group := failed.get(index):
            job = replace(job, status=Status.FAILED, place=f"{where}/failed", records_out=0, errors=(group,))
        elif index == 31:
            errors = (replace(groups[1], number=12),)
            job = replace(job, status=Status.COMPLETED_WITH_ERRORS, set_aside=12, errors=errors)
        made.append(job)
    made.append(SetJob("all-shops", Status.CANCELLED, without=tuple(f"shop-{index:03d}" for index in failed)))
    manifest = SetManifest(
        1, "november", _RUN, Status.FAILED, "continue", tuple(made), 8, "2026-11-26T21:04:00.000+00:00",
        {"total": 371.4}, _VERSIONS,
    )  # fmt: skip
    return set_result(place, manifest)


def set_result(place: Path, manifest: SetManifest) -> JobSetResult:
    """The result of a set's manifest, written into a folder."""
    _, data = seal(manifest)
    place.mkdir(parents=True, exist_ok=True)
    (place / "_manifest.json").write_bytes(data)
    return JobSetResult.load(place)
