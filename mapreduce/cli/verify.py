"""`mapreduce verify`: compare a result with its manifest, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mapreduce.cli import options

if TYPE_CHECKING:
    from mapreduce.manifest import Finding
    from mapreduce.model import Manifest


@click.command(short_help="Compare a result with its manifest.")
@options.directory
@options.as_json
@options.traceback
def verify(directory: str, as_json: bool) -> int:
    """Check that every file of a result is what its manifest says, and that there is no other."""
    from mapreduce import manifest as manifests
    from mapreduce.cli import console
    from mapreduce.store.urls import folder_or_url

    manifest, findings = manifests.verify(folder_or_url(directory))
    if as_json:
        console.say_json(_document(directory, manifest, findings))
    else:
        for line in _lines(manifest, findings):
            console.say(line)
    return 1 if findings else 0


def _lines(manifest: Manifest, findings: list[Finding]) -> list[str]:
    from mapreduce.figures import count, visible

    if not findings:
        size = sum(part.size for part in manifest.parts)
        return [f"{count(len(manifest.parts), 'part')}, {size:,} bytes, all as the manifest says"]
    told = [f"{visible(finding.name)}: {visible(finding.problem)}" for finding in findings]
    wrong = "1 file is" if len(findings) == 1 else f"{len(findings):,} files are"
    extra = all(finding.problem.startswith("extra") for finding in findings)
    hint = "Take away what is extra." if extra else "Run the job again, with --overwrite."
    return [*told, f"{wrong} not as the manifest says. {hint}"]


def _document(directory: str, manifest: Manifest, findings: list[Finding]) -> dict[str, Any]:
    return {
        "path": directory,
        "job": manifest.job,
        "run_id": manifest.run_id,
        "parts": len(manifest.parts),
        "bytes": sum(part.size for part in manifest.parts),
        "ok": not findings,
        "findings": [{"name": finding.name, "problem": finding.problem} for finding in findings],
    }
