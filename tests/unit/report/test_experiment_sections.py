"""The sections on single experiments: what tables and figures hold, against the study's tables by plain pandas."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from activation_study.report.blocks import Figure, Section, walk
from activation_study.report.figures import ranks as ranks_figure
from activation_study.report.figures.theme import emphasis
from activation_study.report.sections import (
    centring,
    comparisons,
    data_size,
    decay,
    noise,
    preactivations,
    profiles,
    trade_off,
    unit_history,
)
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table
from synthetic import PROVENANCE, SMALL, synthetic_rows

pytestmark = pytest.mark.slow
MODULES = (centring, comparisons, data_size, decay, noise, preactivations, profiles, trade_off, unit_history)


@pytest.fixture(scope="module")
def data(tables: Path) -> StudyData:
    """The small study with an experiment more: fewer samples, centring, a negative bias and noise."""
    study = StudyData.read("small", tables, PROVENANCE)
    runs, layers = study.tables["runs"], study.tables["layers"]
    base = "mnist1d/relu/depth=2"
    changes = {
        "centred=true": {"centred": True},
        "initial_bias=-0.5": {"initial_bias": -0.5},
        "train_size=300": {"train_size": 300.0, "train_samples": 300},
    }
    more_runs, more_layers = [runs], [layers.assign(**_invented(layers))]
    for factor, values in changes.items():
        run = f"{base},{factor}"
        more_runs.append(runs[runs["run"] == base].assign(run=run, **values))
        more_layers.append(more_layers[0][more_layers[0]["run"] == base].assign(run=run))
    noisy = runs[(runs["run"].isin(study.runs["run"])) & (runs["role"] == "evaluation")].merge(
        pd.DataFrame({"dose": [0.0, 1.0]}), how="cross"
    )
    noisy = noisy.assign(
        measurement="noise_accuracy", step=600, layer=0, value=noisy["test_accuracy"] - 0.1 * noisy["dose"]
    )
    tables = study.tables | {"runs": pd.concat(more_runs), "layers": pd.concat(more_layers)}
    tables["measurements"] = noisy[study.tables["measurements"].columns]
    return StudyData("small", tables, PROVENANCE)


def _invented(layers: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns that the synthetic layers leave empty."""
    wide = 1.0 + layers["step"] / 600
    return {
        "preactivation_q05": -wide, "preactivation_q50": 0.0 * wide, "preactivation_q95": wide,
        "preactivation_mean": 0.0 * wide, "preactivation_sd": wide / 2, "centredness": 0.4 + 0.01 * layers["layer"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def drawn(data: StudyData) -> dict[object, Section | None]:
    """Every section once: drawing takes a while."""
    return {module: module.section(data) for module in MODULES}


def _blocks(section: Section | None) -> dict[str, Figure | Table]:
    assert section is not None
    return {block.id: block for block in walk([section]) if isinstance(block, Figure | Table)}


def _csv(block: Figure | Table) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(block.data.csv))


def _cells(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_every_block_has_an_id_a_message_and_data(data: StudyData, drawn: dict):
    for module in MODULES:
        blocks = _blocks(drawn[module])
        assert blocks, module.__name__
        for block in blocks.values():
            assert re.fullmatch(r"[a-z][a-z0-9-]*", block.id)
            assert len(_csv(block)), block.id
            said = block.message if isinstance(block, Figure) else block.caption
            assert "nan" not in said.split()
            assert len(said) > 20


def test_no_two_blocks_share_an_id_or_a_download(data: StudyData, drawn: dict):
    blocks = [block for module in MODULES for block in _blocks(drawn[module]).values()]
    assert len({block.id for block in blocks}) == len(blocks)
    held: dict[str, str] = {}
    for block in blocks:
        assert held.setdefault(block.data.name, block.data.csv) == block.data.csv


@pytest.mark.parametrize(
    ("module", "without"),
    [
        (centring, ["layers"]),
        (decay, ["layers"]),
        (decay, ["portraits"]),
        (decay, ["activations"]),
        (noise, ["measurements"]),
        (preactivations, ["layers"]),
        (trade_off, ["cost"]),
        (unit_history, ["layers"]),
    ],
)
def test_without_its_table_a_section_is_not_there(data: StudyData, module: object, without: Sequence[str]):
    emptied = data.tables | {name: data.tables[name].iloc[:0] for name in without}
    assert module.section(StudyData("small", emptied, PROVENANCE)) is None


def test_without_its_experiment_a_section_is_not_there(tables: Path):
    assert data_size.section(StudyData.read("small", tables, PROVENANCE)) is None


def test_the_measured_decay_is_the_median_over_seeds(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[decay])["figure-decay"])
    row = held[(held["dataset"] == "mnist1d") & (held["activation"] == "sigmoid") & (held["depth"] == 9)]
    row = row[row["layer"] == 1].iloc[0]
    layers = data.tables["layers"]
    own = layers[(layers["run"] == "mnist1d/sigmoid/depth=9") & (layers["step"] == 0)]
    logs = own.pivot(index="replicate", columns="layer", values="gradient_norm_log10")
    assert row["measured"] == pytest.approx((logs[1] - logs[9]).median(), rel=1e-4)
    assert row["n"] == logs.shape[0]
    table = _blocks(drawn[decay])["table-decay"]
    shown = next(cells for cells in _cells(table) if cells[1:3] == ["9", "sigmoid"])
    pooled = held[(held["activation"] == "sigmoid") & (held["depth"] == 9) & (held["layer"] == 1)]
    assert float(shown[3].replace("−", "-")) == pytest.approx(pooled["measured"].mean(), abs=0.006)


def test_the_history_of_units_is_that_of_the_layers(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[unit_history])["figure-unit-history"])
    assert held["activation"].unique().tolist() == ["relu"]  # the only one that dies
    layers = data.tables["layers"]
    own = layers[(layers["run"] == "digits/relu/depth=5") & (layers["layer"] <= 5) & (layers["step"] == 600)]
    row = held[(held["dataset"] == "digits") & (held["depth"] == 5) & (held["step"] == 600)].iloc[0]
    assert row["dead"] == pytest.approx(own["dead"].astype(float).mean(), rel=1e-6)


def test_a_key_says_which_dataset_a_line_of_the_units_history_is(drawn: dict):
    drawing = _blocks(drawn[unit_history])["figure-unit-history"].svg
    held = _csv(_blocks(drawn[unit_history])["figure-unit-history"])
    styles = emphasis(sorted(held["dataset"].unique()))
    assert len(styles) > 1
    for name, style in styles.items():
        assert drawing.count(f">{name}<") == 1
        assert drawing.count(f'stroke="{style.colour}"') >= 2, "in the key and in the panels"


def test_the_extremes_of_the_noise_are_named_in_their_panels(data: StudyData, drawn: dict):
    figure = _blocks(drawn[noise])["figure-noise"]
    for name in re.findall(r"(?:[(;]|\)) ?(\w+) stands highest", figure.message):
        assert f">{name}<" in figure.svg


def test_noise_stands_as_measured(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[noise])["figure-noise"])
    row = held[
        (held["activation"] == "elu") & (held["dataset"] == "digits") & (held["depth"] == 2) & (held["dose"] == 1)
    ]
    scores = data.evaluation[data.evaluation["run"] == "digits/elu/depth=2"]["test_accuracy"]
    assert row["accuracy"].iloc[0] == pytest.approx(scores.mean() - 0.1, rel=1e-6)


def test_a_pair_that_differs_in_nothing_has_a_ratio_of_one(data: StudyData, drawn: dict):
    cells = _cells(_blocks(drawn[centring])["table-centring"])
    assert [row[6] for row in cells] == ["1.00"]


def test_sizes_are_read_from_the_twins(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[data_size])["figure-data-size"])
    assert held["train_samples"].tolist() == [300, 1200]


def test_the_table_marks_the_front_in_words(data: StudyData, drawn: dict):
    table = _blocks(drawn[trade_off])["table-trade-off"]
    on_front = {(row[0], row[1]) for row in _cells(table) if row[6] == "◆ yes"}
    held = _csv(table)
    for depth, rows in held.groupby("depth"):
        expected = {
            name
            for name, high, quality in zip(rows["activation"], rows["ratio_high"], rows["accuracy"], strict=True)
            if not ((rows["ratio_low"] <= high) & (rows["accuracy"] > quality)).any()
        }
        assert {name for at, name in on_front if at == str(depth)} == expected


def test_ranks_are_those_of_the_complete_blocks(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[comparisons])["figure-ranks"]).set_index("activation")["mean_rank"]
    common = set(data.common)
    rows = [
        row for row in data.evaluation.to_dict("records") if (row["dataset"], row["depth"], row["condition"]) in common
    ]
    scores = pd.DataFrame(rows).pivot(
        index=["dataset", "depth", "replicate"], columns="activation", values="test_accuracy"
    )
    expected = scores.dropna().rank(axis=1, ascending=False).mean()
    pd.testing.assert_series_equal(held.sort_index(), expected.sort_index(), check_names=False, rtol=1e-6)


def test_bars_join_only_what_does_not_differ(monkeypatch: pytest.MonkeyPatch):
    ranks = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    p = pd.DataFrame(1.0, index=list("abcd"), columns=list("abcd"))
    for one, other in ("ac", "ad", "bd"):
        p.loc[one, other] = p.loc[other, one] = 0.01
    titles: list[str] = []
    made, draw = [], ranks_figure.critical_difference_diagram
    monkeypatch.setattr(ranks_figure, "mean_ranks", lambda scores: ranks)
    monkeypatch.setattr(
        ranks_figure, "critical_difference_diagram", lambda *a, **k: made.append(draw(*a, **k)) or made[-1]
    )
    for p_values in (p, p * 0):
        monkeypatch.setattr(ranks_figure, "pairwise_wilcoxon", lambda scores, found=p_values: found)
        scores = pd.DataFrame(np.zeros((6, 4)), columns=list("abcd"))
        titles.append(ranks_figure.critical_differences("ranks", scores, "a seed").title)
    bars, none = ([list(bar.get_xdata()) for (bar,) in parts["crossbars"]] for parts in made)
    assert bars == [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]
    assert none == []
    assert titles == [
        "A ranks first, not distinguishable from one other",
        "A ranks first, distinguishable from all others",
    ]
    assert [label.get_text().strip() for label in made[0]["labels"]] == ["a 1.0", "b 2.0", "d 4.0", "c 3.0"]


def test_every_activation_has_a_folded_section_of_its_own(data: StudyData, drawn: dict):
    about = [block for block in drawn[profiles].blocks if isinstance(block, Section)]
    assert [one.id for one in about] == [f"activation-{name}" for name in data.order]
    assert all(one.brief for one in about)
    relu = next(one for one in about if one.title == "relu")
    tables = {block.id: block for block in relu.blocks if isinstance(block, Table)}
    own = tables["table-activation-relu"]
    expected = data.ranking[data.ranking["activation"] == "relu"].sort_values(["dataset", "depth"])
    assert [row[2] for row in _cells(own)] == [f"{score * 100:.2f}" for score in expected["test_accuracy"]]
    elsewhere = _cells(tables["table-elsewhere-activation-relu"])
    assert {row[1] for row in elsewhere} == {
        "2 layers, centred true",
        "2 layers, initial_bias -0.5",
        "2 layers, train_size 300",
    }


def test_preactivations_keep_their_bounds(data: StudyData, drawn: dict):
    held = _csv(_blocks(drawn[preactivations])["figure-preactivations"])
    np.testing.assert_allclose(held.loc[held["when"] == "start", "q95"], 1.0)
    ended = held[(held["when"] == "end") & (held["diverged"] == 0)]
    np.testing.assert_allclose(ended["q95"], 2.0)


def test_the_synthetic_rows_are_what_the_fixture_changes():
    assert any(row["run"] == "mnist1d/relu/depth=2" for row in synthetic_rows(SMALL)["runs"])
