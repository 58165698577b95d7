"""What runs gave: lines of JSON in a file, so that a benchmark that was stopped goes on from there."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one program."""

    case: str
    program: str
    round: int
    identity: str
    """Of all that determines what was run: the program's code, data, workers."""
    command: str
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    answer: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    """What the program printed of itself."""
    error: str = ""

    def figure(self, name: str) -> float:
        return float(self.figures[name] if name in self.figures else getattr(self, name))

    def failed(self, error: str) -> "Result":
        return replace(self, error=error)


class Results:
    """All results, of this and of earlier calls with the same file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._results = list(_read(file)) if file else []

    def add(self, result: Result) -> None:
        self._results.append(result)
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(asdict(result)) + "\n")

    def of(self, case: str, program: str, identity: str) -> list[Result]:
        """A program's results, the last one of each round, in their order."""
        found = {
            result.round: result
            for result in self._results
            if (result.case, result.program, result.identity) == (case, program, identity)
        }
        return [found[number] for number in sorted(found)]


def _read(file: Path) -> Iterator[Result]:
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                yield Result(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a line that was cut off when the call before was killed
