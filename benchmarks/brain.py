"""How fast is the pure state machine, and what does a task weigh? Events in, commands out, and nothing else.

    python -m benchmarks.brain [--tasks 1000000] [--results]

Prints transitions a second of processor time (a task makes two: it is started, and it is accepted), and the
MB of the process at most: for the tasks alone, or with `--results` also for what a worker hands in of each.
"""

import argparse
import json
import resource
import time
from collections import deque

from mapreduce.coordinator.commands import Command, Finish, Start
from mapreduce.coordinator.state import Brain, Limits
from mapreduce.events import Succeeded, WorkerReady
from mapreduce.model import Result, Work

WORKERS = 2


def drive(brain: Brain, tasks: int, results: bool) -> int:
    """Run all tasks on some workers; how many transitions there were."""
    commands: deque[Command] = deque(brain.begin())
    for worker in range(WORKERS):
        commands.extend(brain.handle(WorkerReady(worker), 0.0))
    one = Result(Work(), {})
    transitions, now = 0, 0.0
    while not isinstance(command := commands.popleft(), Finish):
        if isinstance(command, Start):
            now += 0.001
            transitions += 2
            result = handed_in(command) if results else one
            commands.extend(brain.handle(Succeeded(command.attempt, result), now))
            commands.extend(brain.handle(WorkerReady(command.attempt.worker), now))
    if transitions != 2 * tasks:
        raise RuntimeError(f"{transitions} transitions of {tasks} tasks")
    return transitions


def handed_in(start: Start) -> Result:
    """The result of a map that gave nothing."""
    index = start.attempt.task.index
    return Result(Work(), {}, name=f"data-{index}", digest=f"{index:032x}")


def largest() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--results", action="store_true", help="each task has a result of its own")
    options = parser.parse_args()
    start = time.process_time()
    transitions = drive(Brain(options.tasks, 0, Limits()), options.tasks, options.results)
    seconds = time.process_time() - start
    print(json.dumps({"transitions/s": round(transitions / seconds), "MB": largest()}))


if __name__ == "__main__":
    main()
