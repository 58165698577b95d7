"""A host: takes part in the runs of a store, one after another, with worker processes of its own."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

from mapreduce import host as machine
from mapreduce import manifest as manifests
from mapreduce.errors import JobError, MapReduceError, NoWorkers, SignatureError, WorkDamaged
from mapreduce.executors.processes import ProcessExecutor
from mapreduce.hosts import messages
from mapreduce.hosts.agent import Agent, Identity
from mapreduce.hosts.asking import Answering
from mapreduce.hosts.jobs import Cluster, Form, Spec, runs_of, version_difference
from mapreduce.hosts.leadership import has_ended, newest
from mapreduce.hosts.messages import HostReport
from mapreduce.store import layout

logger = logging.getLogger("mapreduce.host")


def identity() -> Identity:
    """A new one, which no other process has had."""
    name = machine.process_name()
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
    return Identity(f"{readable}-{secrets.token_hex(4)}", name, manifests.versions())


class Host:
    """processes: attempts at once. leaving: asked whether to take nothing more, and to end. memory: bytes
    that all attempts may hold together; None: what the machine can spare.
    """

    def __init__(
        self, cluster: Cluster, processes: int, *, leaving: Callable[[], bool], memory: int | None = None
    ) -> None:
        self._cluster, self._processes, self._leaving = cluster, processes, leaving
        self._memory = memory or machine.worker_budget(1)
        self._left: dict[str, int] = {}
        """Epoch of each run when this host was done with it, or failed: it comes back under a newer one."""
        self._refused: set[str] = set()
        own = identity()
        self._answering = Answering(cluster, own.id, own.name)

    def work(self) -> None:
        """Take part in runs until this host is to leave. Raises what the store raises."""
        logger.info("%s waits for runs on %s", identity().name, self._cluster.place)
        rest = self._cluster.pace().rest
        while not self._leaving():
            names = self._cluster.store.list(layout.OPEN)
            self._answering.attend(names, at_work=False)
            taken = [run_id for run_id in runs_of(names) if self._take_part(run_id)]
            if not taken:
                time.sleep(rest)

    def _take_part(self, run_id: str) -> bool:
        """Work on a run, until it has ended or has nothing to do; False if it is none for this host."""
        if self._leaving() or run_id in self._refused:
            return False
        store = self._cluster.of_run(run_id)
        try:
            spec = self._cluster.spec(run_id)
            if newest(store) <= self._left.get(run_id, 0) or has_ended(store):
                return False
            payload = self._cluster.payload(spec)
        except (SignatureError, WorkDamaged) as error:
            logger.warning("run %s is left alone: %s", run_id, error)
            self._refused.add(run_id)
            return False
        own = identity()
        if why := version_difference(spec.versions, own.versions):
            logger.warning("run %s is left alone: this host can't take part: %s", run_id, why)
            report = HostReport(0, 0, 0, name=own.name, versions=own.versions)
            messages.post(store, layout.report_name(own.id, 1), report)
            self._refused.add(run_id)
            return False
        self._serve(spec, payload, own)
        return True

    def _serve(self, spec: Spec, payload: bytes, own: Identity) -> None:
        scratch = tempfile.mkdtemp(prefix="mapreduce-")
        setup: dict[str, Any] = {
            "run_id": spec.run_id,
            "run": scratch,
            "store": self._cluster.place_of(spec.run_id),
            "output": spec.output,
            "shards": spec.shards,
            "directory": spec.directory,
        }
        if spec.form is Form.IMPORT:
            setup["deployed"] = {
                "functions": spec.functions,
                "settings": spec.settings,
                "folder": os.getcwd(),
            }
        store = self._cluster.of_run(spec.run_id, "worker")
        executor = ProcessExecutor(payload, setup, self._processes)
        agent = Agent(
            store,
            own,
            executor,
            self._cluster.pace(),
            leaving=self._leaving,
            memory=self._memory,
            beside=self._answering.look,
        )
        logger.info("joined run %s (%s) as %s", spec.run_id, spec.job, own.id)
        try:
            agent.serve()
        except MapReduceError as error:
            logger.warning("left run %s: %s", spec.run_id, error)
            if isinstance(error, (JobError, NoWorkers)):  # its processes can't load the job, or not begin
                agent.refuse(str(error).removesuffix("."))
            self._left[spec.run_id] = agent.epoch or newest(store)
        else:
            logger.info("left run %s: %s", spec.run_id, agent.why)
            if agent.is_done:
                self._left[spec.run_id] = agent.epoch or newest(store)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
