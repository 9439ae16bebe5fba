"""What is missing: activations, datasets, cells, tables."""

from __future__ import annotations

from markupsafe import Markup

from activation_study.report.blocks import Block, Paragraph, Section
from activation_study.report.study_data import StudyData, cell_name
from activation_study.report.words import code, listed

NAME, PART, PLACE = "What is missing", "How far to trust it", 20


def section(data: StudyData) -> Section | None:
    """None where the study is whole."""
    gaps: list[Block] = []
    for row in data.tables["gaps"].itertuples():
        said = Markup("<strong>{} {} was {}:</strong> {} No run with it has results.")
        what = "not available" if row.status == "unavailable" else row.status
        gaps.append(Paragraph(said.format(row.kind.capitalize(), code(row.name), what, _sentence(row.message)), "gap"))
    for cell, absent in _absent(data).items():
        said = Markup("<strong>Not in {}:</strong> {}.").format(cell, listed(absent))
        gaps.append(Paragraph(said, "gap"))
    if data.missing:
        said = Markup("<strong>Tables not found:</strong> {}; what rests on them is left out.")
        gaps.append(Paragraph(said.format(listed(data.missing)), "gap"))
    return Section("gaps", "What is missing", gaps) if gaps else None


def _absent(data: StudyData) -> dict[str, list[str]]:
    every = set(data.runs["activation"])
    absent = {}
    for cell in data.common:
        rows = data.ranking[(data.ranking[["dataset", "depth", "condition"]] == list(cell)).all(axis=1)]
        if lacking := sorted(every - set(rows["activation"])):
            absent[cell_name(cell)] = lacking
    return absent


def _sentence(message: str) -> str:
    return message if not message or message.endswith(".") else f"{message}."
