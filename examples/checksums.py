"""The checksum of every file: a record is a whole file, and without a reduce the map gives the result.

python examples/checksums.py
mapreduce run examples/checksums.py --source 'backup/*' --output reports/checksums
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mapreduce import Files, Job, params, run
from mapreduce.datasets import FileRecord


def checksum(file: FileRecord) -> Iterator[dict[str, Any]]:
    """A file's SHA-256 and size."""
    with file.open() as stream:
        digest = hashlib.file_digest(stream, "sha256")
    yield {"sha256": digest.hexdigest(), "bytes": file.size, "path": file.path}


job = Job(
    name="checksums",
    source=Files(params.get("SOURCE", str(Path(__file__).with_name("*.py")))),  # these examples themselves
    map=checksum,
    output=params.get("OUTPUT"),
)

if __name__ == "__main__":
    for record in run(job):
        print(record["sha256"], f"{record['bytes']:7,}", Path(record["path"]).name)
