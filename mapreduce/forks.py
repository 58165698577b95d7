"""A function may fork. Its child runs the function's code, and ends where the engine's goes on.

Parent and child share open files with their positions, and memory with half-written buffers: a child
that came back into the engine would read records away from its parent, and write into its files.
"""

from __future__ import annotations

import os


def end_in_child(owner: int) -> None:
    """End this process at once, without any clean-up, unless it is the process `owner`."""
    if os.getpid() != owner:
        os._exit(1)
