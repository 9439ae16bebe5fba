"""The guide, the chooser and the regret as a reader sees them, whole and with gaps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from activation_study.report.blocks import Figure, Items, walk
from activation_study.report.sections import chooser, guide, regret
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table
from synthetic import CLAIMS, PROVENANCE, SMALL, Shape, write_tables

THREE = Shape(("relu", "leaky_relu", "elu", "prelu", "rrelu"), ("a", "b", "c"), (5, 20), 5, unavailable=())
SECTIONS = (guide, chooser, regret)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return StudyData.read("three", write_tables(tmp_path_factory.mktemp("tables"), THREE), PROVENANCE, CLAIMS)


@pytest.mark.slow
def test_the_three_steps_stand_beside_the_evidence(data: StudyData):
    steps = next(block for block in walk([guide.section(data)]) if isinstance(block, Items)).items
    assert len(steps) == 3
    assert all("The evidence:" in step for step in steps)
    assert "There is no evidence on ELU against ReLU" in steps[1]  # the made-up ledger has no such row


@pytest.mark.slow
def test_the_chooser_has_every_situation_and_its_evidence(data: StudyData):
    table = next(block for block in walk([chooser.section(data)]) if isinstance(block, Table))
    assert len(table.frame) == 2 * 1 * 2 * 2
    assert not table.frame.duplicated(["layers", "samples", "budget", "overfitting"]).any()
    assert table.frame["confidence"].str.match("(high|moderate|low)(, of those within the budget)?: ").all()
    assert table.frame["evidence"].str.contains("15 networks of .* layers .* 3 cells of at least 5 seeds").all()


@pytest.mark.slow
def test_regret_shows_every_dataset(data: StudyData):
    blocks = list(walk([regret.section(data)]))
    figure = next(block for block in blocks if isinstance(block, Figure))
    assert all(f">{name}</text>" in figure.svg for name in ("a", "b", "c"))  # a column of numbers each
    table = next(block for block in blocks if isinstance(block, Table))
    assert {"a", "b", "c"} <= set(table.frame)
    assert not re.search("interval", table.caption)


@pytest.mark.slow
@pytest.mark.parametrize("absent", [("ledger",), ("cost",), ("experiments",), ("ledger", "cost", "experiments")])
def test_without_a_table_the_sections_build(absent: tuple[str, ...], tmp_path: Path):
    data = StudyData.read("small", write_tables(tmp_path, SMALL, leave_out=absent), PROVENANCE, CLAIMS)
    made = [module.section(data) for module in SECTIONS]
    assert made[0] is not None
    assert made[2] is not None
    assert any(getattr(block, "kind", "") == "gap" for block in walk([made[2]]))  # no PReLU, no RReLU
    if "ledger" in absent:
        assert "No verdicts" in made[0].blocks[1].text


@pytest.mark.slow
def test_without_the_articles_claims_nothing_is_said_of_them(data: StudyData):
    """Nothing but the study's own files decides what the page says."""
    made = guide.section(StudyData("own", data.tables, PROVENANCE))
    lead, gap = (block.text for block in made.blocks[:2])
    assert "Beside each" not in lead
    assert gap.startswith("<strong>No verdicts:</strong> No claims file of this study says <code>article: true")
    steps = next(block for block in walk([made]) if isinstance(block, Items)).items
    assert len(steps) == 3
    assert not any("evidence" in step for step in steps)


def test_without_any_score_there_is_nothing_to_say(tmp_path: Path):
    shape = Shape(("relu", "elu"), (), (2,), unavailable=("digits",))
    data = StudyData.read("none", write_tables(tmp_path, shape), PROVENANCE)
    assert chooser.section(data) is None
    assert regret.section(data) is None
