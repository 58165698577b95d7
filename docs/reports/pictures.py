"""Takes the pictures of this folder anew: `PYTHONPATH=tests python docs/reports/pictures.py`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import samples
from playwright.sync_api import sync_playwright

from mapreduce.sinks.news import news_of
from mapreduce.sinks.report import render

FOLDER = Path(__file__).parent
PICTURES = (
    ("job-light", samples.good, "light", 1280, 1180),
    ("errors-dark", samples.troubled, "dark", 1280, 1080),
    ("failed-phone-dark", samples.failed, "dark", 375, 1200),
    ("set-light", samples.of_set, "light", 1280, 1060),
    ("set-phone-light", samples.of_set, "light", 375, 1200),
    ("100000-attempts-light", samples.many_attempts, "light", 1280, 1100),
)
"""Name, what it shows, scheme, width and height."""


def main() -> None:
    """Replace all of them."""
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, make, scheme, width, height in PICTURES:
            page = Path(folder) / "report.html"
            page.write_text(render(news_of(make(Path(folder) / name)).report, "html"))
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            shown = context.new_page()
            shown.set_default_timeout(300_000)
            shown.goto(page.as_uri())
            if name.startswith("100000"):
                shown.get_by_role("heading", name="Attempts by worker").evaluate("it => it.scrollIntoView()")
            shown.screenshot(path=FOLDER / f"{name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
