"""Coordinators and hosts as they are, in a world that goes wrong by a seed."""

import logging

logging.getLogger("mapreduce").addHandler(logging.NullHandler())
