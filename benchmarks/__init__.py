"""How fast the engine is, beside programs written by hand: `make bench`, or `python -m benchmarks.bench`.

`bench` runs and compares, `measure` takes the figures of one process tree, `handwritten` and `plain` are what
the engine is compared with, `jobs/` what it runs. Linux only: the figures come from /proc.
"""
