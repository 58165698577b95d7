"""Every snippet of the pages in docs/, run in order in one folder: it prints what stands under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT, run_snippet, snippets, steady_lines

PAGES = [
    "functions",
    "datasets",
    "aggregates",
    "ordering",
    "joins",
    "errors",
    "failures",
    "memory",
    "stores",
    "jobsets",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_its_snippets_print(page: str, own_folder: Path) -> None:
    for snippet in snippets(ROOT / "docs" / f"{page}.md"):
        printed = run_snippet(snippet, own_folder)
        if snippet.shown is not None:
            assert steady_lines(printed) == steady_lines(snippet.shown)


@pytest.mark.parametrize("page", PAGES)
def test_the_readme_leads_to_a_page(page: str) -> None:
    assert re.search(rf"\]\(docs/{page}\.md\)", (ROOT / "README.md").read_text())
