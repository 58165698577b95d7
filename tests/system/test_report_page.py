"""The report's page in a browser: nothing in it runs or is fetched, it fits, and everybody can read it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import samples

from mapreduce.model import ErrorGroup
from mapreduce.sinks.news import Alert, news_of, news_of_alert
from mapreduce.sinks.report import Report, render

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

WIDTHS = (375, 1600)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def report(name: str, folder: Path) -> Report:
    if name == "alert":
        error = ErrorGroup("UserFunctionError", "map `f` failed: ValueError.", 3, "Mend it.", 'File "a.py"')
        return news_of_alert(Alert("hits", "run-1", "nightly", error, "2026-11-26T21:04:00Z")).report
    made = {
        "good": lambda: samples.good(folder),
        "no attempts": lambda: samples.many_attempts(folder, 0),
        "3 attempts": lambda: samples.many_attempts(folder, 3),
        "100,000 attempts": lambda: samples.many_attempts(folder),
        "troubled": lambda: samples.troubled(folder),
        "failed": lambda: samples.failed(folder),
        "hostile": lambda: samples.hostile(folder),
        "set": lambda: samples.of_set(folder, 40, 1),
    }[name]()
    return news_of(made).report


class Opened:
    """A page as somebody opens it who got it by mail, and what it tried to do."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str, *, policy: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=not policy
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.ran: list[str] = []
        self.asked: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def _dialog(self, dialog: Any) -> None:
        self.ran.append(dialog.message)
        dialog.dismiss()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def violations(self) -> list[str]:
        """Rules of accessible pages that it breaks, and where."""
        from axe_core_python.sync_playwright import Axe

        found = Axe().run(self.page)["violations"]
        return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"][:3]]


def written(folder: Path, text: str) -> Path:
    path = folder / "report.html"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "good",
        "no attempts",
        "3 attempts",
        "100,000 attempts",
        "troubled",
        "failed",
        "set",
        "alert",
    ],
)
def test_the_page_fits_is_accessible_and_asks_for_nothing(browser: Any, own_folder: Path, name: str) -> None:
    path = written(own_folder, render(report(name, own_folder / "out"), "html"))
    for scheme, width in zip(SCHEMES, WIDTHS, strict=True):
        with Opened(browser, path, width, scheme, policy=False) as opened:
            assert opened.overflow() <= 0, (scheme, width)
            assert opened.violations() == [], (scheme, width)
            assert opened.asked == [path.as_uri()]
            assert opened.ran == []


@pytest.mark.covers("Q9", "a headless Chromium opens a page of hostile texts, with its policy and without it")
@pytest.mark.parametrize("policy", [True, False])
def test_nothing_in_a_hostile_page_runs_or_overflows(browser: Any, own_folder: Path, policy: bool) -> None:
    path = written(own_folder, render(report("hostile", own_folder / "out"), "html"))
    for width in WIDTHS:
        with Opened(browser, path, width, "light", policy=policy) as opened:
            assert opened.page.locator("script, img, iframe, object, a").count() == 0
            assert opened.page.locator("[onerror], [onload], [href], [src]").count() == 0
            assert opened.overflow() <= 0
            assert opened.asked == [path.as_uri()]
            assert opened.ran == []
            seen = opened.page.locator("main").inner_text()
            assert samples.HOSTILE[0] in seen
            assert "\u202e" not in seen


def test_what_would_run_is_noticed(browser: Any, own_folder: Path) -> None:
    """The test above can fail: an attack that is not escaped runs, unless the page's policy forbids it."""
    text = render(report("alert", own_folder), "html").replace("<h1>", "<h1><img src=x onerror=alert(1)>")
    path = written(own_folder, text)
    with Opened(browser, path, 1600, "light", policy=False) as opened:
        assert opened.ran == ["1"]
    with Opened(browser, path, 1600, "light") as opened:
        assert opened.ran == []


def test_a_folded_list_opens_without_a_script(browser: Any, own_folder: Path) -> None:
    path = written(own_folder, render(report("good", own_folder / "out"), "html"))
    with Opened(browser, path, 375, "dark") as opened:
        row = opened.page.get_by_text("logs/access-2026-11-01.log.gz")
        assert not row.is_visible()
        opened.page.locator("summary", has_text="Inputs").click()
        assert row.is_visible()


def test_dark_and_light_and_paper_differ(browser: Any, own_folder: Path) -> None:
    path = written(own_folder, render(report("good", own_folder / "out"), "html"))
    colour = "getComputedStyle(document.querySelector('section')).backgroundColor"
    with Opened(browser, path, 1600, "dark") as opened:
        assert opened.page.evaluate(colour) == "rgb(26, 32, 42)"
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.evaluate(colour) == "rgb(255, 255, 255)"
