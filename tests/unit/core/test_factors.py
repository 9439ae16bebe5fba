"""Factors and settings as their jobs read them."""

import pytest

import small
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors, Settings
from activation_study.core.models import read


def test_a_run_s_params_are_read_and_written_back():
    params = small.run().params
    assert read(Factors, params["factors"]).model_dump(mode="json") == params["factors"]
    assert read(Settings, params["settings"]).model_dump(mode="json") == params["settings"]


def test_a_factor_that_is_none_is_refused():
    with pytest.raises(StudyError, match="unknown key dropout; known: activation, batch_size"):
        read(Factors, {"activation": "relu", "dataset": "digits", "depth": 1, "dropout": 0.5})


def test_defaults_are_those_of_the_model_and_none_where_one_must_be_given():
    defaults = Factors.defaults()
    assert {name for name, value in defaults.items() if value is ...} == {"activation", "dataset", "depth"}
    given = {"activation": "relu", "dataset": "digits", "depth": 1}
    assert dict(Factors(**given)) == defaults | given
