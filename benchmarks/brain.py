"""How fast is the pure state machine, and what does a task weigh? Events in, commands out, and nothing else.

    python -m benchmarks.brain [--tasks 1000000]

Prints transitions a second of processor time: a task makes two, to running and to done.
"""

import argparse
import json
import time
from collections import deque

from mapreduce.coordinator.commands import Command, Finish, Start
from mapreduce.coordinator.state import Brain, Limits
from mapreduce.events import Succeeded, WorkerReady
from mapreduce.model import Result, Work

WORKERS = 2


def drive(brain: Brain, tasks: int) -> int:
    """Run all tasks on some workers; how many transitions there were."""
    commands: deque[Command] = deque(brain.begin())
    for worker in range(WORKERS):
        commands.extend(brain.handle(WorkerReady(worker), 0.0))
    transitions, now = 0, 0.0
    while not isinstance(command := commands.popleft(), Finish):
        if isinstance(command, Start):
            now += 0.001
            transitions += 2
            commands.extend(brain.handle(Succeeded(command.attempt, result(command)), now))
            commands.extend(brain.handle(WorkerReady(command.attempt.worker), now))
    if transitions < 2 * tasks:
        raise RuntimeError(f"{transitions} transitions of {tasks} tasks")
    return transitions


def result(start: Start) -> Result:
    """As a worker would hand it in, of a task that gave nothing."""
    index = start.attempt.task.index
    return Result(Work(), {}, name=f"data-{index}", digest=f"{index:032x}", inputs=start.inputs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    options = parser.parse_args()
    brain = Brain(options.tasks, 1, Limits())
    start = time.process_time()
    transitions = drive(brain, options.tasks)
    seconds = time.process_time() - start
    print(json.dumps({"transitions/s": round(transitions / seconds)}))


if __name__ == "__main__":
    main()
