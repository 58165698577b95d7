"""A program of one's own that is told, on its standard input."""

from __future__ import annotations

import errno
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, get_args

from mapreduce.codec import canonical_json
from mapreduce.errors import InternalError, JobError, SinkError, SinkRefused
from mapreduce.figures import visible
from mapreduce.sinks.news import News
from mapreduce.sinks.report import render
from mapreduce.sinks.teller import Teller

Form = Literal["text", "html", "markdown", "json"]

_KEPT = 2_000
"""Bytes of a program's output that are kept: the last ones."""
_GRACE = 5.0
"""Seconds that a program has to end, once it was asked to."""
_HIDDEN = ("MAPREDUCE_KEY",)
"""Variables that no program of somebody else's gets."""


class Command(Teller):
    """A sink that runs a program with the report on its standard input; 0 as its exit code means delivered.

    arguments: the program and its arguments, as a list; no shell reads them. name: by default the program's.
    timeout: seconds after which the program is ended, with all that it started in its process group.
    form: "text", "html", "markdown", or "json" for the facts alone. The program's environment has
    MAPREDUCE_EVENT, MAPREDUCE_STATUS, MAPREDUCE_RUN_ID, MAPREDUCE_SUBJECT and MAPREDUCE_IDEMPOTENCY_KEY: the
    same when it is run again for the same news.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        name: str | None = None,
        alert: bool = False,
        patience: float = 60.0,
        timeout: float = 60.0,
        form: Form = "text",
    ) -> None:
        self.arguments = _checked(arguments)
        super().__init__(_name(self.arguments[0]) if name is None else name, alert=alert, patience=patience)
        if type(timeout) not in (int, float) or not 0 < timeout <= 3600:
            raise JobError(f"Command: timeout={timeout!r}.", hint="Give seconds, up to 3,600.")
        if form not in get_args(Form):
            raise JobError(f"Command: form={form!r}.", hint=f"Give one of {', '.join(get_args(Form))}.")
        self.timeout = timeout
        self.form = form

    def __repr__(self) -> str:
        return f"Command({self.arguments!r})"

    def tell(self, news: News, key: str) -> None:
        """Run the program once. Raises SinkError, which quotes the end of its output, and SinkRefused."""
        variables = {
            "MAPREDUCE_EVENT": news.event,
            "MAPREDUCE_STATUS": news.report.status,
            "MAPREDUCE_RUN_ID": visible(str(news.facts["run_id"])),
            "MAPREDUCE_SUBJECT": news.subject,
            "MAPREDUCE_IDEMPOTENCY_KEY": key,
        }
        inherited = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        program = self._program(inherited | variables, _told(news, self.form))
        code = program.follow(self.timeout)
        shown = visible(self.arguments[0])
        if code is None:
            raise SinkError(
                f"{shown} did not end within {self.timeout:g} s and was stopped{program.said}",
                hint="Mend what it waits for, or raise timeout=.",
            )
        if code:
            raise SinkError(f"{shown} {_ended(code)}{program.said}", hint="Mend what it complains of.")

    def _program(self, environment: dict[str, str], told: bytes) -> _Program:
        try:
            stdin = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed below
            with stdin:
                stdin.write(told)
                stdin.seek(0)
                return _Program(self.arguments, environment, stdin)
        except OSError as error:
            raise _not_run(visible(self.arguments[0]), error) from None


def _checked(arguments: Sequence[str]) -> list[str]:
    hint = 'Give a list, ["program", "argument"]; no shell reads it.'
    if isinstance(arguments, str) or not isinstance(arguments, Sequence):
        raise JobError(f"Command: arguments is a {type(arguments).__name__}.", hint=hint)
    for argument in arguments:
        if type(argument) is not str or "\0" in argument:
            raise JobError(f"Command: {argument!r} is no argument.", hint=hint)
    if not arguments or not arguments[0]:
        raise JobError("Command: there is no program.", hint=hint)
    return list(arguments)


def _name(program: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", Path(program).name).lstrip("._-")[:100] or "command"


def _told(news: News, form: Form) -> bytes:
    if form == "json":
        return canonical_json(news.facts)
    return render(news.report, form).encode()


class _Program:
    """A program that runs, in a process group of its own.

    Its input is a file, so it may read as much of it as it likes.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], stdin: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._ended = os.pidfd_open(self._process.pid)
        self._output = b""

    def follow(self, timeout: float) -> int | None:
        """Read what it says until it ends: its exit code; None if it did not end in time, and was stopped.

        A program that it leaves behind may hold the output open: nobody waits for that.
        """
        try:
            if self._read(timeout):
                return self._process.wait()
            self._signal(signal.SIGTERM)
            self._read(_GRACE)
            return None
        finally:
            self.close()

    def _read(self, seconds: float) -> bool:
        """Read its output for so long, or until it has ended; whether it has."""
        output = self._process.stdout
        if output is None:  # it is a pipe
            raise InternalError("A program has no output.")
        os.set_blocking(output.fileno(), False)
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = [key.fd for key, _ in selector.select(left)]
                if output.fileno() in ready and not self._take(output.fileno()):
                    selector.unregister(output)
                elif self._ended in ready:
                    return True
        return False

    def _take(self, output: int) -> bool:
        """Keep the end of what is there; False if nothing more will come."""
        try:
            data = os.read(output, 1 << 16)
        except BlockingIOError:
            return True
        self._output = (self._output + data)[-_KEPT:]
        return bool(data)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End what has not ended: a program that was waited for has, and what it left behind goes on."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        os.close(self._ended)

    @property
    def said(self) -> str:
        """The end of its output, as the end of a sentence."""
        text = visible(self._output.decode(errors="replace").strip())
        return f', and said "{text}".' if text else "."


_TRANSIENT = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ETXTBSY)


def _not_run(program: str, error: OSError) -> SinkError:
    message = f"{program} can't be run: {error.strerror or error}."
    if error.errno in _TRANSIENT:
        return SinkError(message, hint="The machine has too little of something: free some of it.")
    return SinkRefused(message, hint="Install it where the job is run, or give its whole path.")


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
