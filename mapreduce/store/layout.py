"""Every name that the engine writes. Nobody else joins strings into one.

<output>/                          the result
  part-00000-<run>-<nonce>.jsonl   written by reduce attempts, or by maps without a reduce
  _manifest.json                   makes the parts that it names visible
  _sinks/<run>/<sink>.json         a sink was told
<beside the output>/.<output>.mapreduce/<run>/
  lock                             held while the run's coordinator lives
  data/map-00000-<nonce>           one map attempt's segments
  data/scratch-<nonce>/            what one attempt's functions asked for as `ctx.scratch`
  crashes/<worker>                 the stack of a worker that crashed
  crashes/<worker>.record          the record that a careful attempt gave to its function last
  result/_COMMIT                   the manifest that won
  output/                          the result of a job without output
"""

from __future__ import annotations

import re
from pathlib import Path

MANIFEST = "_manifest.json"
COMMIT = "result/_COMMIT"
LOCK = "lock"
DATA = "data"
CRASHES = "crashes"
KEPT = "output"
SINKS = "_sinks"

_WRITER = r"(?P<run>[A-Za-z0-9]+-[0-9a-f]{8})"
_PART = re.compile(rf"part-\d{{5,}}-{_WRITER}-[0-9a-f]{{8}}\.[a-z0-9.]+\Z")
_UNFINISHED = re.compile(rf"\..+\.{_WRITER}\.[0-9a-f]{{8}}\.tmp\Z")


def part_name(index: int, run_id: str, nonce: str, suffix: str) -> str:
    """A part's name: unique to one attempt of one run."""
    return f"part-{index:05d}-{run_id}-{nonce}{suffix}"


def unfinished_name(name: str, writer: str, token: str) -> str:
    """The file, beside its target, in which an object is written before it gets its name."""
    return f".{name}.{writer}.{token}.tmp"


def writer_of(name: str) -> str | None:
    """The run that wrote a part, or was writing a file; None for the name of anything else."""
    match = _PART.match(name) or _UNFINISHED.match(name)
    return match["run"] if match else None


def map_name(index: int, nonce: str) -> str:
    """A map attempt's data object, relative to the run's directory."""
    return f"{DATA}/map-{index:05d}-{nonce}"


def scratch_name(nonce: str) -> str:
    """One attempt's scratch directory, relative to the run's directory."""
    return f"{DATA}/scratch-{nonce}"


def sink_mark(run_id: str, sink: str) -> str:
    """The mark that a sink was told, relative to the output."""
    return f"{SINKS}/{run_id}/{sink}.json"


def work_root(output: Path) -> Path:
    """The directory of all runs that write to `output`: beside it, and hidden from globs."""
    return output.parent / f".{output.name}.mapreduce"


def kept_root(directory: Path, job: str) -> Path:
    """Where runs of a job without output keep their results."""
    return directory / ".mapreduce" / job
