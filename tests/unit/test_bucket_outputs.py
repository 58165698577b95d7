"""Results in a bucket: written, replaced, refused, verified, read, and read by the next job.

The bucket is one in memory behind the S3 store; runs are serial, so that it is seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from buckets import MemoryBucket
from click.testing import CliRunner

from mapreduce import Job, JobResult, JsonLines, Sum, Text, run
from mapreduce import manifest as manifests
from mapreduce.cli.app import main
from mapreduce.errors import JobError, ManifestError, OutputExists, StoreNotSafe, UserFunctionError
from mapreduce.model import InputFile
from mapreduce.place import check_apart, place_of, remove_garbage
from mapreduce.plan import make_plan
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import Patience
from mapreduce.testing import run_sequential

OUTPUT = "s3://bucket/reports/words"
TEXT = "".join(f"w{number % 7} w{number % 3}\n" for number in range(100))
GOOD = "part-00000-20260101T000000-00000001-00000001.jsonl"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    bucket = MemoryBucket()
    use(bucket, monkeypatch)
    return bucket


def use(bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """All s3:// URLs are of this bucket."""

    def opened(url: str, profile: str, patience: Patience) -> ObjectStore:
        prefix = url.removeprefix("s3://bucket/").rstrip("/")
        capabilities = Capabilities("S3", wait_by="read", largest_put=5 << 30, paid=True)
        return ObjectStore(bucket, f"s3://bucket/{prefix}", f"{prefix}/", capabilities, patience=patience)

    monkeypatch.setattr("mapreduce.store.s3.open_bucket", opened)


def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def job(**changed: Any) -> Job:
    if not Path("in.txt").exists():
        Path("in.txt").write_text(TEXT)
    options: dict[str, Any] = {
        "name": "words",
        "source": Text("in.txt", split_size=150),
        "map": words,
        "reduce": Sum(),
        "output": OUTPUT,
        "shards": 2,
    }
    return Job(**options | changed)


def done(**changed: Any) -> JobResult:
    result = run(job(**changed), on="serial")
    assert isinstance(result, JobResult)
    return result


def below(bucket: MemoryBucket) -> set[str]:
    return {key.removeprefix("reports/words/") for key in bucket.objects}


def names(result: JobResult) -> set[str]:
    return {layout.MANIFEST, *(part.name for part in result.parts)}


def test_the_bytes_are_those_of_the_plain_loop(bucket: MemoryBucket) -> None:
    result = done()
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job()).parts
    assert dict(result) == dict(JobResult.load(OUTPUT)) == {f"w{n}": TEXT.count(f"w{n}") for n in range(7)}
    assert manifests.verify(OUTPUT) == (result.manifest, [])
    assert below(bucket) == names(result)
    assert not Path(".mapreduce").exists()


def test_a_result_in_a_bucket_has_no_path(bucket: MemoryBucket) -> None:
    result = done()
    assert result.place == OUTPUT
    with pytest.raises(JobError, match=f"The result lies in a bucket, at {OUTPUT}"):
        result.path  # noqa: B018 - that it raises is what is tested


@pytest.mark.parametrize("url", [f"{OUTPUT}/", "s3://bucket/reports/words"])
def test_an_output_has_one_url(bucket: MemoryBucket, url: str) -> None:
    assert done(output=JsonLines(url)).place == OUTPUT


def test_a_map_without_reduce(bucket: MemoryBucket) -> None:
    result = done(map=lambda line: [(line, 1)], reduce=None)
    assert len(result.parts) == 4
    assert [record[0] for record in result] == TEXT.splitlines()


def test_compressed_parts(bucket: MemoryBucket) -> None:
    changed = {"output": JsonLines(OUTPUT, compression="gz")}
    result = done(**changed)
    assert [result.part_bytes(part) for part in result.parts] == run_sequential(job(**changed)).parts


@pytest.mark.parametrize("url", ["gs://bucket/x", "memory://x", "s3://key:secret@bucket/x", "s3://"])
def test_what_is_no_url_of_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(JobError) as refused:
        run(job(output=url), on="serial")
    assert "secret" not in str(refused.value)


def test_a_bucket_that_lets_two_writers_win_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(MemoryBucket(obeys=False), monkeypatch)
    with pytest.raises(StoreNotSafe, match=OUTPUT):
        done()


# ---------------------------------------------------------------- what is there already


def test_a_result_is_kept_or_replaced_whole(bucket: MemoryBucket) -> None:
    first = done()
    with pytest.raises(OutputExists, match="already holds a result"):
        done()
    assert below(bucket) == names(first)
    second = run(job(shards=3), on="serial", overwrite=True)
    assert isinstance(second, JobResult)
    assert below(bucket) == names(second)
    assert second.manifest.previous == first.manifest.digest


def test_foreign_objects_are_named_and_left_alone(bucket: MemoryBucket) -> None:
    bucket.objects["reports/words/notes.txt"] = bucket.objects["reports/words/a/b"] = (b"mine", "")
    with pytest.raises(OutputExists, match=r"holds files that are no result: a, notes\.txt"):
        done()
    assert below(bucket) == {"notes.txt", "a/b"}


def test_what_a_killed_probe_has_left_is_in_nobody_s_way(bucket: MemoryBucket) -> None:
    bucket.objects[f"reports/words/{layout.probe_name('12')}"] = (b"x", "")
    done()
    assert manifests.verify(OUTPUT)[1] == []


def test_objects_beside_the_output_are_not_below_it(bucket: MemoryBucket) -> None:
    bucket.objects["reports/words-old/notes.txt"] = (b"mine", "")
    done()


def test_parts_of_runs_elsewhere_stay(bucket: MemoryBucket) -> None:
    bucket.objects[f"reports/words/{GOOD}"] = (b"of another host", "")
    result = done()
    assert below(bucket) == {GOOD, *names(result)}
    assert [finding.name for finding in manifests.verify(OUTPUT)[1]] == [GOOD]


def test_a_run_that_fails_can_go_on_and_leaves_nothing_when_it_has(bucket: MemoryBucket) -> None:
    def fails(key: str, values: Iterator[int]) -> Any:
        if key == "w6" and not Path("mended").exists():
            raise ValueError(key)
        yield key, sum(values)

    with pytest.raises(UserFunctionError) as failed:
        done(reduce=fails)
    assert any("mapreduce resume" in note or "the same job again" in note for note in failed.value.__notes__)
    Path("mended").touch()
    result = done(reduce=fails)
    assert result.manifest.resumed == 1
    assert below(bucket) == names(result)
    assert not Path(".mapreduce").exists()


def test_a_run_that_fails_before_anything_is_accepted_leaves_nothing(bucket: MemoryBucket) -> None:
    def fails(line: str) -> Any:
        raise ValueError(line)

    with pytest.raises(UserFunctionError):
        done(map=fails)
    assert not bucket.objects


def test_garbage_is_what_the_manifest_does_not_name(bucket: MemoryBucket) -> None:
    result = done()
    ended, alive = GOOD, GOOD.replace("-00000001-", "-00000002-")
    for name in (ended, alive):
        bucket.objects[f"reports/words/{name}"] = (b"", "")
    remove_garbage(OUTPUT, lambda run_id: run_id.endswith("01") or run_id == result.manifest.run_id)
    assert below(bucket) == {alive, *names(result)}


def test_nothing_is_garbage_beside_a_manifest_that_cannot_be_read(bucket: MemoryBucket) -> None:
    bucket.objects[f"reports/words/{layout.MANIFEST}"] = bucket.objects[f"reports/words/{GOOD}"] = (b"{", "")
    remove_garbage(OUTPUT, lambda _: True)
    assert below(bucket) == {layout.MANIFEST, GOOD}


@pytest.mark.parametrize(("uri", "refused"), [(f"{OUTPUT}/in/a.txt", True), (f"{OUTPUT}-old/a.txt", False)])
def test_input_below_the_output_is_refused(bucket: MemoryBucket, uri: str, refused: bool) -> None:
    place = place_of(job(), "20260101T000000-00000001")
    plan = replace(make_plan(job(), place.run_id), inputs=(InputFile(uri, 2, "", ""),))
    with pytest.raises(JobError, match="lies in the output") if refused else nullcontext():
        check_apart(place, plan)


# ---------------------------------------------------------------- damage

DAMAGE: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "gone": (lambda data: None, "missing"),
    "empty": (lambda data: b"", "0 bytes where"),
    "cut": (lambda data: data[:-1], "bytes where"),
    "longer": (lambda data: data + b"x", "bytes where"),
    "a bit": (lambda data: bytes([data[0] ^ 1]) + data[1:], "sha256 differs"),
}


@pytest.mark.parametrize("piece", [16, 1 << 24], ids=["in pieces", "whole"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(
    bucket: MemoryBucket, damage: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_PIECE", piece)
    result = done()
    assert manifests.verify(OUTPUT)[1] == []
    part = result.parts[0]
    key = f"reports/words/{part.name}"
    change, told = DAMAGE[damage]
    changed = change(bucket.objects.pop(key)[0])
    if changed is not None:
        bucket.objects[key] = (changed, "")
    assert [(finding.name, told in finding.problem) for finding in manifests.verify(OUTPUT)[1]] == [
        (part.name, True)
    ]
    with pytest.raises(ManifestError, match=r"mapreduce verify s3://bucket"):
        list(result)


def test_a_place_without_a_result_is_told(bucket: MemoryBucket) -> None:
    with pytest.raises(ManifestError, match=f"{OUTPUT} has no {layout.MANIFEST}"):
        JobResult.load(OUTPUT)


# ---------------------------------------------------------------- commands


def test_commands_take_the_url(bucket: MemoryBucket) -> None:
    result = done()
    told = CliRunner().invoke(main, ["verify", OUTPUT])
    assert (told.exit_code, told.output.split(",")[0]) == (0, "2 parts")
    told = CliRunner().invoke(main, ["show", OUTPUT, "--json"])
    assert {row["key"]: row["value"] for row in json.loads(told.output)["rows"]} == dict(result)
    assert json.loads(told.output)["path"] == OUTPUT
    told = CliRunner().invoke(main, ["show", OUTPUT, "--files"])
    assert f"in {OUTPUT}" in told.output


def test_plan_says_whether_the_output_is_free_and_writes_nothing(bucket: MemoryBucket) -> None:
    Path("job.py").write_text(
        f"from mapreduce import Job, Sum\n"
        f"job = Job('words', 'in.txt', lambda line: [(line, 1)], Sum(), output={OUTPUT!r})\n"
    )
    Path("in.txt").write_text(TEXT)
    told = CliRunner().invoke(main, ["plan", "job.py"])
    assert f"{OUTPUT} (free)" in told.output
    assert not bucket.objects
    done()
    told = CliRunner().invoke(main, ["plan", "job.py", "--json"])
    document = json.loads(told.output)
    assert (document["output"], document["free_bytes"]) == (OUTPUT, None)
    assert "already holds a result" in document["output_taken"]


# ---------------------------------------------------------------- read by the next job

NAMED = {"parts": [{"name": GOOD}]}
OTHER = GOOD.replace("-00000001.jsonl", "-00000002.jsonl")


@pytest.mark.parametrize(
    ("objects", "url", "read"),
    [
        pytest.param({"_manifest.json": NAMED, GOOD: "", OTHER: ""}, "", [GOOD], id="a result"),
        pytest.param({"_manifest.json": NAMED, GOOD: "", OTHER: ""}, "/*", [GOOD], id="a pattern"),
        pytest.param({"_manifest.json": NAMED, GOOD: "", "a/x": ""}, "", [GOOD], id="nothing deeper"),
        pytest.param({OTHER: "", "notes": ""}, "", ["notes"], id="no manifest: no part"),
        pytest.param({OTHER: "", "notes": ""}, "/*", ["notes"], id="no manifest: no part by a pattern"),
        pytest.param(
            {"r/_manifest.json": NAMED, f"r/{GOOD}": "", "x": ""}, "", [f"r/{GOOD}", "x"], id="deeper"
        ),
    ],
)
def test_a_result_is_what_its_manifest_names(objects: dict[str, Any], url: str, read: list[str]) -> None:
    files = fsspec.filesystem("memory")
    for name, content in objects.items():
        files.pipe(f"/out/{name}", json.dumps(content).encode())
    try:
        found = Text(f"memory:///out{url}").files()
        assert [file.uri for file in found] == [f"memory:///out/{name}" for name in read]
    finally:
        files.rm("/out", recursive=True)
