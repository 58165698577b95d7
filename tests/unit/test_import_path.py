"""Jobs by import path: which target is one, what is sent, whether a host has the same job, what is signed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Records, Sum, origins, params, run
from mapreduce.cli.jobfile import import_path, load_job
from mapreduce.codec import from_plain, pack, seal, unpack, unseal
from mapreduce.errors import JobChanged, JobError, SerializationError, SignatureError, WorkDamaged
from mapreduce.hosts import messages
from mapreduce.hosts.agent import Agent, Identity
from mapreduce.hosts.jobs import Cluster, Form, Spec, version_difference
from mapreduce.importpath import Deployed, ImportPath, deployed, load_deployed
from mapreduce.place import place_of
from mapreduce.plan import make_plan
from mapreduce.store import layout
from mapreduce.testing import MemoryStore

KEY = b"k" * 32
RUN = "20260101T000000-00000000"
WORDS = """
from mapreduce import Job, Quarantine, Records, Sum, params

def words(line):
    for word in line.split():
        yield word, FACTOR

FACTOR = 1
day = params.get("DAY", "none")
job = Job("words", Records(["a b a"]), words, Sum(), "out")
other = Job("other", "in.txt", words, Sum(), "out")
"""

Write = Callable[..., None]


@pytest.fixture
def module(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes shop/words.py anew, as if it had never been imported: in the current folder, or in another."""

    def write(text: str = WORDS, folder: str = ".") -> None:
        package = own_folder / folder / "shop"
        package.mkdir(parents=True, exist_ok=True)
        (package / "words.py").write_text(text)
        for name in ("shop", "shop.words"):
            sys.modules.pop(name, None)
        monkeypatch.syspath_prepend(str(package.parent))

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(origins, "_users", set[str]())
    yield write
    params.clear()
    for name in ("shop", "shop.words"):
        sys.modules.pop(name, None)


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("target", "module", "name"),
    [
        ("shop.words", "shop.words", ""),
        ("shop.words:job", "shop.words", "job"),
        ("a.b.c:job", "a.b.c", "job"),
        ("words:job", "words", "job"),
    ],
)
def test_a_target_that_is_a_module(own_folder: Path, target: str, module: str, name: str) -> None:
    found = import_path(target, settings=["DAY=1=2"], source=["a", "b"], output="o", shards=3)
    assert found == ImportPath(module, name, {"DAY": "1=2"}, ("a", "b"), "o", 3)
    assert str(found) == target


@pytest.mark.parametrize(
    "target",
    [
        "job.py",
        "job.py:job",
        "gone.py",
        "gone.py:job",
        "words",
        "in.txt",
        "in.txt:job",
        "x/y.z:job",
        ".",
        "a b",
    ],
)
def test_a_target_that_is_a_file(own_folder: Path, target: str) -> None:
    (own_folder / "in.txt").touch()
    assert import_path(target) is None


@pytest.mark.parametrize("target", ["shop.words:", "shop.words:a.b", "shop.words:1", "words:a:b"])
def test_a_target_whose_job_has_no_name(own_folder: Path, target: str) -> None:
    with pytest.raises(JobError, match="is no name of a job"):
        import_path(target)


@pytest.mark.parametrize(
    "text", ["", ":job", "shop.words:", "shop..words", "shop/words.py:job", "a:b:c", "a:b.c"]
)
def test_what_is_no_import_path(text: str) -> None:
    with pytest.raises(JobError, match="is no import path"):
        ImportPath.of(text)


def test_a_module_is_imported_from_the_current_folder_and_changed(module: Write) -> None:
    module()
    sys.path.remove(os.getcwd())
    job = load_job("shop.words:other", settings=["DAY=7"], source=["x", "y"], output="there", shards=3)
    assert (job.name, job.source, job.output, job.shards) == ("other", ["x", "y"], "there", 3)
    assert sys.modules["shop.words"].day == "7", "params were filled before"


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (
            WORDS,
            "shop.gone",
            "There is no module shop.gone: No module named 'shop.gone'. Install it, or put it on",
        ),
        (
            WORDS,
            "shop.words:x",
            "shop.words has no job called 'x'. Say which: shop.words:job, shop.words:other.",
        ),
        (
            "import no_such",
            "shop.words",
            "The job module shop.words failed while it was loaded: ModuleNotFoundError",
        ),
        (
            "import sys; sys.exit(3)",
            "shop.words",
            "The job module shop.words failed while it was loaded: SystemExit",
        ),
        ("params['x']", "shop.words", "NameError"),
        ("from mapreduce import params\nparams['x']", "shop.words", "The job asks for params['x']"),
    ],
)
def test_a_module_that_can_not_be_used(module: Write, text: str, target: str, message: str) -> None:
    module(text)
    with pytest.raises(JobError) as caught:
        load_job(target)
    assert message in str(caught.value)
    if "while it was loaded" in message:
        assert caught.value.details.count("File") == 1, "no frame but the module's"


# ---------------------------------------------------------------- what is sent


@pytest.mark.covers("Q2", "a payload by import path is plain JSON")
def test_a_payload_is_json_and_says_it_all() -> None:
    path = ImportPath("shop.words", "job", {"b": "\udcff", "a": "1=2"}, ("in-*", "ä"), "out", 7)
    assert ImportPath.from_payload(path.payload()) == path
    assert path.payload() == replace(path, settings={"a": "1=2", "b": "\udcff"}).payload()
    assert list(json.loads(path.payload())) == ["job", "module", "output", "settings", "shards", "source"]
    assert ImportPath.from_payload(ImportPath("a").payload()) == ImportPath("a")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"module": "os.system(1)"}', b'{"module": 1}', b"\x80\x05."]
)
def test_a_payload_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises((JobError, ValueError, TypeError)):
        ImportPath.from_payload(data)


def test_params_are_sent_along(module: Write) -> None:
    module()
    params["DAY"] = "7"
    path = ImportPath.of("shop.words:job")
    params.clear()
    path.load()
    assert sys.modules["shop.words"].day == "7"


# ---------------------------------------------------------------- whether it is the same job


def as_deployed(module: Write, text: str = WORDS, folder: str = ".") -> Deployed:
    """What a coordinator sends that has this module."""
    module(text, folder)
    return deployed("shop.words:job", ImportPath.of("shop.words:job").load())


def on_a_host(sent: Deployed) -> Job:
    return load_deployed(sent.path.payload(), sent.functions, sent.settings)


CHANGES = {
    "function": ("for word in line.split()", "for word in line", "map `words` has changed"),
    "global": ("FACTOR = 1", "FACTOR = 2", "map `words` has changed"),
    "reduce": ("Sum()", "Sum(of=0)", "reduce `Sum` has changed"),
    "name": ('Job("words"', 'Job("Words"', "name: words → Words"),
    "records": ('["a b a"]', '["a b"]', "source has changed"),
    "shards": ('"out")', '"out", shards=2)', "shards: 'auto' → 2"),
    "on_error": ('"out")', '"out", on_error=Quarantine())', "on_error: 'fail' → Quarantine(max_records=1000"),
}


@pytest.mark.covers("U11", "a module of which a host has another version")
@pytest.mark.parametrize(("old", "new", "told"), CHANGES.values(), ids=CHANGES)
def test_a_host_that_has_another_job_says_what_differs(module: Write, old: str, new: str, told: str) -> None:
    sent = as_deployed(module)
    assert on_a_host(sent).name == "words"
    module(WORDS.replace(old, new, 1))
    with pytest.raises(JobChanged) as caught:
        on_a_host(sent)
    host = os.uname().nodename
    assert f"shop.words:job on {host} is not the job that was planned: " in caught.value.message
    assert told in caught.value.message
    assert "Deploy the same code there, or send it by value" in caught.value.hint


def test_where_the_data_lies_may_differ(module: Write) -> None:
    sent = as_deployed(module, WORDS.replace('"words", Records(["a b a"])', '"words", "in-1.txt"'))
    module(
        WORDS.replace(
            '"words", Records(["a b a"]), words, Sum(), "out"', '"words", "in-2", words, Sum(), "o"'
        )
    )
    assert on_a_host(sent).source == "in-2"


@pytest.mark.covers("U11", "a module that a host lacks")
def test_a_host_that_has_no_such_module_says_so(module: Write) -> None:
    sent = as_deployed(module)
    Path("shop/words.py").unlink()
    sys.modules.pop("shop.words")
    with pytest.raises(SerializationError) as caught:
        on_a_host(sent)
    where = f"shop.words:job can't be imported on {os.uname().nodename}. There is no module shop.words"
    assert caught.value.message.startswith(where)
    assert "Deploy the same code there" in caught.value.hint


def test_an_installed_package_of_another_version_is_another_job(module: Write) -> None:
    sent = as_deployed(module, folder="site-packages")
    assert on_a_host(sent).name == "words"
    module(WORDS.replace("line.split()", "line"), folder="site-packages")
    with pytest.raises(JobChanged, match="map `words` has changed"):
        on_a_host(sent)


def test_it_does_not_matter_where_a_host_has_the_same_package(module: Write) -> None:
    sent = as_deployed(module)
    Path("shop/words.py").unlink()
    Path("shop").rmdir()
    module(folder="site-packages")
    assert on_a_host(sent).name == "words"


# ---------------------------------------------------------------- in Python


def test_another_job_than_that_of_its_path_is_refused(module: Write) -> None:
    module()
    job = ImportPath.of("shop.words:job").load()
    deployed("shop.words:job", replace(job, output="elsewhere", max_attempts=1))
    for other, told in [
        (replace(job, shards=2), "shards: 2 → 'auto'"),
        (replace(job, map=len), "map `words`"),
    ]:
        with pytest.raises(JobError) as caught:
            run(other, on="./store", import_path="shop.words:job")
        assert f"shop.words:job is not the job that run() got: {told}" in caught.value.message


def test_what_can_not_go_with_an_import_path_is_refused(own_folder: Path) -> None:
    job = Job("words", Records(["a"]), lambda line: [(line, 1)], Sum(), "out")
    with pytest.raises(JobError, match="import_path is for a store"):
        run(job, import_path="shop.words:job")
    with pytest.raises(JobError, match="replay= can't be given with import_path"):
        run(job, on="./store", import_path="shop.words:job", replay="out")
    with pytest.raises(JobError, match="import_path=7"):
        run(job, on="./store", import_path=7)  # type: ignore[arg-type]
    with pytest.raises(JobError, match="There is no module shop"):
        run(job, on="./store", import_path="shop.words:job")


# ---------------------------------------------------------------- what is signed


@pytest.fixture
def cluster(own_folder: Path) -> Cluster:
    (own_folder / "store").mkdir(mode=0o700)
    return Cluster(str(own_folder / "store"), KEY)


@pytest.fixture
def sent(module: Write, cluster: Cluster) -> Deployed:
    """What was laid down there."""
    found = as_deployed(module)
    cluster.submit(make_plan(found.path.load(), RUN), Path("out").resolve(), found)
    return found


def test_a_run_by_import_path_is_laid_down_without_a_pickle(cluster: Cluster, sent: Deployed) -> None:
    spec = cluster.spec(RUN)
    assert spec.form is Form.IMPORT
    assert (spec.functions, spec.settings) == (sent.functions, sent.settings)
    assert cluster.payload(spec) == sent.path.payload()


@pytest.mark.covers("Q2", "a payload by import path that is passed off as a pickle, and the reverse")
def test_a_form_that_was_swapped_is_not_signed(cluster: Cluster, sent: Deployed) -> None:
    job, other = sent.path.load(), RUN.replace("2026", "2027")
    cluster.submit(make_plan(job, other), Path("out"), job)
    for run_id, form in ((RUN, "pickle"), (other, "import")):
        store = cluster.of_run(run_id)
        plain = unseal(store.read(layout.SPEC))
        assert cluster.spec(run_id)
        store.put(layout.SPEC, seal(from_plain(Spec, {**plain, "form": form})))
        with pytest.raises(SignatureError, match="not signed with the key"):
            cluster.spec(run_id)


@pytest.mark.covers("Q2", "each byte of a payload by import path, and of its spec, is flipped")
def test_no_byte_of_a_run_by_import_path_can_be_changed(cluster: Cluster, sent: Deployed) -> None:
    store, spec = cluster.of_run(RUN), cluster.spec(RUN)
    payload = cluster.payload(spec)
    for place in range(len(payload)):
        store.put(layout.CODE, payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :])
        with pytest.raises(SignatureError):
            cluster.payload(spec)
    content = pack(spec)
    for place in range(len(content)):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            record = seal(unpack(flipped))
        except Exception:  # noqa: BLE001 - no MessagePack at all
            continue
        store.put(layout.SPEC, record)
        with suppress(SignatureError, WorkDamaged):  # a field that is missing is its default
            assert cluster.spec(RUN) == spec


@pytest.mark.parametrize("begun", ["by value", "by import path", "by another import path"])
def test_a_run_goes_on_only_as_it_was_begun(module: Write, cluster: Cluster, begun: str) -> None:
    found = as_deployed(module)
    job = found.path.load()
    plan, place = make_plan(job, RUN), place_of(job, RUN)
    other = replace(found, path=replace(found.path, job="", settings={"DAY": "1"}))
    ways: dict[str, Any] = {"by value": job, "by import path": found, "by another import path": other}
    cluster.submit(plan, place.output, ways[begun])
    now = None if begun == "by import path" else found
    with pytest.raises(JobChanged, match=f"to .*out {begun}"):
        cluster.find(plan, place, None, None, now)
    same = ways[begun] if begun != "by value" else None
    assert cluster.find(plan, place, None, None, same) == plan


# ---------------------------------------------------------------- who is told


@pytest.mark.covers("W9", "a host that can't load the job says so among its versions")
def test_a_host_that_can_not_take_part_says_why() -> None:
    store = MemoryStore()

    class Nothing:
        workers = 2

        def memory(self) -> dict[int, int]:
            return {}

    Agent(store, Identity("host-1", "vm:1", {"python": "3.11"}), Nothing()).refuse("it lacks shop")  # type: ignore[arg-type]
    ((_, report),) = messages.newest_reports(store).values()
    assert (report.slots, report.ended, report.going) == (0, (), ())
    assert version_difference({"python": "3.11"}, report.versions) == "it lacks shop"
