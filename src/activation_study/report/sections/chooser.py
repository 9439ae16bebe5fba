"""What to use for a depth, a number of samples, a budget, and over-fitting or not."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.guide.chooser import DEARER, NEAR, Evidence, Recommendation, table
from activation_study.guide.wording import (
    WIDE,
    WITHIN,
    beside,
    budget_text,
    compared_text,
    confidence_text,
    evidence_text,
    listed,
    samples_text,
)
from activation_study.report.blocks import Facts, Paragraph, Section
from activation_study.report.names import relabelled
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, text
from activation_study.report.words import code

NAME, PART, PLACE = "What to use", "The answer", 20


def section(data: StudyData) -> Section | None:
    """None where nothing has a score, or too few seeds to say anything."""
    if not data.gives_verdicts:
        return None
    evidence = Evidence.of(data.tables, data.guide_rows)
    answers = table(evidence)
    if not answers:
        return None
    frame = pd.DataFrame([_row(answer, evidence) for answer in answers])
    plain = [a for a in answers if a.samples is None and a.budget == "high" and not a.overfitting]
    lead = Markup(
        "In short, by depth; the table below has every combination of depth, training samples, budget and "
        "over-fitting, each with its evidence. For other numbers: <code>activation-study recommend --depth 50 "
        "--samples 2000 --budget low</code>."
    )
    rule = Markup(
        "<strong>How to read it.</strong> The pick has the highest mean test accuracy over the datasets. With "
        "over-fitting it is, of those as good within a point, the one with the smallest gap from training to test. "
        "<strong>Low budget:</strong> one activation, and none whose training step takes {}% longer than ReLU's, or "
        "was not timed. <strong>High budget:</strong> try every activation that may be best. A range of training "
        "samples is each dataset's full training set. Intervals in brackets are unadjusted; what differs is decided "
        "after Holm's correction. <strong>Confidence high:</strong> tested as asked, with three cells, five seeds and "
        "every activation; within a point of the best on every dataset; nothing else may be a point better. "
        "<strong>Moderate:</strong> one of the three fails. <strong>Low:</strong> more."
    ).format(f"{100 * (DEARER - 1):.0f}")
    whole = [answer for answer in plain if not answer.untried] or plain  # as the headline
    rows = _table(frame, opens=answers.index(whole[-1]))
    facts = [(f"{answer.depth} layers, {samples_text(answer)} samples", _short(answer)) for answer in plain]
    return Section(
        "chooser", "What to use, by situation", [Paragraph(lead), Facts(facts), Paragraph(rule, "note"), rows]
    )


def _short(answer: Recommendation) -> Markup:
    near, open_ = beside(answer)
    evidence = evidence_text(answer)
    said = Markup("<strong>{}</strong>. {}").format(code(answer.pick), evidence[0].upper() + evidence[1:])
    if near:
        said += relabelled(f" As good within a point: {listed(near)}.")
    if open_:
        said += relabelled(f" {WIDE}: {listed(open_)}.")
    if not near and not open_:
        said += f" Distinguishably better than {compared_text(answer)}."
    return said + relabelled(f" Confidence {confidence_text(answer)}")


def _row(answer: Recommendation, evidence: Evidence) -> dict[str, object]:
    near, open_ = beside(answer)
    return {
        "layers": answer.depth,
        "samples": samples_text(answer) if answer.samples is None else f"{answer.samples:,}",
        "budget": answer.budget,
        "overfitting": "yes" if answer.overfitting else "no",
        "use": answer.pick,
        "confidence": confidence_text(answer),
        "near": listed(near),
        "undecided": listed(open_),
        "left_out": ", ".join(answer.excluded),
        "what_to_tune": budget_text(answer),
        "evidence": evidence_text(answer),
        "ledger": ", ".join(f"{row} {evidence.ledger.loc[row, 'verdict']}" for row in answer.rows) or "no row",
        "accuracy": answer.accuracy.estimate,
        "accuracy_low": answer.accuracy.low,
        "accuracy_high": answer.accuracy.high,
        "n": answer.n,
        "cells": answer.cells,
        "seeds": answer.seeds,
        "diverged": answer.diverged,
    }


def _others(row: Row) -> Cell:
    within = WITHIN * bool(row["left_out"])
    near = (
        f"as good within a point{within}: {row['near']}" if row["near"] else f"no other{within} is shown to be as good"
    )
    return Cell(near + f"; {WIDE.lower()}: {row['undecided']}" * bool(row["undecided"]))


def _table(frame: pd.DataFrame, opens: int) -> Table:
    columns = [
        text("Layers", "layers"),
        text("Training samples", "samples"),
        text("Budget", "budget"),
        text("Over-fitting", "overfitting"),
        text("Use", "use", heads_row=True),
        text("Confidence", "confidence"),
        Column("Not distinguishable from it", _others, numeric=False),
        text("What to tune", "what_to_tune"),
        text("Evidence", "evidence"),
        text("Ledger", "ledger"),
    ]
    caption = (
        "Which activation to use. In brackets: 95% intervals of the paired difference of test accuracy from the pick, "
        f"in points; a point ({NEAR:g}) is the smallest difference that matters"
    )
    return Table("table-chooser", caption, columns, frame, download("chooser", frame), opens=opens)
