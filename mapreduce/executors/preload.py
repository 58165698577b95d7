"""Imported by the forkserver before it forks a worker: what every worker needs.

A worker uses one thread of polars; the variable counts only before the import. polars may be
imported before a fork, not used before it.
"""

import gc
import os

os.environ["POLARS_MAX_THREADS"] = "1"
gc.disable()  # imports make hundreds of thousands of objects, and no garbage

import mapreduce.executors.child  # noqa: E402
import mapreduce.worker  # noqa: E402, F401

gc.freeze()
gc.enable()
