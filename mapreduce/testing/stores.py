"""What every store must do: a suite that anybody's own store can run. It needs pytest.

    from functools import partial
    from mapreduce.testing import StoreSuite

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def make(self, tmp_path):
            return partial(MyStore, tmp_path / "store")

`make()` gives a new instance for one place, which is empty at the beginning of each test. Other processes
call it too, so it must be something that pickle takes: a `partial` of a class or of a module's function.
"""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from mapreduce.errors import StorageError
from mapreduce.protocols import Store
from mapreduce.store.faulty import FaultyStore
from mapreduce.store.probe import probe

Make = Callable[[], Store]

NO_NAMES = ["", "/x", "../x", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "a\0b"]
"""Names that leave the store, or that two stores may take for different objects."""
ODD_NAMES = [
    "ünï ☃/å",
    "\u00e9",  # é, and the next one too
    "e\u0301",
    "a b+c%20d",
    "x?y=1&z#t",
    "~!@$()*';:=,",
    ".hidden/_x",
    "日本語/🎉",
]
PATIENCE = 60.0
"""Seconds that no process of the suite takes."""


class StoreSuite:
    """Duties of a `Store`, as tests. A subclass gives the fixture `make`."""

    processes = True
    """Whether other processes see the store; threads race otherwise."""
    racers = 4
    names = 40
    """That are raced for."""
    many = 1_050
    """Names in one list: more than a bucket gives at once."""
    large = 20_000_000
    """Bytes."""

    @pytest.fixture
    def make(self) -> Make:
        """Makes instances of the store to test, for one empty place."""
        raise NotImplementedError("A subclass of StoreSuite gives the fixture `make`.")

    @pytest.fixture
    def store(self, make: Make) -> Store:
        """An instance."""
        return make()

    # ------------------------------------------------------------ objects

    def test_what_was_put_is_read_by_all(self, store: Store, make: Make) -> None:
        store.put("a/b", b"hello")
        store.put("a/b", b"other")
        assert store.read("a/b") == make().read("a/b") == b"other"

    def test_a_missing_object_is_file_not_found(self, store: Store) -> None:
        store.put("a", b"x")
        for name in ("b", "b/c/d"):
            for length in (None, 0, 3):
                with pytest.raises(FileNotFoundError):
                    store.read(name, 0, length)

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 10, b"0123456789"),
            (0, 1, b"0"),
            (3, 4, b"3456"),
            (9, 1, b"9"),
            (7, None, b"789"),
            (10, None, b""),
            (4, 0, b""),
            (10, 0, b""),
        ],
    )
    def test_a_range_is_exactly_what_was_asked_for(
        self, store: Store, start: int, length: int | None, expected: bytes
    ) -> None:
        store.put("a", b"0123456789")
        assert store.read("a", start, length) == expected

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (8, 3), (10, 1), (50, 5)])
    def test_a_range_that_comes_short_is_an_error(self, store: Store, start: int, length: int) -> None:
        store.put("a", b"0123456789")
        with pytest.raises(StorageError):
            store.read("a", start, length)

    def test_an_empty_object(self, store: Store) -> None:
        store.put("put", b"")
        assert store.create("create", b"")
        write_new(store, "new_file", b"")
        assert [store.read(name) for name in store.list()] == [b"", b"", b""]
        with pytest.raises(StorageError):
            store.read("put", 0, 1)

    def test_an_empty_object_keeps_its_name(self, store: Store) -> None:
        write_new(store, "a", b"")
        assert not store.create("a", b"full")
        with pytest.raises(StorageError):
            write_new(store, "a", b"full")
        assert store.read("a") == b""
        store.put("b", b"full")
        assert not store.create("b", b"")
        assert store.read("b") == b"full"

    def test_a_large_object(self, store: Store) -> None:
        data = (b"0123456789abcde\n" * (self.large // 16 + 1))[: self.large]
        write_new(store, "a", data, parts=7)
        store.put("b", data)
        assert store.create("c", data)
        for name in "abc":
            assert store.read(name) == data
            assert store.read(name, self.large - 5, 5) == data[-5:]

    def test_a_deleted_object_is_gone(self, store: Store) -> None:
        store.put("a/b", b"x")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/there")
        with pytest.raises(FileNotFoundError):
            store.read("a/b")
        assert store.list() == []
        assert store.create("a/b", b"anew")

    # ------------------------------------------------------------ names

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_what_is_no_name_is_refused_by_every_operation(self, store: Store, name: str) -> None:
        operations: list[Callable[[], object]] = [
            lambda: store.put(name, b""),
            lambda: store.create(name, b""),
            lambda: write_new(store, name, b""),
            lambda: store.read(name),
            lambda: store.delete(name),
        ]
        if name:  # lists everything
            operations.append(lambda: store.list(name))
        for operation in operations:
            with pytest.raises(StorageError):
                operation()
        assert store.list() == []

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_text_is_a_name(self, store: Store, name: str) -> None:
        assert store.create(name, b"x")
        assert store.list() == [name]
        assert store.read(name) == b"x"
        store.delete(name)
        assert store.list() == []

    def test_names_that_look_alike_are_two(self, store: Store) -> None:
        for name in ODD_NAMES:
            store.put(name, name.encode())
        assert store.list() == sorted(ODD_NAMES)
        assert [store.read(name).decode() for name in ODD_NAMES] == ODD_NAMES

    def test_lists_are_sorted_nested_and_of_one_directory(self, store: Store) -> None:
        names = ["a/10", "a/9", "a/b/c/d", "a-b/x", "ab", "a.b/y", "z", "a/B"]
        for name in names:
            store.put(name, b"")
        assert store.list() == sorted(names)
        assert store.list("a") == sorted(["a/10", "a/9", "a/b/c/d", "a/B"])
        assert store.list("a/b") == store.list("a/b/c") == ["a/b/c/d"]
        assert store.list("ab") == store.list("missing") == store.list("a/1") == []

    def test_a_long_list_is_whole(self, store: Store) -> None:
        names = [f"many/{number:05d}" for number in range(self.many)]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda name: store.create(name, b"", durable=False), names))
        store.put("other", b"")
        assert store.list("many") == names

    def test_an_object_below_an_object_harms_neither(self, store: Store) -> None:
        store.put("a", b"above")
        try:
            store.put("a/b", b"below")
        except StorageError:
            assert store.list() == ["a"]
        else:
            assert store.read("a/b") == b"below"
        assert store.read("a") == b"above"

    # ------------------------------------------------------------ exclusive writes

    def test_create_is_exclusive_and_recognises_its_own_bytes(self, store: Store, make: Make) -> None:
        assert store.create("a", b"mine")
        assert store.create("a", b"mine"), "a repetition after a lost answer is a success"
        assert not store.create("a", b"theirs")
        assert not make().create("a", b"mine and more")
        assert store.read("a") == b"mine"

    @pytest.mark.parametrize("durable", [True, False])
    def test_a_new_file_appears_whole_when_its_block_ends(self, store: Store, durable: bool) -> None:
        with store.new_file("d/a", durable=durable) as stream:
            stream.write(b"one")
            stream.flush()
            assert store.list() == []
            with pytest.raises(FileNotFoundError):
                store.read("d/a")
            stream.write(b"two")
            assert stream.tell() == 6
        assert store.list() == ["d/a"]
        assert store.read("d/a") == b"onetwo"

    def test_an_exception_while_writing_leaves_nothing(self, store: Store, make: Make) -> None:
        def half() -> None:
            with store.new_file("a") as stream:
                stream.write(b"half" * 1_000_000)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            half()
        assert make().list() == []
        assert store.create("a", b"the name is free")

    def test_a_new_file_takes_nobodys_name(self, store: Store) -> None:
        store.put("a", b"old")
        with pytest.raises(StorageError) as caught:
            write_new(store, "a", b"new")
        assert isinstance(caught.value.__cause__, FileExistsError)
        assert store.read("a") == b"old"

    def test_of_two_new_files_of_one_name_the_first_that_ends_wins(self, store: Store) -> None:
        def second() -> None:
            with store.new_file("a") as stream:
                stream.write(b"second")
                write_new(store, "a", b"first")

        with pytest.raises(StorageError):
            second()
        assert store.read("a") == b"first"

    # ------------------------------------------------------------ lost, late and doubled answers

    def test_a_create_whose_answer_was_lost_is_its_own_success(self, store: Store) -> None:
        losing = FaultyStore(store, "op=create do=lost_reply")
        with pytest.raises(StorageError):
            losing.create("a", b"mine")
        assert losing.create("a", b"mine")
        assert not store.create("a", b"theirs")

    def test_a_create_that_arrives_late_changes_nothing(self, store: Store) -> None:
        slow = FaultyStore(store, "op=create do=late:2")
        with pytest.raises(StorageError):
            slow.create("a", b"mine")
        assert slow.create("a", b"theirs")
        assert slow.list() == ["a"], "the late one has arrived"
        assert slow.read("a") == b"theirs"
        assert not slow.create("a", b"mine")

    def test_a_create_that_arrives_twice_changes_nothing(self, store: Store) -> None:
        doubling = FaultyStore(store, "op=create do=twice:2")
        assert doubling.create("a", b"mine")
        assert not doubling.create("a", b"theirs")
        assert doubling.read("a") == b"mine"

    # ------------------------------------------------------------ several at once

    @pytest.mark.parametrize("write", ["create", "new_file"])
    def test_of_racers_exactly_one_wins_each_name_and_its_bytes_are_there(
        self, make: Make, write: str
    ) -> None:
        names = [f"raced/{number:03d}" for number in range(self.names)]
        won = self._run(_race, make, write, names)
        winners = Counter(name for wins in won for name in wins)
        assert winners == dict.fromkeys(names, 1)
        store = make()
        for number, wins in enumerate(won):
            for name in wins:
                assert store.read(name) == _bytes_of(number)

    def test_readers_see_all_of_an_object_or_nothing(self, make: Make) -> None:
        torn = self._run(_write_or_read, make, 25)
        assert [found for each in torn for found in each] == []

    def test_a_reader_meets_a_delete_by_the_whole_object_or_none(self, store: Store) -> None:
        data = b"x" * 1_000_000
        for number in range(5):
            store.put(f"{number}", data)
        with ThreadPoolExecutor(1) as pool:
            deleting = pool.submit(delete_all, store, map(str, range(5)))
            for number in range(5):
                with suppress(FileNotFoundError):
                    assert store.read(f"{number}") == data
            deleting.result()
        assert store.list() == []

    def test_threads_may_share_an_instance(self, store: Store) -> None:
        def work(number: int) -> list[bytes]:
            name = f"{number % 4}/{number}"
            store.put(name, b"%d" % number)
            write_new(store, f"{name}-new", b"%d" % number)
            return [store.read(name), store.read(f"{name}-new")]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(40))) == [[b"%d" % number] * 2 for number in range(40)]
        assert len(store.list()) == 80

    @pytest.mark.parametrize("method", ["spawn", "fork"])
    def test_a_child_process_has_an_instance_of_its_own(self, store: Store, make: Make, method: str) -> None:
        if not self.processes:
            return
        store.put("from/parent", b"hello")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is tested
            (found,) = run_processes(method, [(_answer, (make,))])
        assert found == [b"hello"]
        assert store.read("from/child") == b"HELLO"

    # ------------------------------------------------------------ what it says of itself

    def test_the_probe_finds_nothing_and_leaves_nothing(self, store: Store) -> None:
        assert [finding for finding in probe(store) if not finding.kept] == []
        assert store.list() == []

    def test_it_is_exclusive_and_tells_where_it_is(self, store: Store, make: Make) -> None:
        assert store.capabilities.exclusive
        assert store.capabilities == make().capabilities
        assert store.url == make().url

    def _run(self, work: Callable[..., list[Any]], make: Make, *arguments: Any) -> list[list[Any]]:
        """What `work(number, gate, make, …)` gives in each of the racers."""
        numbers = range(self.racers)
        if self.processes:
            gate = multiprocessing.get_context("spawn").Barrier(self.racers)
            return run_processes("spawn", [(work, (n, gate, make, *arguments)) for n in numbers])
        door = threading.Barrier(self.racers)
        with ThreadPoolExecutor(self.racers) as pool:
            return [
                running.result()
                for running in [pool.submit(work, n, door, make, *arguments) for n in numbers]
            ]


def write_new(store: Store, name: str, data: bytes, parts: int = 1) -> None:
    """Write a new file in so many pieces."""
    size = -(-len(data) // parts) or 1
    with store.new_file(name) as stream:
        for start in range(0, len(data), size):
            stream.write(data[start : start + size])


def delete_all(store: Store, names: Iterable[str]) -> None:
    """One after the other."""
    for name in names:
        store.delete(name)


def run_processes(method: str, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """What each call gives in a process of its own. All have ended afterwards."""
    context: Any = multiprocessing.get_context(method)
    running = []
    try:
        for work, arguments in calls:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_in_process, args=(theirs, work, arguments))
            process.start()
            theirs.close()
            running.append((process, ours))
        return [_result(ours) for _, ours in running]
    finally:
        for process, _ in running:
            process.join(PATIENCE / 10)
            process.kill()
            process.join()


def _in_process(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(work(*arguments))


def _result(pipe: Any) -> Any:
    if not pipe.poll(PATIENCE):
        raise AssertionError(f"a process gave no answer within {PATIENCE:.0f} s")
    try:
        return pipe.recv()
    except EOFError:
        raise AssertionError("a process ended without an answer; its traceback stands above") from None


def _bytes_of(number: int) -> bytes:
    return b"racer %d\n" % number * 2_000


def _race(number: int, gate: Any, make: Make, write: str, names: Sequence[str]) -> list[str]:
    store = make()
    won = []
    for name in names:
        gate.wait(PATIENCE)
        if write == "create":
            if store.create(name, _bytes_of(number)):
                won.append(name)
            continue
        try:
            write_new(store, name, _bytes_of(number), parts=3)
        except StorageError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
        else:
            won.append(name)
    return won


def _write_or_read(number: int, gate: Any, make: Make, rounds: int) -> list[int]:
    """The first racer replaces an object; the others give the sizes of what was not one of its versions."""
    store = make()
    size = 500_000
    if not number:
        store.put("a", bytes(size))
    gate.wait(PATIENCE)
    torn = []
    for turn in range(rounds):
        if not number:
            store.put("a", bytes([turn]) * size)
        elif len(set(data := store.read("a"))) != 1 or len(data) != size:
            torn.append(len(data))
    return torn


def _answer(make: Make) -> list[bytes]:
    store = make()
    found = store.read("from/parent")
    store.put("from/child", found.upper())
    return [found]
