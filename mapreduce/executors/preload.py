"""Imported by the forkserver before it forks a worker: what every worker needs.

A worker uses one thread of polars; the variable counts only before the import. polars may be
imported before a fork, not used before it.
"""

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import mapreduce.executors.child
import mapreduce.worker  # noqa: F401
