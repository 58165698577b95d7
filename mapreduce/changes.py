"""What differs between two plans of a job, in words: why a run that was begun can't just go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mapreduce.figures import count, visible
from mapreduce.model import InputFile, Plan

_SHOWN_FILES = 5
_SHOWN_TEXT = 60
"""Characters of a setting that are told."""
_DIGEST = 64
"""Digits of a fingerprint, which tell nobody anything."""


def differences(old: Plan, new: Plan) -> list[str]:
    """One line for each difference that may change the result; none if the runs' results are the same.

    Settings come first, then functions, files of the input, and versions.
    """
    told = [
        *changed_settings(old.settings, new.settings),
        *changed_functions(old.functions, new.functions),
        *_inputs(old.inputs, new.inputs),
        *_versions(old.versions, new.versions),
    ]
    return told or list(_cuts(old, new))


def only_reduce_changed(old: Plan, new: Plan) -> bool:
    """Whether the plans differ in the reduce function and in nothing else.

    The map results can be kept then, unless the map side combines for one of the two reduces
    (`Plan.combines`).
    """
    roles = {role for role in old.functions | new.functions if _differ(old.functions, new.functions, role)}
    if roles != {"reduce"} or not ("reduce" in old.functions and "reduce" in new.functions):
        return False
    like_old = replace(new, run_id=old.run_id, code=old.code, functions=old.functions, combines=old.combines)
    return like_old == old


def _differ(old: dict[str, str], new: dict[str, str], name: str) -> bool:
    return old.get(name) != new.get(name)


def changed_settings(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    """One line for each setting that differs."""
    for name in old | new:
        if _differ(old, new, name):
            before, after = old.get(name, "none"), new.get(name, "none")
            if _says_nothing(before) or _says_nothing(after):
                yield f"{visible(name)} has changed"
            else:
                yield f"{visible(name)}: {_short(before)} → {_short(after)}"


def _says_nothing(text: str) -> bool:
    last = text.rpartition(" ")[2]
    return len(last) == _DIGEST and set(last) <= set("0123456789abcdef")


def _short(text: str) -> str:
    shown = "none" if text == "None" else visible(text)
    return shown if len(shown) <= _SHOWN_TEXT else shown[: _SHOWN_TEXT - 1] + "…"


def changed_functions(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    """One line for each function that differs, by what it is there for."""
    for role in old | new:
        if role not in old:
            yield f"{role} was added"
        elif role not in new:
            yield f"{role} was removed"
        elif _differ(old, new, role):
            yield f"{role} has changed"


def _versions(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for name in old | new:
        if _differ(old, new, name):
            yield f"{visible(name)} {visible(old.get(name, 'none'))} → {visible(new.get(name, 'none'))}"


# ---------------------------------------------------------------- files of the input


def _inputs(old: Sequence[InputFile], new: Sequence[InputFile]) -> list[str]:
    before, after = _by_name(old), _by_name(new)
    told = [line for uri in before | after for line in _file(uri, before.get(uri, []), after.get(uri, []))]
    more = len(told) - _SHOWN_FILES
    return told if more <= 0 else [*told[:_SHOWN_FILES], f"… and {count(more, 'more file')}"]


def _by_name(files: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    found: dict[str, list[InputFile]] = {}
    for file in files:
        found.setdefault(file.uri, []).append(file)
    return found


def _file(uri: str, old: Sequence[InputFile], new: Sequence[InputFile]) -> Iterator[str]:
    """At most one line about a file, which may be several times in the input."""
    in_memory = uri == "records:"
    name, unit = ("the input in memory", "records") if in_memory else (visible(uri), "bytes")
    pair = next(((a, b) for a, b in zip(old, new, strict=False) if a != b), None)
    if not old:
        yield f"{name} is new"
    elif not new:
        yield f"{name} is gone"
    elif pair is None:
        if len(old) != len(new):
            yield f"{name} is read {count(len(new), 'time')} instead of {count(len(old), 'time')}"
    elif pair[0].size != pair[1].size:
        yield f"{name} has changed ({pair[0].size:,} → {pair[1].size:,} {unit})"
    else:
        yield f"{name} has changed since (same size)"


def _cuts(old: Plan, new: Plan) -> Iterator[str]:
    """What is left when all that people can see is the same."""
    if old.inputs != new.inputs:
        yield "the files of the input have another order"
    elif old.splits != new.splits:
        yield f"the input is cut otherwise ({len(old.splits):,} → {len(new.splits):,} map tasks)"
    if (old.shards, old.by_key) != (new.shards, new.by_key):
        yield f"the number of reduce tasks has changed ({old.shards:,} → {new.shards:,})"
