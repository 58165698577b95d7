"""`on_error=Quarantine(…)`: records that can't be mapped are set aside, and the run goes on without them."""

from __future__ import annotations

from dataclasses import dataclass

from mapreduce.errors import JobError, QuarantineFull

MOST_RECORDS = 1_000
"""Records that a `Quarantine()` without bounds sets aside."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """How many bad records a run may set aside before it fails.

    A record is bad if the map raises on it, gives what is no pair or can't be a key or value, ends or
    hangs its process twice; or if a line is no record: not text, not of the format, longer than
    `max_record`. It contributes nothing, neither pairs nor counts. A combine or a reduce that fails has
    no one record to blame, and fails the run.

    max_records: at most so many; None: any number, or 1,000 if there is no max_fraction either.
    max_fraction: at most this share of the records, from 0 to 1, looked at when all have been read.
    Raises JobError.
    """

    max_records: int | None = None
    max_fraction: float | None = None

    def __post_init__(self) -> None:
        if self.max_records is not None and (type(self.max_records) is not int or self.max_records < 0):
            raise JobError(f"Quarantine: max_records={self.max_records!r}.", hint="Give a number, from 0.")
        fraction = self.max_fraction
        if fraction is not None and (type(fraction) not in (int, float) or not 0 <= fraction <= 1):
            raise JobError(f"Quarantine: max_fraction={fraction!r}.", hint="Give a share from 0 to 1.")
        if self.max_records is None and fraction is None:
            object.__setattr__(self, "max_records", MOST_RECORDS)

    def exceeded(self, bad: int, records: int | None = None) -> str:
        """Which bound so many bad records break, in words; "" for none.

        records: all there are, the bad ones included, where that is known already.
        """
        if self.max_records is not None and bad > self.max_records:
            return f"max_records={self.max_records:,} allows no more"
        if records and self.max_fraction is not None and bad > self.max_fraction * records:
            return (
                f"that is {100 * bad / records:.3g} % of {records:,}, and max_fraction={self.max_fraction:g}"
            )
        return ""


def too_many(bad: int, why: str) -> QuarantineFull:
    """The error of a run that has set aside too many records; `why` is what `exceeded` says."""
    records = "1 record was" if bad == 1 else f"{bad:,} records were"
    return QuarantineFull(
        f"{records} set aside, and {why}.",
        hint="Mend what the causes name, or allow more: Quarantine(max_records=…, max_fraction=…).",
        place="quarantine",
    )
