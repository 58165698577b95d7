"""The snippets of a page, and what running them prints: for the README and the pages in docs/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRESS = re.compile(r"\d\d:\d\d:\d\d (map|shuffle|reduce): ")
_NAME = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Snippet:
    """A block of code: a file to write, commands to run, and the text that stands under it, if any."""

    file: str
    """The name of a Python file; "" for a block of commands."""
    code: str
    commands: tuple[str, ...]
    shown: str | None


def snippets(page: Path) -> Iterator[Snippet]:
    """The snippets in order. A Python file with a text under it is run by `python`."""
    blocks = _BLOCK.findall(page.read_text())
    for (kind, code), following in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "text":
            continue
        shown = following[1] if following[0] == "text" else None
        if kind == "console":
            lines = (line for line in code.splitlines() if line.startswith("$ "))
            yield Snippet("", code, tuple(line[2:] for line in lines), shown)
        else:
            named = _NAME.match(code)
            assert named, f"{page.name}: a Python block begins with '# name.py', not with {code[:40]!r}"
            yield Snippet(named[1], code, (f"python {named[1]}",) if shown is not None else (), shown)


def shell(command: str, folder: Path, *, fails: bool = False) -> str:
    """What a command prints on standard output; it must succeed, or fail where that is what is shown."""
    if "pip install" in command:
        # What the build needs is in this environment; nothing is fetched, and it stays as it is.
        command = f"{command} --no-deps --no-build-isolation --quiet --target {folder / 'site'}"
        folder = ROOT
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}
    words = ["bash", "-c", command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode != 0) == fails, (
        f"{command} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def run_snippet(snippet: Snippet, folder: Path) -> str:
    """Write the file, run the commands; what they print, standard error included."""
    if snippet.file:
        (folder / snippet.file).write_text(snippet.code)
    fails = snippet.shown is not None and re.search(r"^error: ", snippet.shown, re.MULTILINE) is not None
    printed = [
        shell(f"{command} 2>&1", folder, fails=fails and number == len(snippet.commands))
        for number, command in enumerate(snippet.commands, 1)
    ]
    return "".join(printed).replace(f"{folder}/", "")


def steady_lines(text: str) -> list[str]:
    """The lines, steady, without those of a run's progress: how many there are is a matter of time."""
    return [steady(line) for line in text.splitlines() if not _PROGRESS.match(line)]


def steady(line: str) -> str:
    """A line without what differs from run to run: times, ids, rates, widths."""
    line = re.sub(
        r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\+00:00)?|\d\d:\d\d:\d\d|\d{8}T\d{6}-[0-9a-f]{8}(-[0-9a-f]{8})?",
        "T",
        line,
    )
    line = re.sub(r"\b\d[\d.,]* ?(s|%|MB/s|records/s|GB)\b|\d+ %", "N", line)
    line = re.sub(r"takes about \d+ MB, where \d+ MB are", "takes N", line)
    line = re.sub(r" \((plan|map|reduce) N[^)]*\)", "", line)  # a phase is told if it took 0.05 s
    line = re.sub(r"\bprocess \d+|\bafter [\d,]+ good bytes", "N", line)  # of gzip there are several
    line = re.sub(r"(slowest task +)(map|reduce) \d+", r"\1T", line)
    return " ".join(line.split())
