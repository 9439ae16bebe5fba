"""A config becomes runs, or one clear line that says what is wrong with it."""

import contextlib
import copy
import datetime
import itertools
import json
import math
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import small
from activation_study.config import ROOT, factor_defaults, schema
from activation_study.errors import StudyError
from activation_study.study import Study


def _ids(config):
    return list(Study.from_config(config).runs)


def _with(path, value):
    """The small config with one value replaced; ``...`` removes it."""
    config = small.config()
    *way, last = path.split(".")
    inside = config
    for key in way:
        inside = inside.setdefault(key, {})
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return config


# (path, value, what the line must hold)
FAULTS = [
    ("activations.all", {"class": "ReLU"}, ["activations.all", "every activation"]),
    ("study", ..., ["config", "study", "missing"]),
    ("study", "", ["study", '""']),
    ("study", "../up", ["study", "../up", "letters"]),
    ("study", "a" * 65, ["study", "64"]),
    ("study", 5, ["study", "5", "string"]),
    ("device", "gpu", ["device", "gpu", "auto, cpu, cuda"]),
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
    ("activations.relu", "ReLU", ["activations.relu", "ReLU", "object"]),
    ("activations.relu", {}, ["activations.relu", "empty"]),
    ("activations.relu", {"klass": "ReLU"}, ["activations.relu", "class, expression and module"]),
    ("activations.relu", {"class": "Re LU"}, ["activations.relu", "Re LU", "torch.nn"]),
    ("activations.relu", {"class": "ReLU", "inplace": None}, ["activations.relu", "inplace"]),
    ("activations.relu", {"expression": "import os"}, ["activations.relu", "import os"]),
    ("activations.relu", {"expression": "y + 1"}, ["activations.relu", "y"]),
    ("activations.relu", {"module": "os.system"}, ["activations.relu", "os.system", "package.module:Class"]),
    ("activations.a/b", {"class": "ReLU"}, ["activations", "a/b", "letters"]),
    ("datasets.blobs.source", "csv", ["datasets.blobs.source", "csv", "npz"]),
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
    ("experiments.core.train_size", 1, ["experiments.core.train_size.0", "1", "at least 2"]),
    ("experiments.core.evaluation_seeds", 0, ["experiments.core.evaluation_seeds.0", "0", "at least 1"]),
]


@pytest.mark.parametrize(("path", "value", "held"), FAULTS, ids=lambda v: str(v)[:40])
def test_a_fault_is_one_line_that_names_key_and_value(path, value, held):
    with pytest.raises(StudyError) as caught:
        Study.from_config(_with(path, value))
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
    assert len(_ids(config)) == 1
    with pytest.raises(StudyError, match=r"activations\.mine.*allow_modules"):
        Study.from_config(config | {"allow_modules": False})


def test_every_fault_is_named_at_once():
    config = _with("seeds.tuning", 0)
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
        assert all(run.mem_mb > 0 and run.cost > 0 for run in study.runs.values())
    assert repr(config) == repr(before), "the config given is not ours to change"


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


def test_a_lone_value_is_a_list_of_one():
    assert _ids(_with("experiments.core.depth", [2])) == _ids(_with("experiments.core.depth", 2))
    lone = Study.from_config(_with("learning_rates.momentum", 0.01))
    assert lone.config["learning_rates"]["momentum"] == [0.01]
    assert _ids(_with("experiments.core.train_size", None)) == _ids(_with("experiments.core.train_size", [None]))


def test_numbers_that_yaml_takes_for_text_are_numbers():
    assert yaml.safe_load("1e-3") == "1e-3", "YAML would have done"
    given_as_text = Study.from_config(_with("learning_rates.momentum", ["1e-3", "3E-3", ".01", 1]))
    assert given_as_text.config["learning_rates"]["momentum"] == [0.001, 0.003, 0.01, 1.0]
    shifted = Study.from_config(_with("experiments.core.input_shift", ["5e-1"]))
    assert [run.factors["input_shift"] for run in shifted.runs.values()] == [0.5]


def test_whole_numbers_stay_whole():
    """5.0 is an integer to JSON schema, but no number of layers."""
    (run,) = Study.from_config(_with("experiments.core.depth", 5.0)).runs.values()
    assert isinstance(run.factors["depth"], int)
    config = _with("seeds.tuning", 2.0)
    assert isinstance(Study.from_config(config).config["seeds"]["tuning"], int)


def test_the_order_and_the_way_of_writing_do_not_matter():
    plain = Study.from_config(small.config())
    reordered = Study.from_config(dict(reversed(small.config().items())))
    spelt = small.config()
    spelt["experiments"]["core"] |= {"width": [16], "centred": False, "input_shift": 0}
    for other in (reordered, Study.from_config(spelt)):
        assert [run.params for run in other.runs.values()] == [run.params for run in plain.runs.values()]
        assert other.digest == plain.digest


def test_experiments_share_equal_runs():
    config = small.config()
    config["experiments"] = {
        "wide": {"depth": [1, 2], "activation": ["relu", "tanh"], "width": 16, "steps": 10},
        "narrow": {"depth": 2, "activation": "all", "width": [8, 16], "steps": 10},
    }
    study = Study.from_config(config)
    members = {name: {run for e, run in study.membership if e == name} for name in config["experiments"]}
    assert len(members["wide"]) == 4
    assert len(members["narrow"]) == 8
    assert set(study.runs) == members["wide"] | members["narrow"]
    shared = members["wide"] & members["narrow"]
    assert shared == {f"blobs/{a}/depth=2,steps=10,width=16" for a in ("relu", "tanh")}
    assert len(study.membership) == 12
    assert study.activations() == ["relu", "tanh", "rrelu", "prelu"], "the config's order"


def test_runs_are_the_product_of_the_factors():
    factors = {
        "depth": [1, 3],
        "width": [8, 16, 32],
        "optimiser": ["sgd", "adam"],
        "activation": ["relu", "tanh"],
    }
    runs = Study.from_config(small.config(experiments={"core": factors})).runs.values()
    found = {tuple(run.factors[name] for name in factors) for run in runs}
    assert found == set(itertools.product(*factors.values()))
    assert len(runs) == len(found)


# Names of folders, which must never change: results would be computed again, and links would break.
GOLDEN = {
    "blobs/relu/depth=2": {"depth": 2},
    "blobs/relu/depth=20,optimiser=adam,width=128": {"depth": 20, "width": 128, "optimiser": "adam"},
    "blobs/relu/depth=2,centred=true,initial_bias=-1.5": {"depth": 2, "initial_bias": -1.5, "centred": True},
    "blobs/relu/depth=2,input_shift=0.5,seed_stream=B-side": {
        "depth": 2,
        "input_shift": 0.5,
        "seed_stream": "B-side",
    },
    "blobs/relu/depth=2,batch_size=8,normalisation=noisy_batch,rates=coarse,steps=10,train_size=300": {
        "depth": 2,
        "steps": 10,
        "batch_size": 8,
        "normalisation": "noisy_batch",
        "rates": "coarse",
        "train_size": 300,
    },
    "blobs/relu/depth=2,evaluation_seeds=200,initialisation=edge_of_chaos,input_transform=gaussianised": {
        "depth": 2,
        "evaluation_seeds": 200,
        "initialisation": "edge_of_chaos",
        "input_transform": "gaussianised",
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_names_of_folders_never_change(name):
    (run,) = Study.from_config(small.config(experiments={"core": {"activation": "relu"} | GOLDEN[name]})).runs.values()
    assert run.id == name == run.params["id"]
    assert re.fullmatch(r"[\w-]+/[\w-]+/depth=[^/]+", name), "the workflow's wildcards must match it"


def test_a_factor_at_its_default_is_not_named():
    defaults = {name: value for name, value in factor_defaults().items() if value is not ...}
    for name, value in defaults.items():
        factors = {"activation": "relu", "depth": 2, name: [value]}
        assert _ids(small.config(experiments={"core": factors})) == ["blobs/relu/depth=2"], name


def test_a_new_factor_renames_nothing(monkeypatch):
    before = _ids(small.config())
    wider = copy.deepcopy(schema())
    properties = wider["properties"]["experiments"]["additionalProperties"]["items"]["properties"]
    properties["dropout"] = {"$ref": "#/$defs/factor", "items": {"type": "number"}, "default": [0.0]}
    monkeypatch.setattr("activation_study.config.schema", lambda: wider)
    factor_defaults.cache_clear()
    try:
        assert _ids(small.config()) == before
        config = small.config()
        config["experiments"]["core"]["dropout"] = [0.0, 0.5]
        assert _ids(config) == [*before, before[0].replace(",steps", ",dropout=0.5,steps")]
    finally:
        factor_defaults.cache_clear()


@pytest.mark.parametrize(
    ("factor", "values"),
    [
        ("input_shift", [0.1234567, 0.12345678]),
        ("initial_bias", [1e6 / 3e3, 1e6 / 3e3 + 1e-9]),
        ("seed_stream", ["a", "A"]),
        ("train_size", [1234567, 1234568]),
        ("steps", [1000001, 1000002]),
    ],
)
def test_different_runs_have_different_names(factor, values):
    study = Study.from_config(_with(f"experiments.core.{factor}", values))
    assert [run.factors[factor] for run in study.runs.values()] == values


def test_coarse_rates_are_every_second_one():
    for rates, kept in ([1, 2, 3, 4, 5, 6, 7], [2, 4, 6]), ([1, 2, 3], [2]), ([1, 2], [2]), ([5], [5]):
        config = _with("experiments.core.rates", ["all", "coarse"])
        config["learning_rates"]["momentum"] = rates
        whole, coarse = Study.from_config(config).runs.values()
        assert whole.settings["learning_rates"] == rates
        assert coarse.settings["learning_rates"] == kept


def test_each_optimiser_has_its_grid():
    config = _with("experiments.core.optimiser", ["momentum", "sgd", "adam"])
    runs = Study.from_config(config).runs.values()
    grids = {run.factors["optimiser"]: run.settings["learning_rates"] for run in runs}
    properties = schema()["properties"]["learning_rates"]["properties"]
    assert grids == {
        "momentum": [0.003, 0.03, 0.1],
        "sgd": properties["sgd"]["default"],
        "adam": properties["adam"]["default"],
    }


def test_seeds_are_the_studys_unless_asked_for():
    runs = Study.from_config(_with("experiments.core.evaluation_seeds", [None, 7])).runs.values()
    assert [run.settings["evaluation_seeds"] for run in runs] == [2, 7]
    runs = Study.from_config(_with("experiments.core.tuning_seeds", [None, 5])).runs.values()
    assert [run.settings["tuning_seeds"] for run in runs] == [2, 5]


def test_settings_hold_what_the_result_depends_on_and_no_more():
    base = small.run().params
    others = {
        "target": _with("datasets.blobs.target", 0.7),
        "chunk": _with("training.replicas_per_chunk.cpu", 5),
        "rates": _with("learning_rates.momentum", [0.003, 0.03]),
        "seeds": _with("seeds.tuning", 3),
        "activation": _with("activations.relu", {"expression": "relu(x)"}),
        "max_train": _with("datasets.blobs.max_train", 100),
        "device": _with("device", "auto"),
    }
    for name, config in others.items():
        (run,) = Study.from_config(config).runs.values()
        assert run.params != base, name
        assert run.id == base["id"], name
    unrelated = {
        "another activation": _with("activations.new", {"class": "GELU"}),
        "another optimiser's rates": _with("learning_rates.adam", [0.5]),
        "the reason": _with("datasets.blobs.target_reason", "other words"),
        "the study's name": _with("study", "other"),
    }
    for name, config in unrelated.items():
        (run,) = Study.from_config(config).runs.values()
        assert run.params == base, name


def test_what_a_dataset_job_depends_on_leaves_out_targets_and_caps():
    class Blobs:
        dataset = "blobs"

    params = Study.from_config(small.config()).dataset_params(Blobs)
    for path, value in (("target", 0.7), ("max_train", 50), ("max_test", 50), ("target_reason", "why")):
        changed = Study.from_config(_with(f"datasets.blobs.{path}", value))
        assert (
            changed.dataset_params(Blobs)
            == params
            == {"name": "blobs", "entry": {"source": "npz", "path": "blobs.npz"}}
        )
    assert Study.from_config(_with("datasets.blobs.path", "b.npz")).dataset_params(Blobs) != params


def test_replica_steps_count_what_training_does():
    for factors, changes in (
        ({"steps": 40}, {}),
        ({"steps": 20, "rates": "coarse"}, {}),
        ({"steps": 40, "evaluation_seeds": 3}, {"training": {"pruning": {"keep": 9}}}),
    ):
        run = small.run(factors, **changes)
        timings = small.rows(run)["timings"]
        (trained,) = [row["replica_steps"] for row in timings if row["phase"] == "training"]
        assert trained == run.replica_steps


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml", "tests/configs/smoke.yaml"])
def test_the_studies_that_ship_are_valid(file):
    study = Study.from_file(ROOT / file)
    assert study.runs
    assert set(study.datasets()) <= set(study.config["datasets"])


def test_reading_a_config_imports_neither_torch_nor_snakemake():
    code = (
        "import sys; from activation_study.study import Study; Study.from_file('config.yaml');"
        "print([m for m in ('torch', 'snakemake', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_key_of_the_schema_is_described():
    def undescribed(spec, where):
        for key, inside in spec.get("properties", {}).items():
            if "description" not in inside:
                yield f"{where}.{key}"
            yield from undescribed(inside, f"{where}.{key}")
        if isinstance(spec.get("additionalProperties"), dict):
            yield from undescribed(spec["additionalProperties"], f"{where}.*")

    assert list(undescribed(schema(), "config")) == []


def test_an_initial_bias_under_batch_norm_is_refused():
    config = small.config()
    config["experiments"]["core"] |= {"normalisation": "batch", "initial_bias": [0, 2]}
    with pytest.raises(StudyError, match=r"experiments\.core\.initial_bias: \[0.*\] has no effect under batch norm"):
        Study.from_config(config)
