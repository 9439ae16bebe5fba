"""What the sections draw from: a study's tables, their summaries, and the overall comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activation_study.analysis import new_datasets
from activation_study.analysis import replicas as summaries
from activation_study.analysis.controls import Twins, control_twins
from activation_study.analysis.experiments import cost_against_quality, starting_decay
from activation_study.analysis.inference import MIN_SEEDS
from activation_study.analysis.policies import policy_regret
from activation_study.analysis.standing import CELL, overall
from activation_study.claims.rows import Row, guide_rows
from activation_study.core.files import MADE_BY, read_json
from activation_study.core.runs import cell_of
from activation_study.tables.of_study import Tables

CellKey = tuple[str, int, str]
"""The values of `CELL`."""
EMPHASISED = ("relu", "leaky_relu", "elu", "sigmoid")
"""After the best activation, what figures emphasise: where the article starts and what it recommends."""

PICTURED = 3
"""Datasets that have panels of their own where there are enough to count as a sample."""
MOST_SHOWN = 30
"""Activations up to which every section shows all of them."""
MOST_CELLS = 24
"""The same of the combinations of dataset, depth and condition of the core."""
LONGEST_CSV = 200_000
"""Rows above which a table is there as Parquet only."""


@dataclass(frozen=True)
class StudyData:
    """A study's tables, cut to one experiment: the core, or the first where there is none of that name."""

    name: str
    tables: Tables
    provenance: Mapping[str, Any]
    claims: Sequence[str] = ()
    """The study's claims files."""
    validity: Mapping[str, Any] = field(default_factory=dict)
    """As `claims.validity.validity` gives it; empty where the study has not said it."""
    state: str = ""
    """How far the study has come; empty where it is finished."""

    @classmethod
    def read(
        cls, name: str, folder: Path, provenance: Mapping[str, Any], claims: Sequence[str] = (), threads: int = 1
    ) -> StudyData:
        """From `folder`/<table>.parquet and `folder`/validity.json. Raises StudyError as `Tables.read` does."""
        tables, path = Tables.read(folder, threads=threads), folder / "validity.json"
        said = read_json(path) if path.exists() else {}
        said.pop(MADE_BY, None)
        return cls(name, tables, provenance, claims, said)

    @cached_property
    def guide_rows(self) -> tuple[Row, ...]:
        return guide_rows(self.claims)

    @property
    def missing(self) -> list[str]:
        return self.tables.missing

    @cached_property
    def experiment(self) -> str:
        names = self.tables["experiments"]["experiment"].tolist()
        return "core" if "core" in names else (names[0] if names else "")

    def of_core(self, table: str) -> pd.DataFrame:
        """The table's rows of the `experiment`."""
        rows = self.tables[table]
        return summaries.of_experiment(rows, self.tables["experiments"], self.experiment) if self.experiment else rows

    @cached_property
    def runs(self) -> pd.DataFrame:
        return self.of_core("runs")

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """The evaluation replicas that have data, as `tuned` gives them, with `condition`."""
        return summaries.tuned(self.runs).merge(self.ranking[["run", "condition"]], on="run")

    @property
    def intervals(self) -> str:
        """What the intervals of scores are."""
        if summaries.left_out_columns(self.evaluation, "test_accuracy"):
            return "95% intervals over seeds, which hold the choice of the learning rate"
        return "95% intervals over evaluation seeds; tuning seeds are too few to add the choice of the learning rate"

    @cached_property
    def ranking(self) -> pd.DataFrame:
        return summaries.ranking(self.runs)

    @cached_property
    def trade_off(self) -> pd.DataFrame:
        """Time of a training step over ReLU's against accuracy, see `cost_against_quality`; empty without either."""
        return cost_against_quality(self.tables["cost"], self.runs) if len(self.ranking) else pd.DataFrame()

    @cached_property
    def twins(self) -> list[Twins]:
        """Functions that were trained under two names."""
        return control_twins(self.tables["runs"], self.tables["portraits"])

    @cached_property
    def curves(self) -> pd.DataFrame:
        return summaries.learning_curves(self.of_core("curves"), self.runs)

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """Hidden layers only: the output layer has no activation."""
        flow = summaries.gradient_flow(self.of_core("layers"), self.runs)
        return flow[flow["layer"] <= flow["depth"]]

    @cached_property
    def decay(self) -> pd.DataFrame:
        """Before training, the gradients of the networks of all experiments: measured, and by mean-field theory."""
        tables = self.tables
        runs = tables["runs"][tables["runs"]["activation"].isin(self.order)]
        return starting_decay(tables["layers"], runs, tables["activations"], tables["portraits"], tables["datasets"])

    @cached_property
    def health(self) -> pd.DataFrame:
        return summaries.unit_health(self.of_core("layers"), self.runs)

    @cached_property
    def rates(self) -> pd.DataFrame:
        return summaries.learning_rate_sensitivity(self.runs)

    @cached_property
    def regret(self) -> pd.DataFrame:
        """What following a policy costs, cell by cell."""
        return policy_regret(self.runs, self.tables["cost"])

    @cached_property
    def sampled(self) -> pd.DataFrame:
        """As `new_datasets.complete_scores` gives them, where datasets are enough to speak of a new one; or none."""
        scores = new_datasets.complete_scores(self.runs)
        enough = new_datasets.speaks_of_new(scores) and "relu" in scores and len(scores.columns) > 2
        return scores if enough else scores.iloc[:0]

    @cached_property
    def policies(self) -> pd.DataFrame:
        """What following a policy costs on a new dataset."""
        return new_datasets.policies(self.regret)

    @cached_property
    def effects(self) -> pd.DataFrame:
        """Each activation against ReLU, over datasets."""
        return new_datasets.effects(self.sampled)

    @cached_property
    def pictured(self) -> list[CellKey]:
        """The cells that have panels of their own: all; where the datasets are a sample, those of the first few."""
        shown = list(dict.fromkeys(dataset for dataset, _, _ in self.cells))
        shown = shown[: PICTURED if len(self.sampled) else None]
        return [cell for cell in self.cells if cell[0] in shown]

    @cached_property
    def cells(self) -> list[CellKey]:
        """The dataset × depth × condition cells that have scores, in the order of the tables."""
        return [tuple(row) for row in self.ranking[CELL].drop_duplicates().sort_values(CELL).itertuples(index=False)]

    @cached_property
    def common(self) -> list[CellKey]:
        """The cells in which every activation was to run, and some has scores; all cells where there is none such.

        What was asked for decides it, not what came back: a run without data is still a run of its cell.
        """
        asked = self.runs.groupby(self.runs["run"].map(cell_of))["activation"].nunique()
        rows = self.ranking[self.ranking["run"].map(cell_of).map(asked) == self.runs["activation"].nunique()]
        common = set(rows[CELL].itertuples(index=False, name=None))
        return [cell for cell in self.cells if cell in common] or self.cells

    @cached_property
    def seeds(self) -> int:
        """Evaluation seeds of the run that has most."""
        return int(self.ranking["n"].max()) if len(self.ranking) else 0

    @property
    def gives_verdicts(self) -> bool:
        return self.seeds >= MIN_SEEDS

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The evaluation replicas of the common cells."""
        common = pd.DataFrame(self.common, columns=CELL).astype({"depth": self.evaluation["depth"].dtype})
        return self.evaluation.merge(common, on=CELL)

    @cached_property
    def overall(self) -> pd.DataFrame:
        """`standing.overall` of the common cells."""
        return overall(self.compared)

    @cached_property
    def order(self) -> list[str]:
        """Activations, best first; those without every cell last."""
        return self.overall["activation"].tolist()

    @cached_property
    def emphasised(self) -> list[str]:
        wanted = [*self.order[:1], *(name for name in EMPHASISED if name in self.order), *self.order]
        return list(dict.fromkeys(wanted))[:5]

    @cached_property
    def few(self) -> StudyData:
        """What can be read of a large study: the emphasised activations and the best others, MOST_SHOWN in all, and of
        the core MOST_CELLS cells, spread evenly. Itself, where there are no more."""
        runs = self.tables["runs"]
        if runs["activation"].nunique() <= MOST_SHOWN and len(self.pictured) <= MOST_CELLS:
            return self
        names = list(dict.fromkeys([*self.emphasised, *self.order, *sorted(runs["activation"].unique())]))[:MOST_SHOWN]
        cells = [
            self.pictured[i]
            for i in np.linspace(0, len(self.pictured) - 1, min(MOST_CELLS, len(self.pictured))).astype(int)
        ]
        core = self.ranking[pd.MultiIndex.from_frame(self.ranking[CELL]).isin(cells)]["run"]
        kept = runs[runs["activation"].isin(names) & (~runs["run"].isin(self.runs["run"]) | runs["run"].isin(core))]
        wanted = {"run": kept["run"].unique(), "activation": names}
        tables = dict(self.tables)
        for key, values in wanted.items():
            tables |= {name: rows[rows[key].isin(values)] for name, rows in tables.items() if key in rows}
        return replace(self, tables=Tables(tables))

    @property
    def folded(self) -> str:
        """What `few` leaves out, in words; "" where it leaves out nothing."""
        if self.few is self:
            return ""
        parts = [
            f"{shown} of {of:,} {noun}"
            for noun, shown, of in (
                ("activations", *(side.tables["runs"]["activation"].nunique() for side in (self.few, self))),
                ("combinations of dataset, depth and condition", len(self.few.cells), len(self.pictured)),
            )
            if shown < of
        ]
        return " and ".join(parts)

    @cached_property
    def deepest(self) -> list[CellKey]:
        """Where gradients have furthest to go: each pictured dataset's deepest cell of all activations, and of any."""
        pictured = set(self.pictured)
        deepest = {
            max((cell for cell in cells if (cell[0], cell[2]) == (dataset, condition)), key=lambda cell: cell[1])
            for cells in (self.common, self.cells)
            for dataset, depth, condition in cells
            if (dataset, depth, condition) in pictured
        }
        return sorted(deepest)

    @property
    def as_csv(self) -> list[str]:
        """The tables that are written as CSV beside the report: those that are there and not too long for it."""
        return [name for name, table in self.tables.items() if len(table) <= LONGEST_CSV]


def cell_name(cell: CellKey) -> str:
    """A cell in words: "digits, 20 layers"."""
    dataset, depth, condition = cell
    return f"{dataset}, {depth} layer{'s' * (depth != 1)}" + (f", {condition}" if condition else "")


def in_cell(table: pd.DataFrame, cell: CellKey) -> pd.DataFrame:
    """The rows of one dataset × depth × condition cell."""
    dataset, depth, condition = cell
    return table[(table["dataset"] == dataset) & (table["depth"] == depth) & (table["condition"] == condition)]
