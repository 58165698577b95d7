"""What the sinks of this package have in common: they tell the same news, each in its own way."""

from __future__ import annotations

from typing import ClassVar

from mapreduce.errors import JobError
from mapreduce.job import NAME
from mapreduce.sinks.news import Alert, News, Result, news_of, news_of_alert
from mapreduce.sinks.secret import Secret


class Teller:
    """A sink that tells news: of the end of a run, and with `alert`, of failures while it goes on.

    name: unique among a job's sinks; letters, digits, ".", "_" and "-". alert: also tell, while the run goes
    on, of the first failure and of each new cause, once each. patience: seconds for which a delivery that
    failed is tried again, unless it was refused by SinkRefused.
    """

    remote: ClassVar[bool] = True
    """It waits for another machine or program: it is told beside the others, and tried again."""

    secrets: tuple[Secret, ...] = ()
    """What it reads to do its work: their texts are taken out of whatever it raises."""

    def __init__(self, name: str, *, alert: bool = False, patience: float = 60.0) -> None:
        kind = type(self).__name__
        if type(name) is not str or not NAME.match(name):
            raise JobError(
                f"{kind}: name={name!r}.",
                hint="Use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or a digit.",
            )
        if type(alert) is not bool:
            raise JobError(f"{kind}: alert={alert!r}.", hint="Give True or False.")
        if type(patience) not in (int, float) or not 0 <= patience <= 3600:
            raise JobError(f"{kind}: patience={patience!r}.", hint="Give seconds, from 0 to 3,600.")
        self.name = name
        self.alert = alert
        self.patience = patience

    def deliver(self, result: Result, key: str) -> None:
        """Tell of a result. May raise anything."""
        self.tell(news_of(result), key)

    def warn(self, alert: Alert, key: str) -> None:
        """Tell of a failure while the run goes on. May raise anything."""
        self.tell(news_of_alert(alert), key)

    def tell(self, news: News, key: str) -> None:
        """Tell the news once. `key` is the same whenever the same news is told to this sink again."""
        raise NotImplementedError
