"""The report of a run: what it says, that nothing in it is obeyed, and that it appears whole."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mapreduce import Job, JobResult, Records, ReportFile, Sum, Text, run
from mapreduce.errors import JobError, SinkError
from mapreduce.sinks.jobreport import report_of_job as describe
from mapreduce.sinks.markdown import markdown
from mapreduce.sinks.report import render

HOSTILE = "<script>alert('x')</script>\"&|`[a](b)*\x1b[31m\u202e"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """What a browser makes of a page: elements, their attributes, the text; and whether tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def word_count(words, **more) -> JobResult:
    """A result of counting."""

    def one(word, ctx):
        ctx.count("words <seen>")
        yield word, 1

    return run(Job("words", Records(words), one, Sum(), "out", **more), on="serial", overwrite=True)


@pytest.mark.parametrize("name", ["report.html", "report.htm", "REPORT.HTML", "report.md"])
def test_a_job_with_a_report(own_folder: Path, name):
    result = word_count(["a", "b", "a"], sinks=[ReportFile(f"reports/{name}")])
    assert [delivery.delivered for delivery in result.deliveries] == [True]
    text = (own_folder / "reports" / name).read_text()
    assert text.startswith("# words\n" if name.endswith("md") else "<!DOCTYPE html>")
    assert [path.name for path in (own_folder / "reports").iterdir()] == [name], "nothing unfinished stays"


def test_a_report_replaces_the_one_before_and_is_the_same_for_the_same_result(own_folder: Path):
    result = word_count(["a"])
    target = own_folder / "r.html"
    target.write_text("old")
    ReportFile(target).deliver(result, "key")
    first = target.read_bytes()
    ReportFile(target).deliver(JobResult.load(own_folder / "out"), "key")
    assert target.read_bytes() == first


@pytest.mark.parametrize("path", ["report.pdf", "report", "html", ".html"])
def test_an_unknown_suffix_is_refused(path):
    with pytest.raises(JobError, match=r"Use \.html or \.md\."):
        ReportFile(path)


@pytest.mark.parametrize(
    ("path", "name", "sink"),
    [
        ("out/report.html", None, "report.html"),
        ("täglich heute.md", None, "t-glich-heute.md"),
        ("_r.md", None, "r.md"),
        ("r.md", "daily", "daily"),
    ],
)
def test_the_sinks_name(path, name, sink):
    assert ReportFile(path, name).name == sink


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 101, "a b"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(JobError, match="name="):
        ReportFile("r.md", name)


def test_a_report_among_the_parts_is_refused(own_folder: Path):
    result = word_count(["a"])
    with pytest.raises(SinkError, match="Write the report beside it"):
        ReportFile("out/report.html").deliver(result, "key")
    assert not (own_folder / "out" / "report.html").exists()


def test_what_a_report_says():
    words = [f"word-{i:02d}" for i in range(30) for _ in range(i + 1)]
    result = word_count(words, shards=2)
    report = describe(result)
    sections = {section.title: section for section in report.sections}
    assert list(sections) == ["Largest values", "Run", "Counters", "Inputs", "Parts", "Versions"]
    top = sections["Largest values"]
    assert top.rows[0] == ["word-29", "30"]
    assert len(top.rows) == 20
    assert top.bars is not None
    assert (top.bars[0], top.bars[14]) == (1, 16 / 30)
    assert top.note == "20 of 30 records."
    assert dict(report.highlights)["records in"] == "465"
    assert sections["Counters"].rows == [("words <seen>", "465")]
    assert [row[0] for row in sections["Parts"].rows] == [part.name for part in result.parts]
    assert sections["Inputs"].rows == [("records in memory", "465 items")]
    assert "python" in dict(sections["Versions"].rows)
    assert report.footer.endswith(result.manifest.digest)


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_records_that_are_no_pairs_come_first_to_last_without_bars(form, own_folder: Path):
    job = Job("w", Records(range(25)), lambda n: [{"n": n, "text": f"row {n}"}], output="out")
    text = render(describe(run(job, on="serial")), form)
    assert "First records" in text
    assert "row 19" in text
    assert "row 20" not in text
    assert 'class="bar"' not in text


def test_long_texts_and_many_files_are_cut_short(own_folder: Path):
    for number in range(120):
        Path(f"{number:03d}.txt").write_text("x" * 400)
    job = Job("w", Text("*.txt"), lambda line: [(line, 1)], Sum(), "out")
    report = describe(run(job, on="serial"))
    sections = {section.title: section for section in report.sections}
    assert len(sections["Inputs"].rows) == 100
    assert sections["Inputs"].note == "20 more files, named in the manifest."
    assert sections["Largest values"].rows[0][0] == "x" * 299 + "…"


def test_the_page_is_well_formed_and_loads_nothing():
    page = Page(render(describe(word_count(["a", "b"])), "html"))
    assert page.open == []
    attributes = [(name, value or "") for name, value in page.attributes]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in attributes
    assert ("name", "viewport") in attributes
    assert not {"script", "link", "img", "iframe", "form", "a", "object", "base"} & set(page.tags)
    names = {name for name, _ in attributes}
    assert not {"src", "href", "action"} & names
    assert not any(name.startswith("on") for name in names)


def test_the_page_serves_light_and_dark_wide_and_narrow():
    text = render(describe(word_count(["a"])), "html")
    assert "prefers-color-scheme: dark" in text
    assert "@media (max-width: 560px)" in text
    assert "url(" not in text


def test_nothing_in_the_page_is_obeyed():
    result = word_count([HOSTILE, "fine"])
    text = render(describe(result), "html")
    page = Page(text)
    assert "script" not in page.tags
    assert any("<script>alert('x')</script>\"&|`[a](b)*\\x1b[31m\\u202e" in part for part in page.text)
    assert "words <seen>" in page.text
    assert all(line.isprintable() for line in text.splitlines())


def test_nothing_in_markdown_is_obeyed():
    text = markdown(describe(word_count([HOSTILE, "fine"])))
    row = next(line for line in text.splitlines() if "alert" in line)
    assert row == (
        "| &lt;script&gt;alert('x')&lt;/script&gt;\"&amp;\\|\\`\\[a\\](b)\\*\\\\x1b\\[31m\\\\u202e | 1 |"
    )
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, "every row has as many cells as the head"


def test_numbers_are_aligned_to_the_right():
    result = word_count(["a"])
    assert "| key | value |\n| --- | ---: |" in markdown(describe(result))
    assert '<td class="number">1</td>' in render(describe(result), "html")


def test_a_result_without_records():
    report = describe(word_count([]))
    assert "Largest values" not in [section.title for section in report.sections]
    assert Page(render(report, "html")).open == []
