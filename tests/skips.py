"""Where nothing may go missing, a test that is skipped fails, unless `skips.toml` gives its reason.

MAPREDUCE_NO_SKIPS=1 asks for it, as `.ci/run` does. Elsewhere a test that can't run here is skipped, as ever.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "MAPREDUCE_NO_SKIPS"
REASONS = Path(__file__).with_name("skips.toml")


def allowed(reason: str) -> bool:
    """Whether a test may be skipped for this reason."""
    skips = tomllib.loads(REASONS.read_text())["skip"]
    return any(reason.startswith(skip["begins"]) for skip in skips)


def is_refused(report: Any) -> bool:
    """Whether a report is of something that must not be skipped."""
    if not report.skipped or hasattr(report, "wasxfail") or not os.environ.get(VARIABLE):
        return False
    return not allowed(reason_of(report))


def reason_of(report: Any) -> str:
    """Why something was skipped."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def _refuse(report: Any) -> None:
    if is_refused(report):
        reason = reason_of(report)
        report.outcome = "failed"
        report.longrepr = f"skipped, and tests/skips.toml does not say why that is right: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    _refuse(report)
    return report
