"""Records as columns: what a tuple key becomes."""

from pathlib import Path

import pytest

from mapreduce import Count, Csv, Identity, Job, JobResult, JsonLines, Parquet, Records, Sum, Text, run
from mapreduce.errors import JobError
from mapreduce.tabular import data_frame

KEYED = {
    "pairs": [((8, "/"), 3), ((9, "/a"), 4)],
    "dicts": [{"key": (8, "/"), "value": 3}, {"key": (9, "/a"), "value": 4}],
}


@pytest.mark.parametrize("records", KEYED.values(), ids=KEYED)
def test_key_names_are_columns(records):
    rows = data_frame(records, ("hour", "path")).rows(named=True)
    assert rows == [{"hour": 8, "path": "/", "value": 3}, {"hour": 9, "path": "/a", "value": 4}]


@pytest.mark.parametrize("names", [(), ("hour",), ("hour", "value")])
@pytest.mark.parametrize("records", KEYED.values(), ids=KEYED)
def test_a_tuple_key_without_fitting_names_is_a_struct(records, names):
    table = data_frame(records, names)
    assert table.columns == ["key", "value"]
    assert table["key"].to_list() == [{"0": 8, "1": "/"}, {"0": 9, "1": "/a"}]


def test_a_result_is_read_from_its_directory_alone() -> None:
    """With the options that it was written with."""
    pairs = [("a;b", 1), ("é", 2)]
    for output in (
        Csv("csv", separator=";", quote="'", encoding="latin-1", compression="gz"),
        Csv("bare", header=False),
        Text("text", encoding="utf-8", compression="bz2"),
        Parquet("table", schema={"key": str, "value": int}),
    ):
        result = run(Job("j", Records(pairs), Identity(), Sum(), output, shards=2), on="serial")
        assert list(JobResult.load(result.path)) == list(result)
        assert sorted(key for key, _ in result) == ["a;b", "é"]


def test_several_parts_need_a_schema_before_anything_runs() -> None:
    def never(record: object) -> None:
        raise AssertionError("it ran")

    job = Job("j", Records([1, 2], split_size=1), never, output=Parquet("table"))
    with pytest.raises(JobError, match=r"Parquet\(table\) will have 2 parts.*schema="):
        run(job, on="serial")
    assert not Path("table").exists()


def test_tuple_keys_of_dicts_are_structs_from_every_format(own_folder: Path) -> None:
    pairs = [((letter, number), number) for letter in "ab" for number in range(3)]
    schemas = []
    for output in (None, JsonLines("lines"), Parquet("tables")):
        job = Job("keys", Records(pairs), Identity(), {"n": Count(), "sum": Sum()}, output)
        schemas.append(run(job, on="serial").to_polars().schema)
    assert schemas[0] == schemas[1] == schemas[2]


def test_key_names_of_rows_without_a_header(own_folder: Path) -> None:
    pairs = [(("a", 1), 2), (("b", 3), 4)]
    job = Job("rows", Records(pairs), Identity(), Sum(), Csv("rows", header=False), key_names=("x", "y"))
    result = run(job, on="serial")
    assert list(result) == [(("a", "1"), "2"), (("b", "3"), "4")]
    assert result.to_polars().columns == ["x", "y", "value"]


@pytest.mark.parametrize("names", [None, ("letter", "number")])
def test_records_of_several_aggregates_are_the_same_from_every_output(names) -> None:
    """Tuple keys are rebuilt; in the result of a run, and from its directory alone."""
    pairs = [((letter, number), number) for letter in "ab" for number in range(3)]
    found = []
    for output in (None, JsonLines("lines"), Parquet("table")):
        job = Job("keys", Records(pairs), Identity(), {"n": Count()}, output, key_names=names)
        result = run(job, on="serial")
        assert list(JobResult.load(result.path)) == list(result)
        found.append(list(result))
    assert found[0] == found[1] == found[2]
    key = {"key": ("a", 0)} if names is None else {"letter": "a", "number": 0}
    assert {**key, "n": 1} in found[0]
