"""All cases, in the order in which they run."""

from benchmarks import cases, engine

CASES = {case.name: case for case in (*cases.JOBS, *engine.CASES)}
