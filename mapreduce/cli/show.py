"""`mapreduce show`: records of a result, as a table or with bars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.result import JobResult
    from mapreduce.rows import Leading

_ROWS = 20


@click.command(short_help="Show records of a result.")
@options.directory
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="The N records with the largest values.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N records.")
@click.option("--chart", is_flag=True, help="With a bar for each value.")
@click.option("--files", is_flag=True, help="The files of the result instead of its records.")
@options.as_json
@options.traceback
def show(directory: str, top: int | None, limit: int | None, chart: bool, files: bool, as_json: bool) -> int:
    """Show records of the result in a directory, whatever format they are written in.

    By default 20: of pairs of a key and a number those with the largest numbers (in results of up to
    a million records), else the first ones.
    """
    from mapreduce.cli import console
    from mapreduce.errors import JobError
    from mapreduce.result import JobResult
    from mapreduce.rows import leading

    if top and limit:
        raise click.UsageError("--top and --limit exclude one another.")
    result = JobResult.load(directory)
    if files:
        if top or limit or chart:
            raise click.UsageError("--files shows no records: it goes without --top, --limit and --chart.")
        _show_files(result, as_json)
        return 0
    chosen = leading(result, top or limit or _ROWS, "largest" if top else "first" if limit else "auto")
    if chart and chosen.values is None:
        raise JobError("--chart needs pairs of a key and a number.", hint="Look at the records without it.")
    if as_json:
        console.say_json(_document(result, chosen))
        return 0
    for line in _header(result, str(chosen)):
        console.say(line)
    for line in rendered(chosen, chart=chart):
        console.say(line)
    return 0


def _header(result: JobResult, what: str) -> list[str]:
    from mapreduce.figures import visible, when

    manifest = result.manifest
    status = manifest.status.value.lower().replace("_", " ")
    return [
        f"{visible(manifest.job)} {status}, {when(manifest.started)}, run {visible(manifest.run_id)}",
        what,
        "",
    ]


def _show_files(result: JobResult, as_json: bool) -> None:
    from mapreduce.cli import console, tables
    from mapreduce.codec import to_plain
    from mapreduce.figures import count
    from mapreduce.rows import Leading, table
    from mapreduce.units import show_size

    if as_json:
        console.say_json({"path": str(result.place), "files": to_plain(result.parts)})
        return
    rows = [
        {"file": part.name, "records": part.records, "size": show_size(part.size)} for part in result.parts
    ]
    size = show_size(sum(part.size for part in result.parts))
    for line in _header(result, f"{count(len(rows), 'file')}, {size}, in {result.place}"):
        console.say(line)
    width = console.width(sys.stdout)
    listed = table(Leading(rows, None, "first", len(rows)), separators=width is not None)
    for line in tables.lines(listed, Leading(rows, None, "first", len(rows)), width=width):
        console.say(line)


def rendered(chosen: Leading, *, chart: bool) -> list[str]:
    """Records as lines for standard output: fitted to a terminal; whole and plain where there is none."""
    from mapreduce.cli import console, tables
    from mapreduce.rows import table

    width = console.width(sys.stdout)
    rows = table(chosen, separators=width is not None)
    return tables.lines(rows, chosen, width=width, bars=console.bar_mark(sys.stdout) if chart else "")


def _document(result: JobResult, chosen: Leading) -> dict[str, Any]:
    manifest = result.manifest
    return {
        "path": str(result.place),
        "job": manifest.job,
        "run_id": manifest.run_id,
        "status": manifest.status.value,
        "started": manifest.started,
        "records": chosen.total,
        "order": chosen.order,
        "rows": [_plain(record) for record in chosen.records],
    }


def _plain(record: Any) -> Any:
    """A record as JSON has it; a pair as `key` and `value`."""
    if type(record) is tuple and len(record) == 2:
        return {"key": _plain_value(record[0]), "value": _plain_value(record[1])}
    return _plain_value(record)


def _plain_value(value: Any) -> Any:
    import json

    from mapreduce.datasets.jsontext import json_text
    from mapreduce.errors import RecordError

    try:
        return json.loads(json_text(value))
    except RecordError:
        return repr(value)
