"""What killed workers cost: page hits while a third of the workers is killed at once, or one every so often.

    python -m benchmarks.kills [--size 1GB] [--rounds 5] [--workers 6] [--every 2]

Each round runs the job undisturbed, with a third of its workers killed in the middle, and with one worker
killed every so many seconds, in turns. Answers must be equal. A run may take 1.1 times what the undisturbed
one took and the lost attempts had cost.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.answers import answer
from benchmarks.data import Data, default_folder, size_of
from benchmarks.programs import OUTPUT, ROOT, engine

BAR = 1.1


@dataclass(frozen=True)
class Disturbed:
    """One run: wall time, workers killed, seconds that lost attempts had taken, the answer."""

    seconds: float
    kills: int
    lost: float
    answer: str


def main() -> int:
    """0; 1 if an answer is wrong or a median ratio is over the bar."""
    options = _options()
    rng = random.Random(options.seed)
    log = Data(default_folder(), options.size).path("access")
    command = engine("hits:record", log, "--workers", str(options.workers), "--json")
    print(f"{log.name}, {options.workers} workers, {options.rounds} rounds, seed {options.seed}", flush=True)
    rounds = [_round(command, options, rng) for _ in range(options.rounds)]
    answers = {run.answer for found in rounds for run in found.values()}
    over = False
    for name in rounds[0]:
        ratios = [found[name].seconds / (found["undisturbed"].seconds + found[name].lost) for found in rounds]
        kills = [found[name].kills for found in rounds]
        seconds = [found[name].seconds for found in rounds]
        over = over or median(ratios) > BAR
        lost = median(found[name].lost for found in rounds)
        print(
            f"{name:16}{median(seconds):7.2f} s  {median(kills):4.0f} kills  lost {lost:5.2f} s  "
            f"× {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        )
    print("all answers are equal" if len(answers) == 1 else f"ANSWERS DIFFER: {answers}")
    return 1 if over or len(answers) != 1 else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--size", type=size_of, default=10**9, help="of the log, such as 200MB (1GB)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two kills (2)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _round(command: list[str], options: argparse.Namespace, rng: random.Random) -> dict[str, Disturbed]:
    undisturbed = _run(command, lambda _: 0)

    def a_third(process: subprocess.Popen[bytes]) -> int:
        time.sleep(undisturbed.seconds / 2)
        chosen = rng.sample(workers_of(process.pid), max(1, options.workers // 3))
        for worker in chosen:
            os.kill(worker, signal.SIGKILL)
        return len(chosen)

    def now_and_then(process: subprocess.Popen[bytes]) -> int:
        kills = 0
        while not _ends_within(process, options.every):
            found = workers_of(process.pid)
            if found:
                os.kill(rng.choice(found), signal.SIGKILL)
                kills += 1
        return kills

    return {
        "undisturbed": undisturbed,
        "a third at once": _run(command, a_third),
        f"one each {options.every:g} s": _run(command, now_and_then),
    }


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _run(command: list[str], disturb: Callable[[subprocess.Popen[bytes]], int]) -> Disturbed:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as told:
        output = Path(folder) / "output"
        begin = time.monotonic()
        started = [part.replace(OUTPUT, str(output)) for part in command]
        process = subprocess.Popen(started, cwd=ROOT, stdout=told, stderr=subprocess.DEVNULL)
        kills = disturb(process)
        process.wait()
        seconds = time.monotonic() - begin
        told.seek(0)
        document = json.load(told)
        if process.returncode:
            sys.exit(f"exit code {process.returncode}: {document}")
        lost = sum(attempt["seconds"] for attempt in document["attempts"] if attempt["outcome"] == "lost")
        return Disturbed(seconds, kills, lost, answer(output))


def workers_of(coordinator: int) -> list[int]:
    """The worker processes of a run: what its forkserver has forked."""
    parents = dict(_processes())
    servers = {
        pid for pid, parent in parents.items() if parent == coordinator and "forkserver" in _command(pid)
    }
    return [pid for pid, parent in parents.items() if parent in servers]


def _processes() -> Iterator[tuple[int, int]]:
    """(process, parent) of all that live."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                yield int(entry.name), int(parent)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
