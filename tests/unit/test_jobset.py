"""JobSets: what is refused, who reads whose output, and in which order jobs run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mapreduce import Identity, Input, Job, JobSet, JsonLines, Records, Sum, Text
from mapreduce.errors import InputMissing, JobError
from mapreduce.jobset import order, reads, without


def pairs(line: str) -> list[tuple[str, int]]:
    return [(line, 1)]


def job(name: str, source: Any = None, output: str | None = None) -> Job:
    return Job(name, source or Records(["a"]), pairs, Sum(), output)


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("/a/out", "/a/out", True),
        ("/a/out", "/a/out2", False),
        ("/a/out/part-1.jsonl", "/a/out", True),
        ("/a", "/a/out", True),
        ("/a/*", "/a/out", True),
        ("/a/o*", "/a/out", True),
        ("/a/x*", "/a/out", False),
        ("/a/*/part-*", "/a/out", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**/x.log", "/b/c", False),
        ("/a/[ab]", "/a/b", True),
        ("/a/b", "/a/b/c/d", True),
        ("s3://bucket/out", "s3://bucket/out", True),
        ("s3://bucket/out/*.jsonl", "s3://bucket/out", True),
        ("s3://other/out", "s3://bucket/out", False),
        ("/bucket/out", "s3://bucket/out", False),
    ],
)
def test_a_source_reads_an_output_at_below_or_above_it(source: str, output: str, expected: bool) -> None:
    assert reads(source, output) is expected


def test_order_follows_from_sources_and_outputs_whatever_the_set_s_order(tmp_path: Path) -> None:
    jobs = [
        job("last", "results/*/part-*", "end"),
        job("second", JsonLines("results/first"), "results/second"),
        job("first", "logs/*.log", "results/first"),
        job("alone", None, None),
        Job("both", [Input("end", Identity()), Input(Text("results/first"), pairs)], None, Sum()),
    ]
    assert order(JobSet("set", jobs)) == {
        "first": (),
        "alone": (),
        "second": ("first",),
        "last": ("second", "first"),
        "both": ("last", "first"),
    }
    assert list(order(JobSet("set", jobs))) == ["first", "alone", "second", "last", "both"]


def test_jobs_that_wait_for_one_another_are_refused_and_named() -> None:
    circle = [
        job("a", "out/c", "out/a"),
        job("b", "out/a", "out/b"),
        job("c", "out/b", "out/c"),
        job("d", "out/c", "out/d"),
    ]
    with pytest.raises(
        JobError, match=r"wait for one another: (a → b → c → a|b → c → a → b|c → a → b → c)\."
    ):
        JobSet("set", circle)


def test_a_job_that_reads_its_own_output_does_not_wait_for_itself() -> None:
    assert order(JobSet("set", [job("a", "out/**", "out/a")])) == {"a": ()}


REFUSED: list[tuple[str, Any, str]] = [
    ("name", lambda: JobSet("a b", [job("a")]), "name 'a b' is not valid"),
    ("no jobs", lambda: JobSet("set", []), "has no jobs"),
    ("no list", lambda: JobSet("set", job("a")), "jobs is no list of Job"),  # type: ignore[arg-type]
    ("one name twice", lambda: JobSet("set", [job("a"), job("a")]), "two jobs called a"),
    (
        "one output twice",
        lambda: JobSet("set", [job("a", output="o"), job("b", output="./o/")]),
        "both write to",
    ),
    ("sinks", lambda: JobSet("set", [job("a")], sinks=[3]), "3 is no sink"),  # type: ignore[list-item]
    ("a share over 1", lambda: JobSet("set", [job("a")], on_failure=1.5), "on_failure=1.5"),
    ("a share of 0", lambda: JobSet("set", [job("a")], on_failure=0.0), "on_failure=0.0"),
    ("another word", lambda: JobSet("set", [job("a")], on_failure="go on"), "on_failure='go on'"),  # type: ignore[arg-type]
    ("output", lambda: JobSet("set", [job("a")], output=3), "output is a int"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("make", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(JobError) as refused:
        make()
    assert message in refused.value.message


def test_from_files_makes_a_job_of_each_file_in_order() -> None:
    for name in ("b.log", "a.log", "_hidden.log"):
        Path(name).write_text("x\n")
    found = JobSet.from_files(
        "set", "*.log", lambda path: job(Path(path).stem, path, f"out/{Path(path).stem}")
    )
    assert [each.name for each in found.jobs] == ["a", "b"]
    with pytest.raises(InputMissing, match=r"no file matches '\*\.csv'"):
        JobSet.from_files("set", "*.csv", lambda path: job("a", path))
    with pytest.raises(JobError, match="two jobs called same"):
        JobSet.from_files("set", "*.log", lambda path: job("same", path))


def test_a_job_can_go_without_inputs_that_are_not_there() -> None:
    lost = [str(Path("out/a").absolute())]
    fewer = without(job("sum", ["out/a", "out/b", "out/a/part-1"]), lost)
    assert fewer is not None
    assert fewer.source == ["out/b"]
    kept = JsonLines(["out/a", "out/b"], max_record=1_000)
    fewer = without(Job("sum", kept, pairs, Sum()), lost)
    assert fewer is not None
    assert fewer.source.paths == ["out/b"]  # type: ignore[union-attr]
    assert fewer.source.max_record == 1_000  # type: ignore[union-attr]
    assert kept.paths == ["out/a", "out/b"]
    of_inputs = Job("sum", [Input("out/a", pairs), Input("out/b", Identity())], None, Sum())
    fewer = without(of_inputs, lost)
    assert fewer is not None
    assert [given.source for given in fewer.inputs] == ["out/b"]
    assert without(job("sum", "out/a"), lost) is None
    pattern = job("sum", "out/*")
    assert without(pattern, lost) == pattern
