"""What the page says of new datasets: where they are many, with the numbers of its tables, and not before."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from activation_study.report.blocks import Figure, walk
from activation_study.report.outlook import outlook
from activation_study.report.sections import answer, convergence, new_datasets, ranking, rates, regret
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table
from synthetic import PROVENANCE, SMALL, Shape, write_tables

pytestmark = pytest.mark.slow
MANY = Shape(
    ("sigmoid", "relu", "elu", "tanh"),
    [f"d{place}" for place in range(13)],
    (4, 16),
    3,
    (0.001, 0.01, 0.1),
    unavailable=(),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    data = StudyData.read("many", write_tables(tmp_path_factory.mktemp("tables"), MANY), PROVENANCE)
    data.tables["datasets"]["samples"] = range(1000, 14_000, 1000)
    return data


def test_its_tables_are_of_all_datasets(data: StudyData):
    section = new_datasets.section(data)
    assert section is not None
    tables = {block.id: block.frame for block in walk([section]) if isinstance(block, Table)}
    effects = tables["table-new-datasets"]
    assert len(effects) == 3 * 3  # activations beside ReLU; all networks and each depth
    assert (effects["datasets"] == 13).all()
    score = data.evaluation.pivot_table(index="dataset", columns="activation", values="test_accuracy")
    elu = effects[(effects["activation"] == "elu") & (effects["networks"] == "all networks")]["difference"]
    assert elu.item() == pytest.approx((score["elu"] - score["relu"]).mean())
    assert set(tables["table-traits"]["trait"]) == {"samples"}  # what all share goes with nothing
    assert "best fixed" in set(tables["table-new-policies"]["policy"])
    figures = [block for block in walk([section]) if isinstance(block, Figure)]
    assert [figure.id for figure in figures] == ["figure-new-datasets", "figure-dataset-ranks"]
    assert "over 13 datasets" in figures[1].message


def test_the_first_screen_says_what_a_new_dataset_will_cost(data: StudyData):
    texts = [str(block.text) for block in answer.section(data).blocks if hasattr(block, "text")]
    assert outlook(data) in texts
    assert not any("cannot support a claim about new datasets" in text for text in texts)
    relu = data.policies[data.policies["policy"] == "step 1"].iloc[0]
    assert f"is expected to cost {100 * relu['regret']:.1f} points" in outlook(data)
    assert f"at most {100 * relu['worst']:.1f} with a probability of 93%" in outlook(data)


@pytest.mark.parametrize(
    ("p", "difference", "said"),
    [
        ((0.01, 0.2), (0.02, 0.01), "<code>elu</code> is expected to score more: <code>elu</code> by 2.0 points"),
        ((0.01, 0.01), (0.02, -0.01), "; <code>tanh</code> less."),
        (
            (0.2, 0.01),
            (0.02, -0.01),
            " None is shown to score more than it over datasets, and <code>tanh</code> to score less.",
        ),
        ((0.2, 0.2), (0.02, 0.01), "No other activation is shown to score more or less"),
    ],
)
def test_only_what_is_shown_is_said_of_an_activation(data: StudyData, p, difference, said):
    ends = {f"{which}_{end}": 0.0 for which in ("difference", "new") for end in ("low", "high")}
    told = StudyData("many", data.tables, PROVENANCE)
    told.__dict__["effects"] = pd.DataFrame(
        {"condition": "all", "activation": ["elu", "tanh"], "p_holm": p, "difference": difference, **ends}
    )
    assert said in outlook(told)


def test_panels_are_of_a_few_datasets_and_tables_of_all(data: StudyData):
    assert regret.section(data) is None
    assert {dataset for dataset, _, _ in data.pictured} == {"d0", "d1", "d10"}
    assert {dataset for dataset, _, _ in data.deepest} == {"d0", "d1", "d10"}
    for module in (ranking, convergence, rates):
        blocks = list(walk([module.section(data)]))
        said = [block.message if isinstance(block, Figure) else getattr(block, "text", "") for block in blocks]
        assert any("Drawn are the first three of 13 datasets; the tables have all." in text for text in said)
        longest = max((block.frame for block in blocks if isinstance(block, Table)), key=len)
        assert longest["dataset"].nunique() == 13


def test_of_few_datasets_nothing_is_said(tmp_path: Path):
    small = StudyData.read("small", write_tables(tmp_path, SMALL), PROVENANCE)
    assert small.sampled.empty
    assert small.pictured == small.cells
    assert new_datasets.section(small) is None
