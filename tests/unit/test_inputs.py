"""Finding the files of an input: paths, globs, directories, lists and URLs."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import fsspec
import pytest

from mapreduce import Job, Records, Sum, Text, run
from mapreduce.errors import InputError, InputMissing, JobError
from mapreduce.store import inputs


@pytest.fixture
def tree(own_folder: Path) -> Path:
    for name in (
        "b.log",
        "a.log",
        "B.log",
        "c.txt",
        "_hidden.log",
        ".dot.log",
        "é.log",
        "sub/d.log",
        "_sub/e.log",
    ):
        path = own_folder / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return own_folder / "logs"


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["logs/a.log"], ["a.log"]),
        (["logs/*.log"], ["B.log", "a.log", "b.log", "é.log"]),
        (["logs/?.txt", "logs/[ab].log"], ["c.txt", "a.log", "b.log"]),
        (["logs"], ["B.log", "a.log", "b.log", "c.txt", "sub/d.log", "é.log"]),
        (["logs/**/*.log"], ["B.log", "a.log", "b.log", "sub/d.log", "é.log"]),
        (["logs/s*"], ["sub/d.log"]),
        (["logs/b.log", "logs/a.log"], ["b.log", "a.log"]),
        (["logs/_hidden.log"], ["_hidden.log"]),
        (["logs/*.nothing"], []),
    ],
)
def test_order_is_list_order_then_bytewise(tree: Path, paths: list[str], found: list[str]) -> None:
    assert inputs.expand(paths) == [f"logs/{name}" for name in found]


@pytest.mark.covers("D11", "names of every kind as input")
@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "a*b",
        "q?",
        "[x]",
        "#hash",
        "100%",
        "new\nline",
        "-dash",
        "ünï",
        "x" * 255,
        "C:",
        b"\xff\xfe".decode("utf-8", "surrogateescape"),
    ],
)
def test_a_file_that_exists_is_meant_by_its_name_whatever_it_is(own_folder: Path, name: str) -> None:
    Path(name).write_text("one\n")
    result = run(Job("names", name, lambda line: [(line, 1)], Sum()), on="serial")
    assert list(result) == [("one", 1)]
    assert [file.uri for file in result.manifest.inputs] == [name]


def test_a_missing_path_is_an_error_and_a_missing_match_is_none(own_folder: Path) -> None:
    with pytest.raises(InputMissing, match=r"no file 'gone\.log'"):
        inputs.expand(["gone.log"])
    assert inputs.expand(["gone*.log"]) == []


def test_pathlib_paths_and_file_urls(tree: Path) -> None:
    by_url = Text(f"file://{tree}/a.log").files()
    assert by_url == Text(tree / "a.log").files()


def test_a_url_is_split_and_read_by_worker_processes(own_folder: Path) -> None:
    lines = [f"w{n % 7} {n}" for n in range(5_000)]
    with zipfile.ZipFile("packed.zip", "w") as archive:
        archive.writestr("in.log", "".join(line + "\n" for line in lines))
    assert inputs.expand(["zip://*.log::packed.zip"]) == ["zip://in.log::packed.zip"]
    url = f"zip://in.log::{own_folder}/packed.zip"
    source = Text(url, split_size="10KB")
    result = run(Job("url", source, lambda line: [(line.split()[0], 1)], Sum()), workers=2)
    assert dict(result) == {f"w{n}": len(range(n, 5_000, 7)) for n in range(7)}
    assert result.manifest.tasks["map"] > 1


def test_globs_and_directories_of_a_url() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("b.log", "a.log", "_x.log", "sub/c.log"):
        memory.pipe_file(f"/bucket/{name}", b"line\n")
    assert inputs.expand(["memory://bucket/*.log"]) == ["memory:///bucket/a.log", "memory:///bucket/b.log"]
    assert [p.rsplit("/", 1)[1] for p in inputs.expand(["memory://bucket"])] == ["a.log", "b.log", "c.log"]
    assert dict(
        run(Job("memory", "memory://bucket/*.log", lambda line: [(line, 1)], Sum()), on="serial")
    ) == {"line": 2}
    with pytest.raises(InputMissing):
        Text("memory://bucket/gone.log").files()


def test_an_unknown_scheme_says_so() -> None:
    with pytest.raises(InputError, match="nothing://x can't be opened"):
        Text("nothing://x").files()


@pytest.mark.covers("D10", "a loop of links")
def test_links_to_directories_are_followed_and_are_no_trap(own_folder: Path) -> None:
    Path("logs/2025").mkdir(parents=True)
    Path("elsewhere").mkdir()
    Path("elsewhere/a.log").write_text("a\n")
    os.symlink("../elsewhere", "logs/2024")
    os.symlink("..", "logs/2025/up")
    assert inputs.expand(["logs"]) == ["logs/2024/a.log"]


def test_stars_before_a_name_find_directories_too(tree: Path) -> None:
    assert inputs.expand(["logs/**/s*"]) == ["logs/sub/d.log"]


@pytest.mark.parametrize("path", ["results", "results/**", "results/a/*", "results/a", "results/*/*.jsonl"])
def test_parts_that_no_manifest_names_are_not_read(own_folder: Path, path: str) -> None:
    result = run(Job("made", Records(["x"]), lambda line: [(line, 1)], Sum(), "results/a"), on="serial")
    stray = result.parts[0].name.replace("part-00000", "part-00001")
    Path("results/a", stray).write_text("garbage\n")
    Path("results/killed").mkdir()
    Path("results/killed", stray).write_text("garbage\n")
    assert inputs.expand([path]) == [f"results/a/{result.parts[0].name}"]


def test_input_in_the_output_is_refused(tree: Path) -> None:
    job = Job("within", "logs/**", lambda line: [(line, 1)], Sum(), "logs/sub/out")
    run(job, on="serial")
    with pytest.raises(JobError, match="lies in the output"):
        run(job, on="serial", overwrite=True)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="://…@host/x has a password") as caught:
        inputs.expand(["https://user:s3cret@host/x"])
    assert "s3cret" not in str(caught.value)
