"""The jobs in PySpark, on RDDs with functions of Python, or on DataFrames with Spark's own.

    python -m benchmarks.competitors.spark JOB SOURCE OUTPUT --flavour {rdd,df} [--workers N]

As its guides advise: what combines is combined before the shuffle; two or three tasks of a shuffle for each
core, not 200; memory for the driver, in which a local Spark does its work; built-in functions rather than
Python's in DataFrames. RDDs are counted by `countByValue`, which took less CPU than `reduceByKey` (1.5 s and
1.8 for hits of 50 MB in a warm session).
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import add
from pathlib import Path
from typing import Any

from pyspark.rdd import RDD
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from benchmarks.competitors.lines import (
    best,
    document_and_words,
    hour_and_status,
    path_of,
    section_and_address,
    sessions,
    status_and_path,
    visit,
)

SILENCE = 1800
TOP = 10


# RDDs, counted: the counts of each partition are merged by the driver


def count_hits(lines: "RDD[str]") -> Iterator[dict[str, Any]]:
    for path, number in lines.map(path_of).filter(bool).countByValue().items():
        yield {"key": path, "value": number}


def count_words(lines: "RDD[str]") -> Iterator[dict[str, Any]]:
    for word, number in lines.flatMap(str.split).countByValue().items():
        yield {"key": word, "value": number}


def count_status(lines: "RDD[str]") -> Iterator[dict[str, Any]]:
    for (hour, status), number in lines.map(hour_and_status).filter(bool).countByValue().items():
        yield {"hour": hour, "status": status, "value": number}


def count_top(lines: "RDD[str]") -> Iterator[dict[str, Any]]:
    pages: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (status, path), number in lines.map(status_and_path).filter(bool).countByValue().items():
        pages[status].append((-number, path))
    for status, found in pages.items():
        yield {"status": status, "pages": best(found)}


COUNTED: dict[str, Callable[["RDD[str]"], Iterator[dict[str, Any]]]] = {
    "hits": count_hits,
    "words": count_words,
    "status": count_status,
    "top": count_top,
}


# RDDs, shuffled


def rdd_sections(lines: "RDD[str]") -> "RDD[Any]":
    visits = lines.map(section_and_address).filter(bool).distinct()
    counts = visits.map(lambda item: (item[0], 1)).reduceByKey(add)
    return counts.map(lambda item: {"section": item[0], "addresses": item[1]})


def rdd_sessions(lines: "RDD[str]") -> "RDD[Any]":
    visits = lines.map(visit).filter(bool).groupByKey()
    return visits.map(lambda item: {"address": item[0], "sessions": sessions(item[1]), "hits": len(item[1])})


def rdd_index(lines: "RDD[str]") -> "RDD[Any]":
    def pairs(line: str) -> list[tuple[str, int]]:
        document, words = document_and_words(line)
        return [(word, document) for word in words]

    return lines.flatMap(pairs).groupByKey().map(lambda item: {"word": item[0], "documents": sorted(item[1])})


SHUFFLED: dict[str, Callable[["RDD[str]"], "RDD[Any]"]] = {
    "sections": rdd_sections,
    "sessions": rdd_sessions,
    "index": rdd_index,
}


# DataFrames


def requests(lines: DataFrame) -> DataFrame:
    """The lines with a request, its target, and the path of that."""
    target = f.split_part(f.split_part("value", f.lit('"'), f.lit(2)), f.lit(" "), f.lit(2))
    found = lines.withColumn("target", target).where(f.col("target") != "")
    return found.withColumn("path", f.substring_index("target", "?", 1))


def status_of() -> Any:
    return f.substring(f.split_part("value", f.lit('"'), f.lit(3)), 2, 3)


def df_hits(lines: DataFrame) -> DataFrame:
    return requests(lines).groupBy(f.col("path").alias("key")).agg(f.count("*").alias("value"))


def df_words(lines: DataFrame) -> DataFrame:
    words = lines.select(f.explode(f.split("value", " ")).alias("key"))
    return words.groupBy("key").agg(f.count("*").alias("value"))


def df_status(lines: DataFrame) -> DataFrame:
    hour = f.substring(f.split_part("value", f.lit(":"), f.lit(2)), 1, 2)
    keys = requests(lines).groupBy(hour.alias("hour"), status_of().alias("status"))
    return keys.agg(f.count("*").alias("value"))


def df_top(lines: DataFrame) -> DataFrame:
    counts = requests(lines).groupBy(status_of().alias("status"), "path").agg(f.count("*").alias("hits"))
    order = Window.partitionBy("status").orderBy(f.desc("hits"), "path")
    ranked = counts.withColumn("rank", f.row_number().over(order)).where(f.col("rank") <= TOP)
    pages = f.sort_array(f.collect_list(f.struct("rank", "path", "hits")))
    best_pages = f.transform(pages, lambda page: f.struct(page["path"], page["hits"]))
    return ranked.groupBy("status").agg(best_pages.alias("pages"))


def df_sections(lines: DataFrame) -> DataFrame:
    section = f.split_part("path", f.lit("/"), f.lit(2)).alias("section")
    address = f.substring_index("value", " ", 1)
    return requests(lines).groupBy(section).agg(f.count_distinct(address).alias("addresses"))


def df_sessions(lines: DataFrame) -> DataFrame:
    text = f.substring(f.split_part("value", f.lit("["), f.lit(2)), 1, 20)
    time = f.unix_timestamp(f.try_to_timestamp(text, f.lit("dd/MMM/yyyy:HH:mm:ss")))
    visits = lines.select(f.substring_index("value", " ", 1).alias("address"), time.alias("time"))
    order = Window.partitionBy("address").orderBy("time")
    pause = f.col("time") - f.lag("time").over(order)
    steps = visits.where("time IS NOT NULL").select("address", (pause > SILENCE).alias("new"))
    return steps.groupBy("address").agg((1 + f.count_if("new")).alias("sessions"), f.count("*").alias("hits"))


def df_index(lines: DataFrame) -> DataFrame:
    words = f.explode(f.array_distinct(f.split(f.split_part("value", f.lit("\t"), f.lit(2)), " ")))
    pairs = lines.select(
        words.alias("word"), f.substring_index("value", "\t", 1).cast("int").alias("document")
    )
    return pairs.groupBy("word").agg(f.sort_array(f.collect_list("document")).alias("documents"))


DF_JOBS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "hits": df_hits,
    "words": df_words,
    "status": df_status,
    "top": df_top,
    "sections": df_sections,
    "sessions": df_sessions,
    "index": df_index,
}


def session(workers: int, folder: Path) -> SparkSession:
    settings = {
        "spark.master": f"local[{workers}]",
        "spark.driver.memory": "4g",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(folder),
        "spark.default.parallelism": str(2 * workers),
        "spark.sql.shuffle.partitions": str(2 * workers),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder),
    }
    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def run_rdd(spark: SparkSession, job: str, source: str, output: str) -> None:
    lines = spark.sparkContext.textFile(source)
    if job == "sort":
        lines.sortBy(lambda line: line).saveAsTextFile(output)
    elif job in COUNTED:
        with open(output, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in COUNTED[job](lines))
    else:
        SHUFFLED[job](lines).map(json.dumps).saveAsTextFile(output)


def run_df(spark: SparkSession, job: str, source: str, output: str) -> None:
    lines = spark.read.text(source)
    if job == "sort":
        lines.orderBy("value").write.text(output)
    else:
        DF_JOBS[job](lines).write.json(output)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=[*DF_JOBS, "sort"])
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--flavour", choices=["rdd", "df"], required=True)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    spark = session(options.workers, options.output.parent)
    run = run_rdd if options.flavour == "rdd" else run_df
    run(spark, options.job, options.source, str(options.output))
    spark.stop()


if __name__ == "__main__":
    main()
