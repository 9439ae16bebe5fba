"""Where every number comes from."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.replicas import cost_of_runs
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Facts, Paragraph, Section, Verbatim
from activation_study.report.source import Source, bibtex
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, number, text
from activation_study.report.words import code

NAME, PART, PLACE = "Provenance", "How far to trust it", 30
CAPTION = (
    "The study's own tables, one row per measurement: in this page, or in the folder that was written with it and "
    "may have been left behind"
)
LABELS = {
    "repository": "Repository",
    "code": "Code version",
    "code_sha256": "Code SHA-256",
    "config_sha256": "Config SHA-256",
    "python": "Python",
    "packages": "Packages",
    "system": "System",
    "processor": "Processor",
    "cores": "Cores",
}


def section(data: StudyData) -> Section:
    blocks: list[Block] = [Facts(_facts(data)), _counts(data.tables["runs"])]
    if len(data.tables["datasets"]):
        blocks.append(_datasets(data.tables["datasets"]))
        blocks += _notes(data.tables["datasets"])
    if len(data.tables["timings"]):
        blocks += [
            Paragraph(
                "Times were taken while other jobs ran: they say what the study cost, not which activation is cheaper."
            ),
            _cost(data.tables["timings"]),
        ]
    blocks += [_files(data), _cite(data)]
    return Section("provenance", "Provenance", blocks)


def _facts(data: StudyData) -> list[tuple[str, str]]:
    facts = [("Study", data.name), ("Experiment shown", data.experiment or "all runs")]
    for key, value in data.provenance.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        said = Source.of(data.provenance).version(str(value)) if key == "code" else str(value)
        facts.append((LABELS.get(key, key), said))
    return facts


def _counts(runs: pd.DataFrame) -> Table:
    statuses = ["finished", "diverged", "pruned", "no_data"]
    counts = pd.crosstab(runs["role"], runs["status"]).reindex(columns=statuses, fill_value=0).reset_index()
    per_run = runs.groupby("role")["run"].nunique()
    counts = counts.assign(runs=counts["role"].map(per_run), networks=counts[statuses].sum(axis=1))
    columns = [
        text("Role", "role", heads_row=True),
        number("Runs", "runs"),
        number("Networks", "networks"),
        number("Finished", "finished"),
        number("Diverged", "diverged"),
        number("Stopped early", "pruned"),
        number("Without data", "no_data"),
    ]
    caption = "Networks trained in the whole study, by what became of them"
    return Table("table-counts", caption, columns, counts, download("counts", counts))


def _datasets(datasets: pd.DataFrame) -> Table:
    columns = [
        text("Dataset", "dataset", heads_row=True),
        text("Status", "status"),
        number("Samples", "samples"),
        number("Features", "features"),
        number("Classes", "classes"),
        number("Target (%)", "target", 0, 100),
        text("Why this target", "target_reason"),
        text("Source", "source"),
        text("SHA-256", "sha256"),
    ]
    return Table("table-datasets", "Datasets", columns, datasets, download("datasets", datasets))


def _notes(datasets: pd.DataFrame) -> list[Block]:
    noted = datasets[(datasets["status"] == "available") & (datasets["message"] != "")]
    said = Markup("<strong>About {}:</strong> {}.")
    return [Paragraph(said.format(code(row["dataset"]), row["message"])) for _, row in noted.iterrows()]


def _cost(timings: pd.DataFrame) -> Table:
    cost = cost_of_runs(timings)
    frame = cost.groupby("phase", as_index=False)[["seconds", "replica_steps"]].sum()
    hours = decimals(cost["seconds"].sum() / 3600, 2)
    caption = (
        f"Computing time of the whole study: {hours} hours of one core in these phases; to start each job, the costs, "
        "tables and report come on top"
    )
    columns = [
        text("Phase", "phase", heads_row=True),
        number("Seconds", "seconds", 1),
        number("Training steps (all networks)", "replica_steps"),
    ]
    return Table("table-cost", caption, columns, frame, download("cost_of_runs", cost))


def _cite(data: StudyData) -> Section:
    started = data.tables["jobs"]["started"]
    year = max(started)[:4] if len(started) else ""
    text = bibtex(data.name, data.provenance, year)
    return Section("cite", "How to cite this page", [Verbatim("citation", text)])


def _place(row: Row) -> Cell:
    return Cell(row["file"])


def _files(data: StudyData) -> Table:
    rows = [
        (name, len(table), f"{data.name}/tables/{name}.csv" if name in data.as_csv else "too long: Parquet only")
        for name, table in data.tables.items()
    ]
    frame = pd.DataFrame(rows, columns=["table", "rows", "file"])
    columns = [text("Table", "table", heads_row=True), number("Rows", "rows"), Column("As CSV", _place, numeric=False)]
    return Table("table-files", CAPTION, columns, frame, download("files", frame))
