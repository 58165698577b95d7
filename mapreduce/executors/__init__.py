"""Where attempts run: in this process, or in processes of this host."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from mapreduce.errors import NoWorkers


def warm_up() -> None:
    """Begin to start the forkserver; its imports then run beside the caller's. May be called again.

    Raises NoWorkers.
    """
    from multiprocessing import forkserver, get_context

    get_context("forkserver").set_forkserver_preload(["mapreduce.executors.preload"])
    try:
        forkserver.ensure_running()
    except OSError as error:
        raise NoWorkers(
            f"The process that starts workers can't be started: {error}.",
            hint="It needs a current folder that still exists, and a socket in the folder for temporary "
            "files, whose path must be short (TMPDIR).",
            place="no forkserver",
        ) from error


def _forget_forkserver() -> None:
    """In a forked child: the forkserver is its parent's, and ends with that one alone."""
    module: Any = sys.modules.get("multiprocessing.forkserver")
    if module is None or module._forkserver._forkserver_pid is None:
        return
    server = module._forkserver
    with suppress(OSError):
        os.close(server._forkserver_alive_fd)
    server._forkserver_alive_fd = server._forkserver_pid = server._forkserver_address = None


os.register_at_fork(after_in_child=_forget_forkserver)
