"""The report of a run: what it says, that nothing in it is obeyed, and that it appears whole."""

import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import samples

from mapreduce import Job, JobResult, Records, ReportFile, Sum, Text, run
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.model import AttemptRecord, ErrorGroup, Part, SetManifest, Status
from mapreduce.sinks.jobreport import report_of_job as describe
from mapreduce.sinks.markdown import markdown
from mapreduce.sinks.news import Alert, news_of, news_of_alert
from mapreduce.sinks.report import Report, Section, inert, render
from mapreduce.sinks.timeline import timeline

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
    with pytest.raises(JobError, match=r"Use \.html, \.md or \.json\."):
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
    expected = ["Largest values", "Run", "Slowest attempts", "Counters", "Inputs", "Parts", "Versions"]
    assert [title for title in sections if title != "Attempts by worker"] == expected
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
    leading = re.split("<section>|^## ", text.partition("First records")[2], flags=re.MULTILINE)[0]
    assert "row 19" in leading
    assert 'class="chart"' not in leading


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
    (policy,) = (value for name, value in attributes if name == "content" and "-src" in value)
    assert policy.split("; ")[:2] == ["default-src 'none'", "style-src 'unsafe-inline'"]
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


# ---------------------------------------------------------------- what went wrong


def titles(report: Report) -> list[str]:
    return [section.title for section in report.sections]


def text_of(html: str) -> str:
    return " ".join(" ".join(Page(html).text).split())


@pytest.mark.covers("X6", "reports of a failed and of a cancelled run")
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("form", ["html", "markdown"])
def test_of_a_run_without_a_result_comes_first_what_went_wrong(own_folder: Path, status, form):
    result = samples.failed(own_folder / "out", status)
    report = news_of(result).report
    assert titles(report)[0] == "What went wrong"
    assert "Largest values" not in titles(report)
    assert "Parts" not in titles(report)
    text = render(report, form)
    assert status in text
    assert "SUCCEEDED" not in text
    assert result.manifest.failure is not None
    assert text.index("What went wrong") < text.index("1,204,112 in")
    assert result.manifest.failure.hint.rstrip(".") in text


def test_the_users_own_traceback_is_shown_as_it_is(own_folder: Path):
    report = news_of(samples.failed(own_folder / "out")).report
    shown = Page(render(report, "html"))
    assert shown.open == []
    assert shown.tags.count("pre") == 1
    code = next(text for text in shown.text if 'File "/srv/jobs/page_hits.py", line 14, in hits' in text)
    assert code.startswith('  record: 10.0.0.7 - - "GET GET')
    assert "\n             ^^^^" in code
    assert "```text\n  record: 10.0.0.7" in markdown(report)


def test_a_kind_of_error_brings_its_own_advice(own_folder: Path):
    made = samples.committed(own_folder / "out")
    lost = AttemptRecord("map 1", 1, 0, "lost", 1.0, "Worker 0 was killed.", "WorkerKilled", "killed", 1.0)
    odd = AttemptRecord("map 2", 1, 0, "failed", 1.0, "It broke.", "NeverHeardOf", "broke", 1.0)
    report = describe(JobResult(made.place, replace(made.manifest, attempts=(lost, odd))))
    rows = {row[1]: row for row in report.sections[1].rows}
    assert report.sections[1].title == "What went wrong on the way"
    assert rows["WorkerKilled"][3].startswith("Find out who did it.")
    assert rows["NeverHeardOf"][3] == ""


def test_a_fence_can_not_be_closed_from_within():
    group = ErrorGroup("E", "m\n````\n# head\n```", details="```")
    text = markdown(news_of_alert(Alert("j", "r", "", group, "2026")).report)
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("`````")] == ["`````text", "`````"]


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_an_alert_says_what_failed_and_what_to_do(form):
    error = ErrorGroup("UserFunctionError", "map `f` failed: ValueError", 3, "Mend it.", 'File "a.py"')
    news = news_of_alert(Alert("hits", "run-1", "nightly", error, "2026-11-26T21:04:00Z"))
    text = render(news.report, form)
    for expected in ("nightly: hits", "RUNNING", "run-1", "Failed, while the run goes on", "ValueError"):
        assert expected in text
    assert "Mend it." in text
    assert 'File "a.py"' in (text_of(text) if form == "html" else text)
    assert "the engine" not in text


# ---------------------------------------------------------------- sets


def test_the_report_of_a_set(own_folder: Path):
    result = samples.of_set(own_folder / "set")
    report = news_of(result).report
    assert titles(report) == ["What went wrong", "Jobs without a result", "Jobs", "Run", "Versions"]
    assert dict(report.counts) == {"SUCCEEDED": 196, "COMPLETED_WITH_ERRORS": 1, "FAILED": 3, "CANCELLED": 1}
    without = report.sections[1]
    assert [row[:2] for row in without.rows] == [
        ("shop-017", "FAILED"),
        ("shop-060", "FAILED"),
        ("shop-103", "FAILED"),
        ("all-shops", "CANCELLED"),
    ]
    assert without.rows[0][2] == "logs/shop-017/access.log.gz ends in the middle of its data."
    assert without.rows[3][2] == "it reads shop-017, shop-060, shop-103, without a result"
    jobs = report.sections[2]
    assert [row[1] for row in jobs.rows[:6]] == [
        *["FAILED"] * 3,
        "CANCELLED",
        "COMPLETED_WITH_ERRORS",
        "SUCCEEDED",
    ]
    assert len(jobs.rows) == 200
    assert jobs.note == "1 more job, named in the manifest."
    html, text = render(report, "html"), markdown(report)
    assert Page(html).open == []
    assert "completed with errors 1" in text_of(html)
    assert "196 succeeded, 1 completed with errors, 3 failed, 1 cancelled" in text
    assert "s3://reports/november/shop-000" in html


def test_a_set_of_thousands_is_summarised_and_what_failed_stays(own_folder: Path):
    report = news_of(samples.of_set(own_folder / "set", 5_000, 100)).report
    jobs = next(section for section in report.sections if section.title == "Jobs")
    assert [row[1] for row in jobs.rows].count("FAILED") == 100
    assert len(jobs.rows) == 200
    assert jobs.note == "4,801 more jobs, named in the manifest."
    assert len(render(report, "html")) < 500_000


def test_a_set_without_jobs_is_a_page_too(own_folder: Path):
    manifest = SetManifest(1, "none", "r", Status.SUCCEEDED, "continue", (), 1, "", {}, {})
    report = news_of(samples.set_result(own_folder / "set", manifest)).report
    assert Page(render(report, "html")).open == []


# ---------------------------------------------------------------- the timeline


def attempt(worker: int, began: float, seconds: float, outcome: str = "succeeded") -> AttemptRecord:
    return AttemptRecord("map 0", 1, worker, outcome, seconds, began=began)


def test_a_timeline_has_a_lane_for_each_worker_and_the_worst_on_top():
    found = timeline(
        [attempt(1, 2, 2, "failed"), attempt(1, 0, 2), attempt(0, 0, 8, "lost"), attempt(1, 4, 1)]
    )
    assert found is not None
    assert found.seconds == 8
    assert [lane.worker for lane in found.lanes] == ["0", "1"]
    assert [(span.start, span.width, span.outcome) for span in found.lanes[1].spans] == [
        (0, 0.25, "succeeded"),
        (0.5, 0.125, "succeeded"),
        (0.25, 0.25, "failed"),
    ]
    assert found.told == "4 attempts by 2 workers in 8.0 s: 2 succeeded, 1 lost, 1 failed."
    assert not found.thinned


@pytest.mark.parametrize(
    ("attempts", "why"),
    [
        ([], "there were none"),
        ([attempt(0, 0, 1), attempt(0, 0, 1), attempt(1, 0, 1)], "nobody noted when they began"),
    ],
)
def test_there_is_no_timeline_of_what_is_not_known(attempts, why):
    assert timeline(attempts) is None, why


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 0.0])
def test_times_that_can_not_be_drawn_are_none(seconds):
    found = timeline([attempt(0, seconds, seconds), attempt(1, seconds, 0.0)])
    assert found is None or all(0 <= span.start <= 1 for lane in found.lanes for span in lane.spans)


def test_many_attempts_are_thinned_to_how_busy_a_worker_was():
    attempts = [attempt(0, index / 2, 0.25) for index in range(4_000)]
    attempts += [attempt(0, 1_000.0, 0.2, "failed"), attempt(1, 0, 1_000)]
    found = timeline(attempts)
    assert found is not None
    assert found.thinned
    first, second = found.lanes
    assert len(first.spans) == 241, "240 cells and a mark"
    assert all(abs(span.height - 0.5) < 0.05 for span in first.spans[:240])
    assert (first.spans[240].outcome, round(first.spans[240].start, 2)) == ("failed", 0.5)
    assert {round(span.height, 6) for span in second.spans[:119]} == {1}
    assert "the time is cut into 240" in found.told


def test_of_many_workers_those_are_shown_that_failed_then_the_busiest():
    attempts = [attempt(worker, 1, 1 + worker % 50) for worker in range(100)]
    attempts += [attempt(7, 2, 0.1, "failed"), attempt(3, 2, 0.1, "lost")]
    found = timeline(attempts)
    assert found is not None
    shown = [int(lane.worker) for lane in found.lanes]
    assert len(shown) == 32
    assert shown == sorted(shown)
    assert {3, 7, 49, 99} <= set(shown)
    assert 0 not in shown
    assert "Shown are 32 of the workers" in found.told


@pytest.mark.parametrize("number", [0, 3, 100_000])
def test_a_page_of_any_number_of_attempts_is_small_and_made_soon(own_folder: Path, number):
    result = samples.many_attempts(own_folder / "out", number)
    began = time.process_time()
    html = render(describe(result), "html")
    assert time.process_time() - began < 20
    assert len(html.encode()) < 500_000
    page = Page(html)
    assert page.open == []
    assert ("figure" in page.tags) == (number > 0)
    assert page.tags.count("rect") + page.tags.count("path") < 2_000
    if number > 1_000:
        shown = text_of(html)
        assert "100,000 attempts by 200 workers" in shown
        assert "10 of 100,000 attempts." in shown


def test_all_that_is_long_at_once_stays_below_the_limit(own_folder: Path):
    pairs = [(f"{index}" + '"' * 5_000, index) for index in range(60)]
    made = samples.committed(own_folder / "out", pairs)
    long = '"' * 5_000
    letters = ["abcdefghijklmnopqrstuvwxyz"[index % 26] * (1 + index) for index in range(500)]
    attempts = tuple(
        AttemptRecord(f"map {index}", 1, index, "failed", 1.0, text + long, "E", text, 1.0 + index)
        for index, text in enumerate(letters)
    )
    manifest = replace(
        made.manifest,
        counters={f"{index}{long}": index for index in range(2_000)},
        versions={f"{index}{long}": long for index in range(2_000)},
        inputs=tuple(samples.InputFile(f"{index}{long}", 1, "f") for index in range(2_000)),
        attempts=attempts,
    )
    html = render(describe(JobResult(made.place, manifest)), "html")
    assert len(html.encode()) < 500_000
    assert Page(html).open == []


def test_rows_that_find_no_room_are_counted():
    section = Section("Long", ["a"], [False], [["x" * 1_000]] * 1_000)
    html = render(Report("t", "FAILED", "", [], 0.0, [section], ""), "html")
    shown = html.count("x" * 1_000)
    assert 200 < shown < 1_000
    assert f"{1_000 - shown} more rows, for which there is no room." in html


# ---------------------------------------------------------------- sizes


def parts(sizes) -> tuple[Part, ...]:
    return tuple(
        Part(i, f"part-{i:05d}", 1, size, "0" * 64, size, "0" * 64, True) for i, size in enumerate(sizes)
    )


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ([*range(100, 200)], [("up to 110 B", "11"), ("up to 120 B", "10"), ("up to 199 B", "9")]),
        ([7] * 100, [("up to 7 B", "100")]),
        ([0] * 25, [("up to 0 B", "25")]),
        ([1] * 30 + [2] * 40 + [1 << 20], [("up to 1 B", "30"), ("up to 2 B", "40"), ("up to 1 MB", "1")]),
    ],
)
def test_sizes_of_many_parts_are_counted(own_folder: Path, sizes, rows):
    made = samples.committed(own_folder / "out", [])
    manifest = replace(made.manifest, parts=parts(sizes), failure=ErrorGroup("E", "so that none is read"))
    report = describe(JobResult(made.place, manifest))
    section = next(section for section in report.sections if section.title == "Sizes of parts")
    assert sum(int(number) for _, number in section.rows) == len(sizes)
    assert set(rows) <= set(section.rows)
    assert len(section.rows) <= 40


def test_few_parts_have_bars_of_their_own(own_folder: Path):
    report = describe(samples.good(own_folder / "out"))
    section = next(section for section in report.sections if section.title == "Parts")
    assert section.bars is not None
    assert max(section.bars) == 1


# ---------------------------------------------------------------- hostile texts


@pytest.mark.covers(
    "Q9", "markup, changes of direction, surrogates, 10,000 characters, in every text of a manifest"
)
def test_nothing_of_a_hostile_manifest_becomes_markup(own_folder: Path):
    html = render(news_of(samples.hostile(own_folder / "out")).report, "html")
    page = Page(html)
    assert page.open == []
    assert not {"script", "img", "a", "link", "object", "iframe"} & set(page.tags)
    assert not any(name.startswith("on") or name in ("src", "href") for name, _ in page.attributes)
    ours = {"none", "wide", "facts"}
    classes = {each for name, value in page.attributes if name == "class" for each in (value or "").split()}
    assert all(re.fullmatch("[a-z]+", each) for each in classes - ours)
    assert all(character.isprintable() or character == "\n" for character in html)
    assert len(html.encode()) < 500_000
    assert max(map(len, page.text)) < 6_000


@pytest.mark.covers("Q9", "the same in Markdown")
def test_nothing_of_a_hostile_manifest_breaks_markdown(own_folder: Path):
    text = markdown(news_of(samples.hostile(own_folder / "out")).report)
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<" not in outside
    heads = re.findall(r"^#+ .*$", outside, re.MULTILINE)
    assert len(heads) == 1 + len(titles(news_of(samples.hostile(own_folder / "out")).report))


@pytest.mark.covers("Q11", "= + - @ TAB CR before a formula; numbers")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('=HYPERLINK("http://evil","x")', '\'=HYPERLINK("http://evil","x")'),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        (" =1+1", "' =1+1"),
        ("＝1+1", "'＝1+1"),  # noqa: RUF001
        ("-", "'-"),
        ("-1,204.5", "-1,204.5"),
        ("-7", "-7"),
        ("+3e-05", "+3e-05"),
        ("-inf", "-inf"),
        ("plain = text", "plain = text"),
        ("", ""),
    ],
)
def test_a_cell_that_a_spreadsheet_would_obey_is_made_text(text, shown):
    assert inert(text) == shown


@pytest.mark.covers("Q11", "keys and numbers in a report's tables; the data stays as it is")
def test_formulas_are_inert_in_both_forms_and_data_is_not_changed(own_folder: Path):
    result = word_count(["=1+1", "\t=2+2", "fine"])
    assert sorted(result)[1][0] == "=1+1"
    html, text = render(describe(result), "html"), markdown(describe(result))
    assert "<td>&#x27;=1+1</td>" in html
    assert "| '=1+1 | 1 |" in text
    assert "<td>\\t=2+2</td>" in html, "a TAB is shown as its escape"
    negative = run(Job("n", Records([("k", -5)]), lambda pair: [pair], Sum(), "neg"), on="serial")
    assert '<td class="number">-5</td>' in render(describe(negative), "html")


# ---------------------------------------------------------------- the file


def test_a_report_as_json_has_the_facts(own_folder: Path):
    result = samples.failed(own_folder / "out")
    ReportFile("r.json").deliver(result, "key")
    facts = json.loads(Path("r.json").read_text())
    assert facts == json.loads(json.dumps(news_of(result).facts))
    assert facts["event"] == "run.failed"
    assert facts["errors"][0]["hint"] == "Mend the function, or let it skip such input."


def test_json_of_hostile_texts_is_valid(own_folder: Path):
    result = samples.hostile(own_folder / "out")
    ReportFile("r.json").deliver(result, "key")
    facts = json.loads(Path("r.json").read_bytes().decode())
    assert facts["parts"] == list(samples.HOSTILE)


@pytest.mark.parametrize("name", ["r.html", "r.md", "r.json"])
def test_a_report_of_a_set_is_the_same_for_the_same_set(own_folder: Path, name):
    result = samples.of_set(own_folder / "set")
    sink = ReportFile(name)
    sink.deliver(result, "key")
    first = Path(name).read_bytes()
    sink.deliver(result, "another key")
    assert Path(name).read_bytes() == first


def test_a_report_among_the_parts_of_one_of_a_sets_jobs_is_refused(own_folder: Path):
    job = samples.SetJob("a", Status.SUCCEEDED, "r", str(own_folder / "a"), "0" * 64)
    manifest = SetManifest(1, "s", "r", Status.SUCCEEDED, "continue", (job,), 1, "", {}, {})
    result = samples.set_result(own_folder / "set", manifest)
    with pytest.raises(SinkRefused, match="where only parts belong"):
        ReportFile("a/report.html").deliver(result, "key")
    assert not Path("a").exists()


@pytest.mark.covers(
    "X5",
    "a file in the place of the folder, a folder in the place of the file, a file system that takes no files",
)
@pytest.mark.parametrize("path", ["taken/report.html", "folder.html", "/proc/self/report.html"])
def test_a_target_that_can_not_be_written_is_told_and_the_others_are_told_too(own_folder: Path, path):
    Path("taken").write_text("a file")
    Path("folder.html").mkdir()
    result = word_count(["a"], sinks=[ReportFile(path), ReportFile("other.md")])
    first, second = result.deliveries
    assert not first.delivered
    assert path in first.error
    assert second.delivered
    assert Path("other.md").exists()
    with pytest.raises(SinkError, match="was not written") as told:
        ReportFile(path).deliver(result, "key")
    assert told.value.hint
