"""A config in layers: files over files, and the command line over them all."""

import pytest
import yaml

import small
from activation_study.core.errors import StudyError
from activation_study.study.config import merged, validated


def _file(path, **config):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


BELOW = {
    "study": "below",
    "seeds": {"tuning": 1, "evaluation": 2},
    "training": {"pruning": {"after": 0.5, "keep": 2}, "probe_samples": 32},
    "learning_rates": {"sgd": [0.1, 0.3], "adam": [0.001]},
    "activations": {"relu": {"class": "ReLU"}},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"study": "above"}, {"study": "above"}),
        ({"seeds": {"evaluation": "3"}}, {"seeds": {"tuning": 1, "evaluation": "3"}}),
        (
            {"training": {"pruning": {"keep": 3}}},
            {"training": {"pruning": {"after": 0.5, "keep": 3}, "probe_samples": 32}},
        ),
        ({"learning_rates": {"sgd": [1.0]}}, {"learning_rates": {"sgd": [1.0], "adam": [0.001]}}),
        (
            {"activations": {"gelu": {"class": "GELU"}}},
            {"activations": {"relu": {"class": "ReLU"}, "gelu": {"class": "GELU"}}},
        ),
        ({"seeds": 3}, {"seeds": 3}),
        ({"study": {"a": 1}}, {"study": {"a": 1}}),
        ({"device": "cpu"}, {"device": "cpu"}),
    ],
)
def test_mappings_change_keys_and_all_else_is_replaced(changes, expected, tmp_path):
    below = _file(tmp_path / "below.yaml", **BELOW)
    assert merged([below], changes) == BELOW | expected
    above = _file(tmp_path / "above.yaml", **changes)
    assert merged([below, above], {}) == BELOW | expected
    assert merged([below, above, below], {}) == (BELOW | expected if not expected else merged([above, below], {}))


def test_an_alias_is_changed_in_one_place_only(tmp_path):
    path = tmp_path / "alias.yaml"
    path.write_text("a: &x {b: {c: 1, d: 2}}\ne: *x\n", encoding="utf-8")
    assert merged([path], {"a": {"b": {"c": 3}}}) == {"a": {"b": {"c": 3, "d": 2}}, "e": {"b": {"c": 1, "d": 2}}}


def test_what_came_as_text_is_read_as_its_key_says(tmp_path):
    path = _file(tmp_path / "a.yaml", **small.config())
    before = validated(merged([path], {}))
    changes = {"seeds": {"evaluation": "7"}, "training": {"pruning": {"keep": "1"}}, "learning_rates": {"sgd": ["0.5"]}}
    after = validated(merged([path], changes))
    assert after.seeds == before.seeds.model_copy(update={"evaluation": 7})
    pruning = before.training.pruning.model_copy(update={"keep": 1})
    assert after.training == before.training.model_copy(update={"pruning": pruning})
    assert after.learning_rates == before.learning_rates.model_copy(update={"sgd": (0.5,)})


def test_claims_are_found_here_or_beside_their_config(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    here.mkdir()
    path = _file(there / "config.yaml", claims=["claims.yaml", "own.yaml", "nowhere.yaml", "x" * 300, 7])
    for file in (there / "claims.yaml", there / "own.yaml", here / "own.yaml"):
        file.touch()
    rest = ["nowhere.yaml", "x" * 300, 7]
    monkeypatch.chdir(here)
    assert merged([path], {})["claims"] == [str(there / "claims.yaml"), "own.yaml", *rest]
    monkeypatch.chdir(there)
    assert merged([path], {})["claims"] == ["claims.yaml", "own.yaml", *rest]
    assert merged(["config.yaml"], {"claims": ["mine.yaml"]})["claims"] == ["mine.yaml"]
    assert "claims" not in merged([_file(there / "without.yaml", study="a")], {})


def test_what_is_no_plain_value_is_refused_in_each_layer(tmp_path):
    good, bad = _file(tmp_path / "good.yaml", study="a"), _file(tmp_path / "bad.yaml", study=float("inf"))
    with pytest.raises(StudyError, match=r"bad\.yaml: study: "):
        merged([good, bad], {})
    with pytest.raises(StudyError, match="study: "):
        merged([good], {"study": float("inf")})
