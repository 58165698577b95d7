"""Hosts on one store: what a task, a request and a killed worker cost there.

    python -m benchmarks.hosts [--cases NAMES] [--places NAMES] [--rounds 3] [--results FILE] [--list]

Places are a folder in memory (/dev/shm), a folder on disk, and SeaweedFS, which the system tests' group of
packages brings. Writes what was measured as JSON, and tells it as a table; `python -m benchmarks.scale`
computes from the file what more hosts would cost. Goals are told, not enforced; a wrong answer is a failure.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.answers import answer
from benchmarks.data import Data, default_folder, size_of
from benchmarks.kills import workers_of
from benchmarks.measure import _descendants
from benchmarks.programs import OUTPUT, ROOT, engine, python
from mapreduce.cli.jobfile import load_job
from mapreduce.coordinator.log import Acceptance, AcceptanceLog
from mapreduce.errors import WorkDamaged
from mapreduce.hosts import messages
from mapreduce.hosts.jobs import Cluster
from mapreduce.hosts.leadership import claim
from mapreduce.hosts.messages import Going, HostReport, Order, Orders
from mapreduce.manifest import versions
from mapreduce.model import Attempt, AttemptRecord, Kind, Result, TaskId, Work
from mapreduce.place import place_of
from mapreduce.plan import make_plan, new_run_id
from mapreduce.resume import Invocation
from mapreduce.store import COUNTS, layout
from mapreduce.store.counting import Counted, counts_of

NO_OP = "benchmarks/jobs/no_op.py"
PROCESSES = 2
LONG = 300.0
"""Seconds after which something has gone wrong."""
KEY = secrets.token_hex(32)
"""Of every place: what a folder is read with must not depend on the places before it."""
KEYED = {"MAPREDUCE_KEY": KEY}
SELDOM = 0.1
"""Seconds between two looks that cost something."""
Figures = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A store, empty but for other runs, and what reaches it."""

    kind: str
    url: str
    folder: Path
    """Of this machine, for outputs and logs."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_bucket(self) -> bool:
        return "://" in self.url

    def cluster(self) -> Cluster:
        """The same, in this process."""
        os.environ.update(self.environment)
        return Cluster(self.url, KEY.encode())


@contextmanager
def place_of_kind(kind: str, data: Path) -> Iterator[Place]:
    """A place, which is removed afterwards. Raises LookupError for one that can't be had here."""
    parent = Path("/dev/shm") if kind == "memory" else data
    if not parent.is_dir():
        raise LookupError(f"there is no {parent}")
    if kind == "seaweedfs" and not (Path(sys.executable).parent / "weed").exists():
        raise LookupError("SeaweedFS is not installed: make .venv/.system")
    folder = Path(tempfile.mkdtemp(prefix="hosts-", dir=parent))
    try:
        if kind != "seaweedfs":
            (folder / "store").mkdir(mode=0o700)
            yield Place(kind, str(folder / "store"), folder, KEYED)
            return
        sys.path.insert(0, str(ROOT / "tests" / "system"))
        import servers

        (folder / "server").mkdir()
        with servers.seaweedfs(folder / "server") as server:
            environment = {
                "AWS_ACCESS_KEY_ID": servers.KEY,
                "AWS_SECRET_ACCESS_KEY": servers.SECRET,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": server.endpoint,
            }
            yield Place(kind, f"s3://{servers.BUCKET}/hosts", folder, {**environment, **KEYED})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Hosts:
    """Processes that share a place: some hosts, and whoever leads. All requests are counted."""

    def __init__(self, place: Place, hosts: int, processes: int) -> None:
        self.place = place
        self.counts = Path(tempfile.mkdtemp(prefix="counts-", dir=place.folder))
        self._environment = {**os.environ, **place.environment, COUNTS: str(self.counts)}
        self._started: list[subprocess.Popen[bytes]] = []
        try:
            self.hosts = [self._host(processes) for _ in range(hosts)]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:  # else its number may be another's by now
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _host(self, processes: int) -> subprocess.Popen[bytes]:
        log = Path(tempfile.mktemp(prefix="host-", dir=self.place.folder))
        options = ["worker", self.place.url, "--processes", str(processes)]
        host = self.start(python("-m", "mapreduce", *options), log)
        wait_for(lambda: b"waits for runs" in log.read_bytes(), host, log)
        return host

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """A process in a group of its own."""
        with open(log, "wb") as told:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=told, stderr=told, env=self._environment, start_new_session=True
            )
        self._started.append(process)
        return process

    def lead(self, *settings: str) -> tuple[int, Figures]:
        """Run the job of tasks that do nothing; the process that led it, and what it tells."""
        output = Path(tempfile.mkdtemp(prefix="output-", dir=self.place.folder)) / "answer"
        options = [part for setting in (*settings, f"OUTPUT={output}") for part in ("--set", setting)]
        log = output.with_name("log")
        leader = self.start(python("-m", "benchmarks.led", NO_OP, self.place.url, *options), log)
        ended(leader, log)
        return leader.pid, json.loads(log.read_text().splitlines()[-1])

    def run(
        self, log: Path, disturb: Callable[["Hosts", subprocess.Popen[bytes], Path], int] = lambda *_: 0
    ) -> tuple[float, Figures, str, int]:
        """Run page hits: seconds, the document, the answer, and what `disturb` gave."""
        output = Path(tempfile.mkdtemp(prefix="output-", dir=self.place.folder)) / "answer"
        command = [part.replace(OUTPUT, str(output)) for part in engine("hits:record", log, "--json", "--on")]
        told = output.with_name("log")
        begin = time.monotonic()
        process = self.start([*command, self.place.url], told)
        kills = disturb(self, process, told)
        ended(process, told)
        seconds = time.monotonic() - begin
        return seconds, _document(told), answer(output), kills

    def requests(self) -> dict[int, dict[str, Counted]]:
        """So far, by process."""
        return counts_of(self.counts, self.place.url)


def _document(told: Path) -> Figures:
    """The JSON that a command has printed, behind what it logged."""
    text = told.read_text()
    found: Figures = json.loads(text[text.index("\n{") if not text.startswith("{") else 0 :])
    return found


def wait_for(
    is_so: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, pause: float = 0.002
) -> None:
    """Wait until something is so. Raises RuntimeError if a process ends before, or it takes too long."""
    end = time.monotonic() + LONG
    while not is_so():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args} did not come so far: {log.read_text()[-3000:]}")
        time.sleep(pause)


def ended(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a process. Raises RuntimeError if it fails."""
    if process.wait(LONG):
        raise RuntimeError(f"exit code {process.returncode}: {log.read_text()[-3000:]}")


def cpu_of(process: int) -> float:
    """CPU seconds of a process and its descendants that live."""
    ticks = 0
    for pid in (process, *_descendants(process)):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- cases


def no_op(place: Place, options: argparse.Namespace) -> Figures:
    tasks = options.tasks // 5 if place.is_bucket else options.tasks
    with Hosts(place, 1, PROCESSES) as hosts:
        before, cpu = hosts.requests(), cpu_of(hosts.hosts[0].pid)
        leader, figures = hosts.lead(f"TASKS={tasks}")
        counted = since(before, hosts.requests())
        figures["host and workers cpu s"] = round(cpu_of(hosts.hosts[0].pid) - cpu, 3)
    figures["requests"] = {
        "coordinator": per(counted.pop(leader, {}), tasks),
        "host": per(counted.pop(hosts.hosts[0].pid, {}), tasks),
        "workers": per(added(counted.values()), tasks),
    }
    return figures


def latency(place: Place, _: argparse.Namespace) -> Figures:
    """Attempts so long that none waits in a queue, in milliseconds beside their own time."""
    seconds, tasks = (2.5, 6) if place.is_bucket else (0.5, 20)
    with Hosts(place, 1, PROCESSES) as hosts:
        _, told = hosts.lead(f"TASKS={tasks}", "SHAPE=sleep", f"SECONDS={seconds}")
    return {name: round(told[name] - 1000 * seconds, 1) for name in ("p50 ms", "p99 ms")}


def idle(place: Place, options: argparse.Namespace) -> Figures:
    """Requests a second while nothing ends: of a host, and of the coordinator for it."""
    output = place.folder / f"idle-{secrets.token_hex(4)}"
    outlasting = f"SECONDS={2 * LONG + options.seconds}"
    settings = ["TASKS=2", "SHAPE=sleep", outlasting, f"OUTPUT={output}"]
    command = [part for setting in settings for part in ("--set", setting)]
    figures: Figures = {}
    for number, name in ((1, "one host"), (3, "three hosts")):
        with Hosts(place, number, 1) as hosts:
            job = [*python("-m", "mapreduce", "run", NO_OP, "--new", "--on", place.url), *command]
            told = output.with_suffix(".log")
            leader = hosts.start(job, told)
            own = [host.pid for host in hosts.hosts]
            wait_for(lambda own=own: all(map(workers_of, own)), leader, told)
            figures[name] = _idle_rates(hosts, leader.pid, options.seconds)
        cluster = place.cluster()
        for run_id in cluster.open_runs():
            cluster.close(run_id)
    return figures


def _idle_rates(hosts: Hosts, leader: int, seconds: float) -> Figures:
    own = [host.pid for host in hosts.hosts]
    time.sleep(3)  # until all attempts have begun, and that is told
    before, cpu, begin = hosts.requests(), cpu_of(leader), time.monotonic()
    time.sleep(seconds)
    seconds = time.monotonic() - begin
    counted = since(before, hosts.requests())
    return {
        "coordinator": per(counted.get(leader, {}), seconds),
        "each host": per(added(counted.get(pid, {}) for pid in own), seconds * len(own)),
        "coordinator's cpu s": round((cpu_of(leader) - cpu) / seconds, 4),
    }


def message_costs(place: Place, _: argparse.Namespace) -> Figures:
    """What the coordinator does for a message: wall and CPU milliseconds, medians of 50."""
    store = place.cluster().of_run(f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
    attempt = Attempt(TaskId(Kind.MAP, 1), 1, 1)
    request = {"kind": "map", "index": 1, "nonce": "00000000", "careful": False, "memory": None}
    report_ = HostReport(2, 1, 1, (), (Going("map 1 00000000"),) * 2, "host:1", versions())
    orders = Orders((Order(attempt, request),) * 2, 1, 1)
    acceptance = Acceptance(
        attempt.task, Result(Work(), {}, digest="0" * 32), AttemptRecord("map 1", 1, 1, "succeeded", 1.0)
    )
    log = AcceptanceLog(store, 1)
    figures: Figures = {}
    for number in range(1, 51):
        messages.post(store, layout.report_name(f"host-{number}", 1), report_)
    turns = iter(range(1, 10_000))
    acts: dict[str, Callable[[], object]] = {
        "read a report": lambda: messages.newest_report(store, f"host-{next(turns) % 50 + 1}", [1]),
        "write orders": lambda: messages.post(store, layout.orders_name("host", 1, next(turns)), orders),
        "write a log entry": lambda: log.append([acceptance]),
        "list 50 reports": lambda: messages.all_reports(store),
    }
    for name, act in acts.items():
        walls, cpus = [], []
        for _turn in range(50):
            wall, cpu = time.perf_counter(), time.process_time()
            act()
            walls.append(1000 * (time.perf_counter() - wall))
            cpus.append(1000 * (time.process_time() - cpu))
        figures[name] = {"ms": round(median(walls), 3), "cpu ms": round(sum(cpus) / len(cpus), 3)}
    for name in store.list():
        store.delete(name)
    return figures


def hits(place: Place, options: argparse.Namespace) -> Figures:
    """Seconds on the store, and by processes without one."""
    log = Data(options.data, options.size).path("access")
    output = Path(tempfile.mkdtemp(dir=place.folder)) / "answer"
    command = engine("hits:record", log, "--workers", str(PROCESSES), "--json")
    told = output.with_name("log")
    begin = time.monotonic()
    with open(told, "wb") as stream:
        started = [part.replace(OUTPUT, str(output)) for part in command]
        ended(subprocess.Popen(started, cwd=ROOT, stdout=stream, stderr=stream), told)
    alone = time.monotonic() - begin
    with Hosts(place, 1, PROCESSES) as hosts:
        seconds, _, found, _ = hosts.run(log)
    if found != answer(output):
        raise RuntimeError("the answers differ")
    return {"s": round(seconds, 3), "processes s": round(alone, 3), "ratio": round(seconds / alone, 3)}


def killed(place: Place, options: argparse.Namespace) -> Figures:
    """Page hits by three hosts: undisturbed, with two of six workers killed, with one host killed."""
    log = Data(options.data, options.size).path("access")
    rng = random.Random(options.seed)
    with Hosts(place, 3, PROCESSES) as hosts:
        undisturbed, document, right, _ = hosts.run(log)
    maps = len({each["task"] for each in document["attempts"] if each["task"].startswith("map")})
    if maps < (fewest := 2 * 3 * PROCESSES):
        needed = -(-options.size * fewest // maps // 10**6)
        raise RuntimeError(f"{maps} maps are over before anybody is killed: take --size {needed}MB")

    def two_workers(hosts: Hosts, leader: subprocess.Popen[bytes], told: Path) -> int:
        wait_for(lambda: _is_begun(place), leader, told, SELDOM)
        busy = [found for host in hosts.hosts if (found := workers_of(host.pid))]
        for workers in rng.sample(busy, 2):
            os.kill(rng.choice(workers), signal.SIGKILL)
        return 2

    def one_host(hosts: Hosts, leader: subprocess.Popen[bytes], told: Path) -> int:
        wait_for(lambda: _is_begun(place), leader, told, SELDOM)
        os.killpg(hosts.hosts[0].pid, signal.SIGKILL)
        return 1

    figures: Figures = {"undisturbed s": round(undisturbed, 3)}
    for name, disturb in (("two of six workers", two_workers), ("one of three hosts", one_host)):
        with Hosts(place, 3, PROCESSES) as hosts:
            seconds, document, found, kills = hosts.run(log, disturb)
        if found != right:
            raise RuntimeError("the answers differ")
        lost = sum(each["seconds"] for each in document["attempts"] if each["outcome"] == "lost")
        ratio = round(seconds / (undisturbed + lost), 3)
        figures[name] = {"kills": kills, "s": round(seconds, 3), "lost s": round(lost, 3), "ratio": ratio}
    return figures


def _is_begun(place: Place) -> bool:
    """Whether a quarter of the maps of the only open run have written their data; the log tells it late."""
    cluster = place.cluster()
    for run_id in cluster.open_runs():
        with suppress(WorkDamaged):  # it is being laid down
            maps = len(cluster.plan(run_id).splits)
            return 4 * len(cluster.of_run(run_id).list(layout.DATA)) >= maps
    return False


def resume(place: Place, options: argparse.Namespace) -> Figures:
    """Seconds until the first orders of a run that goes on: half of its tasks are in its log."""
    tasks, output = 10 * options.tasks, place.folder / f"resumed-{secrets.token_hex(4)}"
    settings = (f"TASKS={tasks}", f"OUTPUT={output}")
    job = load_job(str(ROOT / NO_OP), settings=settings)
    plan = make_plan(job, new_run_id(datetime.now(UTC)))
    cluster = place.cluster()
    options_ = [part for setting in settings for part in ("--set", setting)]
    arguments = (NO_OP, *options_, "--on", place.url)
    cluster.submit(plan, place_of(job, plan.run_id).output, job, Invocation(str(ROOT), arguments))
    store = cluster.of_run(plan.run_id)
    log = AcceptanceLog(store, claim(store, "bench", "bench"))
    for first in range(0, tasks // 2, 100):
        log.append([_accepted(index) for index in range(first, first + 100)])
    reports = count(1)

    def is_ordered() -> bool:
        """Report as a host does that waits, and see whether it has got something to do."""
        report = HostReport(2, 0, 0, name="bench", versions=versions())
        messages.post(store, layout.report_name("bench", next(reports)), report)
        return bool(_ordered(cluster, plan.run_id))

    told = output.with_suffix(".log")
    with Hosts(place, 0, 0) as hosts:
        begin = time.monotonic()
        leader = hosts.start(python("-m", "mapreduce", "run", *arguments), told)
        try:
            wait_for(lambda: len(store.list(layout.EPOCHS)) == 2, leader, told)
            led = time.monotonic()
            wait_for(is_ordered, leader, told)
            now = time.monotonic()
            return {
                "from the start s": round(now - begin, 3),
                "as leader s": round(now - led, 3),
                "cpu s": round(cpu_of(leader.pid), 2),
            }
        finally:
            os.killpg(leader.pid, signal.SIGKILL)
            leader.wait()
            cluster.close(plan.run_id)


def _accepted(index: int) -> Acceptance:
    task = TaskId(Kind.MAP, index)
    work = Work(records=1, seconds=0.00005, peak_memory=50_000_000)
    record = AttemptRecord(str(task), 1, index % 100, "succeeded", 0.001)
    return Acceptance(task, Result(work, {}, digest=f"{index:032x}"), record)


def _ordered(cluster: Cluster, run_id: str) -> Sequence[Order]:
    store = cluster.of_run(run_id)
    names = store.list(f"{layout.ORDERS}/bench")
    return messages.parse(Orders, store.read(max(names))).orders if names else ()


# ---------------------------------------------------------------- requests


def since(
    before: dict[int, dict[str, Counted]], now: dict[int, dict[str, Counted]]
) -> dict[int, dict[str, Counted]]:
    """What was counted in between."""
    return {
        pid: {op: _minus(count, before.get(pid, {}).get(op, Counted())) for op, count in counts.items()}
        for pid, counts in now.items()
    }


def _minus(count: Counted, other: Counted) -> Counted:
    return count + Counted(-other.calls, -other.failed, -other.sent, -other.received, -other.names)


def added(all_counts: Any) -> dict[str, Counted]:
    """By operation."""
    total: dict[str, Counted] = {}
    for counts in all_counts:
        for op, counted in counts.items():
            total[op] = total.get(op, Counted()) + counted
    return total


def per(counts: Mapping[str, Counted], number: float) -> Figures:
    """Requests by operation, and bytes, for each of so many."""
    told: Figures = {
        op: round(count.calls / number, 5) for op, count in sorted(counts.items()) if count.calls
    }
    told["bytes"] = round(sum(count.sent + count.received for count in counts.values()) / number, 1)
    return told


# ---------------------------------------------------------------- what there is


@dataclass(frozen=True)
class Case:
    """Something to be measured, and why."""

    name: str
    why: str
    measure: Callable[[Place, argparse.Namespace], Figures]
    places: Sequence[str]
    once: bool = False
    """One round is enough."""


CASES = [
    Case(
        "no-op",
        "What does a task cost that does nothing? One host of two processes; requests and bytes are counted. "
        "Goal: 2,000 tasks a second on a local folder.",
        no_op,
        ("memory", "folder", "seaweedfs"),
    ),
    Case(
        "latency",
        "How long from assignment to acceptance, beside the attempt's own time, where none waits in a queue?",
        latency,
        ("memory", "folder", "seaweedfs"),
        once=True,
    ),
    Case(
        "idle",
        "What does a host ask for while its attempts run on, and the coordinator for it?",
        idle,
        ("folder", "seaweedfs"),
        once=True,
    ),
    Case(
        "messages",
        "What does a message cost the coordinator?",
        message_costs,
        ("memory", "folder", "seaweedfs"),
    ),
    Case(
        "hits",
        "Does the way through a folder cost a usual job something? Goal: 1.10 × the same by processes.",
        hits,
        ("folder",),
    ),
    Case(
        "killed",
        "What do killed workers and hosts cost? Goal: 1.05 × (the undisturbed run + lost attempts' time).",
        killed,
        ("folder",),
    ),
    Case(
        "resume",
        "How soon does a run of 100,000 tasks go on when half of it is done? Goal: two seconds.",
        resume,
        ("folder",),
    ),
]
PLACES = ("memory", "folder", "seaweedfs")


def main(arguments: Sequence[str] | None = None) -> int:
    """0; or 1 if something failed."""
    options = _options(arguments)
    if options.list:
        for case in CASES:
            print(f"{case.name} ({', '.join(case.places)})")
            print(textwrap.fill(case.why, 110, initial_indent="    ", subsequent_indent="    "))
        return 0
    options.data.mkdir(parents=True, exist_ok=True)
    document: Figures = {
        "machine": report.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "tasks": options.tasks,
    }
    print(document["machine"], flush=True)
    results: dict[str, dict[str, list[Figures]]] = {}
    document["results"] = results
    failed = False
    with ExitStack() as stack:
        places: dict[str, Place] = {}
        for kind in options.places:
            try:
                places[kind] = stack.enter_context(place_of_kind(kind, options.data))
            except LookupError as error:
                print(f"{kind} is left out: {error}", flush=True)
        for case in (case for case in CASES if case.name in options.cases):
            for kind in (kind for kind in case.places if kind in places):
                for _ in range(1 if case.once else options.rounds):
                    begin = time.monotonic()
                    try:
                        figures = case.measure(places[kind], options)
                    except (RuntimeError, subprocess.TimeoutExpired) as error:
                        print(f"{case.name} on {kind} FAILED: {error}", flush=True)
                        failed = True
                        break
                    figures["load"] = round(os.getloadavg()[0], 1)
                    results.setdefault(case.name, {}).setdefault(kind, []).append(figures)
                    seconds = time.monotonic() - begin
                    print(f"  {case.name} on {kind}: {seconds:.1f} s", file=sys.stderr, flush=True)
                    options.results.write_text(json.dumps(document, indent=1) + "\n")
    text = "\n".join(table(results))
    options.results.with_suffix(".md").write_text(f"{document['machine']}, {document['date']}\n\n{text}\n")
    print(f"\n{text}\n\nwritten: {options.results} and .md")
    return int(failed)


def table(results: Mapping[str, Mapping[str, Sequence[Figures]]]) -> Iterator[str]:
    """Markdown: of each figure the median and the range of the rounds."""
    yield "| case | place | figure | median (range) | rounds |"
    yield "|---|---|---|---|---|"
    for case, by_place in results.items():
        for place, rounds in by_place.items():
            flat = [_flat(figures) for figures in rounds]
            for name in flat[0]:
                values = [each[name] for each in flat if name in each]
                span = f" ({min(values):,g}–{max(values):,g})" if len(values) > 1 else ""
                yield f"| {case} | {place} | {name} | {median(values):,g}{span} | {len(values)} |"


def _flat(figures: Mapping[str, Any], before: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}, ")
        else:
            found[before + name] = value
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description="Hosts on one store.")
    parser.add_argument("--cases", type=_names([case.name for case in CASES]), metavar="NAMES")
    parser.add_argument("--places", type=_names(PLACES), metavar="NAMES", help="memory, folder, seaweedfs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10_000, help="that do nothing (10,000)")
    parser.add_argument("--size", type=size_of, default=10**9, help="of the log (1GB)")
    parser.add_argument("--seconds", type=float, default=8.0, help="for which idle hosts are watched (8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=default_folder(), metavar="FOLDER")
    parser.add_argument("--results", type=Path, metavar="FILE", help="hosts.json beside the data")
    parser.add_argument("--list", action="store_true", help="say what there is and why, and end")
    options = parser.parse_args(arguments)
    options.cases = options.cases or [case.name for case in CASES]
    options.places = options.places or list(PLACES)
    options.results = options.results or options.data / "hosts.json"
    return options


def _names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(allowed):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not among {', '.join(allowed)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
