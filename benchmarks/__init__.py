"""How fast the engine is, beside what others use: `make bench`, or `python -m benchmarks.bench --list`.

`bench` runs and compares, `report` tells, `measure` takes the figures of one process tree, `results` keeps
them. `catalogue` has all cases: jobs by everybody (`cases`), and the engine alone (`engine`). `programs`
says how each is started; `jobs/` is what the engine runs, `competitors/` what it is compared with, `data`
what all read.

By themselves: `kills` (what killed workers cost), `memory` (under a hard limit). Linux only: the figures come
from /proc.
"""
