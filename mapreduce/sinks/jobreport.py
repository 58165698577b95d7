"""The report of a job's run: what came out, what went wrong, where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mapreduce.figures import count, duration, error_groups, facts, phases, when
from mapreduce.model import AttemptRecord, InputFile, Manifest, Part
from mapreduce.result import JobResult
from mapreduce.rows import Leading, fractions, leading, table
from mapreduce.sinks.report import Report, Section
from mapreduce.sinks.sections import TITLE, shortened, some, troubles, versions, without_middle
from mapreduce.sinks.timeline import timeline
from mapreduce.units import show_size

_ROWS = 20
_COLUMNS = 12
"""Fields of records that are shown."""
_FILES = 100
"""Inputs and parts that are listed by name."""
_COUNTERS = 100
_BAD = 10
_SLOWEST = 10
_FOLDED = 12
"""Files above which a page shows their list on demand."""
_BARRED = 24
"""Parts up to which each has a bar of its own; the sizes of more are counted."""


def report_of_job(result: JobResult) -> Report:
    """What there is to say of a result. Reads its records. Raises ManifestError."""
    manifest = result.manifest
    totals = manifest.totals
    spent = totals.user_seconds + totals.engine_seconds
    if manifest.failure:
        first = [troubles("What went wrong", error_groups(manifest))]
    else:
        first = [
            _leading(leading(result, _ROWS)),
            troubles("What went wrong on the way", error_groups(manifest)),
        ]
    sections = [
        *first,
        _set_aside(manifest),
        _facts(manifest),
        _timeline(manifest.attempts),
        _slowest(manifest.attempts),
        _skewed(manifest),
        _sizes(manifest.parts),
        _counters(manifest),
        _inputs(manifest),
        _parts(manifest),
        versions(manifest.versions),
    ]
    return Report(
        title=shortened(manifest.job, TITLE),
        status=manifest.status.value,
        subtitle=f"{when(manifest.started[:40])} · run {shortened(manifest.run_id)}",
        highlights=_highlights(manifest),
        functions=totals.user_seconds / spent if spent > 0 else 0.0,
        sections=some(sections),
        footer=f"Manifest {shortened(manifest.digest)}",
    )


def _highlights(manifest: Manifest) -> list[tuple[str, str]]:
    totals = manifest.totals
    told = [
        ("time", duration(manifest.seconds.get("total", 0.0))),
        ("records in", f"{totals.records_in:,}"),
        ("records out", f"{totals.records_out:,}"),
        *([("pairs", f"{totals.pairs:,}")] if manifest.tasks.get("reduce") else []),
        ("input", show_size(totals.bytes_in)),
        ("output", show_size(totals.bytes_out)),
    ]
    if totals.set_aside:
        told.insert(3, ("set aside", f"{totals.set_aside:,}"))
    if manifest.failure:
        told = [(label, text) for label, text in told if text not in ("0", "0 B")]
        told += [("attempts", f"{len(manifest.attempts):,}")] if manifest.attempts else []
    return told


def _leading(found: Leading) -> Section:
    rows = table(found)
    bars = fractions(found.values) if found.values is not None else None
    order = {"largest": "Largest values", "first": "First records"}[found.order]
    notes = []
    if len(found.records) < found.total:
        notes.append(f"{len(found.records):,} of {found.total:,} records.")
    if (more := len(rows.columns) - _COLUMNS) > 0:
        notes.append(f"{count(more, 'more field')} of each.")
    cells = [[shortened(cell) for cell in row[:_COLUMNS]] for row in rows.rows]
    columns = [shortened(name, 80) for name in rows.columns[:_COLUMNS]]
    return Section(order, columns, rows.numeric[:_COLUMNS], cells, bars, " ".join(notes))


def _facts(manifest: Manifest) -> Section:
    told = [("wall time", phases(manifest)), *facts(manifest)]
    rows = [(label, shortened(text, 600)) for label, text in told if label not in ("counters", "retried")]
    return Section("Run", [], [False, False], rows)


def _set_aside(manifest: Manifest) -> Section:
    rows = [
        (without_middle(str(bad.location)), shortened(bad.error.split("\n", 1)[0]), shortened(bad.record))
        for bad in manifest.bad[:_BAD]
    ]
    total = manifest.totals.set_aside
    files = f"{count(len(manifest.set_aside), 'file')} beside the parts"
    note = f"{len(rows):,} of {total:,} records; all are in {files}." if total > len(rows) else ""
    return Section("Records set aside", ["place", "error", "record"], [False] * 3, rows, note=note)


def _timeline(attempts: Sequence[AttemptRecord]) -> Section:
    return Section("Attempts by worker", [], [], [], timeline=timeline(attempts))


def _slowest(attempts: Sequence[AttemptRecord]) -> Section:
    slowest = sorted(attempts, key=lambda record: -record.seconds)[:_SLOWEST]
    rows = [
        (
            shortened(record.task, 80) + (f", attempt {record.attempt}" if record.attempt > 1 else ""),
            f"{record.worker}",
            shortened(record.outcome, 80),
            duration(record.seconds),
        )
        for record in slowest
    ]
    columns = ["task", "worker", "outcome", "time"]
    bars = fractions([record.seconds for record in slowest])
    note = f"{len(rows):,} of {len(attempts):,} attempts." if len(attempts) > len(rows) else ""
    return Section("Slowest attempts", columns, [False, True, False, True], rows, bars, note, status=2)


def _skewed(manifest: Manifest) -> Section:
    rows = [
        (
            f"{shard.shard}",
            f"{shard.pairs:,}",
            show_size(shard.bytes_in),
            shortened(shard.key),
            f"{shard.key_pairs:,}" if shard.key_pairs else "",
        )
        for shard in manifest.totals.skewed[:_ROWS]
    ]
    columns = ["shard", "pairs", "size", "most frequent key", "its pairs"]
    bars = fractions([shard.pairs for shard in manifest.totals.skewed[:_ROWS]])
    return Section("Shards with most of the work", columns, [True, True, True, False, True], rows, bars)


def _sizes(parts: Sequence[Part]) -> Section:
    """How many parts are of which size, where there are too many to compare one by one."""
    sizes = [part.size for part in parts]
    if len(sizes) <= _BARRED:
        return Section("Sizes of parts", [], [], [])
    limits, numbers = _histogram(sizes)
    rows = [
        (f"up to {show_size(limit)}", f"{number:,}") for limit, number in zip(limits, numbers, strict=True)
    ]
    ordered = sorted(sizes)
    note = (
        f"{count(len(sizes), 'part')}: the smallest {show_size(ordered[0])}, half of them up to "
        f"{show_size(ordered[len(ordered) // 2])}, the largest {show_size(ordered[-1])}."
    )
    return Section("Sizes of parts", ["size", "parts"], [False, True], rows, fractions([*numbers]), note)


def _histogram(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Upper limits in powers of 2, or in tenths where all lie within one power; and how many are below each,
    and above the one before."""
    least, most = min(sizes), max(sizes)
    if most >= 8 * max(least, 1):
        limits = [2**power for power in range(max(least - 1, 0).bit_length(), (most - 1).bit_length() + 1)]
    else:
        step = max(math.ceil((most - least) / 10), 1)
        limits = [*range(least + step, most, step), most]
    numbers = [0] * len(limits)
    for size in sizes:
        numbers[next(index for index, limit in enumerate(limits) if size <= limit)] += 1
    return limits, numbers


def _counters(manifest: Manifest) -> Section:
    shown = list(manifest.counters.items())[:_COUNTERS]
    rows = [(shortened(name), f"{number:,}") for name, number in shown]
    more = len(manifest.counters) - len(shown)
    note = f"{count(more, 'more counter')}, named in the manifest." if more > 0 else ""
    return Section("Counters", ["counter", "count"], [False, True], rows, note=note)


def _inputs(manifest: Manifest) -> Section:
    shown = manifest.inputs[:_FILES]
    columns = ["file", "size", "packed"] if any(file.compression for file in shown) else ["file", "size"]
    numeric = [column == "size" for column in columns]
    rows = [_input(file)[: len(columns)] for file in shown]
    folded = len(rows) > _FOLDED
    return Section("Inputs", columns, numeric, rows, note=_more(manifest.inputs), folded=folded)


def _input(file: InputFile) -> tuple[str, str, str]:
    if file.uri == "records:":
        return "records in memory", count(file.size, "item"), ""
    return without_middle(file.uri), show_size(file.size), shortened(file.compression, 20)


def _parts(manifest: Manifest) -> Section:
    parts = manifest.parts
    rows = [
        (without_middle(part.name), f"{part.records:,}", show_size(part.size), shortened(part.digest[:8]))
        for part in parts[:_FILES]
    ]
    columns = ["part", "records", "size", "sha256"]
    bars = fractions([part.size for part in parts]) if 1 < len(parts) <= _BARRED else None
    return Section(
        "Parts", columns, [False, True, True, False], rows, bars, _more(parts), folded=len(rows) > _FOLDED
    )


def _more(files: Sequence[object]) -> str:
    return f"{count(len(files) - _FILES, 'more file')}, named in the manifest." if len(files) > _FILES else ""
