"""The overall comparison: against scipy, by hand, and with gaps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis.standing import CELL, overall
from activation_study.core.errors import StudyError
from activation_study.report.study_data import StudyData
from activation_study.tables import parquet
from synthetic import PROVENANCE, SMALL, synthetic_rows, write_tables


def _replicas(scores: dict[str, np.ndarray]) -> pd.DataFrame:
    """`scores`: activation → [cells, replicates]."""
    return pd.DataFrame(
        [
            {"activation": name, "dataset": f"d{c}", "depth": 5, "condition": "", "replicate": s, "status": "finished",
             "test_accuracy": value}
            for name, values in scores.items()
            for c, row in enumerate(values)
            for s, value in enumerate(row)
        ]
    )  # fmt: skip


@pytest.mark.slow
def test_one_cell_is_the_paired_t_test_under_holm():
    random = np.random.default_rng(1)
    seeds = random.normal(0.9, 0.02, (1, 10))
    scores = {
        "a": seeds,
        "b": seeds - 0.01 + random.normal(0, 0.003, (1, 10)),
        "c": seeds + random.normal(0, 0.02, (1, 10)) - 0.004,
    }
    table = overall(_replicas(scores)).set_index("activation")
    p = {name: stats.ttest_rel(scores["a"][0], scores[name][0]).pvalue for name in "bc"}
    assert p["b"] < p["c"]
    assert table.loc["b", "p"] == pytest.approx(2 * p["b"])
    assert table.loc["c", "p"] == pytest.approx(max(2 * p["b"], p["c"]))
    interval = stats.ttest_rel(scores["b"][0], scores["a"][0]).confidence_interval()
    assert table.loc["b", "difference_low"] == pytest.approx(interval.low)
    assert table.loc["b", "difference_high"] == pytest.approx(interval.high)
    assert table["tied"].to_dict() == {"a": True, "b": p["b"] * 2 >= 0.05, "c": table.loc["c", "p"] >= 0.05}


def test_cells_weigh_the_same_however_many_replicates_they_have():
    rows = _replicas({"a": np.array([[0.9] * 4, [0.5] * 4])})
    rows = rows.drop(rows[(rows["dataset"] == "d1") & (rows["replicate"] > 1)].index)
    assert overall(rows)["accuracy"].iloc[0] == pytest.approx(0.7)


def test_an_activation_without_every_cell_comes_last_and_is_not_compared():
    rows = _replicas({"a": np.full((2, 5), 0.5), "b": np.full((2, 5), 0.9)})
    table = overall(rows[~((rows["activation"] == "b") & (rows["dataset"] == "d1"))]).set_index("activation")
    assert table.index.tolist() == ["a", "b"]
    assert np.isnan(table.loc["b", "accuracy"])
    assert not table.loc["b", "tied"]
    assert (table.loc["b", "cells"], table.loc["b", "of"]) == (1, 2)


def test_equal_means_are_ordered_by_name():
    assert overall(_replicas({"b": np.full((1, 5), 0.5), "a": np.full((1, 5), 0.5)}))["activation"].tolist() == [
        "a",
        "b",
    ]


def test_no_replicas_give_an_empty_table():
    assert overall(_replicas({"a": np.zeros((1, 2))}).iloc[:0]).empty


@pytest.mark.slow
def test_only_the_core_experiment_is_shown(tmp_path: Path):
    write_tables(tmp_path, SMALL)
    path = tmp_path / "experiments.parquet"
    experiments = pd.read_parquet(path)
    experiments["experiment"] = np.where(experiments["run"].str.contains("depth=2"), "core", "another")
    parquet.write_parquet(parquet.from_rows("experiments", experiments.to_dict("records")), path)
    data = StudyData.read("small", tmp_path, PROVENANCE)
    assert data.experiment == "core"
    assert set(data.ranking["depth"]) == {2}
    assert set(data.curves["depth"]) == set(data.gradients["depth"]) == set(data.health["depth"]) == {2}


def test_without_runs_there_is_nothing_to_report_on(tmp_path: Path):
    with pytest.raises(StudyError, match=r"runs\.parquet is missing"):
        StudyData.read("small", tmp_path, PROVENANCE)


def test_cells_are_those_that_have_scores(tables: Path):
    data = StudyData.read("small", tables, PROVENANCE)
    scored = {(r["dataset"], r["depth"], "") for r in synthetic_rows(SMALL)["runs"] if r["status"] != "no_data"}
    assert set(data.cells) == scored
    assert list(data.ranking[CELL].columns) == CELL


@pytest.mark.slow
def test_means_are_over_the_cells_that_every_activation_was_to_have(tables: Path):
    data = StudyData.read("small", tables, PROVENANCE)
    assert ("digits", 9, "") in data.cells
    assert ("digits", 9, "") not in data.common  # two activations were not run there
    assert ("digits", 5, "") in data.common  # there a run lost its data
    assert data.overall.set_index("activation")["cells"].to_dict() == {"sigmoid": 5, "relu": 5, "elu": 5, "tanh": 4}
    assert data.order[-1] == "tanh"


def test_the_deepest_cells_are_those_of_all_and_of_any(tables: Path):
    data = StudyData.read("small", tables, PROVENANCE)
    assert data.deepest == [("digits", 5, ""), ("digits", 9, ""), ("mnist1d", 9, "")]


def test_a_study_of_four_seeds_gives_no_verdicts(tables: Path):
    data = StudyData.read("small", tables, PROVENANCE)
    assert data.gives_verdicts
    data = StudyData(
        "small", data.tables | {"runs": data.tables["runs"].query("role == 'tuning' or replicate < 4")}, {}
    )
    assert not data.gives_verdicts
