"""The claims of a study, judged on its tables: the tables ``ledger`` and ``ledger_cells``."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from activation_study.claims import file as claims_file
from activation_study.claims.ledger import Ledger, evaluate
from activation_study.study import receipts
from activation_study.study.study import Study
from activation_study.tables import checked, parquet

READ = ("runs", "experiments", "curves", "layers", "measurements", "cost")
"""The tables that verdicts rest on."""


def judge_claims(study: Study, inputs: Any, outputs: Any) -> str:
    """Judge every claims file of the study, each as a family of its own, and write both tables.

    Args:
        study: the validated config.
        inputs: with the path of each table of ``READ``.
        outputs: with the paths ``ledger`` and ``ledger_cells``.

    Returns:
        One line that counts the verdicts.

    Raises:
        StudyError: a claims file that is wrong by itself or does not fit the study; a table that no study writes.
    """
    files = claims_file.of_study(study.config)
    found = {name: checked.read(name, inputs[name]) for name in READ} if files else {}
    ledgers = [evaluate(file, found) for file in files]
    for name, table in as_tables(ledgers).items():
        parquet.validate(name, table)
        parquet.write_parquet(table, outputs[name], receipts.of_ledger(study, receipts.found(inputs["runs"])))
    verdicts = pd.concat([ledger.rows["verdict"] for ledger in ledgers]) if ledgers else pd.Series(dtype=str)
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.value_counts().items()) or "no claims"


def as_tables(ledgers: list[Ledger]) -> dict[str, pa.Table]:
    """The rows and the cells of all families, typed."""
    rows, cells = [], []
    for ledger in ledgers:
        rows += _records(ledger.rows.assign(claims_sha256=ledger.sha256))
        cells += _records(ledger.cells)
    return {"ledger": parquet.from_rows("ledger", rows), "ledger_cells": parquet.from_rows("ledger_cells", cells)}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain: Any = frame.astype(object).where(frame.notna(), None)
    return plain.to_dict("records")
