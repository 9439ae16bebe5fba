"""Two studies side by side, as a page: which verdicts and which ranks changed, and why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from markupsafe import Markup

from activation_study.claims.outcomes import Outcome
from activation_study.claims.validity import repeated, tested
from activation_study.core.errors import StudyError
from activation_study.core.numbers import percent
from activation_study.report import page
from activation_study.report.blocks import Paragraph, Section
from activation_study.report.names import naming
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, number, text
from activation_study.report.words import counted

KEYS = ["family", "row"]


def build(first: StudyData, second: StudyData, out: Path) -> str:
    """Write the page; returns one line with its size.

    Raises:
        StudyError: no row was judged and no activation ranked in both.
    """
    activations = pd.concat([study.tables["activations"] for study in (first, second)]).drop_duplicates("activation")
    with naming(activations):
        made = {"Verdicts": _verdicts(first, second), "Ranks": _ranks(first, second)}
        sections = {part: section for part, section in made.items() if section is not None}
        if not sections:
            raise StudyError(f"compare: {first.name} and {second.name} have no judged row and no activation in common")
        return page.write(f"{first.name} and {second.name}", sections, out)


def _verdicts(first: StudyData, second: StudyData) -> Section | None:
    """Every row that both judged, those first that came out otherwise."""
    tables = [study.tables["ledger"] for study in (first, second)]
    said = repeated(*tables)
    share = said["verdicts_same_share"]
    if share is None:
        return None
    both = tested(tables[0]).merge(tested(tables[1]), on=KEYS, suffixes=("_a", "_b"))
    both = both.assign(changed=both["verdict_a"] != both["verdict_b"]).sort_values(
        ["changed", *KEYS], ascending=[False, True, True], ignore_index=True
    )
    lead = Markup("Of {}, {} came out the same, and {} to the opposite.").format(
        counted(len(both), "row") + " that both studies tested",
        percent(share, 0),
        counted(said["verdicts_reversed"], "row") if said["verdicts_reversed"] else "none",
    )
    columns = [
        text("Row", "row", heads_row=True),
        text("Test", "test_a"),
        Column(f"In {first.name}", _verdict_a, numeric=False),
        Column(f"In {second.name}", _verdict_b, numeric=False),
        text(f"Reason in {first.name}", "reason_a"),
        text(f"Reason in {second.name}", "reason_b"),
    ]
    kept = both[
        [*KEYS, *(f"{name}_{end}" for name in ("verdict", "estimate", "low", "high", "reason") for end in "ab")]
    ]
    table = Table(
        "table-verdicts",
        "Verdicts in both studies, those that changed first",
        columns,
        both,
        download("verdicts", kept),
    )
    return Section("verdicts", "Do the verdicts stay?", [Paragraph(lead, "lead"), table])


def _verdict_a(row: Row) -> Cell:
    return Cell(Outcome(row["verdict_a"]).said)


def _verdict_b(row: Row) -> Cell:
    return Cell(("▲ " if row["changed"] else "") + Outcome(row["verdict_b"]).said)


def _ranks(first: StudyData, second: StudyData) -> Section | None:
    """Every activation that both ranked, in the first one's order."""
    frame = _placed(first).merge(_placed(second), on="activation", suffixes=("_a", "_b"))
    if frame.empty:
        return None
    frame = frame.assign(change=frame["accuracy_b"] - frame["accuracy_a"])
    moved = int((frame["place_a"] != frame["place_b"]).sum())
    lead = (
        f"{counted(moved, 'activation').capitalize()} of {len(frame)} changed place in the overall ranking. Places of "
        "neighbours mean little: most are closer than their intervals."
    )
    if set(first.common) != set(second.common):
        lead = f"The two were scored on other datasets, depths or conditions: a change may be of the task. {lead}"
    columns = [
        text("Activation", "activation", heads_row=True),
        number(f"Place in {first.name}", "place_a"),
        number(f"Place in {second.name}", "place_b"),
        number(f"Accuracy in {first.name} (%)", "accuracy_a", 2, 100),
        number(f"Accuracy in {second.name} (%)", "accuracy_b", 2, 100),
        number("Change (points)", "change", 2, 100, signed=True),
    ]
    table = Table("table-ranks", "Overall ranking in both studies", columns, frame, download("ranks", frame))
    return Section("ranks", "Do the ranks stay?", [Paragraph(lead), table])


def _placed(study: StudyData) -> pd.DataFrame:
    whole = study.overall[study.overall["accuracy"].notna()] if len(study.overall) else study.overall
    return pd.DataFrame(
        {
            "activation": whole["activation"],
            "place": range(1, len(whole) + 1),
            "accuracy": whole.get("accuracy", pd.Series(dtype=float)),
        }
    )
