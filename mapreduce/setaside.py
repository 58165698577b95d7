"""A bad record that is set aside, and the line of the file that keeps it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mapreduce.codec import dump_value, load_value
from mapreduce.errors import InputCorrupt, MapReduceError, RecordTooLarge, ValueTypeError
from mapreduce.failures import shown
from mapreduce.model import BadRecord, Location


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that is set aside: with `raw`, the bytes of what is no record."""

    location: Location
    error: MapReduceError
    record: Any
    raw: bool = False

    def described(self) -> BadRecord:
        """What the manifest says of it."""
        first = self.error.message.split("\n", 1)[0]
        return BadRecord(
            self.location, type(self.error).__name__, first, shown(self.record), self.error.place
        )

    def line(self, input_number: int) -> bytes:
        """A line of a file of bad records: a JSON object. input_number: which of the inputs it is of."""
        described = self.described()
        fields = {
            "input": input_number,
            **asdict(self.location),
            "kind": described.kind,
            "error": self.error.message,
            "text": described.record,
            **_content(self),
        }
        return json.dumps(fields, sort_keys=True).encode() + b"\n"


def _content(item: SetAside) -> dict[str, Any]:
    """The record itself, exactly: as JSON where that is exact, else packed; nothing if it can't be kept."""
    if isinstance(item.error, RecordTooLarge):  # only its beginning is there
        return {}
    if item.raw:
        return {"bytes": base64.b64encode(item.record).decode()}
    if type(item.record) is str and item.record.isprintable():
        return {"record": item.record}
    try:
        return {"packed": base64.b64encode(dump_value(item.record)).decode()}
    except ValueTypeError:
        return {}


def content_of(fields: Mapping[str, Any], parse: Callable[[bytes, Location], Any]) -> Any:
    """The record of a line that `SetAside.line` made. Raises InputError.

    parse: makes a record of the bytes of what was none.
    """
    if "record" in fields:
        return fields["record"]
    if "packed" in fields:
        return load_value(base64.b64decode(fields["packed"]))
    if "bytes" in fields:
        return parse(base64.b64decode(fields["bytes"]), location_of(fields))
    raise InputCorrupt(
        f"The record at {location_of(fields)} could not be kept: {fields['text']}.",
        hint="Run the job on its file instead.",
    )


def location_of(fields: Mapping[str, Any]) -> Location:
    """Where the record of such a line stands in its input."""
    return Location(fields["uri"], fields["offset"], fields["length"], fields["unit"])
