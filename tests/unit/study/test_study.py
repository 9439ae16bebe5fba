"""A config becomes runs."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

import small
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.runs import RunId
from activation_study.study.config import ROOT, Config, LearningRates, merged
from activation_study.study.study import Study


def _ids(config):
    return list(Study.from_config(config).runs)


def test_a_lone_value_is_a_list_of_one():
    assert _ids(small.changed("experiments.core.depth", [2])) == _ids(small.changed("experiments.core.depth", 2))
    lone = Study.from_config(small.changed("learning_rates.momentum", 0.01))
    assert lone.config.learning_rates.momentum == (0.01,)
    assert _ids(small.changed("experiments.core.train_size", None)) == _ids(
        small.changed("experiments.core.train_size", [None])
    )


def test_numbers_that_yaml_takes_for_text_are_numbers():
    assert yaml.safe_load("1e-3") == "1e-3", "YAML would have done"
    given_as_text = Study.from_config(small.changed("learning_rates.momentum", ["1e-3", "3E-3", ".01", 1]))
    assert given_as_text.config.learning_rates.momentum == (0.001, 0.003, 0.01, 1.0)
    shifted = Study.from_config(small.changed("experiments.core.input_shift", ["5e-1"]))
    assert [run.factors.input_shift for run in shifted.runs.values()] == [0.5]


def test_whole_numbers_stay_whole():
    """5.0 is an integer to JSON schema, but no number of layers."""
    (run,) = Study.from_config(small.changed("experiments.core.depth", 5.0)).runs.values()
    assert isinstance(run.factors.depth, int)
    config = small.changed("seeds.tuning", 2.0)
    assert isinstance(Study.from_config(config).config.seeds.tuning, int)


def test_the_order_and_the_way_of_writing_do_not_matter():
    plain = Study.from_config(small.config())
    reordered = Study.from_config(dict(reversed(small.config().items())))
    spelt = small.config()
    spelt["experiments"]["core"] |= {"width": [16], "centred": False, "input_shift": 0}
    for other in (reordered, Study.from_config(spelt)):
        assert [run.params for run in other.runs.values()] == [run.params for run in plain.runs.values()]
        assert other.digest == plain.digest


def test_where_links_lead_makes_the_page_again_and_no_number():
    plain = Study.from_config(small.config())
    linked = Study.from_config(small.config(repository="https://example.org/you/study"))
    assert linked.digest == plain.digest
    assert linked.report_params(None) != plain.report_params(None)


def test_the_second_study_differs_in_its_seeds_alone():
    first = Study.from_file(ROOT / "config.yaml")
    second = Study.from_config(merged([ROOT / "config.yaml", ROOT / "config/second.yaml"], {}))
    assert (first.config.compare, second.config.compare) == (second.name, first.name)
    assert list(second.runs) == list(first.runs)
    assert second.config.model_dump(exclude={"study", "compare"}) == first.config.model_dump(
        exclude={"study", "compare"}
    ) | {"seeds": dict(first.config.seeds) | {"stream": "second"}}
    streams = {run.settings.stream_of(run.factors) for run in (*first.runs.values(), *second.runs.values())}
    assert len(streams) == 2 * len({run.factors.seed_stream for run in first.runs.values()})


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
    found = {tuple(getattr(run.factors, name) for name in factors) for run in runs}
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
    defaults = {name: value for name, value in Factors.defaults().items() if value is not ...}
    for name, value in defaults.items():
        factors = {"activation": "relu", "depth": 2, name: [value]}
        assert _ids(small.config(experiments={"core": factors})) == ["blobs/relu/depth=2"], name


def test_a_new_factor_renames_nothing():
    class Wider(Factors):
        dropout: float = 0.0

    for before, run in Study.from_config(small.config()).runs.items():
        assert str(RunId.of(Wider(**dict(run.factors)))) == before
        wider = Wider(**dict(run.factors), dropout=0.5)
        assert str(RunId.of(wider)) == before.replace(",steps", ",dropout=0.5,steps")


@pytest.mark.parametrize(
    ("factor", "values"),
    [
        ("input_shift", [0.1234567, 0.12345678]),
        ("initial_bias", [1e6 / 3e3, 1e6 / 3e3 + 1e-9]),
        ("seed_stream", ["a", "b"]),
        ("train_size", [1234567, 1234568]),
        ("clip", [None, 1.0, 0.1 + 0.2]),
        ("steps", [1000001, 1000002]),
    ],
)
def test_different_runs_have_different_names(factor, values):
    study = Study.from_config(small.changed(f"experiments.core.{factor}", values))
    assert [getattr(run.factors, factor) for run in study.runs.values()] == values


def test_coarse_rates_are_every_second_one():
    for rates, kept in ([1, 2, 3, 4, 5, 6, 7], [2, 4, 6]), ([1, 2, 3], [2]), ([1, 2], [2]), ([5], [5]):
        config = small.changed("experiments.core.rates", ["all", "coarse"])
        config["learning_rates"]["momentum"] = rates
        whole, coarse = Study.from_config(config).runs.values()
        assert list(whole.settings.learning_rates) == rates
        assert list(coarse.settings.learning_rates) == kept


def test_each_optimiser_has_its_grid():
    config = small.changed("experiments.core.optimiser", ["momentum", "sgd", "adam"])
    runs = Study.from_config(config).runs.values()
    grids = {run.factors.optimiser: run.settings.learning_rates for run in runs}
    assert grids == {
        "momentum": (0.003, 0.03, 0.1),
        "sgd": LearningRates.model_fields["sgd"].default,
        "adam": LearningRates.model_fields["adam"].default,
    }


def test_seeds_are_the_studys_unless_asked_for():
    runs = Study.from_config(small.changed("experiments.core.evaluation_seeds", [None, 7])).runs.values()
    assert [run.settings.evaluation_seeds for run in runs] == [2, 7]
    runs = Study.from_config(small.changed("experiments.core.tuning_seeds", [None, 5])).runs.values()
    assert [run.settings.tuning_seeds for run in runs] == [2, 5]


def test_settings_hold_what_the_result_depends_on_and_no_more():
    base = small.run().params
    others = {
        "target": small.changed("datasets.blobs.target", 0.7),
        "chunk": small.changed("training.replicas_per_chunk.cpu", 5),
        "rates": small.changed("learning_rates.momentum", [0.003, 0.03]),
        "seeds": small.changed("seeds.tuning", 3),
        "activation": small.changed("activations.relu", {"expression": "relu(x)"}),
        "max_train": small.changed("datasets.blobs.max_train", 100),
        "device": small.changed("device", "auto"),
        "precision": small.changed("precision", "tf32"),
    }
    for name, config in others.items():
        (run,) = Study.from_config(config).runs.values()
        assert run.params != base, name
        assert run.id == base["id"], name
    unrelated = {
        "another activation": small.changed("activations.new", {"class": "GELU"}),
        "another optimiser's rates": small.changed("learning_rates.adam", [0.5]),
        "the reason": small.changed("datasets.blobs.target_reason", "other words"),
        "the study's name": small.changed("study", "other"),
    }
    for name, config in unrelated.items():
        (run,) = Study.from_config(config).runs.values()
        assert run.params == base, name


def test_what_a_dataset_job_depends_on_leaves_out_targets_and_caps():
    class Blobs:
        dataset = "blobs"

    params = Study.from_config(small.config()).dataset_params(Blobs)
    for path, value in (("target", 0.7), ("max_train", 50), ("max_test", 50), ("target_reason", "why")):
        changed = Study.from_config(small.changed(f"datasets.blobs.{path}", value))
        assert (
            changed.dataset_params(Blobs)
            == params
            == {"name": "blobs", "entry": {"source": "npz", "path": "blobs.npz"}}
        )
    assert Study.from_config(small.changed("datasets.blobs.path", "b.npz")).dataset_params(Blobs) != params


def test_a_dataset_job_depends_on_how_its_data_are_read_and_scaled(tmp_path):
    wildcards = type("Wildcards", (), {"dataset": "blobs"})
    base = Study.from_config(small.config())
    for key, value in (("scale", "global"), ("unlabelled", "-1")):
        changed = Study.from_config(small.changed(f"datasets.blobs.{key}", value))
        assert changed.dataset_params(wildcards) != base.dataset_params(wildcards)
        assert {run.id: run.params for run in changed.runs.values()} == {r.id: r.params for r in base.runs.values()}
    assert changed.config.datasets["blobs"].unlabelled == -1
    photos = {"source": "folder", "path": "photos", "size": 32, "mode": "L", "target": 0.5}
    for size in (32, [8, 16]):
        study = Study.from_config(small.changed("datasets.blobs", photos | {"size": size}))
        assert study.dataset_params(wildcards)["entry"] == {
            "source": "folder", "path": "photos", "size": size, "mode": "L"
        }  # fmt: skip
    np.savez(tmp_path / "a.npz", x=np.zeros((1000, 5000)), y=np.zeros(1000))
    large = Study.from_config(small.changed("datasets.blobs.path", str(tmp_path / "a.npz")))
    assert large.dataset_mem_mb(wildcards) > base.dataset_mem_mb(wildcards) + 80


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


def test_two_rates_are_expected_where_tuning_seeds_may_disagree():
    for seeds, factors, keep, networks in ((3, {}, 2, 4), (4, {}, 2, 8), (4, {"rates": "coarse"}, 2, 4), (4, {}, 1, 4)):
        training = {"training": {"pruning": {"keep": keep}}}
        run = small.run(factors, seeds={"tuning": seeds, "evaluation": 4}, **training)
        assert run.evaluation_networks == networks
        assert run.networks == networks + seeds * len(run.settings.learning_rates)


@pytest.mark.parametrize("file", ["config.yaml", "config/demo.yaml", "tests/configs/smoke.yaml"])
def test_the_studies_that_ship_are_valid(file):
    study = Study.from_file(ROOT / file)
    assert study.runs
    assert set(study.datasets()) <= set(study.config.datasets)


@pytest.mark.slow
def test_reading_a_config_imports_neither_torch_nor_snakemake():
    code = (
        "import sys; from activation_study.study.study import Study; Study.from_file('config.yaml');"
        "print([m for m in ('torch', 'snakemake', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_key_of_the_schema_is_described():
    schema = Config.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for key, inside in model["properties"].items():
            assert "description" in inside or key == "source", f"{model['title']}.{key}"


def test_an_initial_bias_under_batch_norm_is_refused():
    config = small.config()
    config["experiments"]["core"] |= {"normalisation": "batch", "initial_bias": [0, 2]}
    with pytest.raises(StudyError, match=r"experiments\.core\.initial_bias: \[0.*\] has no effect under batch norm"):
        Study.from_config(config)
