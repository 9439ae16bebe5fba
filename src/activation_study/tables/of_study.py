"""A study's tables by name, as what draws on several of them reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from activation_study.core.errors import StudyError
from activation_study.core.text import plain
from activation_study.tables import checked
from activation_study.tables.columns import TABLES
from activation_study.tables.parquet import arrow_table


class Tables(dict[str, pd.DataFrame]):
    """The tables that are there, by name; an absent one reads as empty, with its columns and their types."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        super().__init__(tables)
        self._places: dict[str, Mapping[str, np.ndarray]] = {}

    @classmethod
    def read(
        cls,
        folder: Path,
        needs: Mapping[str, Sequence[str]] | None = None,
        required: Sequence[str] = ("runs",),
        threads: int = 1,
    ) -> Tables:
        """Read `folder`/<table>.parquet with every check, also that they are of one study.

        Args:
            folder: where the tables lie.
            needs: the tables to read with the columns that none may lack, of this or an older schema version; None
                for all tables, whole and of this version.
            required: the tables that must be there.
            threads: how many tables are read at the same time.

        Raises:
            StudyError: a required table is missing, or a table holds what no study writes.
        """
        paths = {name: folder / f"{name}.parquet" for name in (TABLES if needs is None else needs)}
        for name in required:
            if not paths[name].exists():
                raise StudyError(f"{plain(paths[name])} is missing; run the study, or name a folder that has it")
        there = {name: path for name, path in paths.items() if path.exists()}

        def one(name: str) -> pd.DataFrame:
            return checked.read(name, there[name]) if needs is None else checked.read_any(there[name], needs[name])

        with ThreadPoolExecutor(threads) as pool:  # Arrow and NumPy let other threads work beside them
            read = dict(zip(there, pool.map(one, there), strict=True))
        checked.hold_together(read)
        return cls(read)

    def __missing__(self, name: str) -> pd.DataFrame:
        return arrow_table(name, {column: [] for column in TABLES[name]}).to_pandas()

    def __or__(self, other: Mapping[str, pd.DataFrame]) -> Tables:  # type: ignore[override]
        return Tables({**self, **other})

    @property
    def missing(self) -> list[str]:
        return [name for name in TABLES if name not in self]

    def of_runs(self, name: str, runs: Collection[str], role: str) -> pd.DataFrame:
        """The rows of these runs' replicas, in the table's order."""
        if name not in self._places:
            self._places[name] = self[name].groupby("run", sort=False, observed=True).indices
        places = [self._places[name][run] for run in dict.fromkeys(runs) if run in self._places[name]]
        rows = self[name].iloc[np.sort(np.concatenate(places))] if places else self[name].iloc[:0]
        return rows[rows["role"] == role]
