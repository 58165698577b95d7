"""Removing what runs have left on a store, so that nobody who comes late does harm.

A coordinator that was frozen may wake up when its run is gone, and knows nothing of that. Whatever it does,
it must not publish: its data is gone, and its parts. So a run that has no result is *fenced* before anything
is deleted: `result/_COMMIT`, which one exclusive create decides, gets bytes that are no manifest. If a
coordinator was there first, the run has a result, and is not removed until that is published. If it comes
later, its own commit loses, it reads what won, and ends (`Superseded`). It can't have committed before and
publish later: then the fence would have lost.

Some small objects stay for ever, because nobody can know how long somebody sleeps: the commit, which holds no
manifest any more; `result/_ENDED`, by which hosts and coordinators that are late hear that it is over; and
the epochs, so that none is given twice. What late ones still write (a report, data, a part) is garbage with
the run's name, which nobody reads; the next cleaning finds what of it is in the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.errors import ManifestError, SignatureError, WorkDamaged
from mapreduce.hosts.jobs import Cluster, Spec
from mapreduce.hosts.leadership import CLEANED, ENDED, has_ended, leader
from mapreduce.hosts.watching import Seen, watch
from mapreduce.place import named_at, place_at, release_output, remove_at
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.local import remove_empty, storage_errors, unfinished_files
from mapreduce.store.together import do_all, together
from mapreduce.store.urls import folder_or_url


@dataclass(frozen=True)
class Leftover:
    """What a run has left, and whether it goes."""

    run: str
    job: str = ""
    objects: int = 0
    """In the store."""
    files: int = 0
    """Unfinished ones in the store's folder, and parts in the output that no manifest names."""
    size: int | None = None
    """Bytes of all of it; None: the store does not tell."""
    stays: str = ""
    """Why it is left alone, or ""."""


@dataclass(frozen=True)
class Cleaning:
    """What was found to remove, and, if it was not only looked for, was removed."""

    runs: tuple[Leftover, ...]
    others: int = 0
    """Probes, questions and answers that nobody has taken away."""


def fence(store: Store) -> bool:
    """Let no coordinator commit any more, and tell all that it is over; False: one has committed.

    store: the run's. May be repeated. Raises StorageError.
    """
    if not store.create(layout.COMMIT, CLEANED):
        return False
    store.create(layout.ENDED, ENDED)
    return True


def erase(store: Store) -> None:
    """Delete all of a run that has ended, or was fenced, but what guards its end. May be repeated.

    What says where its output is goes last: who was stopped here can go on. Raises StorageError.
    """
    if store.read(layout.COMMIT) != CLEANED:
        store.put(layout.COMMIT, CLEANED)
    names = _removable(store)
    do_all(store, store.delete, [name for name in names if name != layout.SPEC])
    store.delete(layout.SPEC)


def _removable(store: Store) -> list[str]:
    guards = (layout.COMMIT, layout.ENDED)
    return [name for name in store.list() if name not in guards and layout.epoch_of(name) is None]


def clean(
    cluster: Cluster,
    run_id: str | None = None,
    *,
    everything: bool = False,
    dry: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Cleaning:
    """Remove what runs have left that have ended; with `everything`, of those too that nobody works on.

    run_id: of this run alone, whether it has ended or not. dry: only look. Nothing goes of a run to which
    anybody wrote, or whose coordinator answered, while it was watched, nor of one whose result is not
    published yet. Raises StorageError.
    """
    runs = cluster.all_runs() if run_id is None else [run_id]
    open_runs = cluster.open_runs()
    before = list(together(cluster.store, lambda run: _look(cluster, run, is_open=run in open_runs), runs))
    wanted = [look for look in before if run_id or everything or not look.is_open]
    wanted += _half_submitted(cluster) if run_id is None else []
    others = set(_others(cluster)) if run_id is None else set()
    seconds = cluster.pace().dead + cluster.store.capabilities.listed_after
    watched = [look.run for look in wanted if look.spec and look.is_open]

    def watch_it(run: str) -> Seen:
        return watch(cluster.of_run(run), cluster.pace(), seconds, whole=True)

    seen = dict(zip(watched, together(cluster.store, watch_it, watched), strict=True))
    if not seen and (wanted or others):
        sleep(seconds)
    found = []
    for look in wanted:
        leftover = _leftover(cluster, look, seen.get(look.run))
        if not dry and not leftover.stays:
            leftover = _remove(cluster, look, leftover)
        found.append(leftover)
    others &= set(_others(cluster)) if others else set()
    for name in [] if dry else others:
        _remove_other(cluster, name)
    return Cleaning(tuple(found), len(others))


# ---------------------------------------------------------------- looking


@dataclass(frozen=True)
class _Look:
    """A run at one moment."""

    run: str
    names: frozenset[str] = frozenset()
    spec: Spec | None = None
    """None: it can't be read."""
    is_open: bool = False
    """It has not ended, or not everybody was told so."""
    has_ended: bool = False
    is_published: bool = False
    """For certain: its result is not only decided."""
    problem: str = ""
    """Why it can't be read."""


def _look(cluster: Cluster, run: str, *, is_open: bool) -> _Look:
    store = cluster.of_run(run)
    try:
        spec = cluster.spec(run)
    except (SignatureError, WorkDamaged) as error:
        return _Look(run, is_open=is_open, problem=error.message.rstrip("."))
    ended = has_ended(store)
    commit = _commit(store)
    is_open = is_open or not ended
    return _Look(run, frozenset(store.list()), spec, is_open, ended, ended and commit not in (b"", CLEANED))


def _half_submitted(cluster: Cluster) -> list[_Look]:
    """Runs whose submitter was killed, or is at it now, before hosts could find them."""
    return [
        _Look(run, frozenset(names))
        for run, names in cluster.runs_and_names().items()
        if not {layout.SPEC, layout.ENDED} & names
    ]


def _commit(store: Store) -> bytes:
    """What the commit holds; b"": there is none."""
    try:
        return store.read(layout.COMMIT)
    except FileNotFoundError:
        return b""


def _leftover(cluster: Cluster, look: _Look, seen: Seen | None) -> Leftover:
    """What is there of a run that was looked at before, and whether it has been quiet since."""
    if look.problem:
        return Leftover(look.run, stays=look.problem)
    store = cluster.of_run(look.run)
    unfinished, parts = cluster.unfinished(look.run), _parts(look)
    names = _removable(store)
    folder, output = cluster.folder, folder_or_url(look.spec.output) if look.spec else None
    size = None
    if folder is not None and not isinstance(output, str):
        stored = [folder / layout.in_job(look.run, name) for name in names]
        size = _size([*unfinished, *stored, *(output / part for part in parts if output)])
    job, files = look.spec.job if look.spec else "", len(unfinished) + len(parts)
    return Leftover(look.run, job, len(names), files, size, _why_it_stays(store, look, seen))


def _why_it_stays(store: Store, look: _Look, seen: Seen | None) -> str:
    if seen and seen.answer is not None:
        return f"coordinator {seen.epoch} ({leader(store, seen.epoch)}) leads it: `mapreduce stop` it first"
    if seen and seen.wrote:
        return f"hosts report to it ({', '.join(sorted(seen.wrote))}): they leave when it has no coordinator"
    if not look.has_ended and _commit(store) not in (b"", CLEANED):
        return "its result is decided and not yet published: `mapreduce resume` does that"
    if set(store.list()) - look.names:
        return "somebody has written to it just now"
    return ""


def _parts(look: _Look) -> list[str]:
    """What the run wrote to its output, and no manifest names."""
    if look.spec is None:
        return []
    output = folder_or_url(look.spec.output)
    with storage_errors("list", output):
        try:
            found = {name for name in manifests.names_at(output) if layout.writer_of(name) == look.run}
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            named = named_at(output) if found else set()
        except ManifestError:  # it may name anything
            return []
        if look.is_published and not named:  # its manifest was there, and may have named anything
            return []
    return sorted(found - named)


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):  # it went meanwhile
            total += path.stat().st_size
    return total


def _others(cluster: Cluster) -> list[str]:
    """What probes, and those that asked all hosts something, have left there, or are at now."""
    store, folder = cluster.store, cluster.folder
    names = [*store.list(layout.PROBES), *store.list(layout.ANSWERS)]
    names += [name for name in store.list(layout.OPEN) if layout.question_of(name)]
    if folder is not None:
        for below in (layout.PROBES, layout.ANSWERS, layout.OPEN):
            names += [str(path.relative_to(folder)) for path in unfinished_files(folder / below)]
    return names + _late(cluster)


def _late(cluster: Cluster) -> list[str]:
    """What was written to runs after they were removed."""
    found = []
    for run, names in cluster.runs_and_names().items():
        if layout.SPEC not in names and layout.ENDED in names and _commit(cluster.of_run(run)) == CLEANED:
            found += [layout.in_job(run, name) for name in _removable(cluster.of_run(run))]
            found += [os.path.relpath(path, cluster.place) for path in cluster.unfinished(run)]
    return found


# ---------------------------------------------------------------- removing


def _remove(cluster: Cluster, look: _Look, leftover: Leftover) -> Leftover:
    store = cluster.of_run(look.run)
    if not look.has_ended and not fence(store):
        return replace(leftover, stays="its result was decided just now")
    cluster.close(look.run)
    for path in cluster.unfinished(look.run):
        with storage_errors("delete", path, missing=False):
            path.unlink(missing_ok=True)
    if look.spec:
        _remove_from_output(look, folder_or_url(look.spec.output))
    erase(store)
    if cluster.folder is not None:
        remove_empty(cluster.folder / layout.in_job(look.run))
    return leftover


def _remove_from_output(look: _Look, output: Path | str) -> None:
    for name in _parts(look):
        with storage_errors("delete", layout.shown(str(output), name), missing=False):
            remove_at(output, name)
    if isinstance(output, Path) and not look.is_published:
        with suppress(OSError):  # it was there before, or others write to it
            output.rmdir()
    release_output(place_at(output, look.run))


def _remove_other(cluster: Cluster, name: str) -> None:
    if layout.is_unfinished(name.rpartition("/")[2]) and cluster.folder is not None:
        (cluster.folder / name).unlink(missing_ok=True)
    else:
        cluster.store.delete(name)
