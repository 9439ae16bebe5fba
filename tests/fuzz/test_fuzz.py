"""A minute of `make fuzz`, the same at every call: nothing that somebody else hands over ends in a traceback."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinds import CLAIMS, CONFIG, KINDS, outcome, read_claims, read_config

EXAMPLES = {"configs": 400, "claims": 250, "expressions": 150, "csv": 400, "npz": 400, "images": 200, "tables": 200}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_input_ends_in_success_or_one_line(kind):
    strategy, action = KINDS[kind]
    ends = []

    @settings(max_examples=EXAMPLES[kind], deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def fuzz(value):
        with tempfile.TemporaryDirectory() as folder:
            ends.append(outcome(action, value, Path(folder)).ended)

    fuzz()
    assert {"success", "refused"} <= set(ends), "inputs of one kind find nothing"


def test_what_is_changed_is_right_to_begin_with(tmp_path):
    assert outcome(read_config, CONFIG, tmp_path).ended == "success"
    assert outcome(read_claims, CLAIMS, tmp_path).ended == "success"


@pytest.mark.parametrize("wrong", [lambda: int("x"), lambda: {}["x"], lambda: 1 / 0])
def test_the_fuzzing_itself_finds_what_is_planted(wrong, tmp_path):
    """An exception of another kind, in a hundredth of all inputs."""

    def action(value, folder):
        if value % 100 == 7:
            wrong()

    @settings(max_examples=500, deadline=None, database=None)
    @given(st.integers(0, 10_000))
    def fuzz(value):
        outcome(action, value, tmp_path)

    with pytest.raises((ValueError, KeyError, ZeroDivisionError)):
        fuzz()
