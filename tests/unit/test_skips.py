"""A test that is skipped fails where nothing may go missing, unless its reason is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import skips

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skipif(True, reason="root may read everything; so it goes")
def test_is_known():
    pass

@pytest.mark.skip(reason="nobody knows why")
def test_is_not_known():
    pass

def test_skips_itself():
    pytest.skip("nobody knows that either")

@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    assert False
"""


def outcome(folder: Path, variable: str) -> str:
    """The last line of pytest."""
    (folder / "test_it.py").write_text(TESTS)
    environment = os.environ | {skips.VARIABLE: variable, "PYTHONPATH": str(skips.REASONS.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "skips", "-p", "no:cacheprovider", "test_it.py"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.stdout.splitlines()[-1].rpartition(" in ")[0]


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("", "1 passed, 3 skipped, 1 xfailed"),
        ("1", "1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error"),
    ],
)
def test_a_skip_without_a_known_reason_fails_where_it_is_asked_for(
    tmp_path: Path, variable: str, told: str
) -> None:
    assert outcome(tmp_path, variable) == told
