"""A worker process: takes requests from a pipe, runs attempts, answers. Ends with its parent.

Messages are MessagePack. To the worker: ["run", request]; from it: ["ready"],
["report", bytes, records, pairs], ["done", result] and ["failed", error].
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from mapreduce import codec
from mapreduce.errors import MapReduceError, internal

_PR_SET_PDEATHSIG = 1


def main(pipe: Connection, crash_log: str) -> None:
    """Run until the pipe is closed."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _quiet_standard_streams()
    with open(crash_log, "wb", buffering=0) as log:
        faulthandler.enable(log)
        try:
            _serve(pipe)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        finally:
            faulthandler.disable()


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the forkserver ends, which ends with the coordinator.

    A function that holds the interpreter lock can't notice a closed pipe. multiprocessing hands
    the pipe that keeps the forkserver alive to every child; a worker must not hold it, or it
    would keep alive what should end it.
    """
    alive = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if alive is not None:
        os.close(alive)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def _quiet_standard_streams() -> None:
    """What functions print goes to standard error; standard output is the coordinator's."""
    os.dup2(2, 1)


def _serve(pipe: Connection) -> None:
    from mapreduce.worker import Workbench

    setup = codec.unpack(pipe.recv_bytes())
    os.environ.clear()
    os.environ.update(setup["environment"])  # the forkserver's is as old as the forkserver
    try:
        bench = Workbench(codec.load_code(setup["job"]), setup)
    except Exception as error:  # noqa: BLE001 - whatever a job does when it is loaded
        _send(pipe, ["broken", _loading_error(error).to_plain()])
        return
    gc.freeze()
    _send(pipe, ["ready"])
    while True:
        request = codec.unpack(pipe.recv_bytes())
        _send(pipe, _answer(bench, request, pipe))


def _answer(bench: Any, request: dict[str, Any], pipe: Connection) -> list[Any]:
    def report(size: int, records: int, pairs: int) -> None:
        _send(pipe, ["report", size, records, pairs])

    try:
        return ["done", codec.to_plain(bench.run(request, report))]
    except MapReduceError as error:
        return ["failed", error.to_plain()]
    except KeyboardInterrupt as error:  # SIGINT is ignored here: the function raised it
        return ["failed", internal(error).to_plain()]


def _send(pipe: Connection, message: list[Any]) -> None:
    pipe.send_bytes(codec.pack(message))


def _loading_error(error: Exception) -> MapReduceError:
    from mapreduce.errors import SerializationError

    return SerializationError(
        f"The job can't be loaded in a worker process: {type(error).__name__}: {error}.",
        hint="A module that it needs may only be importable where the job was started; put it on PYTHONPATH.",
    )
