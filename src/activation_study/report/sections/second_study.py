"""Which verdicts other seeds would change: those of a second study beside the first one's."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.claims.outcomes import Outcome
from activation_study.claims.validity import tested
from activation_study.report.blocks import Block, Paragraph, Section
from activation_study.report.sections.ledger import identifiers
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, text
from activation_study.report.words import counted

NAME, PART, PLACE = "Other seeds", "How far to trust it", 15


def section(data: StudyData) -> Section | None:
    """None where the study has not been compared with a second one."""
    second = data.validity.get("verdicts_second") or {}
    ledger = data.tables["ledger"]
    rows = tested(ledger)
    rows = rows.assign(second=(rows["family"] + " " + rows["row"]).map(second)).dropna(subset="second")
    if rows.empty:
        return None
    changed = rows[rows["verdict"] != rows["second"]]
    lead = Markup(
        "The same study was run a second time with other seeds: other weights, other batches and, where the data allow "
        "it, another split. Of {} that both tested {}."
    ).format(
        counted(len(rows), "row"),
        "all came to the same verdict" if changed.empty else f"{counted(len(changed), 'row')} came to another verdict",
    )
    blocks: list[Block] = [Paragraph(lead), *_table(changed, ledger)]
    return Section("second-study", "Do the verdicts stay with other seeds?", blocks)


def _table(changed: pd.DataFrame, ledger: pd.DataFrame) -> list[Table]:
    if changed.empty:
        return []
    ids = identifiers(ledger)
    kept = changed[["family", "row", "test", "verdict", "second", "reason"]].reset_index(drop=True)
    frame = kept.assign(place=[ids[key] for key in zip(kept["family"], kept["row"], strict=True)])
    columns = [
        Column("Row", _row, numeric=False, heads_row=True),
        text("Test", "test"),
        Column("Here", _here, numeric=False),
        Column("With other seeds", _second, numeric=False),
        text("Why, here", "reason"),
    ]
    caption = "Rows whose verdict other seeds change"
    return [Table("table-second-study", caption, columns, frame, download("second_study", kept))]


def _row(row: Row) -> Cell:
    return Cell(Markup('<a href="#{}">{}</a>').format(row["place"], row["row"]))


def _here(row: Row) -> Cell:
    return _said(row["verdict"])


def _second(row: Row) -> Cell:
    return _said(row["second"])


def _said(verdict: str) -> Cell:
    return Cell(f"{Outcome(verdict).icon} {Outcome(verdict).said}")
