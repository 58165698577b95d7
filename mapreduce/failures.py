"""User code that failed: what to say about it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import TracebackType
from typing import TypeVar

from mapreduce.errors import MapReduceError, MemoryExceeded, UserFunctionError

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
E2 = TypeVar("E2", bound=MapReduceError)


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return (
            f"Workers on {os.uname().nodename} look for modules in {sys.path}; install it there, or put its "
            "folder on PYTHONPATH."
        )
    return "Mend the function, or let it skip such input."


def interrupts() -> tuple[type[BaseException], ...]:
    """Exceptions that are not a function's own, but of somebody who presses Ctrl-C.

    In a process that ignores SIGINT, as every worker does, it was a function that raised KeyboardInterrupt.
    """
    return () if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else (KeyboardInterrupt,)


def user_error(error: BaseException, where: str) -> MapReduceError:
    """The error for an exception out of a function of the job: its own frames only.

    A UserFunctionError, or MemoryExceeded for a MemoryError.
    """
    if isinstance(error, MemoryExceeded):
        return error
    if isinstance(error, MemoryError):
        return _memory_error(error, where)
    if isinstance(error, UserFunctionError):
        reason, hint = error.message, error.hint
    else:
        reason, hint = _reason(error), _hint(error)
    if isinstance(error, UserFunctionError) and error.details:  # it was told once, with its frames
        return UserFunctionError(
            f"{where}: {reason}", hint=hint, details=error.details, trace=error.trace, place=error.place
        )
    return _told(UserFunctionError, error, f"{where}: {reason}", hint)


def _memory_error(error: MemoryError, where: str) -> MapReduceError:
    hint = "Let the function hold less at once, or give it more memory: fewer --workers."
    return _told(MemoryExceeded, error, f"{where}: there is not enough memory for it.", hint)


def _told(kind: type[E2], error: BaseException, message: str, hint: str) -> E2:
    frames = _user_frames(error.__traceback__)
    if not frames and error.__cause__:  # Python turned the StopIteration of a function into a RuntimeError
        frames = _user_frames(error.__cause__.__traceback__)
    return kind(
        message,
        hint=hint,
        details="".join(traceback.format_list(frames)).rstrip(),
        trace=_trace(error),
        place=f"{type(error).__qualname__}:{frames[-1].filename}:{frames[-1].lineno}" if frames else message,
    )


def located(error: E2, where: str, record: object) -> E2:
    """The same error with its place, and the beginning of the record, in the message."""
    if where:
        error.message = f"{where}: {error.message}"
    if record is not None:
        error.message += f"\n  record: {shown(record)}"
    error.args = (error.message,)
    return error


def shown(record: object) -> str:
    """The beginning of a record, as text."""
    if isinstance(record, (str, bytes)):
        return repr(record[:200]) + ("…" if len(record) > 200 else "")
    return safe_repr(record)[:200]


def safe_repr(value: object) -> str:
    """`repr`, of whatever a function may give."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a hostile __repr__ must not hide the first error
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _reason(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a hostile __str__ must not hide the first error
        text = "<its text can't be made>"
    return f"{type(error).__qualname__}: {text}." if text else f"{type(error).__qualname__}."


def is_raised_by_user(error: BaseException) -> bool:
    """Whether an exception passed through code outside of the engine."""
    return bool(_user_frames(error.__traceback__))


def _user_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_PACKAGE)]


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - the text of a hostile exception
        return "".join(traceback.format_tb(error.__traceback__))
