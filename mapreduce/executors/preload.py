"""Imported by the forkserver before it forks a worker: what every worker needs.

A worker uses one thread of polars, and keeps freed memory for the next block instead of giving it back to
the system every half second; the variables count only before the import. polars may be imported before a
fork, not used before it.
"""

import atexit
import gc
import os
from contextlib import suppress

# A signal to the coordinator's group, from a terminal or `timeout`, is for the coordinator alone, which
# lets attempts end.
with suppress(PermissionError):  # it leads a session, and so a group
    os.setpgid(0, 0)

os.environ["POLARS_MAX_THREADS"] = "1"
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")  # polars' allocator
gc.disable()  # imports make hundreds of thousands of objects, and no garbage

import mapreduce.executors.child  # noqa: E402
import mapreduce.worker  # noqa: E402, F401 - imported for the processes that are forked
from mapreduce.executors.descendants import end_groups_of_children  # noqa: E402

# The forkserver ends after the coordinator, however that ended. The kernel ends its workers then, but
# not what these have started.
atexit.register(end_groups_of_children, os.getpid())

gc.freeze()
gc.enable()
