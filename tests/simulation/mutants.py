"""Deliberate mistakes in the protocol, each a patch of one module: the simulation must find every one.

    python -m simulation.mutants [NAME …]

Each mutant is told stories in a process of its own, until one breaks a promise. A survivor fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import mapreduce

PACKAGE = Path(mapreduce.__file__).parent
SEEDS = 2_000
"""Stories that a mutant may survive."""


@dataclass(frozen=True)
class Mutant:
    """A mistake: in a module, a text that occurs once is replaced."""

    name: str
    module: str
    old: str
    new: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of each story's setting, for a mistake that others seldom meet."""


MUTANTS = [
    Mutant(
        "the commit overwrites",
        "hosts/lead.py",
        "    if store.create(layout.COMMIT, data):\n        return data\n",
        "    store.put(layout.COMMIT, data)\n    return data\n",
    ),
    Mutant(
        "who loses the commit publishes its own",
        "hosts/lead.py",
        "    if store.create(layout.COMMIT, data):\n        return data\n",
        "    store.create(layout.COMMIT, data)\n    return data\n",
    ),
    Mutant(
        "published before it is committed",
        "hosts/lead.py",
        "manifest = publish(_commit(store, reader, data))",
        "manifest = publish(data); _commit(store, reader, data)",
    ),
    Mutant(
        "data is deleted before the commit",
        "hosts/lead.py",
        "    replaced = there.manifest(layout.MANIFEST)\n",
        "    remove(store)\n    replaced = there.manifest(layout.MANIFEST)\n",
    ),
    Mutant(
        "the commit is deleted with the rest",
        "hosts/lead.py",
        "(layout.ORDERS, layout.REPORTS,",
        '("result", layout.ORDERS, layout.REPORTS,',
    ),
    Mutant(
        "sinks are told before the commit",
        "hosts/lead.py",
        "    manifest = publish(_commit(store, reader, data))\n",
        "    tell(manifests.parse(data, '')); manifest = publish(_commit(store, reader, data))\n",
    ),
    Mutant(
        "who finds a commit tells no sinks",
        "hosts/lead.py",
        "    if committed := reader.manifest(layout.COMMIT):\n        return end(publish(committed[1]))\n",
        "    if committed := reader.manifest(layout.COMMIT):\n        return publish(committed[1])\n",
    ),
    Mutant(
        "a sink that was told leaves no mark",
        "sinks/delivery.py",
        "            self._records.mark(done)\n",
        "",
    ),
    Mutant(
        "a sink's key is another one each time",
        "sinks/delivery.py",
        '{manifest.digest}\\n{sink}".encode()',
        '{manifest.digest}\\n{sink}{object()}".encode()',
    ),
    Mutant(
        "the end is not said",
        "hosts/lead.py",
        "    store.create(layout.ENDED, ENDED)\n    return manifest\n",
        "    return manifest\n",
    ),
    Mutant(
        "the log is not read",
        "hosts/lead.py",
        "accepted = read_log(store, reader.read).by_task",
        "accepted = read_log(store, reader.read).by_task and {}",
    ),
    Mutant(
        "what hosts have done is not adopted",
        "hosts/lead.py",
        "for ended in desk.unacknowledged():",
        "for ended in desk.unacknowledged()[:0]:",
    ),
    Mutant(
        "what is adopted is not logged, and counts",
        "hosts/lead.py",
        "    log.append(list(adopted.values()))\n",
        "",
    ),
    Mutant(
        "a listed entry that seems to be missing ends the coordinator",
        "hosts/lead.py",
        "read_log(store, reader.read)",
        "read_log(store)",
    ),
    Mutant(
        "a torn commit is taken for a damaged one",
        "hosts/lead.py",
        "for _ in range(READS - 1):\n            with suppress(ManifestError)",
        "for _ in range(0):\n            with suppress(ManifestError)",
    ),
    Mutant(
        "an epoch may be claimed twice",
        "hosts/leadership.py",
        'while not store.create(layout.epoch_name(epoch), seal({"nonce": nonce, "name": name})):',
        'while not store.create(layout.epoch_name(epoch), seal({"nonce": "", "name": ""})):',
    ),
    Mutant(
        "an epoch is taken that another one has",
        "hosts/leadership.py",
        'while not store.create(layout.epoch_name(epoch), seal({"nonce": nonce, "name": name})):',
        'while store.create(layout.epoch_name(epoch), seal({"nonce": nonce, "name": name})) and False:',
    ),
    Mutant(
        "an epoch that a stale list leaves out is tried for ever",
        "hosts/leadership.py",
        "epoch = max(epoch, newest(store)) + 1",
        "epoch = epoch",
    ),
    Mutant(
        "the coordinator does not see that the run has ended",
        "hosts/desk.py",
        "if has_ended(self._store):",
        "if False:",
    ),
    Mutant(
        "a host does not see that the run has ended",
        "hosts/agent.py",
        "return has_ended(self._store)",
        "return False",
    ),
    Mutant(
        "a request to stop is for whoever leads",
        "hosts/leadership.py",
        "    return layout.stop_name(epoch) in names and _says(store, layout.stop_name(epoch), STOP)\n",
        "    return any(name.endswith('.stop') for name in names)\n",
    ),
    Mutant(
        "a coordinator that was stopped says that the run has ended",
        "hosts/lead.py",
        "            say_end(store, epoch, error)\n",
        "            store.create(layout.ENDED, ENDED)\n",
    ),
    Mutant(
        "orders are written under one name",
        "hosts/desk.py",
        "        host.sent += 1\n",
        "        host.sent = 1\n",
    ),
    Mutant(
        "reports are written under one name",
        "hosts/agent.py",
        "        self._reports += 1\n",
        "        self._reports = 1\n",
    ),
    Mutant(
        "orders bear the epoch before",
        "hosts/desk.py",
        "layout.orders_name(host.id, self.epoch, host.sent), orders",
        "layout.orders_name(host.id, self.epoch - 1, host.sent), orders",
    ),
    Mutant(
        "log entries of all coordinators have the same names",
        "hosts/lead.py",
        "log = AcceptanceLog(store, epoch)",
        "log = AcceptanceLog(store, 1)",
    ),
    Mutant(
        "log entries are not counted",
        "coordinator/log.py",
        "        self.entries += 1\n",
        "        self.entries = 1\n",
    ),
    Mutant(
        "more is acknowledged than was told",
        "hosts/desk.py",
        "host.settled = host.told",
        "host.settled = host.told + 1",
    ),
    Mutant(
        "a host tells once what has ended",
        "hosts/agent.py",
        "            tuple(self._ended.values()),\n",
        "            (*self._ended.values(), *[self._ended.clear()][:0]),\n",
    ),
    Mutant(
        "a silent host is waited for",
        "hosts/desk.py",
        "if host.alive and self._clock() - host.heard > self._pace.dead:",
        "if False:",
    ),
    Mutant(
        "silence is measured by the wall clock",
        "hosts/lead.py",
        "        clock=around.clock,\n        sleep=around.sleep,\n        standing",
        "        clock=lambda: around.today().timestamp(),\n        sleep=around.sleep,\n        standing",
    ),
    Mutant(
        "a lost host keeps its orders",
        "hosts/desk.py",
        "        for key in list(host.orders):\n            self._forget(host, key)\n        for",
        "        for",
    ),
    Mutant(
        "a lost host's workers are not told of",
        "hosts/desk.py",
        "        self._events.append(WorkerGone(worker, HostLost(why",
        "        (WorkerGone(worker, HostLost(why",
    ),
    Mutant(
        "a host that returns gets no workers",
        "hosts/desk.py",
        "if not host.alive and (report.slots or host.refusal):",
        "if not host.alive and not host.told and (report.slots or host.refusal):",
    ),
    Mutant(
        "an attempt for a lost host is an error",
        "hosts/desk.py",
        "        if host is None:  # it was lost a moment ago, which has been, or will be, told\n",
        "        assert host is not None\n        if not host:\n",
    ),
    Mutant(
        "an end that nobody waits for is told",
        "hosts/desk.py",
        "            if order is None:  # of another coordinator, or not wanted any more\n",
        "            order = host.orders.setdefault(ended.key, Order(ended.attempt, {'nonce': ''}))\n"
        "            if not order:\n",
    ),
    Mutant(
        "what an attempt reads is written under the shard's name",
        "store/layout.py",
        'return f"{STAGE}/{epoch:06d}/{shard:05d}-{nonce}"',
        'return f"{STAGE}/{epoch:06d}/{shard:05d}"',
    ),
    Mutant(
        "map data has the task's name",
        "store/layout.py",
        'return f"{DATA}/map-{index:05d}-{nonce}"',
        'return f"{DATA}/map-{index:05d}"',
    ),
    Mutant(
        "a part has the shard's name",
        "store/layout.py",
        'return f"part-{index:05d}-{run_id}-{nonce}{suffix}"',
        'return f"part-{index:05d}-{run_id}-00000000{suffix}"',
    ),
    Mutant(
        "a manifest is not compared with its digest",
        "manifest.py",
        "    return _digest(view[:start], view[stop:]) == digest\n",
        "    return True\n",
        {"coordinators": 3, "nemeses": {"kill coordinator": 1.0, "rival": 2.0}},
    ),
    Mutant(
        "data is not compared with its digest",
        "shuffle/objects.py",
        "if xxhash.xxh3_128_digest(data) == digest:",
        "if data:",
    ),
    Mutant(
        "control records are not compared with their digest",
        "codec.py",
        "if len(data) <= _SEAL or xxhash.xxh3_128_digest(content) != data[:_SEAL]:",
        "if len(data) <= _SEAL:",
    ),
    Mutant(
        "a reduce of other maps is accepted",
        "coordinator/state.py",
        "if attempt.task.kind is Kind.REDUCE and result.inputs != self._inputs:",
        "if False:",
    ),
    Mutant(
        "reduces of other maps are kept",
        "coordinator/state.py",
        "            if result and result.inputs != self._inputs\n",
        "            if False\n",
    ),
    Mutant(
        "the digest of maps leaves out what they gave",
        "coordinator/state.py",
        '        state.update(b"\\n" + result.digest.encode())\n',
        '        state.update(b"\\n")\n',
    ),
    Mutant(
        "a map whose data got lost is not made again",
        "coordinator/state.py",
        "        commands = self._redo_map(error)\n        if self._ended:",
        "        commands: list[Command] = []\n        if self._ended:",
    ),
    Mutant(
        "reduces read what was there before a map was made again",
        "coordinator/loop.py",
        "            self._ranges = self._stored = None\n\n",
        "            self._ranges = None\n\n",
    ),
    Mutant(
        "a host begins again what it has done",
        "hosts/agent.py",
        "        known |= {ended.key for ended in self._ended.values()}\n",
        "",
    ),
    Mutant(
        "a host drops what it is told to go on with",
        "hosts/agent.py",
        "            if key not in wanted:\n                self._stop(key, begun, None)\n",
        "            if key in wanted:\n                self._stop(key, begun, None)\n",
    ),
    Mutant(
        "counters are added twice",
        "account.py",
        "name: maps.counters.get(name, 0) + reduces.counters.get(name, 0)",
        "name: 2 * maps.counters.get(name, 0) + reduces.counters.get(name, 0)",
    ),
]


class Patching(SourceFileLoader):
    """Loads a module with a mutant's text in it."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]
        return self.source_to_code(patched(self._mutant), self.path)


def patched(mutant: Mutant) -> bytes:
    """The mutant's module. Raises LookupError if the text to be replaced is not there once."""
    source = (PACKAGE / mutant.module).read_text()
    if source.count(mutant.old) != 1:
        raise LookupError(
            f"{mutant.name}: its text stands {source.count(mutant.old)} times in {mutant.module}"
        )
    return source.replace(mutant.old, mutant.new).encode()


def mutate(mutant: Mutant) -> None:
    """From now on the module is imported as the mutant."""
    from importlib.machinery import PathFinder

    name = "mapreduce." + mutant.module.removesuffix(".py").replace("/", ".")

    class Finder(PathFinder):
        @classmethod
        def find_spec(cls, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
            spec = super().find_spec(fullname, path, target)
            if fullname == name and spec and spec.origin:
                spec.loader = Patching(fullname, spec.origin, mutant)
            return spec

    for module in [module for module in sys.modules if module.split(".")[0] in ("mapreduce", "simulation")]:
        if module not in ("simulation", "simulation.mutants"):
            del sys.modules[module]
    sys.meta_path.insert(0, Finder)


def seeds() -> Iterator[int]:
    """Small stories first: most mistakes show in them."""
    from .story import Setting

    settings = {seed: Setting.of(seed) for seed in range(SEEDS)}
    yield from sorted(settings, key=lambda seed: settings[seed].maps > 12)


def survives(mutant: Mutant) -> str:
    """Tell it stories; the first that it fails, or "" if there is none."""
    mutate(mutant)
    for number, seed in enumerate(seeds(), 1):
        from .story import tell

        try:
            tell(seed, **mutant.changes)
        except Exception as error:  # noqa: BLE001 - a mistake may show as any of them
            return f"story {number}, seed {seed}: {type(error).__name__}: {str(error)[:120]}"
    return ""


def hunt(mutant: Mutant) -> tuple[Mutant, str, float]:
    """Tell a mutant stories in a process of its own: what it failed by, and seconds."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "simulation.mutants", "--alone", mutant.name]
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{PACKAGE.parent}"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = (
        process.stdout.strip() if process.returncode in (0, 3) else f"not even run: {process.stderr[-500:]}"
    )
    return mutant, told, time.monotonic() - begin


def main() -> int:
    """0: every mutant was caught."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if options.alone:
        print(survives(chosen[0]))
        return 0
    survivors = []
    begin = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, told, seconds in pool.map(hunt, chosen):
            bad = not told or told.startswith("not run")
            survivors += [mutant.name] if bad else []
            print(f"{seconds:6.1f} s  {mutant.name}: {told or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught in {time.monotonic() - begin:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
