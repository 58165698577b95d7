"""Where attempts run: in this process, or in processes of this host."""

from __future__ import annotations


def warm_up() -> None:
    """Begin to start the forkserver; its imports then run beside the caller's. May be called again."""
    from multiprocessing import forkserver, get_context

    get_context("forkserver").set_forkserver_preload(["mapreduce.executors.preload"])
    forkserver.ensure_running()
