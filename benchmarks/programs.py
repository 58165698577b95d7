"""The programs: how each is started, what it needs, and which jobs it does."""

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = "{output}"  # stands in a command for the place of the answer

EVERYTHING = ("hits", "status", "top", "words", "sections", "sessions", "index", "sort")
UNORDERED = EVERYTHING[:-1]


@dataclass(frozen=True, slots=True)
class Program:
    """One way to do some jobs."""

    name: str
    jobs: Sequence[str]
    command: Callable[[str, Path, int], list[str]]
    """Of job, source and number of workers: what is started in ROOT. OUTPUT in it: where the answer goes."""
    sources: Sequence[str]
    """Files and folders whose change makes it another program."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions are told."""
    tools: Sequence[str] = ()
    """Commands that the system must have."""
    group: str = ""
    """The dependency group that brings its packages; none: what runs the benchmark has them."""
    slow: bool = False
    """One round is enough."""
    answers: bool = True
    """It writes an answer, which is compared."""
    prints: bool = False
    """Its last line is a JSON object of figures."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it is given beside those of the benchmark."""

    def missing(self) -> str:
        """What to do before it can run; empty if nothing is."""
        tools = [tool for tool in self.tools if not shutil.which(tool)]
        if tools:
            return f"install {' and '.join(tools)} (a system package)"
        if self.group and not interpreter(self.group, self.packages):
            return f"make {group_environment(self.group).relative_to(ROOT)}/.made"
        return ""

    def digest(self) -> str:
        """Changes when the program does."""
        found = hashlib.sha256()
        for source in self.sources:
            path = ROOT / source
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                found.update(file.read_bytes())
        return found.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Run:
    """A program and what is started, under another name where the program has variants."""

    program: Program
    command: Sequence[str]
    variant: str = ""
    scale: float = 1.0
    """What its figures are divided by before they are compared."""
    question: str = ""
    """Only answers to the same question must be equal."""

    @property
    def name(self) -> str:
        return self.variant or self.program.name

    def started(self, output: Path) -> list[str]:
        return [part.replace(OUTPUT, str(output)) for part in self.command]


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def group_environment(group: str) -> Path:
    """The virtual environment of a group, which `make` makes by this name."""
    return ROOT / f".venv-{group}"


@lru_cache
def interpreter(group: str, packages: tuple[str, ...]) -> str:
    """Python with a group's packages: of an environment of its own, or this one; empty if there is none."""
    own = group_environment(group) / "bin" / "python"
    if (group_environment(group) / ".made").exists():
        return str(own)
    return sys.executable if all(map(importlib.util.find_spec, packages)) else ""


def engine(job: str, source: Path | str, *options: str) -> list[str]:
    """A job file of ours, by the command line; `job` may name one of several in the file."""
    file, _, name = job.partition(":")
    place = f"benchmarks/jobs/{file}.py{':' + name if name else ''}"
    values = ["--set", f"SOURCE={source}", "--set", f"OUTPUT={OUTPUT}"]
    return python("-m", "mapreduce", "run", place, *values, *options)


def _engine(suffix: str = "", name: str = "") -> Callable[[str, Path, int], list[str]]:
    def command(job: str, source: Path, workers: int) -> list[str]:
        option = ["--workers", str(workers)]
        if job == "top":  # a script: it runs a job and goes on with the result
            return python("-m", f"benchmarks.jobs.top{suffix}", str(source), OUTPUT, *option)
        return engine(f"{job}{suffix}{name}", source, *option)

    return command


def _module(
    module: str, group: str, packages: tuple[str, ...], flavour: str, workers_known: bool
) -> Callable[[str, Path, int], list[str]]:
    def command(job: str, source: Path, workers: int) -> list[str]:
        started = (interpreter(group, packages) if group else "") or sys.executable
        options = ["--flavour", flavour] if flavour else []
        if workers_known:
            options += ["--workers", str(workers)]
        return [started, "-m", f"benchmarks.competitors.{module}", job, str(source), OUTPUT, *options]

    return command


def _competitor(
    name: str,
    module: str,
    jobs: Sequence[str] = EVERYTHING,
    *,
    packages: tuple[str, ...] = (),
    tools: Sequence[str] = (),
    group: str = "",
    flavour: str = "",
    slow: bool = False,
    workers_known: bool = True,
) -> Program:
    return Program(
        name,
        jobs,
        _module(module, group, packages, flavour, workers_known),
        [f"{FOLDER}/{file}.py" for file in (module, "lines", "handwritten")],
        packages,
        tools,
        group,
        slow,
        environment={"PYTHONPATH": str(ROOT)},  # for their workers, which import these modules too
    )


def _shell(job: str, source: Path, workers: int) -> list[str]:
    return ["bash", f"{FOLDER}/shell.sh", job, str(source), OUTPUT, str(workers)]


FOLDER = "benchmarks/competitors"
OWN = ("mapreduce", "benchmarks/jobs")

PROGRAMS = [
    Program("engine", EVERYTHING, _engine(), OWN, ("polars",)),
    Program("engine-record", ["hits", "words", "status"], _engine("", ":record"), OWN, ("polars",)),
    Program("engine-frames", EVERYTHING, _engine("_frames"), OWN, ("polars",)),
    _competitor("handwritten", "handwritten"),
    _competitor("plain", "plain", slow=True, workers_known=False),
    _competitor("duckdb", "duckdb_sql", packages=("duckdb",), group="bench-duckdb"),
    _competitor("polars", "polars_streaming", packages=("polars",)),
    Program("mawk", UNORDERED, _shell, [f"{FOLDER}/shell.sh"], tools=["bash", "mawk", "sort", "split"]),
    Program("sort", ["sort"], _shell, [f"{FOLDER}/shell.sh"], tools=["bash", "sort"]),
    _competitor(
        "pyspark-rdd",
        "spark",
        packages=("pyspark",),
        tools=["java"],
        group="bench-spark",
        flavour="rdd",
        slow=True,
    ),
    _competitor(
        "pyspark-df",
        "spark",
        packages=("pyspark",),
        tools=["java"],
        group="bench-spark",
        flavour="df",
        slow=True,
    ),
    _competitor("dask", "dask_bag", UNORDERED, packages=("dask",), group="bench-dask", slow=True),
    _competitor("ray", "ray_tasks", packages=("ray",), group="bench-ray", slow=True),
]
