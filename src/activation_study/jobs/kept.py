"""Runs that are done, kept by what made each of them: whoever needs one finds it, however runs lie in jobs.

A *set* is a folder with a file of each of ``RUN_TABLES``; the one written last, ``jobs``, holds the receipts of its
runs. The sets of a shape lie side by side: those that the workflow knows, and, with a dot before their name, what a job
that has not ended has done so far.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.tables import parquet

JOBS = f"{RUN_TABLES[-1]}.parquet"
Tables = dict[str, pa.Table]


class KeptRuns:
    """The runs of one job, those that are done and those that are missing.

    Args:
        folder: of the job's own set.
        wanted: what must have made each of its runs, in their order.
    """

    def __init__(self, folder: Path, wanted: Mapping[str, receipts.Receipt]):
        self.folder, self.wanted = folder, wanted
        self._tables: dict[str, Tables] = {}
        self._unwritten: list[str] = []
        for file in sorted(folder.parent.glob(f"*/{JOBS}")):
            if file.parent != folder:
                self._take(file.parent)
        # Its own set is replaced file by file in the end, so what only that holds is kept elsewhere before.
        self._unwritten += self._take(folder)

    def _take(self, folder: Path) -> list[str]:
        """The runs that are needed and in that set; none of one that is damaged, or goes while it is read."""
        if not self._names_any(folder / JOBS):
            return []
        there = receipts.runs_of(receipts.found(folder / JOBS))
        found = [
            run for run in self.missing if run in there and receipts.difference_of(there[run], self.wanted[run]) is None
        ]
        if not found or receipts.mixed(folder):
            return []
        try:
            tables = {name: parquet.read(name, folder / f"{name}.parquet") for name in RUN_TABLES}
        except (OSError, StudyError):
            return []
        for run in found:
            self._tables[run] = {name: table.filter(pc.field("run") == run) for name, table in tables.items()}
        return found

    def _names_any(self, file: Path) -> bool:
        """Whether a needed run's id stands in the file at all: to read the receipts of every set of a shape would take
        each of its jobs longer, the more there are."""
        try:
            held = files.read_regular(file, files.MOST_JSON)
        except (OSError, StudyError):
            return False
        return any(f'"{run}"'.encode() in held for run in self.missing)

    @property
    def tables(self) -> Mapping[str, Tables]:
        """Of the runs that are done, by run."""
        return self._tables

    @property
    def missing(self) -> list[str]:
        return [run for run in self.wanted if run not in self._tables]

    def add(self, done: Mapping[str, Tables]) -> None:
        """These are done; they are on the disk when it returns."""
        self._tables |= done
        self._unwritten += done
        self.flush()

    def flush(self) -> None:
        """Write what is not on the disk yet."""
        if not self._unwritten:
            return
        for number in itertools.count():
            folder = self.folder.with_name(f".{self.folder.name}.{number}")
            with suppress(FileExistsError):  # another process's, if one of a killed call still lives
                folder.mkdir(parents=True)
                break
        self._write(folder, self._unwritten)
        self._unwritten = []

    def finish(self) -> None:
        """The job's own set, with all its runs; what was written on the way to it goes."""
        if (self.folder / JOBS).exists():
            self.flush()
            (self.folder / JOBS).unlink()
        self._write(self.folder, list(self.wanted))
        for part in self.folder.parent.glob(".*"):
            own = part.name.startswith(f".{self.folder.name}.")
            # A run is in one job of a call, so another's part with ours alone is of a call that was killed.
            there = receipts.runs_of(receipts.found(part / JOBS)).keys()
            if part.is_dir() and (own or (there and there <= self.wanted.keys())):
                shutil.rmtree(part, ignore_errors=True)

    def _write(self, folder: Path, runs: Sequence[str]) -> None:
        made_by = receipts.of_job({run: self.wanted[run] for run in runs})
        for name in RUN_TABLES:
            table = pa.concat_tables([self._tables[run][name] for run in runs])
            receipt = made_by if name == RUN_TABLES[-1] else receipts.beside(made_by)
            parquet.write_parquet(table, folder / f"{name}.parquet", receipt)
