"""The state of a worker's process that functions can change, put back after every attempt.

Module globals are not: they are the job's own, as in any process. `fresh_process` is for that.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import decimal
import faulthandler
import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
import zlib
from multiprocessing import forkserver, resource_tracker
from typing import Any

_STAY = "fsspecIO"
"""A thread that belongs to a library's own service, and holds nothing of an attempt."""

_forkserver: Any = forkserver._forkserver
_resource_tracker: Any = resource_tracker._resource_tracker

_LIMITS = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


_handler = _signal.getsignal
"""`signal.getsignal` without making an enum member of each answer: 1 µs for all signals, not 30."""


class Pristine:
    """The state as it is now. `log` is the descriptor of the file that takes the stacks of this process."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._folder = os.getcwd()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._variables = os.environ
        self._environ = dict(_encoded(os.environ))
        self._handlers = [(number, _handler(number)) for number in _SIGNALS]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._limits = [(limit, resource.getrlimit(limit)) for limit in _LIMITS]
        self._decimal = decimal.getcontext().copy()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._lists = [(sys.path, list(sys.path)), (sys.argv, list(sys.argv))]
        self._filters = list(warnings.filters)
        self._recursion = sys.getrecursionlimit()
        self._collection = gc.get_threshold()
        self._watching = sys.gettrace(), sys.getprofile()
        self._watch_for_stacks()

    def _watch_for_stacks(self) -> None:
        faulthandler.enable(self._log)
        faulthandler.register(signal.SIGQUIT, self._log, all_threads=True, chain=False)

    def restore(self) -> bool:
        """Put everything back. False if that can't be done: then only a new process is as it was."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        self._restore_signals()
        try:
            os.chdir(self._folder)
        except OSError:
            return False
        os.umask(self._umask)
        self._restore_environment()
        self._restore_interpreter()
        return self._restore_limits() and not (_has_threads() or _has_started_services())

    def _restore_signals(self) -> None:
        for number, handler in self._handlers:
            if _handler(number) != handler and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        faulthandler.cancel_dump_traceback_later()
        self._watch_for_stacks()

    def _restore_environment(self) -> None:
        os.environ = self._variables  # noqa: B003 - the same object as before
        if _encoded(os.environ) != self._environ:
            for name in set(os.environb) - set(self._environ):
                del os.environb[name]
            os.environb.update(self._environ)
            time.tzset()

    def _restore_interpreter(self) -> None:
        trace, profile = self._watching
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)
        decimal.setcontext(self._decimal.copy())
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        (sys.path, path), (sys.argv, argv) = self._lists
        if sys.path != path:
            sys.path[:] = path
        if sys.argv != argv:
            sys.argv[:] = argv
        if warnings.filters != self._filters:
            warnings.resetwarnings()
            warnings.filters[:] = self._filters  # type: ignore[index]
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        gc.set_threshold(*self._collection)
        gc.enable()

    def _restore_limits(self) -> bool:
        for limit, (soft, hard) in self._limits:
            found = resource.getrlimit(limit)
            if found[1] != hard:
                return False
            if found[0] != soft:
                resource.setrlimit(limit, (soft, hard))
        return True


def _encoded(variables: Any) -> dict[bytes, bytes]:
    """The bytes of an environment: to compare them as text would take 30 times as long."""
    found: dict[bytes, bytes] = vars(variables)["_data"]
    return found


def _has_threads() -> bool:
    if not _thread._count():
        return False
    staying = sum(thread.name == _STAY and thread.is_alive() for thread in threading.enumerate())
    return _thread._count() > staying


def _has_started_services() -> bool:
    """Whether a function has started a helper process of multiprocessing, which goes on being asked for
    though it has ended with the attempt. That of the forkserver is another process's.
    """
    return _forkserver._forkserver_pid is not None or _resource_tracker._pid is not None


def seed(text: str) -> None:
    """Let chance take the same course in every attempt of a task."""
    random.seed(text)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        numpy.random.seed(zlib.crc32(text.encode()))
