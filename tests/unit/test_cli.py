"""The command line, in this process: what it prints where, and its exit codes."""

import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mapreduce import JobResult, JsonLines, Records, Text
from mapreduce.cli import failure, tables
from mapreduce.cli.app import main
from mapreduce.cli.jobfile import MODULE, load_job
from mapreduce.cli.run import reporting
from mapreduce.errors import JobError
from mapreduce.model import Progress
from mapreduce.observers.log import LogLines
from mapreduce.parameters import params

WORDS = """
from mapreduce import Job, Log, Records, ReportFile, Sum, Text, params, run

def words(line):
    for word in line.split():
        yield word, 1
"""
JOB = WORDS + 'job = Job("words", params.get("SOURCE", "in.txt"), words, Sum(), "out")\n'


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """What loading a job file changes in this process is undone."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop(MODULE, None)
    params.clear()


@pytest.fixture(autouse=True)
def only_our_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if pytest had not given the root logger a handler."""
    monkeypatch.setattr("mapreduce.cli.run._is_arranged", lambda: False)


@pytest.fixture(autouse=True)
def job_file(own_folder: Path) -> Path:
    """A folder with job.py, which counts the words of in.txt."""
    (own_folder / "in.txt").write_text("a b a\nc a\n")
    (own_folder / "job.py").write_text(JOB)
    return own_folder / "job.py"


def call(*arguments: str) -> Result:
    """Run a command line."""
    result = CliRunner().invoke(main, arguments)
    assert not result.exception or isinstance(result.exception, SystemExit)
    return result


def run(*arguments: str) -> Result:
    """`mapreduce run`, in this process."""
    return call("run", *arguments, "--on", "serial")


def output(folder: str = "out") -> dict[str, int]:
    """The records of a result of words."""
    document = json.loads(call("show", folder, "--json", "--limit", "1000").stdout)
    return {row["key"]: row["value"] for row in document["rows"]}


# ---------------------------------------------------------------- run


def test_run_tells_progress_and_summary_apart():
    result = run("job.py")
    assert result.exit_code == 0
    assert result.stdout.startswith("words succeeded in ")
    assert "records        2 in, 3 out" in result.stdout
    assert "result         out (1 part)" in result.stdout
    assert "map: 1/1 tasks" in result.stderr
    assert output() == {"a": 3, "b": 1, "c": 1}


def test_run_as_json_prints_one_document_whatever_the_job_prints(job_file):
    job_file.write_text(JOB.replace("    for", '    print("noise")\n    for') + 'print("loading")\n')
    result = run("job.py", "--json")
    document = json.loads(result.stdout)
    assert document["status"] == "SUCCEEDED"
    assert document["totals"]["records_out"] == 3
    assert document["path"] == str(job_file.parent / "out")
    assert "noise" in result.stderr
    assert "loading" in result.stderr


def test_run_twice_needs_overwrite():
    run("job.py")
    again = run("job.py")
    assert again.exit_code == 1
    assert "already holds a result" in again.stderr
    assert "--overwrite" in again.stderr
    assert run("job.py", "--overwrite").exit_code == 0


def test_source_and_output_and_shards_from_the_command_line(own_folder):
    (own_folder / "x.txt").write_text("x\n")
    (own_folder / "y.txt").write_text("y y\n")
    result = run(
        "job.py", "--source", "x.txt", "--source", "y.txt", "--output", "o2", "--shards", "3", "--json"
    )
    assert len(json.loads(result.stdout)["parts"]) == 3
    assert output("o2") == {"x": 1, "y": 2}


MOVED = """
from mapreduce import Csv, Job, Parquet
source = Csv("gone.csv", separator=";")
job = Job("moved", source, lambda row: [row], output=Parquet("gone"))
"""


def test_a_dataset_that_is_moved_keeps_its_format_and_its_options(own_folder):
    (own_folder / "moved.py").write_text(MOVED)
    (own_folder / "x.csv").write_text("a;b\n1;2\n")
    assert run("moved.py", "--source", "x.csv", "--output", "o2").exit_code == 0
    assert list(JobResult.load("o2")) == [{"a": "1", "b": "2"}]
    assert all(part.name.endswith(".parquet") for part in JobResult.load("o2").parts)


def test_set_fills_params(own_folder):
    (own_folder / "x=y.txt").write_text("x\n")
    assert run("job.py", "--set", "SOURCE=x=y.txt").exit_code == 0
    assert output() == {"x": 1}


def test_limit_reads_the_first_records():
    run("job.py", "--limit", "1")
    assert output() == {"a": 2, "b": 1}


def test_another_source_keeps_the_format(job_file):
    job_file.write_text(
        WORDS
        + 'job = Job("w", Text("in.txt", encoding="latin-1"), words, Sum(), Text("out", encoding="latin-1"))'
    )
    job = load_job("job.py", source=["other.txt"], output="elsewhere")
    assert isinstance(job.source, Text)
    assert (job.source.paths, job.source.encoding) == (["other.txt"], "iso8859-1")
    assert isinstance(job.output, Text)
    assert (job.output.path, job.output.encoding) == ("elsewhere", "iso8859-1")


@pytest.mark.parametrize(("given", "kind"), [('JsonLines("out")', JsonLines), ('"out"', str), ("None", str)])
def test_another_output(job_file, given, kind):
    job_file.write_text(
        f"from mapreduce import JsonLines\n{WORDS}job = Job('w', Records([]), words, Sum(), {given})"
    )
    job = load_job("job.py", output="elsewhere", source=["a", "b"])
    assert isinstance(job.output, kind)
    assert getattr(job.output, "path", job.output) == "elsewhere"
    assert job.source == ["a", "b"]


def test_a_dataset_without_paths_of_its_own_is_not_replaced(job_file):
    job_file.write_text(
        WORDS + "class Odd(Records):\n    pass\n\n"
        "class Mine:\n    files = splits = read = lambda *_: []\n\n"
        "odd = Job('odd', Odd([]), words)\nmine = Job('mine', Mine(), words)\n"
        "from mapreduce import Input\njoin = Job('join', [Input('a', words), Input('b', words)])\n"
    )
    assert load_job("job.py:odd", source=["a"]).source == "a"
    with pytest.raises(JobError, match=r"--source can't replace a Mine.*params\[\"SOURCE\"\]"):
        load_job("job.py:mine", source=["a"])
    with pytest.raises(JobError, match="--source can't replace several Inputs, each with its map"):
        load_job("job.py:join", source=["a"])


def test_a_sink_that_fails_is_told_and_the_result_stands(job_file):
    job_file.write_text(
        WORDS + "def mail(result): raise RuntimeError('no \\x1bmail')\n"
        "job = Job('w', 'in.txt', words, Sum(), 'out', sinks=[mail, Log(), ReportFile('report.md')])"
    )
    result = run("job.py")
    assert result.exit_code == 4
    assert "mail: RuntimeError: no \\x1bmail." in result.stderr
    assert "w SUCCEEDED" in result.stderr, "Log shows"
    assert "told           log, report.md" in result.stdout
    assert Path("report.md").exists()
    assert output() == {"a": 3, "b": 1, "c": 1}
    result = run("job.py", "--overwrite", "--json")
    assert result.exit_code == 4
    told = [delivery["delivered"] for delivery in json.loads(result.stdout)["deliveries"]]
    assert told == [False, True, True]


# ---------------------------------------------------------------- the job file


def test_the_file_is_not_main_and_leaves_nothing_beside_it(job_file):
    job_file.write_text(JOB + 'if __name__ == "__main__":\n    raise SystemExit(9)\n')
    assert load_job("job.py").name == "words"
    assert sorted(os.listdir()) == ["in.txt", "job.py"]


def test_an_edited_file_is_read_anew(job_file):
    assert load_job("job.py").name == "words"
    before = job_file.stat()
    job_file.write_text(JOB.replace("words", "xords"))
    os.utime(job_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_job("job.py").name == "xords"


def test_modules_beside_the_file_can_be_imported(own_folder):
    folder = own_folder / "jobs"
    folder.mkdir()
    (folder / "beside_the_job.py").write_text("def upper(word):\n    return word.upper()\n")
    (folder / "job.py").write_text(
        "from beside_the_job import upper\n" + JOB.replace("yield word", "yield upper(word)")
    )
    assert run("jobs/job.py").exit_code == 0
    assert output() == {"A": 3, "B": 1, "C": 1}


def test_one_job_under_two_names_is_one(job_file):
    job_file.write_text(JOB + "again = job\n")
    assert load_job("job.py").name == "words"


SEVERAL = JOB + "other = Job('other', 'in.txt', words)\n"
NAMELESS = SEVERAL.replace("job = ", "one = ")


def test_a_job_is_chosen_by_name(job_file):
    job_file.write_text(SEVERAL)
    assert load_job("job.py:other").name == "other"


def test_of_several_jobs_the_one_called_job_is_meant(job_file):
    job_file.write_text(SEVERAL)
    assert load_job("job.py").name == "words"


BROKEN = {
    "several": (NAMELESS, "job.py", "job.py has 2 jobs. Say which: job.py:one, job.py:other."),
    "wrong name": (SEVERAL, "job.py:x", "no job called 'x'. Say which: job.py:job, job.py:other."),
    "no name": (JOB, "job.py:", "'' is no name of a job."),
    "none": ("x = 1", "job.py", "job.py has no job. Write, at its top level: job = Job("),
    "none of that name": ("x = 1", "job.py:x", "no job called 'x'. It has none."),
    "missing": (JOB, "nofile.py", "The job file nofile.py does not exist."),
    "directory": (JOB, ".", "The job file . is a directory."),
    "syntax": ("def f(:\n", "job.py", "SyntaxError: invalid syntax (line 1)."),
    "null byte": ("x = 1\0", "job.py", "SyntaxError: source code string cannot contain null bytes"),
    "raises": ("1/0", "job.py", "ZeroDivisionError: division by zero."),
    "exits": ("import sys; sys.exit(3)", "job.py", "SystemExit: 3."),
    "import": ("import no_such_module", "job.py", "Install it, or put it beside the job file"),
    "param": (WORDS + "params['DAY']", "job.py", "params['DAY'], and nobody gave it. Add --set DAY=VALUE"),
    "job": (WORDS + "job = Job('a b', 'x', words)", "job.py", "Job name 'a b' is not valid."),
}


@pytest.mark.parametrize(("text", "target", "message"), BROKEN.values(), ids=BROKEN)
def test_a_job_file_that_can_not_be_used(job_file, text, target, message):
    job_file.write_text(text)
    result = call("plan", target, "--json")
    assert result.exit_code == 2
    told = " ".join(line.strip() for line in result.stderr.splitlines())
    assert message in told
    assert told.startswith("error: ")
    assert "mapreduce/" not in result.stderr, "no frame of ours"
    error = json.loads(result.stdout)["error"]
    assert message in f"{error['message']} {error['hint']}"


def test_the_traceback_of_a_file_begins_in_it(job_file):
    job_file.write_text("def deeper():\n    return {}['x']\n\ndeeper()\n")
    result = call("plan", "job.py")
    assert [line for line in result.stderr.splitlines() if line.startswith("  File")] == [
        f'  File "{job_file}", line 4, in <module>',
        f'  File "{job_file}", line 2, in deeper',
    ]


# ---------------------------------------------------------------- errors


FAILING = JOB.replace("line.split():", "line.split()[9]:")


def test_a_function_that_fails_is_told_with_its_own_traceback(job_file):
    job_file.write_text(FAILING)
    result = run("job.py")
    assert result.exit_code == 1
    assert "error: map `words` (job.py:4) failed on in.txt, byte 0: IndexError" in result.stderr
    assert "record: 'a b a'" in result.stderr
    assert "for word in line.split()[9]:" in result.stderr
    assert "mapper.py" not in result.stderr
    assert result.stdout == ""
    assert not Path("out").exists()
    assert "mapper.py" in run("job.py", "--traceback").stderr


def test_errors_as_json(job_file):
    job_file.write_text(FAILING)
    error = json.loads(run("job.py", "--json").stdout)["error"]
    assert set(error) == {"kind", "category", "message", "hint", "details", "output", "notes"}
    assert error["kind"] == "UserFunctionError"
    assert "trace" in json.loads(run("job.py", "--json", "--traceback").stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'FILE.py[:JOB]|MODULE:JOB'."),
        (["run", "job.py", "--frobnicate"], "No such option"),
        (["run", "job.py", "--shards", "0"], "Invalid value for '--shards'"),
        (["run", "job.py", "--on", "mars"], "on='mars' is not known."),
        (["run", "job.py", "--set", "DAY"], "--set 'DAY' is no NAME=VALUE."),
        (["run", "job.py", "--source", "a.txt", "b.txt"], "Quote a pattern"),
        (["show", "out", "--top", "1", "--limit", "1"], "exclude one another"),
        (["nonsense"], "No such command 'nonsense'."),
        (["demo", "--size", "big"], "--size='big' is no size."),
    ],
)
def test_wrong_usage(arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    if arguments[0] not in ("demo", "nonsense"):
        assert json.loads(call(*arguments, "--json").stdout)["error"]["kind"] == "JobError"


def test_a_missing_input_fails():
    result = run("job.py", "--source", "none.txt")
    assert result.exit_code == 1
    assert "There is no file 'none.txt'." in result.stderr


def test_an_error_of_ours_asks_for_a_report(monkeypatch):
    monkeypatch.setattr("mapreduce.cli.show._document", lambda *_: 1 / 0)
    run("job.py")
    result = call("show", "out", "--json")
    assert result.exit_code == 1
    assert "The engine itself failed: ZeroDivisionError" in result.stderr
    assert json.loads(result.stdout)["error"]["kind"] == "InternalError"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_exit_codes_of_interruptions(capsys, error, code):
    assert failure.tell(error, ["--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Interrupted"


def test_messages_are_wrapped_for_people_and_harmless(monkeypatch, capsys):
    monkeypatch.setattr("mapreduce.cli.console.width", lambda _: 40)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    failure.tell(JobError("A message with \x1b[2J and " + "many words " * 9, hint="Do this."), [])
    told = capsys.readouterr().err
    assert r"\x1b[2J" in told
    assert max(map(len, told.splitlines())) <= 60  # the first line has a style
    assert "  Do this." in told


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_is_logged_on_a_terminal_stands_above_the_picture(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("mapreduce.observers.terminal._PATIENCE", 0)
    screen = Screen()
    with reporting(screen, None) as (terminal,):
        terminal.progress(Progress(phase="map", maps=2, reduces=1))
        logging.getLogger("mapreduce.job").info("a line")
        print("from the job")
    written = screen.getvalue()
    assert written.index("map") < written.index("\x1b[1A\x1b[2K" * 3) < written.index(" a line\n")
    assert written.endswith(" a line\nfrom the job\n")


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with reporting(Screen(), None) as (observer,):
        assert isinstance(observer, LogLines)


def test_a_job_file_that_arranges_its_own_logging_is_left_alone(monkeypatch):
    monkeypatch.setattr("mapreduce.cli.run._is_arranged", lambda: True)
    assert run("job.py").stderr == ""


def test_help_and_version():
    assert "Exit codes: 0 succeeded" in call("--help").stdout
    assert call("--version").stdout.startswith("mapreduce ")
    nothing = call()
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("Usage: mapreduce")
    for command in ("run", "plan", "show", "verify", "demo"):
        assert call(command, "--help").exit_code == 0


# ---------------------------------------------------------------- plan


def test_plan_shows_what_would_happen_and_does_nothing(own_folder):
    result = call("plan", "job.py", "--workers", "7", "--shards", "3")
    assert result.exit_code == 0
    assert result.stdout.startswith("words: this is the plan, nothing has run\n")
    lines = [
        re.sub(r"^[\d.]+ [KMGT]?B free$", "N free", " ".join(line.split()))
        for line in result.stdout.splitlines()[1:]
    ]
    assert lines == [
        "input 1 file, 10 B",
        "in.txt (10 B)",
        "splits 1 map task of up to 10 B",
        "shards 3 reduce tasks",
        "parts 3",
        "workers 3",
        "output out (free)",
        "N free",
        "work .out.mapreduce, while it runs",
        "N free",
    ]
    assert sorted(os.listdir()) == ["in.txt", "job.py"]


def test_plan_as_json():
    document = json.loads(call("plan", "job.py", "--json").stdout)
    assert document["input_bytes"] == 10
    assert document["splits"] == document["shards"] == document["parts"] == document["workers"] == 1
    assert document["inputs"][0]["uri"] == "in.txt"
    assert document["output_taken"] == ""
    assert document["free_bytes"] > 0
    assert document["work"] == str(Path(".out.mapreduce").absolute())
    assert document["work_free_bytes"] > 0


def test_plan_tells_that_the_output_is_taken():
    run("job.py")
    result = call("plan", "job.py")
    assert result.exit_code == 0
    assert "out (taken)" in result.stdout
    assert "already holds a result" in result.stdout


def test_plan_of_many_files_and_of_records(job_file, monkeypatch):
    for number in range(9):
        Path(f"{number}.txt").write_text("x" * 2000)
    many = call("plan", "job.py", "--source", "[0-9].txt").stdout
    assert "9 files, 17.6 KB" in many
    assert "… and 4 more" in many
    job_file.write_text(WORDS + "job = Job('w', Records(['a'] * 3), words)")
    few = call("plan", "job.py").stdout
    assert "3 records in memory" in few
    assert "1 map task of up to 3 records" in few
    assert "none: the job has no reduce" in few
    assert "kept with the run, in .mapreduce/w" in few


@pytest.mark.parametrize("full", ["out", "elsewhere"])
def test_plan_warns_of_the_disk_that_is_full(monkeypatch, full):
    def free(path: Path) -> int:
        return 9 if ("elsewhere" in path.parts) == (full == "elsewhere") else 2048

    monkeypatch.setattr("mapreduce.cli.plan.free_space", free)
    told = call("plan", "job.py", "--work", "elsewhere").stdout
    where = told.index("9 B free, less than the input's 10 B")
    assert (where > told.index("work ")) == (full == "elsewhere")
    assert told.count("2 KB free\n") == 1


# ---------------------------------------------------------------- show


def test_show_has_a_header_and_the_largest_rows():
    run("job.py")
    header, which, empty, *rows = call("show", "out").stdout.splitlines()
    assert header.startswith("words succeeded, 2")
    assert " UTC, run 2" in header
    assert (which, empty) == ("3 records, all, the largest first", "")
    assert [row.split() for row in rows] == [["key", "value"], ["a", "3"], ["b", "1"], ["c", "1"]]


def test_show_top_limit_and_chart():
    run("job.py")
    *_, only = call("show", "out", "--top", "1", "--chart").stdout.splitlines()
    assert only == "a        3  " + "█" * 40
    assert len(call("show", "out", "--limit", "2").stdout.splitlines()) == 6


def test_show_draws_in_the_terminals_width(monkeypatch):
    run("job.py")
    for width in (40, 80, 160):
        monkeypatch.setattr("mapreduce.cli.console.width", lambda _, width=width: width)
        rows = call("show", "out", "--chart").stdout.splitlines()[4:]
        assert len(rows[0]) == width
        assert rows[0].endswith("█")


HOSTILE = ["\x1b[2Jclear", "\u202eright", "tab\tline\n", "日本" * 40, "x" * 200, "", "\ud800"]


@pytest.mark.parametrize("width", [None, 80, 160])
def test_show_of_hostile_keys_is_aligned_and_harmless(job_file, monkeypatch, width):
    monkeypatch.setattr("mapreduce.cli.console.width", lambda _: width)
    job_file.write_text(f"{WORDS}job = Job('w', Records({HOSTILE!r}), lambda key: [(key, 1)], Sum())")
    folder = json.loads(run("job.py", "--json").stdout)["path"]
    shown = call("show", folder).stdout
    assert all(line.isprintable() for line in shown.splitlines())
    rows = shown.splitlines()[4:]
    if width:
        assert {tables.cells(row) for row in rows} == {tables.cells(rows[0])}
        assert tables.cells(rows[0]) <= width
    else:
        assert any(row.startswith("x" * 200 + " ") for row in rows), "nothing is cut in a pipe"
    assert r"\u202eright" in shown
    assert {row["key"] for row in json.loads(call("show", folder, "--json").stdout)["rows"]} == set(HOSTILE)


def test_show_on_a_stream_without_these_characters(job_file):
    job_file.write_text(WORDS + "job = Job('w', Records('é'), lambda key: [(key, 1)], Sum(), 'out')")
    run("job.py")
    shown = CliRunner(charset="ascii").invoke(main, ["show", "out", "--chart"]).stdout
    assert "\\xe9" in shown
    assert "#" * 40 in shown


def test_show_of_records_that_are_no_pairs(job_file):
    job_file.write_text(WORDS + "job = Job('w', 'in.txt', lambda line: [{'line': line}], output='out')")
    run("job.py")
    assert call("show", "out").stdout.splitlines()[1:] == ["2 records, all", "", "line", "a b a", "c a"]
    assert json.loads(call("show", "out", "--json").stdout)["rows"] == [{"line": "a b a"}, {"line": "c a"}]
    for option in (["--chart"], ["--top", "3"]):
        result = call("show", "out", *option)
        assert result.exit_code == 2
        assert "pairs of a key and a number" in result.stderr


def test_show_as_json_has_odd_values_as_text(job_file):
    job_file.write_text(
        "from decimal import Decimal\n"
        + WORDS
        + "job = Job('w', Records([1]), lambda n: [(n, Decimal('0.1'))])"
    )
    folder = json.loads(run("job.py", "--json").stdout)["path"]
    assert json.loads(call("show", folder, "--json").stdout)["rows"] == [
        {"key": 1, "value": "Decimal('0.1')"}
    ]


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_directory_without_a_result(command):
    result = call(command, ".")
    assert result.exit_code == 1
    assert "no run has committed a result there" in result.stderr


# ---------------------------------------------------------------- verify


def test_verify_finds_nothing():
    run("job.py")
    assert call("verify", "out").stdout == "1 part, 66 bytes, all as the manifest says\n"
    assert json.loads(call("verify", "out", "--json").stdout)["ok"] is True


def test_verify_names_every_file_that_is_not_as_it_was():
    run("job.py", "--shards", "3")
    missing, _, flipped = sorted(Path("out").glob("part-*"), key=lambda path: path.stat().st_size)
    flipped.write_bytes(b"x" * flipped.stat().st_size)
    missing.unlink()
    Path("out", "stray\x1b").touch()
    result = call("verify", "out")
    assert result.exit_code == 1
    assert f"{missing.name}: missing\n" in result.stdout
    assert f"{flipped.name}: its bytes have changed" in result.stdout
    assert "stray\\x1b: extra" in result.stdout
    assert "3 files are not as the manifest says. Run the job again, with --overwrite." in result.stdout
    document = json.loads(call("verify", "out", "--json").stdout)
    assert document["ok"] is False
    assert {finding["name"] for finding in document["findings"]} >= {missing.name, "stray\x1b"}


def test_verify_of_a_directory_with_a_file_too_many():
    run("job.py")
    Path("out", "notes").touch()
    assert "1 file is not as the manifest says. Take away what is extra." in call("verify", "out").stdout


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("length", "drawn"), [(1, "████"), (0.5, "██"), (0.28, "█▏"), (0.001, "▏"), (0, ""), (0.25, "█")]
)
def test_bars(length, drawn):
    assert tables.bar(length, 4, "█") == drawn


def test_plain_bars():
    assert [tables.bar(length, 4, "#") for length in (1, 0.5, 0.05, 0)] == ["####", "##", "#", ""]


def test_cut_by_cells():
    assert tables.cut("日本語", 5) == "日本…"
    assert tables.cut("abc", 3) == "abc"
    assert tables.cut("abcd", 3) == "ab…"


def test_records_in_memory_can_be_replaced_by_files(job_file):
    job_file.write_text(WORDS + "job = Job('w', Records(['z']), words, Sum(), 'out')")
    assert isinstance(load_job("job.py").source, Records)
    run("job.py", "--source", "in.txt")
    assert output() == {"a": 3, "b": 1, "c": 1}
