"""A worker process: takes requests from a pipe, runs attempts, answers. Ends with its parent.

From it: ["ready"], ["broken", error] and, with the token that came with the request, ["report", token,
bytes, records, pairs], ["done", token, result, leaving] and ["failed", token, error, leaving]; one that is
leaving takes no further request, because only a new process is as it was. To it: the setup, then
[token, request] again and again.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import traceback
from multiprocessing import current_process, forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mapreduce import codec
from mapreduce.errors import JobChanged, MapReduceError, MemoryExceeded, Retry, SerializationError
from mapreduce.executors.channel import WorkerChannel
from mapreduce.executors.descendants import adopt, end_children
from mapreduce.executors.output import Captured, out_of_the_way
from mapreduce.executors.pristine import Pristine, seed
from mapreduce.job import Job
from mapreduce.parameters import params

_PR_SET_PDEATHSIG = 1


def main(pipe: Connection, printed: Connection, crash_log: str, last_record: str) -> None:
    """Run until the pipe is closed, or until an attempt has changed what can't be put back."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    _die_with_parent()
    adopt()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a coordinator may ignore them, as under nohup
        signal.signal(number, signal.SIG_DFL)
    vars(current_process())["_config"]["daemon"] = False  # functions may use multiprocessing
    captured = Captured(printed)
    log = os.open(crash_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    faulthandler.enable(log)  # a job may crash while it is loaded
    code = 1
    try:
        _serve(WorkerChannel(pipe), captured, log, Path(last_record))
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0
    except BaseException:
        traceback.print_exc()  # the coordinator reads what is printed here
        raise
    finally:
        captured.restore()
        os._exit(code)  # no thread and no exit handler of a function's is waited for


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the forkserver ends, which ends with the coordinator.

    A function that holds the interpreter lock can't notice a closed pipe. multiprocessing hands
    the pipe that keeps the forkserver alive to every child; a worker must not hold it, or it
    would keep alive what should end it. A function that wants a forkserver starts its own.
    """
    server: Any = forkserver._forkserver
    if getattr(server, "_forkserver_alive_fd", None) is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def _serve(channel: WorkerChannel, captured: Captured, log: int, last_record: Path) -> None:
    from mapreduce.worker import Workbench

    setup = channel.receive()
    os.environ.clear()
    os.environ.update(setup["environment"])  # the forkserver's is as old as the forkserver
    if os.path.isdir(directory := setup.get("directory", "")):
        os.chdir(directory)
    _start_polars()
    try:
        bench = Workbench(_job(setup), setup, last_record)
    except Exception as error:  # noqa: BLE001 - whatever a job does when it is loaded
        captured.restore()
        channel.send(["broken", _loading_error(error).to_plain()])
        return
    gc.freeze()
    captured.restore()
    pristine = Pristine(log)
    channel.send(["ready"])
    leaving = False
    while not leaving:
        token, request = channel.receive()
        seed(f"{setup['run_id']} {request['kind']} {request['index']}")
        answer, in_doubt = _answer(bench, token, request, channel)
        captured.restore()
        alone = end_children()
        leaving = not (alone and pristine.restore()) or in_doubt or bool(setup.get("fresh_process"))
        channel.send([*answer, leaving])


def _start_polars() -> None:
    """Its threads begin with the first query, and hold descriptors that no function shall close or take."""
    import polars as pl

    with out_of_the_way():
        pl.DataFrame({"key": [0]}).sort("key")


def _job(setup: dict[str, Any]) -> Job:
    params.update(setup["params"])  # for modules that are imported on the way
    if "deployed" not in setup:
        job: Job = codec.load_code(setup["job"])
        return job
    from mapreduce.importpath import lead_path, load_deployed

    known = setup["deployed"]
    lead_path(known["folder"])
    return load_deployed(setup["job"], known["functions"], known["settings"])


def _answer(
    bench: Any, token: str, request: dict[str, Any], channel: WorkerChannel
) -> tuple[list[Any], bool]:
    """What to send; and whether a failure may be this process's, so that another must confirm it."""

    def report(size: int, records: int, pairs: int) -> None:
        channel.send(["report", token, size, records, pairs])

    try:
        return ["done", token, codec.to_plain(bench.run(request, report))], False
    except MapReduceError as error:
        return ["failed", token, error.to_plain()], error.retry is Retry.CONFIRM
    except MemoryError:
        found = MemoryExceeded("There is not even enough memory to say more.")
        return ["failed", token, found.to_plain()], False


def _loading_error(error: Exception) -> MapReduceError:
    if isinstance(error, (SerializationError, JobChanged)):  # it says so itself
        return error
    return codec.loading_error(error, "worker process")
