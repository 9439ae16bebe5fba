"""A run's id is read as it was made."""

import pytest

from activation_study.core.factors import Factors
from activation_study.core.runs import RunId, cell_of, without
from activation_study.study.config import ROOT
from activation_study.study.study import Study
from activation_study.tables.columns import RUN

ID = "digits/relu/depth=5,centred=true,initial_bias=-0.5,steps=9"


def test_the_default_study_s_ids_are_read_as_they_were_made():
    runs = Study.from_file(ROOT / "config.yaml").runs
    for name, run in runs.items():
        read = RunId.read(name)
        assert str(read) == name == run.id
        assert RUN.fullmatch(name)
        assert (read.dataset, read.activation, read.condition) == (
            run.factors.dataset,
            run.factors.activation,
            run.condition,
        )
        assert int(read.factors["depth"]) == run.factors.depth
        moved = {factor for factor, default in Factors.defaults().items() if getattr(run.factors, factor) != default}
        assert set(read.factors) == moved - {"dataset", "activation"}


def test_parts_of_an_id():
    assert RunId.read(ID).factors == {"depth": "5", "centred": "true", "initial_bias": "-0.5", "steps": "9"}
    assert cell_of(ID) == "digits/depth=5,centred=true,initial_bias=-0.5,steps=9"
    assert without(ID, "centred") == "digits/relu/depth=5,initial_bias=-0.5,steps=9"
    assert without(ID, "centred", "steps", "width") == "digits/relu/depth=5,initial_bias=-0.5"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("input_shift", 1e-5, "1e-05"),
        ("input_shift", 0.1 + 0.2, "0.30000000000000004"),
        ("input_shift", 2.0, "2"),
        ("centred", True, "true"),
    ],
)
def test_another_value_is_another_text(name, value, text):
    run = RunId.of(Factors(**{"dataset": "d", "activation": "a", "depth": 3, name: value}))
    assert str(run) == f"d/a/depth=3,{name}={text}"
