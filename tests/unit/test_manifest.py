"""The manifest notices everything, and says what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce import Job, JobResult, Records, Sum, Text, run
from mapreduce.codec import canonical_json, from_plain, sha256, to_plain
from mapreduce.errors import ManifestError
from mapreduce.manifest import load, names_of_files, verify
from mapreduce.model import Manifest

OUT = Path("out")


def words(line: str, ctx: object) -> Iterator[tuple[str, int]]:
    ctx.count("lines")  # type: ignore[attr-defined]
    for word in line.split():
        yield word, 1


@pytest.fixture
def result(own_folder: Path) -> JobResult:
    Path("in.log").write_text("a b c\n" * 10 + "b c\n")
    return run(Job("words", Text("in.log", split_size=20), words, Sum(), OUT, shards=2), on="serial")


def test_it_says_what_was_done(result: JobResult) -> None:
    manifest = result.manifest
    assert manifest.version == 1
    assert manifest.job == "words"
    assert manifest.status == "SUCCEEDED"
    assert manifest.inputs[0].uri == "in.log"
    assert manifest.inputs[0].size == 64
    assert manifest.counters == {"lines": 11}
    assert manifest.totals.records_in == 11
    assert manifest.totals.pairs == 32
    assert manifest.totals.groups == 3
    assert manifest.tasks == {"map": 4, "reduce": 2}
    assert len(manifest.attempts) == 6
    assert {"plan", "map", "reduce", "total"} == set(manifest.seconds)
    assert {"python", "polars", "mapreduce"} <= set(manifest.versions)
    assert sum(part.records for part in manifest.parts) == 3
    for part in manifest.parts:
        data = (OUT / part.name).read_bytes()
        assert (part.size, part.digest) == (len(data), sha256(data))


def test_it_is_read_back_as_it_was_written(result: JobResult) -> None:
    assert load(OUT) == result.manifest
    assert from_plain(Manifest, json.loads(canonical_json(result.manifest))) == result.manifest


def test_a_good_output_verifies(result: JobResult) -> None:
    assert verify(OUT) == (result.manifest, [])


def test_the_names_of_parts_are_read_as_carefully_as_all_of_it(result: JobResult) -> None:
    assert names_of_files(OUT) == {part.name for part in result.manifest.parts}
    path = OUT / "_manifest.json"
    data = path.read_bytes()
    for broken in (
        data.replace(b'"part-00000', b'"part-00007'),
        data.replace(b'"version": 1', b'"version": 2'),
        data[:-1],
        b"[]",
    ):
        path.write_bytes(broken)
        with pytest.raises(ManifestError):
            names_of_files(OUT)


def findings() -> list[tuple[str, str]]:
    return [(finding.name, finding.problem) for finding in verify(OUT)[1]]


def test_a_flipped_byte_is_found_wherever_it_is(result: JobResult) -> None:
    for part in result.parts:
        path = OUT / part.name
        data = path.read_bytes()
        for position in range(len(data)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            assert findings() == [(part.name, "its bytes have changed (sha256 differs)")]
            with pytest.raises(ManifestError, match="has changed"):
                list(JobResult.load(OUT))
        path.write_bytes(data)


def test_a_truncated_a_missing_and_an_extra_part_are_found(result: JobResult) -> None:
    first, second = (part.name for part in result.parts)
    (OUT / first).write_bytes((OUT / first).read_bytes()[:-1])
    (OUT / second).rename(OUT / "part-extra.jsonl")
    assert [name for name, _ in findings()] == [first, second, "part-extra.jsonl"]
    assert [problem.split(":")[0].split(" ")[-1] for _, problem in findings()][1:] == ["missing", "extra"]


def test_every_flip_and_every_truncation_of_the_manifest_is_found(result: JobResult) -> None:
    path = OUT / "_manifest.json"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(ManifestError):
            load(OUT)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ManifestError):
            load(OUT)


def test_a_manifest_of_a_newer_version_is_refused_with_what_to_do(result: JobResult) -> None:
    fields = to_plain(result.manifest) | {"version": 2}
    (OUT / "_manifest.json").write_bytes(canonical_json(fields))
    with pytest.raises(ManifestError, match="Install a newer mapreduce"):
        load(OUT)


def test_a_directory_without_a_manifest(own_folder: Path) -> None:
    with pytest.raises(ManifestError, match="no run has committed"):
        load(own_folder)


def test_a_part_outside_the_directory_is_not_followed(result: JobResult) -> None:
    fields = to_plain(result.manifest)
    fields["parts"][0]["name"] = "../in.log"
    del fields["digest"]
    digest = sha256(canonical_json(fields))
    (OUT / "_manifest.json").write_bytes(canonical_json(fields | {"digest": digest}))
    assert ("../in.log", "the manifest names a file outside the directory") in findings()


def test_a_result_without_output_is_kept_with_its_types(own_folder: Path) -> None:
    def odd(item: object) -> Iterator[tuple[object, object]]:
        yield (item, None), 2

    job = Job(
        "kept", Records([1, True, b"x", "x", 1.5, (1, "a")]), odd, lambda key, values: [(key, list(values))]
    )
    kept = run(job, on="serial")
    assert [(type(key[0]), values) for (key, values) in kept] == [
        (int, [2, 2]),
        (float, [2]),
        (str, [2]),
        (bytes, [2]),
        (tuple, [2]),
    ]
    assert kept.path.is_relative_to(own_folder / ".mapreduce" / "kept")
    assert list(JobResult.load(kept.path)) == list(kept)


def test_results_can_be_the_next_job_s_source(result: JobResult) -> None:
    def again(line: str) -> Iterator[tuple[str, int]]:
        record = json.loads(line)
        yield record["key"], record["value"]

    (OUT / "part-stray.jsonl").write_text("not a result\n")
    assert dict(run(Job("again", "out", again, Sum()), on="serial")) == dict(result)


def test_a_manifest_of_a_version_that_knew_fewer_fields_is_whole(result: JobResult) -> None:
    fields = to_plain(result.manifest)
    for name in ("key_names", "output_options", "digest"):
        del fields[name]
    fields["digest"] = sha256(canonical_json(fields))
    (OUT / "_manifest.json").write_bytes(canonical_json(fields))
    assert load(OUT).key_names == ()
    assert verify(OUT)[1] == []
