"""Results that lie in an object store, such as S3, where Snakemake was given one as its default storage.

Snakemake then keeps every result there, and a copy of one here only while a job works with it. What says what made a
result lies in the result: it is copied here before the workflow looks at it. A job in a pod finds its own results there
and no other's, nor what a killed one had done so far.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study


class Store:
    """Snakemake's default storage; without one, the folder that it works in.

    Args:
        workflow: Snakemake's.
    """

    def __init__(self, workflow: Any) -> None:
        self._provider = workflow.storage_registry.default_storage_provider
        self._prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
        if self:
            self._copies = copy.copy(self._provider)
            self._copies.local_prefix = self._provider.local_prefix.with_name("receipts")

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self._provider is not None

    def settled(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The config. In a store each run has a job of its own, if nothing else is said, so that it is found again, and
        verdicts are not compared with those of another study, which may not be there."""
        return {"jobs": {"runs_per_job": 1}, **settings, "compare": None} if self else settings

    def query(self, file: str) -> str:
        """Where a result lies, for people."""
        return f"{self._prefix}/{file}" if self else file

    def known(self, file: str) -> str:
        """A result as Snakemake calls it."""
        return str(self._provider.object(self.query(file)).local_path()) if self else file

    def copied(self, file: str) -> str:
        """A result as it can be read here, once it has been fetched."""
        return str(self._copies.object(self.query(file)).local_path()) if self else file

    def fetch(self, study: Study) -> None:
        """Copy here whatever of the study says what made it, if it is another one than that of the last time.

        Raises:
            StudyError: the prefix is none of such a store.
            WorkflowError: Snakemake's, where the store does not answer.
        """
        if not self:
            return
        valid = self._provider.is_valid_query(self.query(study.results))
        if not valid:
            raise StudyError(f"--default-storage-prefix {shown(self._prefix)}: {plain(valid.reason)}")
        asyncio.run(self._fetch(study))

    async def _fetch(self, study: Study) -> None:
        cache = SimpleNamespace(exists_in_storage={}, exists_local={}, mtime={}, size={})
        # Of all that lies beside a folder of the results at once, where the store can list that.
        await self._copies.object(self.query(f"{study.results}/runs")).inventory(cache)
        listed = any(cache.exists_in_storage.values())
        for file in _files(study):
            one = self._copies.object(self.query(file))
            key, here = one.cache_key(), Path(one.local_path())
            if listed and file.startswith(f"{study.results}/"):
                there = cache.exists_in_storage.get(key, False)
            else:
                there = await one.managed_exists()
            if not there:
                here.unlink(missing_ok=True)
                continue
            known, size = cache.mtime.get(key), cache.size.get(key)
            # The store's own time is the copy's too: clocks differ.
            changed = round(known.storage() if known else await one.managed_mtime())
            size = await one.managed_size() if size is None else size
            if not here.exists() or (here.stat().st_mtime, here.stat().st_size) != (changed, size):
                await one.managed_retrieve()
                os.utime(here, (changed, changed))

    def hold(self, workflow: Any) -> None:
        """Let Snakemake keep what lies in the store: it neither fetches what a job updates, which is lost so, nor knows
        that a script of a newer clone is the old one. To be called when there are its jobs; once is enough."""
        persistence = workflow.persistence
        if not self or getattr(persistence.backup_output, "fetches", False):
            return
        keep = persistence.backup_output

        def backup_output(path: Path) -> None:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._provider.object(self.query(self._file(path))).retrieve_object()
            keep(path)

        backup_output.fetches = True  # type: ignore[attr-defined]
        persistence.backup_output = backup_output
        triggers = workflow.dag_settings.rerun_triggers
        workflow.dag_settings.rerun_triggers = frozenset(one for one in triggers if str(one) != "code")

    def fetch_logs(self, jobs: Iterable[Any]) -> None:
        """Copy here what jobs elsewhere have written into their logs, where Snakemake looks for it."""
        if not self:
            return
        for log in {Path(log) for one in jobs for job in (one.jobs if one.is_group() else [one]) for log in job.log}:
            with suppress(Exception):  # of any kind of store; the line of the job says that there is no log
                log.parent.mkdir(parents=True, exist_ok=True)
                if not log.exists():
                    self._provider.object(self.query(self._file(log))).retrieve_object()

    def _file(self, known: Path) -> str:
        """The result that Snakemake calls so."""
        root = Path(self.known("file")).parent
        return known.relative_to(root).as_posix()


def _files(study: Study) -> list[str]:
    described = [study.activation_file(name) for name in study.activations()]
    described += [study.dataset_file(name) for name in study.datasets()]
    runs = [study.job_file(job, table) for job in study.jobs.values() for table in RUN_TABLES]
    costs = [study.cost_file(name) for name in study.costed()]
    tables = [study.table_file(name) for name in ("runs", "ledger")]
    return [*described, *costs, *runs, *tables, study.validity_file, study.page]
