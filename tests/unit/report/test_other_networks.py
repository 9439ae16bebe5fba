"""The first screen has a line for each other family of networks, normalisation and depth."""

import pandas as pd
import pytest
from markupsafe import Markup

from activation_study.report.blocks import Facts
from activation_study.report.sections import answer
from activation_study.report.study_data import StudyData
from synthetic import PROVENANCE

pytestmark = pytest.mark.slow


def test_a_line_for_each(tables):
    study = StudyData.read("small", tables, PROVENANCE)
    runs, experiments = study.tables["runs"], study.tables["experiments"]
    more, named = [runs], [experiments]
    for network, normalisation in (("residual_mlp", "none"), ("residual_convolutional", "batch")):
        factors = f",network={network}" + f",normalisation={normalisation}" * (normalisation != "none")
        some = runs[runs["depth"] == 5]
        more.append(some.assign(run=some["run"] + factors, network=network, normalisation=normalisation))
        part = experiments[experiments["run"].isin(some["run"])]
        named.append(part.assign(run=part["run"] + factors, experiment=network))
    changed = study.tables | {"runs": pd.concat(more), "experiments": pd.concat(named)}
    section = answer.section(StudyData("small", changed, PROVENANCE))
    facts = next(block for block in section.blocks if isinstance(block, Facts)).facts
    said = {Markup(name).striptags(): Markup(value).striptags() for name, value in facts}
    assert "First in residual multilayer perceptrons of 5 layers" in said
    line = said["First in residual convolutional networks with batch normalisation of 5 layers"]
    assert "first of" in line
    assert "mnist1d" in line
    assert not any("First in" in name for name, _ in answer._by_depth(study)), (
        "of multilayer perceptrons it is said above"
    )
