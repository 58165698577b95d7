"""What is compared: the log, the programs that read it, and how their answers are told to be equal."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mapreduce.testing import logs

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / ".data"
OUTPUT = DATA / "output"

ENGINE_BAR = 1.15


@dataclass(frozen=True, slots=True)
class Program:
    """One way to do a job: a command to be started in ROOT, which writes its answer to OUTPUT."""

    job: str
    name: str
    command: Sequence[str]
    bar: float | None = None
    """Largest ratio to the program written by hand, of wall times."""


def programs(log: Path, workers: int | None) -> list[Program]:
    """All programs, each job's together, in the order of their turns. No workers: as many as each chooses."""
    option = [] if workers is None else ["--workers", str(workers)]
    found = []
    for job in ("page_hits", "word_count"):
        where = [job, str(log), str(OUTPUT)]
        found.append(Program(job, "engine", [*engine(job, log), *option], ENGINE_BAR))
        found.append(Program(job, "engine_record", [*engine(f"{job}_record", log), *option], ENGINE_BAR))
        found.append(Program(job, "handwritten", python("-m", "benchmarks.handwritten", *where, *option)))
        found.append(Program(job, "plain", python("-m", "benchmarks.plain", *where)))
    return found


def engine(file: str, log: Path | None = None) -> list[str]:
    """The command that runs a job file of ours."""
    source = [] if log is None else ["--set", f"SOURCE={log}"]
    run = python("-m", "mapreduce", "run", f"benchmarks/jobs/{file}.py")
    return [*run, *source, "--set", f"OUTPUT={OUTPUT}", "--overwrite"]


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def engine_is_there() -> bool:
    return (ROOT / "mapreduce" / "__main__.py").exists()


def prepared_log(size: int, seed: int) -> Path:
    """The log of `size` bytes, made if it isn't there, and read once, so that it is in the page cache.

    Logs that another version of the generator made are removed.
    """
    version = hashlib.sha256(Path(logs.__file__).read_bytes()).hexdigest()[:8]
    DATA.mkdir(exist_ok=True)
    for old in DATA.glob("access-*.log"):
        if version not in old.name:
            old.unlink()
    log = DATA / f"access-{size}-{seed}-{version}.log"
    if not log.exists():
        logs.write_access_log(log, size, seed=seed)
    with log.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
    return log


def answer() -> str:
    """The sha256 of what OUTPUT holds, whatever files it stands in: sorted lines of key, TAB, value.

    Raises OSError, ValueError or KeyError for an output that is missing or that is none.
    """
    lines = sorted(f"{record['key']}\t{record['value']}\n".encode() for record in _records())
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _records() -> Iterator[dict[str, object]]:
    for part in _parts():
        with part.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _parts() -> list[Path]:
    if not OUTPUT.is_dir():
        return [OUTPUT]
    manifest = json.loads((OUTPUT / "_manifest.json").read_text(encoding="utf-8"))
    return [OUTPUT / os.fspath(part["name"]) for part in manifest["parts"]]
