"""The first screen has a line for each other family of networks, normalisation and depth."""

import pandas as pd
import pytest

from activation_study.report.sections import answer
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table
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
    table = next(block for block in section.blocks if isinstance(block, Table))
    rows = table.frame.set_index(["network", "layers"])
    depths = sorted(runs["depth"].unique())
    assert list(rows.index) == [
        *(("multilayer perceptrons", depth) for depth in depths),
        ("residual multilayer perceptrons", 5),
        ("residual convolutional networks with batch normalisation", 5),
    ], "in the study's order"
    alike = ["use", "accuracy", "reference"]  # of copies of the same runs
    for network in rows.index.get_level_values("network")[len(depths) :]:
        assert rows.loc[(network, 5), alike].equals(rows.loc[("multilayer perceptrons", 5), alike])
    assert table.columns[0].header == "Network"
    alone = next(block for block in answer.section(study).blocks if isinstance(block, Table))
    assert alone.columns[0].header == "Layers", "of one network it says nothing"
