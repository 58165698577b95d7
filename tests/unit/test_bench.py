"""The benchmark's harness: wrong answers, failures and gaps are told; what was measured is not again."""

import json
from pathlib import Path

import pytest

from benchmarks import bench, hosts, report, scale
from benchmarks.answers import answer
from benchmarks.cases import Case, Goal
from benchmarks.data import Data
from benchmarks.measure import Measurement
from benchmarks.programs import OUTPUT, Program, Run
from benchmarks.results import Result, Results
from mapreduce.hosts.desk import KEPT_REPORTS
from mapreduce.store.counting import Counted


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_an_answer_is_the_same_in_any_order_files_and_names(tmp_path: Path) -> None:
    one = write(tmp_path / "one", '{"key": "a", "value": 1}', '{"key": "b", "value": 2}')
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "part-0", '{"word":"b","n":2}')
    write(folder / "part-1", '{"word":"a","n":1}')
    write(folder / "_SUCCESS", "no data")
    write(folder / ".part-1.crc", "no data")
    assert answer(one) == answer(folder)


@pytest.mark.parametrize(
    "others",
    [
        ['{"key": "a", "value": 1}'],
        ['{"key": "a", "value": 1}', '{"key": "b", "value": 3}'],
        ['{"key": "a", "value": 1}', '{"key": "b", "value": 2}', '{"key": "b", "value": 2}'],
    ],
)
def test_another_answer_has_another_hash(tmp_path: Path, others: list[str]) -> None:
    one = write(tmp_path / "one", '{"key": "a", "value": 1}', '{"key": "b", "value": 2}')
    assert answer(one) != answer(write(tmp_path / "other", *others))


def test_the_order_of_a_sorted_answer_counts(tmp_path: Path) -> None:
    up, down = write(tmp_path / "up", "a", "b"), write(tmp_path / "down", "b", "a")
    assert answer(up, ordered=True) != answer(down, ordered=True)


def test_only_parts_that_a_manifest_names_are_read(tmp_path: Path) -> None:
    write(tmp_path / "good", '{"key": 1}')
    write(tmp_path / "stray", '{"key": 2}')
    write(tmp_path / "_manifest.json", json.dumps({"parts": [{"name": "good"}]}))
    assert answer(tmp_path) == answer(tmp_path / "good")


# The harness, with programs that a fake measurement runs


def program(name: str, *, tools: tuple[str, ...] = (), slow: bool = False) -> Program:
    return Program(name, ["job"], lambda *_: [], ["benchmarks/answers.py"], tools=tools, slow=slow)


def run_of(name: str, text: str, *, tools: tuple[str, ...] = (), slow: bool = False) -> Run:
    return Run(program(name, tools=tools, slow=slow), [text, OUTPUT])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured. Not in truth: that would adopt all children of the process that runs the tests."""
    commands: list[str] = []

    def measured(command: list[str], *, cwd: Path, environment: object) -> Measurement:
        text, output = command
        commands.append(text)
        if text:
            Path(output).write_text(text, encoding="utf-8")
        return Measurement(1.0 + len(commands), 1.0, 1000, 0.0, int(not text), "")

    monkeypatch.setattr(bench, "measure", measured)
    return commands


def contest(
    tmp_path: Path, runs: list[Run], *goals: Goal, rounds: int = 2, results: Path | None = None
) -> report.Contest:
    case = Case("case", "why", lambda _data, _workers: runs, goals)
    options = bench._options(["--rounds", str(rounds), "--full", "--data", str(tmp_path)])
    return bench._contest(case, Data(tmp_path, 1000), options, Results(results))


def test_programs_take_turns_and_slow_ones_run_once(tmp_path: Path, started: list[str]) -> None:
    found = contest(tmp_path, [run_of("a", "{}"), run_of("b", "{}"), run_of("slow", "{}", slow=True)])
    assert [len(found.results[name]) for name in ("a", "b", "slow")] == [2, 2, 1]
    assert len(started) == 5
    assert [result.seconds for result in found.results["a"]] == [2.0, 5.0]
    assert [file.name for file in tmp_path.iterdir()] == []


def test_the_answer_that_differs_is_told(tmp_path: Path, started: list[str]) -> None:
    same = '{"key": 1}\n'
    found = contest(tmp_path, [run_of("a", same), run_of("wrong", '{"key": 2}\n'), run_of("b", same)])
    assert [bool(found.results[name][0].error) for name in ("a", "wrong", "b")] == [False, True, False]
    assert any("FAILED: case wrong" in line for line in report._left_out([found]))
    assert found.good("wrong") == {}


def test_a_failure_is_told_and_not_tried_again(tmp_path: Path, started: list[str]) -> None:
    found = contest(tmp_path, [run_of("a", "{}"), run_of("broken", "")])
    assert len(found.results["broken"]) == 1
    assert "exit code 1" in found.results["broken"][0].error


def test_what_is_missing_is_told(tmp_path: Path, started: list[str]) -> None:
    found = contest(tmp_path, [run_of("a", "{}"), run_of("absent", "{}", tools=("no-such-tool",))])
    assert len(started) == 2
    assert [*report._left_out([found])][1:] == ["- NOT RUN: absent: install no-such-tool (a system package)."]


def test_a_second_call_goes_on_where_the_first_was_stopped(tmp_path: Path, started: list[str]) -> None:
    kept = tmp_path / "results.jsonl"
    contest(tmp_path, [run_of("a", "{}"), run_of("b", "{}")], rounds=1, results=kept)
    with kept.open("a", encoding="utf-8") as file:
        file.write('{"case": "case", "prog')  # the call was killed while it wrote
    del started[:]
    found = contest(tmp_path, [run_of("a", "{}"), run_of("b", "{}")], rounds=2, results=kept)
    assert len(started) == 2
    assert [len(found.results[name]) for name in ("a", "b")] == [2, 2]


def test_a_program_that_has_changed_runs_again(tmp_path: Path, started: list[str]) -> None:
    kept = tmp_path / "results.jsonl"
    contest(tmp_path, [run_of("a", "{}")], rounds=1, results=kept)
    contest(tmp_path, [run_of("a", "{ }")], rounds=1, results=kept)
    assert len(started) == 2


# Goals


def judged(goal: Goal, figures: dict[str, list[float]]) -> list[float]:
    runs = [Run(program(name), []) for name in figures]
    found = report.Contest(Case("case", "why", lambda *_: runs, [goal]), runs, dict.fromkeys(figures, ""))
    for name, seconds in figures.items():
        found.results[name] = [
            Result("case", name, turn, "", "", seconds=value) for turn, value in enumerate(seconds)
        ]
    return report.ratios(found, goal)


def test_a_ratio_is_taken_within_a_round_to_the_fastest_of_the_others() -> None:
    figures = {"mine": [2.0, 6.0], "one": [1.0, 4.0], "other": [4.0, 2.0]}
    assert judged(Goal("mine", 1.0, ["one", "other"]), figures) == [2.0, 3.0]


def test_rounds_that_one_of_them_has_not_run_are_left_out() -> None:
    assert judged(Goal("mine", 1.0, ["one"]), {"mine": [2.0, 6.0], "one": [1.0]}) == [2.0]
    assert judged(Goal("mine", 1.0, ["one"]), {"mine": [2.0]}) == []


def test_a_goal_of_its_own_takes_the_figure_itself() -> None:
    assert judged(Goal("mine", 0.6), {"mine": [0.5, 0.7]}) == [0.5, 0.7]


def test_limits_are_met_from_their_side() -> None:
    assert Goal("a", 1.0).met(1.0)
    assert not Goal("a", 1.0).met(1.1)
    assert Goal("a", 100, least=True).met(100)
    assert not Goal("a", 100, least=True).met(99)


def test_every_goal_names_programs_of_its_case(tmp_path: Path) -> None:
    data = Data(tmp_path, 1000, part=300)
    for case in bench.CASES.values():
        names = {run.name for run in case.runs(data, 2)}
        assert {name for goal in case.goals for name in (goal.program, *goal.of)} <= names, case.name


def test_the_tables_replace_what_stands_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n", encoding="utf-8")
    report.write("new", page)
    assert page.read_text("utf-8") == "Before\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nafter\n"
    report.write("alone", tmp_path / "other.md")
    assert (tmp_path / "other.md").read_text("utf-8") == "alone\n"


# Hosts: what is counted, and what is computed from it


def test_requests_between_two_counts_are_told_for_each_task() -> None:
    before = {1: {"put": Counted(calls=2, sent=10)}}
    now = {1: {"put": Counted(calls=6, sent=50), "list": Counted(calls=4)}, 2: {"put": Counted(calls=1)}}
    counted = hosts.since(before, now)
    assert hosts.per(counted[1], 4) == {"list": 1.0, "put": 1.0, "bytes": 10.0}
    assert hosts.added(counted.values())["put"].calls == 5


def test_what_rounds_gave_is_told_as_a_table() -> None:
    rounds = [{"s": 1.0, "deep": {"ms": 3}}, {"s": 2.0, "deep": {"ms": 5}}]
    assert list(hosts.table({"case": {"folder": rounds}}))[2:] == [
        "| case | folder | s | 1.5 (1–2) | 2 |",
        "| case | folder | deep, ms | 4 (3–5) | 2 |",
    ]


@pytest.mark.parametrize("is_bucket", [False, True])
def test_many_hosts_are_computed_from_few(is_bucket: bool) -> None:
    ms = {"read a report": 1, "write orders": 2, "write a log entry": 3, "list 50 reports": 4}
    results = {
        "idle": {
            "there": [
                {
                    "one host": {"coordinator": {"list": 10.0}},
                    "three hosts": {"each host": {"create": 2.0, "read": 5.0, "list": 1.0}},
                }
            ]
        },
        "messages": {"there": [{name: {"ms": cost, "cpu ms": cost / 2} for name, cost in ms.items()}]},
    }
    found = scale.Measured.of(results, "there")
    row = scale.scaled(found, 1_000, slots=1, seconds=10.0, is_bucket=is_bucket)
    ended, names = 100, 1_000 * KEPT_REPORTS / 2
    reports = 2 * 1_000 + ended
    orders = ended + reports / KEPT_REPORTS
    puts = reports + orders + 10 + 1_000 + 10 * (names / 1_000 if is_bucket else 1)
    gets = reports + 5 * 1_000
    assert row.requests == pytest.approx(puts + gets)
    assert row.dollars == pytest.approx(3_600 * (puts * 5e-6 + gets * 4e-7))
    lists = names / 1_000 if is_bucket else names / 50
    assert row.load == pytest.approx((reports * 1 + orders * 2 + 10 * 3 + 10 * lists * 4) / 1_000)
    assert row.cpu == pytest.approx(row.load / 2)
    most = scale.most_hosts(found, 1, 10.0, is_bucket=is_bucket)
    assert scale.scaled(found, most, 1, 10.0, is_bucket=is_bucket).load <= 1
    assert scale.scaled(found, most + 1, 1, 10.0, is_bucket=is_bucket).load > 1


def test_every_case_of_hosts_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert hosts.main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(f"{case.name} (" in told for case in hosts.CASES)
