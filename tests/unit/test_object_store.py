"""A store on a bucket: what it makes of answers that are lost, doubtful or wrong, and what it asks."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest
from buckets import MemoryBucket, failure, store_on

from mapreduce.errors import StorageError
from mapreduce.store.objects import ObjectStore
from mapreduce.store.patience import may_pass

DOUBTFUL = [errno.ETIMEDOUT, errno.ECONNRESET, errno.EREMOTEIO, errno.EBUSY]
CERTAIN = [errno.EACCES, errno.ENXIO, errno.EINVAL, errno.EDQUOT]


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def store(bucket: MemoryBucket) -> ObjectStore:
    return store_on(bucket)


def write_new(store: ObjectStore, data: bytes = b"mine") -> None:
    with store.new_file("a") as stream:
        stream.write(data)


# ---------------------------------------------------------------- create


@pytest.mark.covers("S2", "the reply of a conditional put is lost, or says that the name is taken by itself")
@pytest.mark.parametrize("number", [*DOUBTFUL, errno.EEXIST])
def test_a_create_that_was_done_is_a_success_whatever_it_heard(
    store: ObjectStore, bucket: MemoryBucket, number: int
) -> None:
    bucket.faults["put"] = [("after", failure(number))]
    assert store.create("a", b"mine")
    assert bucket.requests == {"put": 1, "get": 1}


@pytest.mark.parametrize("number", DOUBTFUL)
def test_a_create_in_doubt_whose_name_is_anothers_has_lost(
    store: ObjectStore, bucket: MemoryBucket, number: int
) -> None:
    store.put("a", b"theirs")
    bucket.faults["put"] = [failure(number)]
    assert not store.create("a", b"mine")


@pytest.mark.parametrize("number", DOUBTFUL)
def test_a_create_that_was_not_done_may_be_tried_again(
    store: ObjectStore, bucket: MemoryBucket, number: int
) -> None:
    bucket.faults["put"] = [failure(number)]
    with pytest.raises(StorageError) as caught:
        store.create("a", b"mine")
    assert may_pass(caught.value)
    assert store.create("a", b"mine")


@pytest.mark.parametrize("number", CERTAIN)
def test_what_was_certainly_not_done_is_not_looked_for(
    store: ObjectStore, bucket: MemoryBucket, number: int
) -> None:
    error = failure(number)
    bucket.faults["put"] = [error]
    with pytest.raises(StorageError) as caught:
        store.create("a", b"mine")
    assert caught.value is error
    assert bucket.requests["get"] == 0


def test_a_taken_name_that_cannot_be_read_is_neither_won_nor_lost(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    store.put("a", b"theirs")
    bucket.faults["get"] = [failure(errno.EBUSY)]
    with pytest.raises(StorageError) as caught:
        store.create("a", b"mine")
    assert may_pass(caught.value), "or a coordinator would give up a commit that may be its own"


def test_a_doubtful_create_that_cannot_be_read_tells_the_first_error(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    error = failure(errno.ETIMEDOUT)
    bucket.faults = {"put": [("after", error)], "get": [failure(errno.EACCES)]}
    with pytest.raises(StorageError) as caught:
        store.create("a", b"mine")
    assert caught.value is error


def test_a_name_that_was_taken_and_is_free_again_may_be_tried_again(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    bucket.faults["put"] = [failure(errno.EEXIST)]
    with pytest.raises(StorageError, match="is free again") as caught:
        store.create("a", b"mine")
    assert may_pass(caught.value)


# ---------------------------------------------------------------- an error is no missing object


@pytest.mark.covers("S3", "503, time-out and reset of a read, once and always")
@pytest.mark.parametrize("number", [*DOUBTFUL, *CERTAIN])
def test_an_error_is_never_a_missing_object(store: ObjectStore, bucket: MemoryBucket, number: int) -> None:
    for request, operation in {
        "get": lambda: store.read("a"),
        "page": store.list,
        "delete": lambda: store.delete("a"),
    }.items():
        bucket.faults[request] = [failure(number)]
        with pytest.raises(StorageError):
            operation()


# ---------------------------------------------------------------- new files


@pytest.mark.covers("S3", "503 twice while a new file is sent")
@pytest.mark.parametrize("number", DOUBTFUL)
def test_a_collected_file_is_sent_again(store: ObjectStore, bucket: MemoryBucket, number: int) -> None:
    bucket.faults["put"] = [failure(number), failure(number)]
    write_new(store)
    assert store.read("a") == b"mine"
    assert bucket.requests["put"] == 3


def test_a_file_of_a_dead_bucket_is_given_up(store: ObjectStore, bucket: MemoryBucket) -> None:
    bucket.faults["put"] = [failure(errno.EBUSY)] * 9
    with pytest.raises(StorageError):
        write_new(store)
    assert bucket.requests["put"] == 3, "as patience has it"


@pytest.mark.parametrize("number", [*DOUBTFUL, errno.EEXIST])
def test_a_file_that_arrived_is_recognised_by_its_token(
    store: ObjectStore, bucket: MemoryBucket, number: int
) -> None:
    bucket.faults["put"] = [("after", failure(number))]
    write_new(store)
    assert bucket.requests == {"put": 1, "token": 1}


def test_a_file_that_may_have_arrived_is_looked_for_until_it_is_known(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    bucket.faults = {"put": [("after", failure(errno.EEXIST))], "token": [failure(errno.EBUSY)]}
    write_new(store)
    assert store.read("a") == b"mine"
    assert bucket.requests["put"] == 2


def test_a_new_file_whose_name_was_taken_and_is_free_again_is_sent_again(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    bucket.faults["put"] = [failure(errno.EEXIST)]
    write_new(store)
    assert store.read("a") == b"mine"


def test_equal_bytes_of_another_are_not_ones_own_file(store: ObjectStore, bucket: MemoryBucket) -> None:
    write_new(store)
    with pytest.raises(StorageError) as caught:
        write_new(store)
    assert isinstance(caught.value.__cause__, FileExistsError)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_block_that_ends_badly_asks_for_nothing(
    store: ObjectStore, bucket: MemoryBucket, error: type[BaseException]
) -> None:
    def half() -> None:
        with store.new_file("a") as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        half()
    assert not bucket.requests


def test_a_full_disk_of_this_host_is_told_and_nothing_is_sent(
    store: ObjectStore, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "r+b")  # noqa: SIM115 - the store closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    with pytest.raises(StorageError, match=r"Can't write to .*, where the bytes of s3://bucket/below/a are"):
        write_new(store, b"x" * 100_000)
    assert not bucket.requests


# ---------------------------------------------------------------- files that are too large for one put

LARGE = b"0123456789" * 1_000


def test_a_large_file_is_sent_in_parts_and_appears_at_once(bucket: MemoryBucket) -> None:
    store = store_on(bucket, largest_put=5_000, part_size=3_000)
    write_new(store, LARGE)
    assert store.read("a") == LARGE
    assert bucket.requests["part"] == 4 + 1, "and one to see whether the condition is obeyed"
    assert store.list() == ["a"]
    assert not bucket.uploads


def test_a_store_is_asked_once_whether_it_obeys_in_parts(bucket: MemoryBucket) -> None:
    store = store_on(bucket, largest_put=5_000, part_size=10_000)
    for name in "ab":
        with store.new_file(name) as stream:
            stream.write(LARGE)
    assert bucket.requests["part"] == 2 + 1


@pytest.mark.parametrize("request_", ["put", "begin", "part", "get"])
def test_the_question_whether_a_store_obeys_in_parts_is_asked_again(
    bucket: MemoryBucket, request_: str
) -> None:
    bucket.faults[request_] = [failure(errno.EBUSY)]
    store = store_on(bucket, largest_put=5_000)
    write_new(store, LARGE)
    assert store.list() == ["a"]


def test_a_large_file_takes_nobodys_name(bucket: MemoryBucket) -> None:
    store = store_on(bucket, largest_put=5_000)
    store.put("a", b"theirs")
    with pytest.raises(StorageError) as caught:
        write_new(store, LARGE)
    assert isinstance(caught.value.__cause__, FileExistsError)
    assert store.read("a") == b"theirs"
    assert not bucket.uploads


def test_where_parts_ignore_the_condition_a_large_file_is_refused(bucket: MemoryBucket) -> None:
    bucket = MemoryBucket(obeys_in_parts=False)
    store = store_on(bucket, largest_put=5_000)
    with pytest.raises(StorageError, match=r"10,000 bytes.*ignores conditions") as caught:
        write_new(store, LARGE)
    assert "split_size" in caught.value.hint
    assert store.list() == []
    assert not bucket.uploads


@pytest.mark.parametrize("number", [*DOUBTFUL, errno.EEXIST])
def test_a_completion_that_was_done_is_a_success(bucket: MemoryBucket, number: int) -> None:
    store = store_on(bucket, largest_put=5_000)
    write_new(store, LARGE)
    store.delete("a")
    bucket.faults["complete"] = [("after", failure(number))]
    write_new(store, LARGE)
    assert store.read("a") == LARGE


def test_a_completion_that_may_have_been_done_is_looked_for_until_it_is_known(bucket: MemoryBucket) -> None:
    store = store_on(bucket, largest_put=5_000)
    write_new(store, LARGE)
    store.delete("a")
    bucket.faults = {"complete": [("after", failure(errno.ECONNRESET))], "token": [failure(errno.EBUSY)]}
    write_new(store, LARGE)
    assert store.read("a") == LARGE


def test_an_error_does_not_count_as_a_condition_that_is_obeyed() -> None:
    bucket = MemoryBucket(obeys_in_parts=False)
    bucket.faults["complete"] = [failure(errno.EBUSY)]
    with pytest.raises(StorageError, match="ignores conditions"):
        write_new(store_on(bucket, largest_put=5_000), LARGE)
    assert not bucket.uploads


def test_a_part_that_passes_is_sent_again_and_one_that_stays_drops_the_upload(bucket: MemoryBucket) -> None:
    store = store_on(bucket, largest_put=5_000)
    write_new(store, LARGE)
    store.delete("a")
    bucket.faults["part"] = [failure(errno.EBUSY), failure(errno.EBUSY)]
    write_new(store, LARGE)
    store.delete("a")
    bucket.faults["part"] = [None, failure(errno.EACCES)]
    with pytest.raises(StorageError):
        write_new(store, LARGE)
    assert store.list() == []
    assert not bucket.uploads


# ---------------------------------------------------------------- requests, names


@pytest.mark.parametrize(
    ("operation", "requests"),
    [
        (lambda store: store.put("b", b"x"), {"put": 1}),
        (lambda store: store.create("b", b"x"), {"put": 1}),
        (lambda store: store.create("a", b"x"), {"put": 1, "get": 1}),
        (lambda store: store.read("a"), {"get": 1}),
        (lambda store: store.read("a", 1, 2), {"get": 1}),
        (lambda store: store.read("a", 1, 0), {"get": 1}),
        (lambda store: store.delete("a"), {"delete": 1}),
        (lambda store: store.list(), {"page": 1}),
        (lambda store: store.new_file("b").__enter__(), {}),
    ],
)
def test_requests_of_an_operation(store: ObjectStore, bucket: MemoryBucket, operation, requests) -> None:
    store.put("a", b"data")
    bucket.requests.clear()
    operation(store)
    assert bucket.requests == requests


def test_a_new_file_is_one_request(store: ObjectStore, bucket: MemoryBucket) -> None:
    write_new(store)
    assert bucket.requests == {"put": 1}


def test_a_list_asks_once_for_each_page_and_keeps_to_its_prefix(
    store: ObjectStore, bucket: MemoryBucket
) -> None:
    bucket.objects = {f"below/d/{number:04d}": (b"", "") for number in range(250)}
    bucket.objects |= {"below/d/": (b"", ""), "below/d-/x": (b"", ""), "other/d/x": (b"", "")}
    assert store.list("d") == [f"d/{number:04d}" for number in range(250)]
    assert bucket.requests == {"page": 3}


@pytest.mark.parametrize("name", ["x" * 1_030, "ü" * 600, "\udcff"])
def test_a_name_that_a_bucket_cannot_hold_is_refused(
    store: ObjectStore, bucket: MemoryBucket, name: str
) -> None:
    with pytest.raises(StorageError, match=r"too long|is not a name"):
        store.put(name, b"")
    assert not bucket.requests


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
def test_a_forked_child_does_not_finish_its_parents_file(store: ObjectStore, bucket: MemoryBucket) -> None:
    with store.new_file("a") as stream:
        stream.write(b"parent")
        stream.flush()
        child = os.fork()
    if not child:
        os._exit(0)  # it came back into the engine
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert store.read("a") == b"parent"
