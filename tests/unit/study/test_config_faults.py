"""A config that is wrong gives one clear line that says so."""

import contextlib
import copy
import datetime
import json
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import small
from activation_study.core.errors import StudyError
from activation_study.study.study import Study

# (path, value, what the line must hold)
FAULTS = [
    ("activations.all", {"class": "ReLU"}, ["activations.all", "every activation"]),
    ("study", ..., ["config", "study", "missing"]),
    ("study", "", ["study", '""']),
    ("study", "../up", ["study", "../up", "letters"]),
    ("study", "a" * 65, ["study", "64"]),
    ("study", 5, ["study", "5", "string"]),
    ("compare", "small", ["compare", "small", "another"]),
    ("compare", "../up", ["compare", "../up", "letters"]),
    ("repository", "http://github.com/you/study", ["repository", "http://", "https"]),
    ("repository", "https://github.com", ["repository", "https"]),
    ("repository", "https://github.com/you/study?x=1", ["repository", "https"]),
    ("repository", "javascript:alert(1)//", ["repository", "https"]),
    ("seeds.stream", "a/b", ["seeds.stream", "a/b", "letters"]),
    ("device", "gpu", ["device", "gpu", "auto, cpu, cuda"]),
    ("precision", "bf16", ["precision", "bf16", "float32, tf32"]),
    ("allow_modules", "yes", ["allow_modules", "yes", "boolean"]),
    ("seed", 3, ["config", "seed", "unknown", "seeds"]),
    ("seeds.tuning", 0, ["seeds.tuning", "0", "at least 1"]),
    ("seeds.tuning", True, ["seeds.tuning", "true", "integer"]),
    ("seeds.evaluation", 2.5, ["seeds.evaluation", "2.5", "integer"]),
    ("seeds.evaluation", "ten", ["seeds.evaluation", "ten", "integer"]),
    ("seeds.test", 4, ["seeds", "test", "unknown", "tuning"]),
    ("seeds", [3], ["seeds", "[3]", "object"]),
    ("learning_rates.momentum", [], ["learning_rates.momentum", "empty"]),
    ("learning_rates.momentum", [0.1, 0.01], ["learning_rates.momentum", "increase"]),
    ("learning_rates.momentum", [0.1, 0.1], ["learning_rates.momentum", "increase"]),
    ("learning_rates.momentum", [0.0], ["learning_rates.momentum.0", "above 0"]),
    ("learning_rates.momentum", ["fast"], ["learning_rates.momentum.0", "fast", "number"]),
    ("learning_rates.momentum", [math.nan], ["learning_rates.momentum.0", "finite"]),
    ("learning_rates.momentum", [math.inf], ["learning_rates.momentum.0", "finite"]),
    ("learning_rates.rmsprop", [0.1], ["learning_rates", "rmsprop", "unknown"]),
    ("training.pruning.after", 1.0, ["training.pruning.after", "below 1"]),
    ("training.pruning.after", math.nan, ["training.pruning.after", "finite"]),
    ("training.pruning.keep", 0, ["training.pruning.keep", "at least 1"]),
    ("training.replicas_per_chunk.cpu", 0, ["training.replicas_per_chunk.cpu", "at least 1"]),
    ("training.max_validation", 3, ["training.max_validation", "3", "at least 10"]),
    ("training.epochs", 3, ["training", "epochs", "unknown"]),
    ("activations", {}, ["activations", "empty"]),
    ("activations.relu", 3, ["activations.relu", "3", "object or string"]),
    ("activations.relu", "relu", ["activations.relu", "'relu'", "did you mean ReLU?"]),
    ("activations.relu", "nn.ReLU", ["activations.relu", "'nn.ReLU'", "did you mean ReLU?"]),
    ("activations.relu", "mine:Own", ["activations.relu", "{module: 'mine:Own'}"]),
    ("activations.relu", "maximum(x, 0)", ["activations.relu", "{expression: 'maximum(x, 0)'}"]),
    ("activations.relu", {"class": "LSTM", "num_layers": 1000000}, ["activations.relu", "LSTM", "{module:"]),
    ("activations.relu", {}, ["activations.relu", "empty"]),
    ("activations.relu", {"klass": "ReLU"}, ["activations.relu", "class, expression and module"]),
    ("activations.relu", {"class": "Re LU"}, ["activations.relu", "Re LU", "torch.nn"]),
    ("activations.relu", {"class": "ReLU", "inplace": None}, ["activations.relu", "inplace"]),
    ("activations.relu", {"expression": "import os"}, ["activations.relu", "import os"]),
    ("activations.relu", {"expression": "y + 1"}, ["activations.relu", "y"]),
    ("activations.relu", {"module": "os.system"}, ["activations.relu", "os.system", "package.module:Class"]),
    ("activations.a/b", {"class": "ReLU"}, ["activations", "a/b", "letters"]),
    ("datasets.blobs.source", "tsv", ["datasets.blobs.source", "tsv", "npz"]),
    ("datasets.blobs.target", ..., ["datasets.blobs", "target", "missing"]),
    ("datasets.blobs.target", 60, ["datasets.blobs.target", "60", "below 1"]),
    ("datasets.blobs.target", math.nan, ["datasets.blobs.target", "finite"]),
    ("datasets.blobs.path", ..., ["datasets.blobs.path"]),
    ("datasets.blobs.max_train", 0, ["datasets.blobs.max_train", "0", "at least"]),
    ("datasets.blobs.shuffle", True, ["datasets.blobs", "shuffle", "unknown"]),
    ("datasets.blobs", None, ["datasets.blobs", "null", "object"]),
    ("experiments", {}, ["experiments", "empty"]),
    ("experiments.core", None, ["experiments.core", "null", "object"]),
    ("experiments.core.depth", ..., ["experiments.core", "depth", "missing"]),
    ("experiments.core.depth", [], ["experiments.core.depth", "empty"]),
    ("experiments.core.depth", 0, ["experiments.core.depth.0", "0", "at least 1"]),
    ("experiments.core.depth", "deep", ["experiments.core.depth.0", "deep", "integer"]),
    ("experiments.core.depth", None, ["experiments.core.depth.0", "null", "integer"]),
    ("experiments.core.depth", [2, 2], ["experiments.core.depth", "twice"]),
    ("experiments.core.depth", ["1", "x"], ["experiments.core.depth.1", "x", "integer"]),
    ("seeds.tuning", datetime.date(2020, 1, 2), ["seeds.tuning", "2020", "number"]),
    ("experiments.core.width", 1.5, ["experiments.core.width.0", "1.5", "integer"]),
    ("experiments.core.steps", "1e3x", ["experiments.core.steps.0", "1e3x", "integer"]),
    ("experiments.core.batchsize", 8, ["experiments.core", "batchsize", "unknown", "batch_size"]),
    ("experiments.core.optimiser", "adamw", ["experiments.core.optimiser.0", "adamw", "momentum, sgd, adam"]),
    ("experiments.core.activation", "rleu", ["experiments.core.activation", "rleu", "relu, tanh"]),
    ("experiments.core.dataset", "mnist", ["experiments.core.dataset", "mnist", "blobs"]),
    ("experiments.core.dataset", ["all", "blobs"], ["experiments.core.dataset", "all", "blobs"]),
    ("experiments.core.initial_bias", math.nan, ["experiments.core.initial_bias", "nan", "finite"]),
    ("experiments.core.input_shift", -math.inf, ["experiments.core.input_shift", "-inf", "finite"]),
    ("experiments.core.input_shift", 10**400, ["experiments.core.input_shift", "finite"]),
    ("experiments.core.input_shift", "1e999", ["experiments.core.input_shift.0", "at most 1000"]),
    ("experiments.core.centred", "no", ["experiments.core.centred.0", "no", "boolean"]),
    ("experiments.core.seed_stream", "a,b=c", ["experiments.core.seed_stream.0", "a,b=c", "letters"]),
    ("experiments.core.clip", 0, ["experiments.core.clip.0", "0", "above 0"]),
    ("experiments.core.clip", [5, -1], ["experiments.core.clip.1", "-1", "above 0"]),
    ("experiments.core.clip", math.inf, ["experiments.core.clip", "inf", "finite"]),
    ("experiments.core.train_size", 1, ["experiments.core.train_size.0", "1", "at least 2"]),
    ("experiments.core.evaluation_seeds", 0, ["experiments.core.evaluation_seeds.0", "0", "at least 1"]),
]


@pytest.mark.parametrize(("path", "value", "held"), FAULTS, ids=lambda v: str(v)[:40])
def test_a_fault_is_one_line_that_names_key_and_value(path, value, held):
    with pytest.raises(StudyError) as caught:
        Study.from_config(small.changed(path, value))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for part in held:
        assert part in message


def test_keys_must_be_text():
    config = small.config()
    config["activations"][True] = {"class": "ReLU"}  # what YAML makes of `on: {class: ReLU}`
    with pytest.raises(StudyError, match="activations: the key True must be text"):
        Study.from_config(config)


def test_a_list_that_holds_itself_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("study: &a [*a]")
    with pytest.raises(StudyError, match="nested too deeply"):
        Study.from_file(path)


def test_modules_can_be_forbidden():
    config = small.config(activations={"mine": {"module": "own_activations:LearnedSwish"}})
    assert len(Study.from_config(config).runs) == 1
    with pytest.raises(StudyError, match=r"activations\.mine.*allow_modules"):
        Study.from_config(config | {"allow_modules": False})


def test_every_fault_is_named_at_once():
    config = small.changed("seeds.tuning", 0)
    config["device"] = "gpu"
    with pytest.raises(StudyError) as caught:
        Study.from_config(config)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["device", "seeds.tuning"]


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=6),
    st.just("1e-3"),
    st.binary(max_size=2),
    st.dates(),
    st.lists(st.one_of(st.none(), st.integers(-2, 9), st.text(max_size=3), st.floats()), max_size=3),
    st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 3), st.none(), st.dates()), st.integers()),
    st.just({"source": "torchvision", "class": "MNIST", "target": 0.5, "extra": {"a": [None]}}),
    st.just({"class": "ReLU", ("a", 1): 2}),
).map(copy.deepcopy)


def _paths(value, prefix=()):
    yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        yield from _paths(inside, (*prefix, key))


@pytest.mark.slow
@settings(max_examples=400)
@given(st.data())
def test_a_mutated_config_gives_runs_or_a_study_error(data):
    config = small.config()
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in _paths(config) if p]))
        inside = config
        for key in path[:-1]:
            inside = inside[key]
        what = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "replace":
            inside[path[-1]] = data.draw(_JUNK)
        elif what == "remove":
            del inside[path[-1]]
        elif isinstance(inside, dict):
            key = data.draw(st.one_of(st.text(max_size=5), st.integers(0, 2), st.none(), st.booleans(), st.dates()))
            inside[key] = data.draw(_JUNK)
    before = copy.deepcopy(config)
    with contextlib.suppress(StudyError):
        study = Study.from_config(config)
        assert study.runs
        json.dumps([run.params for run in study.runs.values()], allow_nan=False)
        assert len(study.digest) == 64
        assert all(run.mem_mb(100, 10) > 0 and run.cost > 0 for run in study.runs.values())
    assert repr(config) == repr(before), "the config given is not ours to change"


@pytest.mark.slow
@given(st.recursive(_JUNK, lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8))
def test_any_file_gives_a_study_error(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    try:
        path.write_text(yaml.safe_dump(value), encoding="utf-8")
    except yaml.YAMLError:
        return  # no YAML: cannot be a file
    with pytest.raises(StudyError):
        Study.from_file(path)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (b"study: [", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"- 1", "must hold a mapping of keys, not list"),
        (b"", "must hold a mapping of keys, not NoneType"),
        (b"study: 2020-13-45", "cannot be read as YAML"),
        (b"study: " + b"9" * 5000, "cannot be read as YAML"),
        (b"[" * 5000, "cannot be read as YAML"),
        (b"study: !!python/object:os.system {}", "cannot be read as YAML"),
        (None, "cannot be read as YAML"),
    ],
)
def test_files_that_are_no_config(tmp_path, content, held):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        Study.from_file(path)
    assert str(caught.value).startswith(str(path))
    assert held in str(caught.value)
    assert "\n" not in str(caught.value)
