"""`mapreduce keygen`: make the key that the hosts of a store share."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce.cli import options


@click.command(short_help="Make a key for the hosts of a store.")
@click.argument("file", metavar="FILE")
@options.traceback
def keygen(file: str) -> int:
    """Write a new key to FILE, which only you may read.

    Give it to all hosts, by MAPREDUCE_KEY_FILE=FILE or --key-file: jobs are signed with it, and hosts run no
    others.
    """
    from mapreduce.cli import console
    from mapreduce.hosts.signing import write_key

    write_key(Path(file))
    console.say(f"A new key is in {file}. Copy it to every host, and set MAPREDUCE_KEY_FILE={file} there.")
    return 0
