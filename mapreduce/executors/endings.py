"""How a worker ended, and whose turn it is."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from dataclasses import dataclass, field

from mapreduce.errors import MapReduceError, MemoryExceeded, WorkerCrash, WorkerKilled
from mapreduce.lastrecord import Noted

_STACK_CHARACTERS = 4_000
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, -signal.SIGQUIT}
_NO_MEMORY = ("memory allocation of ", "std::bad_alloc")
"""What Rust and C++ print before they abort because they got no memory."""
_CUT_OFF = "closed its pipe to the engine, or wrote into it,"
_CUT_OFF_HINT = "A function of the job may close or use file descriptors that it has not opened."
_ENGINE = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.path.dirname(__file__), multiprocessing.__file__)
)
_FORKSERVER = '  File "<string>", line 1 in <module>'
"""The first frame of every worker: the forkserver is started with `python -c`."""
_THREAD = re.compile(r"\b(thread) 0x[0-9a-f]+(?= \()", re.IGNORECASE)
_LESS = "Let it hold less at once, or give it more memory: fewer --workers, or smaller splits."


@dataclass(frozen=True)
class Ending:
    """What is known of a worker that has ended."""

    process: int | None
    code: int | None
    """As multiprocessing tells it: an exit code, or a signal's number as a negative one."""
    attempt: str = ""
    """That it ran."""
    noted: Noted = field(default_factory=Noted)
    """The record that a careful attempt was at."""
    stack: str = ""
    """As faulthandler wrote it."""
    output: str = ""
    cut_off: bool = False
    """It lived on, without a pipe to the engine, or with what is no message in it; the engine ended it."""
    out_of_memory: bool = False
    """The kernel has just ended a process for want of memory."""

    def error(self) -> MapReduceError:
        """The error that says so: MemoryExceeded, WorkerKilled or WorkerCrash."""
        if self.cut_off:
            return self._told(WorkerCrash, _CUT_OFF, _CUT_OFF_HINT, "cut off")
        if self.code == -signal.SIGKILL and self.out_of_memory:  # the kernel has no other way
            return self._memory("was ended by the kernel")
        if self.code in _FROM_OUTSIDE:
            return self._killed()
        if self.code == -signal.SIGABRT and any(text in self.output for text in _NO_MEMORY):
            return self._memory("ended itself")
        return self._crashed()

    def _memory(self, how: str) -> MapReduceError:
        return self._told(MemoryExceeded, f"{how}, because memory ran out", _LESS, "out of memory")

    def _killed(self) -> MapReduceError:
        how = f"was ended from outside, by {signal_name(-(self.code or 0))}"
        hint = (
            "Find out who ended it: a person, a supervisor, or a limit of the system. If it was for its "
            "memory, give fewer --workers."
        )
        return self._told(WorkerKilled, how, hint, f"killed:{self.code}")

    def _crashed(self) -> MapReduceError:
        if self.code is not None and self.code < 0:
            how = f"was ended by {signal_name(-self.code)}"
            hint = "A function of the job, or a C library that it uses, crashed: mend it, or skip such input."
        else:
            how = f"ended with exit code {self.code} and without a result"
            hint = (
                "A function of the job, or a library that it uses, ended it (os._exit): let it raise instead."
            )
        return self._told(WorkerCrash, how, hint, f"crash:{self.code}")

    def _told(self, kind: type[MapReduceError], how: str, hint: str, place: str) -> MapReduceError:
        doing = f", while it ran {self.attempt}" if self.attempt else ""
        where = self.noted.where
        error = kind(
            f"Worker process {self.process} {how}{doing}{on_record(where, self.noted.record)}",
            hint=hint,
            details=user_stack(self.stack),
            trace=self.stack,
            place=f"{place}:{where}" if where else place,
            output=self.output,
        )
        error.records = self.noted.records
        return error


def on_record(where: str, record: str) -> str:
    """The end of a sentence about an attempt: where it was, and the record, if it has said so."""
    return (f", on {where}." if where else ".") + (f"\n  record: {record}" if record else "")


def signal_name(number: int) -> str:
    """As it is known: SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def user_stack(text: str) -> str:
    """A faulthandler trace without the engine's own frames, its threads without any other, and their
    numbers, which mean nothing to anybody.
    """
    found: list[str] = []
    for line in _THREAD.sub(r"\1", text).splitlines():
        if line.startswith("Extension modules"):
            break
        if line == _FORKSERVER or any(path in line for path in _ENGINE):
            continue
        if found and _is_heading(found[-1]) and (_is_heading(line) or not line.strip()):
            found.pop()
        if line.strip() or found:
            found.append(line)
    if found and _is_heading(found[-1]):
        found.pop()
    return "\n".join(found).strip()[:_STACK_CHARACTERS]


def _is_heading(line: str) -> bool:
    return line.endswith("(most recent call first):")
