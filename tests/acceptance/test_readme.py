"""Every command and every snippet of the README and of the documentation, run in order in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """(kind, text) of every block: a Python file, or one command."""
    for kind, text in BLOCK.findall(page.read_text()):
        if kind == "python":
            yield kind, text
        else:
            yield from (("console", line[2:]) for line in text.splitlines() if line.startswith("$ "))


def shell(command: str, folder: Path) -> str:
    if "pip install" in command:
        # What the build needs is in this environment; nothing is fetched, and it stays as it is.
        command = f"{command} --no-deps --no-build-isolation --quiet --target {folder / 'site'}"
        folder = ROOT
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}
    words = ["bash", "-c", command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{command} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_readme_runs_from_top_to_bottom(own_folder: Path) -> None:
    output: dict[str, str] = {}
    for kind, text in steps(ROOT / "README.md"):
        if kind == "python":
            (own_folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
        else:
            output[text] = shell(text, own_folder)
    assert len(output) == len([1 for kind, _ in steps(ROOT / "README.md") if kind == "console"]) >= 7
    assert "/" in output["mapreduce show reports/page-hits --top 5 --chart"]
    assert "all as the manifest says" in output["mapreduce verify reports/page-hits"]
    assert "reduce" in output["mapreduce plan slow_hours.py"]
    assert (own_folder / "reports/by-hour.html").read_text().startswith("<!DOCTYPE html>")


def test_the_readme_shows_what_the_commands_print(own_folder: Path) -> None:
    """Under a command stands what it prints: the same lines, but for times, ids and widths."""
    page = (ROOT / "README.md").read_text()
    shown = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown, "the README shows no output"
    printed = ""
    for kind, text in steps(ROOT / "README.md"):
        if kind == "python":
            (own_folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
        elif "pip install" not in text:
            printed += shell(f"{text} 2>&1", own_folder)
    lines = {_steady(line) for line in printed.splitlines()}
    for block in shown:
        for line in block.splitlines():
            assert _steady(line) in lines, line


def _steady(line: str) -> str:
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d|\d{8}T\d{6}-[0-9a-f]{8}", "T", line)
    line = re.sub(r"\b\d[\d.,]* ?(s|%|MB/s|records/s|GB)\b|\d+ %", "N", line)
    return " ".join(line.split())


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / page).read_text()):
        assert (ROOT / "docs" / target).exists(), target
