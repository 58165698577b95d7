"""Every name that the engine writes. Nobody else joins strings into one.

<output>/                          the result
  part-00000-<run>-<nonce>.jsonl   written by reduce attempts, or by maps without a reduce
  _set-aside-00000-<run>-<nonce>.jsonl   bad records of a map attempt
  _manifest.json                   makes the parts that it names visible
  _sinks/<run>/told                who is to be told, and whether somebody must approve first
  _sinks/<run>/tried/<sink>.json   a sink was tried, and what it said
  _sinks/<run>/marks/<sink>.json   a sink was told
  _sinks/<run>/review              what somebody decided
<beside the output>/.<output>.mapreduce/<run>/, or <work>/<output>-<digest of its path>/<run>/; of an output
in a bucket .mapreduce/<output>-<digest of its URL>/<run>/
  lock                             held while the run's coordinator lives
  plan/000001                      what is to be done; a higher number replaces a lower one
  log/000001.000001                results that were accepted: session, entry
  data/map-00000-<nonce>           one map attempt's segments
  data/scratch-<nonce>/            what one attempt's functions asked for as `ctx.scratch`
  crashes/<worker>                 the stack of a worker that crashed
  crashes/<worker>.record          the record that a careful attempt gave to its function last
  alerts/<sink>.<cause>            a sink was warned while the run went on
  result/_COMMIT                   the manifest that won
  result/_ENDED                    the run has published, and told its sinks
  output/                          the result of a job without output
  elsewhere                        a run on a store that hosts share writes to the output
beside the directories of runs
  one                              held while a process runs a set
  failed/<run>.000001/             as an output: the manifest of a run's end without a result, and its sinks
on a store that hosts share
  open/<run>                       there while the run has not ended
  open/ask-<token>                 a question to all hosts, where they look anyway: what is it like there?
  answer/<token>/<host>            a host's answer
  answer/<token>/<host>.begun      it has begun to look
  results/<job>/<run>/output/      the result of a job without output
  jobs/<run>/                      as a run's own directory, and also
  spec, code                       what hosts must know, signed, and the job
  coord/000001                     who leads: the highest epoch; log entries bear it as their session
  coord/000001.stop                whoever leads under this epoch is asked to stop
  coord/000001.end                 how its coordinator ended, if not with a result
  coord/000001.retry               others may lead the run all the same
  coord/000001.ask-<token>         somebody asks whether it is there,
  coord/000001.here-<token>        and it is
  in/<host>/000001.00000001        orders to a host: epoch, number
  out/<host>.00000001              a host's reports
  stage/000001/00000-<nonce>       what one reduce attempt reads
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

MANIFEST = "_manifest.json"
RESULT = "result"
RESULTS = "results"
OWN = ".mapreduce"
COMMIT = "result/_COMMIT"
ENDED = "result/_ENDED"
ELSEWHERE = "elsewhere"
PLANS = "plan"
LOG = "log"
LOCK = "lock"
DATA = "data"
CRASHES = "crashes"
KEPT = "output"
FAILED = "failed"
ONE = "one"
SINKS = "_sinks"
EPOCHS = "coord"
ORDERS = "in"
REPORTS = "out"
STAGE = "stage"
OPEN = "open"
ANSWERS = "answer"
JOBS = "jobs"
SPEC = "spec"
CODE = "code"
PROBES = "_probe"

_WRITER = r"(?P<run>[A-Za-z0-9]+-[0-9a-f]{8})"
_RUN_ID = re.compile(rf"{_WRITER}\Z")
_PART = re.compile(rf"(?:part|_set-aside)-\d{{5,}}-{_WRITER}-[0-9a-f]{{8}}\.[a-z0-9.]+\Z")
_FAILURE = re.compile(rf"{_WRITER}\.(\d{{6,}})\Z")
_NUMBERED = re.compile(r"(?:plan|log)/(\d{6,})(?:\.(\d{6,}))?\Z")
_EPOCH = re.compile(r"coord/(\d{6,})\Z")
_ASKED = re.compile(r"coord/(\d{6,})\.ask-([0-9a-f]+)\Z")
_QUESTION = re.compile(r"open/ask-([0-9a-f]{16})\Z")
_JOB = re.compile(rf"jobs/{_WRITER}/(?P<name>.+)\Z")
_ORDERS = re.compile(r"in/[A-Za-z0-9-]+/(\d{6,})\.(\d{8,})\Z")
_REPORT = re.compile(r"out/([A-Za-z0-9-]+)\.(\d{8,})\Z")
_UNFINISHED = re.compile(rf"\..+\.{_WRITER}\.[0-9a-f]{{8}}\.tmp\Z")


def shown(url: str, name: str) -> str:
    """An object's place, for messages."""
    return f"{url}/{name}"


def probe_name(token: str) -> str:
    """What a probe writes and removes, relative to a store."""
    return f"{PROBES}/{token}"


def part_name(index: int, run_id: str, nonce: str, suffix: str) -> str:
    """A part's name: unique to one attempt of one run."""
    return f"part-{index:05d}-{run_id}-{nonce}{suffix}"


def set_aside_name(index: int, run_id: str, nonce: str) -> str:
    """The file of one map attempt's bad records, relative to the output."""
    return f"_set-aside-{index:05d}-{run_id}-{nonce}.jsonl"


def is_run_id(name: str) -> bool:
    """Whether a run may have this id, and its directory this name."""
    return _RUN_ID.match(name) is not None


def unfinished_name(name: str, writer: str, token: str) -> str:
    """The file, beside its target, in which an object is written before it gets its name."""
    return f".{name}.{writer}.{token}.tmp"


def is_unfinished(name: str) -> bool:
    """Whether a file has no name yet: its writer is at it, or was killed."""
    return _UNFINISHED.match(name) is not None


def writer_of(name: str) -> str | None:
    """The run that wrote a part, or was writing a file; None for the name of anything else."""
    match = _PART.match(name) or _UNFINISHED.match(name)
    return match["run"] if match else None


def map_name(index: int, nonce: str) -> str:
    """A map attempt's data object, relative to the run's directory."""
    return f"{DATA}/map-{index:05d}-{nonce}"


def plan_name(number: int) -> str:
    """A run's plan, relative to its directory."""
    return f"{PLANS}/{number:06d}"


def log_name(session: int, entry: int) -> str:
    """An entry of a run's log, relative to its directory."""
    return f"{LOG}/{session:06d}.{entry:06d}"


def log_numbers(name: str) -> tuple[int, int] | None:
    """Session and entry of a name that `log_name` made, or number and 0 of a plan's; None for another."""
    match = _NUMBERED.match(name)
    return (int(match[1]), int(match[2] or 0)) if match else None


def scratch_name(nonce: str) -> str:
    """One attempt's scratch directory, relative to the run's directory."""
    return f"{DATA}/scratch-{nonce}"


def sinks_of(run_id: str) -> str:
    """What is recorded of telling a run's sinks, relative to the output."""
    return f"{SINKS}/{run_id}"


def told_name(run_id: str) -> str:
    """Who is to be told."""
    return f"{sinks_of(run_id)}/told"


def review_name(run_id: str) -> str:
    """What was decided about a result that is reviewed."""
    return f"{sinks_of(run_id)}/review"


def sink_mark(run_id: str, sink: str) -> str:
    """The mark that a sink was told, relative to the output."""
    return f"{sinks_of(run_id)}/marks/{sink}.json"


def sink_tried(run_id: str, sink: str) -> str:
    """The record that a sink was tried in vain, relative to the output."""
    return f"{sinks_of(run_id)}/tried/{sink}.json"


def alert_mark(sink: str, cause: str) -> str:
    """The mark that a sink was warned of a cause, relative to the run's directory."""
    return f"alerts/{sink}.{cause}"


def failure_name(run_id: str, number: int) -> str:
    """The directory of the record of a run's end without a result."""
    return f"{run_id}.{number:06d}"


def failure_of(name: str) -> tuple[str, int] | None:
    """Run and number of a name that `failure_name` made; None for another."""
    match = _FAILURE.match(name)
    return (match["run"], int(match[2])) if match else None


def work_root(output: Path | str, work: Path | None = None) -> Path:
    """The directory of all runs that write to `output`: in `work`, or beside it and hidden from globs.

    Beside a URL there is none: of runs that write there it is in the current directory.
    """
    if work is None and isinstance(output, Path):
        return output.parent / f".{output.name}.mapreduce"
    name = output.name if isinstance(output, Path) else output.rpartition("/")[2]
    digest = hashlib.sha256(str(output).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return (work or Path.cwd() / OWN) / f"{name}-{digest}"


def kept_root(directory: Path, job: str) -> Path:
    """Where runs of a job without output keep their results."""
    return directory / OWN / job


def copy_of(target: Path | str, job: str) -> Path | str:
    """Where the copy of a JobSet's result has that of a job."""
    return target / job if isinstance(target, Path) else f"{target}/{job}"


def results_of(store: str, job: str) -> str:
    """Where, on a store that hosts share, runs of a job without output keep their results."""
    return f"{store.rstrip('/')}/{RESULTS}/{job}"


# ---------------------------------------------------------------- on a store that hosts share


def open_name(run_id: str) -> str:
    """What tells hosts of a run."""
    return f"{OPEN}/{run_id}"


def epoch_name(epoch: int) -> str:
    """Who creates it leads the run from then on."""
    return f"{EPOCHS}/{epoch:06d}"


def epoch_of(name: str) -> int | None:
    """The epoch of a name that `epoch_name` made; None for another."""
    match = _EPOCH.match(name)
    return int(match[1]) if match else None


def stop_name(epoch: int) -> str:
    """What asks the coordinator of an epoch to stop."""
    return f"{epoch_name(epoch)}.stop"


def end_name(epoch: int) -> str:
    """How the coordinator of an epoch ended, if not with a result."""
    return f"{epoch_name(epoch)}.end"


def retry_name(epoch: int) -> str:
    """What lets others lead a run though the coordinator of an epoch has said how it ended."""
    return f"{epoch_name(epoch)}.retry"


def ask_name(epoch: int, token: str) -> str:
    """What asks the coordinator of an epoch whether it is there."""
    return f"{epoch_name(epoch)}.ask-{token}"


def here_name(epoch: int, token: str) -> str:
    """Its answer."""
    return f"{epoch_name(epoch)}.here-{token}"


def asked_of(name: str) -> tuple[int, str] | None:
    """Epoch and token of a name that `ask_name` made; None for another."""
    match = _ASKED.match(name)
    return (int(match[1]), match[2]) if match else None


def question_name(token: str) -> str:
    """A question to all hosts; `token` has 16 hexadecimal digits, which no run's id has."""
    return f"{OPEN}/ask-{token}"


def question_of(name: str) -> str | None:
    """The token of a name that `question_name` made; None for another."""
    match = _QUESTION.match(name)
    return match[1] if match else None


def answer_name(token: str, host: str) -> str:
    """A host's answer to a question."""
    return f"{ANSWERS}/{token}/{host}"


def begun_name(token: str, host: str) -> str:
    """What says that a host has seen a question, and is at its answer."""
    return f"{answer_name(token, host)}.begun"


def begun_of(name: str) -> str | None:
    """The name of the answer that is begun, of a name that `begun_name` made; None for another."""
    answer = name.removesuffix(".begun")
    return answer if answer != name else None


def in_job(run_id: str, name: str = "") -> str:
    """An object in a run's part of the store; without a name the part itself."""
    return f"{JOBS}/{run_id}/{name}" if name else f"{JOBS}/{run_id}"


def name_in_job(name: str) -> tuple[str, str] | None:
    """Run, and name in its part of the store, of an object there; None for another."""
    match = _JOB.match(name)
    return (match["run"], match["name"]) if match else None


def orders_name(host: str, epoch: int, number: int) -> str:
    """A coordinator's orders to a host."""
    return f"{ORDERS}/{host}/{epoch:06d}.{number:08d}"


def orders_numbers(name: str) -> tuple[int, int] | None:
    """Epoch and number of a name that `orders_name` made; None for another."""
    match = _ORDERS.match(name)
    return (int(match[1]), int(match[2])) if match else None


def report_name(host: str, number: int) -> str:
    """A host's report to whoever leads."""
    return f"{REPORTS}/{host}.{number:08d}"


def report_of(name: str) -> tuple[str, int] | None:
    """Host and number of a name that `report_name` made; None for another."""
    match = _REPORT.match(name)
    return (match[1], int(match[2])) if match else None


def stage_name(epoch: int, shard: int, nonce: str) -> str:
    """Where one reduce attempt is told what it reads."""
    return f"{STAGE}/{epoch:06d}/{shard:05d}-{nonce}"
