"""Every command and every snippet of the README, run in order in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT, run_snippet, shell, snippets, steady_lines

README = ROOT / "README.md"


def test_the_readme_runs_from_top_to_bottom(own_folder: Path) -> None:
    output: dict[str, str] = {}
    for snippet in snippets(README):
        if snippet.file:
            (own_folder / snippet.file).write_text(snippet.code)
        for command in snippet.commands:
            output[command] = shell(command, own_folder)
    assert len(output) >= 7
    assert "/" in output["mapreduce show reports/page-hits --top 5 --chart"]
    assert "all as the manifest says" in output["mapreduce verify reports/page-hits"]
    assert "reduce" in output["mapreduce plan slow_hours.py"]
    assert (own_folder / "reports/by-hour.html").read_text().startswith("<!DOCTYPE html>")


def test_the_readme_shows_what_the_commands_print(own_folder: Path) -> None:
    """Under a command stands what it prints: the same lines, but for times, ids and widths."""
    shown = [snippet.shown for snippet in snippets(README) if snippet.shown]
    assert shown, "the README shows no output"
    printed = "".join(
        run_snippet(snippet, own_folder) for snippet in snippets(README) if "pip install" not in snippet.code
    )
    lines = set(steady_lines(printed))
    for block in shown:
        for line in steady_lines(block):
            assert line in lines, line


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / page).read_text()):
        assert (ROOT / "docs" / target).exists(), target
