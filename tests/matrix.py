"""The fault matrix: which test covers which row, by which injection.

    python tests/matrix.py

A test says so itself: `@pytest.mark.covers("K1", "what is injected")`. Exit code 1 if a row of the
groups below has no test.
"""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

GROUPS = {
    "U": range(1, 24),
    "K": range(1, 14),
    "D": range(1, 14),
    "W": range(1, 11),
    "C": range(1, 11),
    "Q": (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 15, 16),
    "X": range(1, 8),
    "S": (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13),
}
"""Rows that need a test. U functions, K keys and values, D inputs, W workers, C coordinator, Q security,
S storage, X sinks."""
ROOT = Path(__file__).resolve().parents[1]

Row = tuple[str, str, str]
"""Row, test, injection."""


class Collector:
    """A pytest plugin that notes the marks of the tests it collects."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            name = item.nodeid.partition("[")[0]
            for mark in item.iter_markers("covers"):
                row, injection = mark.args
                if (row, name, injection) not in self.rows:
                    self.rows.append((row, name, injection))


def collected() -> list[Row]:
    """All marks, by group and number. Raises RuntimeError if the tests can't be collected."""
    collector = Collector()
    with redirect_stdout(io.StringIO()) as told:
        code = pytest.main(
            ["--collect-only", "-p", "no:cacheprovider", str(ROOT / "tests")], plugins=[collector]
        )
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest could not collect the tests:\n{told.getvalue()[-2_000:]}")
    return sorted(collector.rows, key=lambda row: (row[0][0], int(row[0][1:]), row[1:]))


def missing(rows: list[Row]) -> list[str]:
    """Rows of the groups that no test covers."""
    covered = {row for row, _, _ in rows}
    wanted = [f"{group}{number}" for group, numbers in GROUPS.items() for number in numbers]
    return [row for row in wanted if row not in covered]


def main() -> int:
    """Print the table; 1 if a row has no test."""
    rows = collected()
    width = max(len(test) for _, test, _ in rows)
    for row, test, injection in rows:
        print(f"{row:<4} {test:<{width}}  {injection}")
    without = missing(rows)
    print(f"\n{len({row for row, _, _ in rows})} rows, {len({test for _, test, _ in rows})} tests", end="")
    print(
        f"; without a test: {', '.join(without)}"
        if without
        else f"; every row of {', '.join(GROUPS)} that needs one has it"
    )
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
