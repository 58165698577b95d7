"""A copy of a result: whole or not there, proven by its manifest, and nothing else there is touched."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from buckets import MemoryBucket

from mapreduce import Copy, Job, JobResult, JobSetResult, JsonLines, Quarantine, Records, Sum, run
from mapreduce import manifest as manifests
from mapreduce.errors import JobError, SinkError, SinkRefused, StorageError
from mapreduce.model import ErrorGroup, SetJob, SetManifest, Status
from mapreduce.protocols import Capabilities
from mapreduce.sinks import copy as copying
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import Patience

KEY = "f" * 64


def words(word):
    if word == "bad":
        raise ValueError("it is bad")
    yield word, 1


def result_of(given, output="out", name="words", **more) -> JobResult:
    """A result of counting, in two parts."""
    job = Job(name, Records(given), words, Sum(), output, shards=2, **more)
    return run(job, on="serial", overwrite=True)


def files(folder: Path | str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    bucket = MemoryBucket()

    def opened(url: str, profile: str, patience: Patience) -> ObjectStore:
        prefix = url.removeprefix("s3://bucket/").rstrip("/")
        capabilities = Capabilities("S3", wait_by="read", largest_put=5 << 30, paid=True)
        return ObjectStore(bucket, f"s3://bucket/{prefix}", f"{prefix}/", capabilities, patience=patience)

    monkeypatch.setattr("mapreduce.store.s3.open_bucket", opened)
    return bucket


@pytest.mark.parametrize("target", ["copy", "deep/er/copy/", "file://{cwd}/copy", "s3://bucket/copy"])
def test_a_copy_is_the_same_and_can_be_verified(bucket, own_folder: Path, target):
    target = target.format(cwd=own_folder)
    given = ["a", "b", "bad", "c", "a"]
    result = result_of(given, sinks=[Copy(target)], on_error=Quarantine(max_records=1))
    assert [delivery.error for delivery in result.deliveries] == [""]
    copied = JobResult.load(target)
    assert manifests.verify(copied.place)[1] == []
    assert copied.manifest == result.manifest
    assert list(copied) == list(result)
    assert copied.manifest.set_aside, "files of bad records are a part of it"


def test_every_combination_of_places(bucket, own_folder: Path):
    first = result_of(["a", "b"], output="s3://bucket/out")
    Copy("here").deliver(first, KEY)
    Copy("s3://bucket/back").deliver(JobResult.load("here"), KEY)
    assert list(JobResult.load("s3://bucket/back")) == list(first)
    assert manifests.verify("s3://bucket/back")[1] == []


def test_it_may_be_repeated(own_folder: Path):
    result = result_of(["a", "b"])
    Copy("copy").deliver(result, KEY)
    before = files("copy")
    inodes = {path.name: path.stat().st_ino for path in Path("copy").glob("part-*")}
    Copy("copy").deliver(result, KEY)
    assert files("copy") == before
    assert {path.name: path.stat().st_ino for path in Path("copy").glob("part-*")} == inodes


def test_a_later_run_replaces_it_and_earlier_parts_go(own_folder: Path):
    Copy("copy").deliver(result_of(["a", "b", "c"]), KEY)
    later = result_of(["x"])
    Copy("copy").deliver(later, KEY)
    assert manifests.verify(Path("copy"))[1] == []
    assert files("copy") == files("out")


def test_an_earlier_run_does_not_replace_a_later_one(own_folder: Path):
    earlier, later = result_of(["a"], "one"), result_of(["b"], "two")
    Copy("copy").deliver(later, KEY)
    before = files("copy")
    with pytest.raises(SinkRefused, match=f"began after run {earlier.manifest.run_id}"):
        Copy("copy").deliver(earlier, KEY)
    assert files("copy") == before


def test_a_result_that_was_replaced_meanwhile_is_not_copied(own_folder: Path):
    earlier, later = result_of(["a"]), result_of(["b"])
    with pytest.raises(SinkRefused, match=f"holds the result of run {later.manifest.run_id} by now"):
        Copy("copy").deliver(earlier, KEY)
    assert not Path("copy").exists()


class Stop(Exception):
    """Power went."""


def writes(monkeypatch, limit: int | None) -> list[str]:
    """The names that stores are given to write, in order; from `limit` on the power is off."""
    seen: list[str] = []

    def counted(operation):
        def call(self, name, *arguments, **options):
            if self.root.name == "copy":
                if limit is not None and len(seen) >= limit:
                    raise Stop
                seen.append(name)
            return operation(self, name, *arguments, **options)

        return call

    from mapreduce.store.local import LocalStore

    for operation in ("put", "new_file", "delete"):
        monkeypatch.setattr(LocalStore, operation, counted(getattr(LocalStore, operation)))
    return seen


@pytest.mark.covers("X1", "power goes before each write of a copy, which is then made again")
@pytest.mark.parametrize("moment", range(4))
def test_readers_see_the_old_copy_or_the_new_one(own_folder: Path, moment, monkeypatch):
    earlier = result_of(["a", "b"], "one")
    Copy("copy").deliver(earlier, KEY)
    later = result_of(["c", "d", "e"], "two")
    with monkeypatch.context() as patch:
        seen = writes(patch, moment)
        if moment < 3:
            with pytest.raises(Stop):
                Copy("copy").deliver(later, KEY)
        else:
            Copy("copy").deliver(later, KEY)
            assert seen[-1] == "_manifest.json"
        shown = JobResult.load("copy")
        assert list(shown) == (list(earlier) if moment < 3 else list(later))
    Copy("copy").deliver(later, KEY)
    assert files("copy") == files("two")


def test_a_damaged_part_of_the_copy_is_mended(own_folder: Path):
    result = result_of(["a", "b"])
    Copy("copy").deliver(result, KEY)
    part = Path("copy") / result.parts[0].name
    part.chmod(0o600)
    part.write_bytes(b"x" * result.parts[0].size)
    Copy("copy").deliver(result, KEY)
    assert manifests.verify(Path("copy"))[1] == []


@pytest.mark.parametrize("harm", ["changed", "shorter", "longer", "gone"])
def test_a_part_that_is_not_what_the_manifest_says_is_not_copied(own_folder: Path, harm):
    result = result_of(["a", "b"])
    part = result.path / result.parts[0].name
    data = part.read_bytes()
    part.unlink()
    if harm != "gone":
        changed = {"changed": data[:-1] + b" ", "shorter": data[:-1], "longer": b" " + data}
        part.write_bytes(changed[harm])
    with pytest.raises(SinkRefused, match=r"has changed, or is gone") as refused:
        Copy("copy").deliver(result, KEY)
    assert "mapreduce verify" in refused.value.hint
    assert files("copy") == {}


def foreign_file(target: Path) -> None:
    target.mkdir()
    (target / "notes.txt").write_text("mine")


def other_job(target: Path) -> None:
    result_of(["a"], str(target), name="other")


def damaged(target: Path) -> None:
    result_of(["a"], str(target))
    (target / "_manifest.json").write_text("{}")


def a_set(target: Path) -> None:
    target.mkdir()
    (target / "_manifest.json").write_bytes(manifests.seal(set_of([]))[1])


def set_of(jobs, name="nightly", status=Status.SUCCEEDED, started="2026-01-01T00:00:00+00:00") -> SetManifest:
    run_id = "20260101T000000-00000001"
    return SetManifest(1, name, run_id, status, "continue", tuple(jobs), 2, started, {"total": 1.0}, {})


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (foreign_file, "holds files that are no copy of a result: 'notes.txt'"),
        (other_job, "holds a result of job other, not of words"),
        (damaged, "is damaged"),
        (a_set, "is the manifest of the JobSet nightly"),
    ],
)
def test_what_is_no_copy_of_the_jobs_result_is_left_alone(own_folder: Path, there, message):
    there(own_folder / "copy")
    before = files("copy")
    with pytest.raises(SinkRefused, match=message) as refused:
        Copy("copy").deliver(result_of(["a"]), KEY)
    assert refused.value.hint
    assert files("copy") == before


@pytest.mark.parametrize("target", ["out", "out/copy", "link/copy", "./x/../out"])
def test_a_target_among_the_parts_is_refused(own_folder: Path, target):
    result = result_of(["a"])
    Path("link").symlink_to("out")
    before = files("out")
    with pytest.raises(SinkRefused, match="lies in the output"):
        Copy(target).deliver(result, KEY)
    assert files("out") == before


@pytest.mark.covers("X6", "a run that failed, and one that was cancelled")
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_of_a_run_that_failed_nothing_is_copied(own_folder: Path, status):
    result = result_of(["a"])
    failure = ErrorGroup("WorkerCrash", "it crashed")
    failed = replace(result.manifest, status=status, failure=failure, parts=())
    Copy("copy").deliver(JobResult(result.place, failed), KEY)
    jobs = [SetJob("words", Status.SUCCEEDED, place=str(result.path), digest=result.manifest.digest)]
    Copy("copy").deliver(JobSetResult(Path("set"), set_of(jobs, status=status)), KEY)
    assert not Path("copy").exists()


@pytest.mark.covers("Q8", "a manifest that names files elsewhere, copied")
@pytest.mark.parametrize(
    "name", ["../stolen", "/etc/passwd", "a/b", "_manifest.json", "part-00000-x.jsonl", "part\0", ".."]
)
def test_a_manifest_that_names_files_elsewhere_is_refused(own_folder: Path, name):
    result = result_of(["a"])
    part = replace(result.parts[0], name=name)
    forged, data = manifests.seal(replace(result.manifest, parts=(part,)))
    (result.path / "_manifest.json").unlink()
    (result.path / "_manifest.json").write_bytes(data)
    with pytest.raises(SinkRefused, match="which is no name of a part"):
        Copy("copy").deliver(JobResult(result.place, forged), KEY)
    assert not Path("copy").exists()
    assert not Path("stolen").exists()


@pytest.mark.covers("Q8", "links planted in the target of a copy")
def test_a_link_in_the_place_of_a_file_is_not_followed(own_folder: Path):
    result = result_of(["a", "b"])
    Path("copy").mkdir()
    Path("victim").write_text("mine")
    for name in (result.parts[0].name, "_manifest.json"):
        (Path("copy") / name).symlink_to("../victim")
    with pytest.raises(SinkRefused, match="is damaged"):
        Copy("copy").deliver(result, KEY)
    (Path("copy") / "_manifest.json").unlink()
    Copy("copy").deliver(result, KEY)
    assert Path("victim").read_text() == "mine"
    assert manifests.verify(Path("copy"))[1] == []
    assert not any(path.is_symlink() for path in Path("copy").iterdir())


@pytest.mark.covers("X1", "two deliveries of one result at once")
def test_another_copies_the_same_result_meanwhile(own_folder: Path, monkeypatch):
    result = result_of(["a", "b"])
    pour = copying._pour

    def slowly(source, part, stream):
        monkeypatch.setattr(copying, "_pour", pour)
        Copy("copy").deliver(result, KEY)
        pour(source, part, stream)

    monkeypatch.setattr(copying, "_pour", slowly)
    Copy("copy").deliver(result, KEY)
    assert files("copy") == files("out")


def test_a_later_run_that_is_copied_meanwhile_wins(own_folder: Path, monkeypatch):
    earlier, later = result_of(["a", "b"], "one"), result_of(["c"], "two")
    pour = copying._pour

    def slowly(source, part, stream):
        monkeypatch.setattr(copying, "_pour", pour)
        Copy("copy").deliver(later, KEY)
        pour(source, part, stream)

    monkeypatch.setattr(copying, "_pour", slowly)
    with pytest.raises(SinkError):
        Copy("copy").deliver(earlier, KEY)
    assert list(JobResult.load("copy")) == list(later)


def test_large_parts_are_held_in_pieces(own_folder: Path, monkeypatch):
    monkeypatch.setattr(copying, "_PIECE", 1 << 16)
    monkeypatch.setattr("mapreduce.manifest._PIECE", 1 << 16)
    job = Job("large", Records(range(3)), lambda n: [(n, "x" * 1_000_000)], output=JsonLines("out"), shards=1)
    result = run(job, on="serial")
    assert max(part.size for part in result.parts) > 900_000
    list(map(result.part_bytes, result.parts))
    tracemalloc.start()
    try:
        Copy("copy").deliver(result, KEY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert files("copy") == files("out")
    assert peak < 600_000


# ---------------------------------------------------------------- JobSets


def set_result(results, **more) -> JobSetResult:
    jobs = [
        SetJob(result.name, result.status, result.manifest.run_id, str(result.path), result.manifest.digest)
        for result in results
    ]
    failed = SetJob("failed", Status.FAILED, "20260101T000000-00000002", "elsewhere", "d" * 64)
    not_run = SetJob("not-run", Status.CANCELLED)
    _, data = manifests.seal(set_of([*jobs, failed, not_run], **more))
    Path("set").mkdir(exist_ok=True)
    (Path("set") / "_manifest.json").unlink(missing_ok=True)
    (Path("set") / "_manifest.json").write_bytes(data)
    return JobSetResult.load("set")


@pytest.mark.parametrize("target", ["copy", "s3://bucket/copy"])
def test_of_a_set_each_jobs_result_is_copied_and_then_its_manifest(bucket, own_folder: Path, target):
    results = [result_of(["a"], "one", name="one"), result_of(["b"], "two", name="two")]
    given = set_result(results, status=Status.COMPLETED_WITH_ERRORS)
    for _ in range(2):
        Copy(target).deliver(given, KEY)
        copied = JobSetResult.load(target)
        where = str(own_folder / "copy") if target == "copy" else target
        assert [job.place for job in copied.jobs] == [f"{where}/one", f"{where}/two", "elsewhere", ""]
        assert [list(copied[name]) for name in ("one", "two")] == [[("a", 1)], [("b", 1)]]
        for name in ("one", "two"):
            assert manifests.verify(copied[name].place)[1] == []


def test_a_later_set_replaces_it(own_folder: Path):
    Copy("copy").deliver(set_result([result_of(["a"], name="one")]), KEY)
    later = set_result([result_of(["b"], name="one")], started="2026-01-02T00:00:00+00:00")
    Copy("copy").deliver(later, KEY)
    assert list(JobSetResult.load("copy")["one"]) == [("b", 1)]
    earlier = set_result([result_of(["c"], name="one")])
    with pytest.raises(SinkRefused, match="began after run"):
        Copy("copy").deliver(earlier, KEY)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (foreign_file, "holds files that are no copy of a result: 'notes.txt'"),
        (other_job, "is the manifest of a job, not of a JobSet"),
        (a_set, "holds a result of the JobSet nightly, not of daily"),
    ],
)
def test_what_is_no_copy_of_the_set_is_left_alone(own_folder: Path, there, message):
    there(own_folder / "copy")
    before = files("copy")
    with pytest.raises(SinkRefused, match=message):
        Copy("copy").deliver(set_result([result_of(["a"], name="one")], name="daily"), KEY)
    assert files("copy") == before


@pytest.mark.covers("Q8", "names of jobs in a set's manifest, and a link in the place of a job's folder")
@pytest.mark.parametrize("name", ["../out", "/tmp", "a/b", "..", "", "_manifest.json", "a\nb"])
def test_a_sets_manifest_that_names_places_elsewhere_is_refused(own_folder: Path, name):
    result = result_of(["a"])
    job = SetJob(name, Status.SUCCEEDED, "r", str(result.path), result.manifest.digest)
    with pytest.raises(SinkRefused, match="which is no name of one"):
        Copy("deep/copy").deliver(JobSetResult(own_folder / "set", set_of([job])), KEY)
    assert sorted(os.listdir()) == ["out"]


@pytest.mark.covers("Q8", "a link in the place of a job's folder")
def test_a_link_in_the_place_of_a_jobs_folder_is_refused(own_folder: Path):
    Path("copy").mkdir()
    Path("elsewhere").mkdir()
    (Path("copy") / "one").symlink_to("../elsewhere")
    with pytest.raises(SinkRefused, match="is a link to another place"):
        Copy("copy").deliver(set_result([result_of(["a"], name="one")]), KEY)
    assert os.listdir("elsewhere") == []


# ---------------------------------------------------------------- errors and options


@pytest.mark.covers("X2", "a target that can't be written to for the moment")
def test_a_store_that_fails_is_tried_again(own_folder: Path, monkeypatch):
    def fails(self, name, data):
        raise StorageError("Can't write it: No space left on device.", hint="Free some space.")

    from mapreduce.store.local import LocalStore

    result = result_of(["a"])
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put", fails)
        with pytest.raises(SinkError, match=r"Copying to .*/copy failed: Can't write it: No space") as failed:
            Copy("copy").deliver(result, KEY)
        assert type(failed.value) is SinkError
        assert failed.value.hint == "Free some space."
    Copy("copy").deliver(result, KEY)
    assert manifests.verify(Path("copy"))[1] == []


def test_a_file_in_the_place_of_the_target(own_folder: Path):
    Path("copy").write_text("mine")
    with pytest.raises(SinkError, match="Copying to"):
        Copy("copy").deliver(result_of(["a"]), KEY)
    assert Path("copy").read_text() == "mine"


@pytest.mark.parametrize("target", ["", None, 3, b"x", "gs://bucket/x", "https://example.org/x"])
def test_what_is_no_target_is_refused(target):
    with pytest.raises(JobError, match="Copy"):
        Copy(target)


def test_a_target_with_a_password_is_refused_without_quoting_it():
    with pytest.raises(JobError) as refused:
        Copy("s3://key:geheim@bucket/x")
    assert "geheim" not in str(refused.value)


def test_a_url_of_no_bucket_is_refused_when_it_is_used(own_folder: Path):
    with pytest.raises(SinkRefused, match="is not that of a store"):
        Copy("s3://b").deliver(result_of(["a"]), KEY)


def test_it_travels_with_the_job(own_folder: Path):
    sink = pickle.loads(pickle.dumps(Copy(Path("a/b"), name="backup", patience=5)))
    assert (sink.target, sink.name, sink.patience, repr(sink)) == ("a/b", "backup", 5, "Copy('a/b')")
