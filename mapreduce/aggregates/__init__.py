"""Aggregates: what a reduce often is, as a value. `base` says what they are made of."""

from mapreduce.aggregates.base import Aggregate, Grouping
from mapreduce.aggregates.counts import Count
from mapreduce.aggregates.ends import First, Last
from mapreduce.aggregates.extremes import Max, Min
from mapreduce.aggregates.histogram import Histogram
from mapreduce.aggregates.lists import Collect
from mapreduce.aggregates.quantiles import Quantiles
from mapreduce.aggregates.ranks import BottomK, TopK
from mapreduce.aggregates.sets import CollectSet, CountDistinct
from mapreduce.aggregates.sketches import ApproxDistinct
from mapreduce.aggregates.stats import Stats
from mapreduce.aggregates.sums import Mean, Sum
from mapreduce.aggregates.together import Together, as_aggregate

__all__ = [
    "Aggregate",
    "ApproxDistinct",
    "BottomK",
    "Collect",
    "CollectSet",
    "Count",
    "CountDistinct",
    "First",
    "Grouping",
    "Histogram",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Quantiles",
    "Stats",
    "Sum",
    "Together",
    "TopK",
    "as_aggregate",
]
