"""The claims of a study, judged on its tables: ``ledger`` and ``ledger_cells``, and how far they can be trusted."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from activation_study.claims import file as claims_file
from activation_study.claims.ledger import Ledger, evaluate
from activation_study.claims.validity import validity
from activation_study.core import files
from activation_study.study import receipts
from activation_study.study.study import Study
from activation_study.tables import checked, parquet

TRUST = ("runs", "portraits")
"""The tables that a study's checks on itself rest on, beside its verdicts."""
READ = (*TRUST, "experiments", "curves", "layers", "measurements", "cost")
"""The tables that verdicts rest on."""


def judge_claims(study: Study, inputs: Any, outputs: Any) -> str:
    """Judge every claims file of the study, each as a family of its own; write both tables and ``validity.json``.

    Args:
        study: the validated config.
        inputs: with the path of each table of ``READ``.
        outputs: with the paths ``ledger``, ``ledger_cells`` and ``validity``.

    Returns:
        One line that counts the verdicts.

    Raises:
        StudyError: a claims file that is wrong by itself or does not fit the study; a table that no study writes, also
            the ledger of the study that it is compared with.
    """
    claims, tables = claims_file.of_study(study.config), receipts.found(inputs["runs"])
    found = {name: checked.read(name, inputs[name]) for name in (READ if claims else TRUST)}
    ledgers = [evaluate(file, found) for file in claims]
    for name, table in as_tables(ledgers).items():
        parquet.validate(name, table)
        parquet.write_parquet(table, outputs[name], receipts.of_ledger(study, tables))
        found[name] = table.to_pandas()
    second = [checked.read("ledger", path) for path in study.compared]
    about = validity(found, *second) | {files.MADE_BY: receipts.of_validity(study, tables)}
    files.write_json(about, outputs["validity"])
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
