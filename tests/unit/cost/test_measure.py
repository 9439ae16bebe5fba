"""Costs: what is counted, against arithmetic; what is timed, by structure. No test asks how fast it is."""

import functools
import math
import os
import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.errors import StudyError
from activation_study.cost import measure
from activation_study.study.study import Study
from activation_study.tables import parquet
from scripted import Scripted

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "tests" / "configs" / "smoke.yaml"
SMALL = {"widths": [8, 16], "depth": 3, "batch_size": 12, "repeats": 6}
COUNTS = ["saved_memory", "step_memory", "zero_fraction", "skippable_macs"]


ENTRIES = {
    "relu": {"class": "ReLU"},
    "gelu": {"class": "GELU"},
    "identity": {"class": "Identity"},
    "rrelu": {"class": "RReLU"},
    "prelu": {"class": "PReLU"},
    "per_unit": {"class": "PReLU", "num_parameters": "width"},
    "quick_gelu": {"expression": "x * sigmoid(1.702 * x)"},
    "own": {"module": "own_activations:LearnedSwish"},
    "slow": {"module": "own_activations:SlowReLU"},
}

LONGER = set(ENTRIES) - {"relu", "prelu", "own"}
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in LONGER else name for name in ENTRIES]


def arm(name, width=16, depth=3, batch_size=12):
    activation = from_entry(name, ENTRIES[name])
    return measure.Arm(activation.module, constants(activation), width=width, depth=depth, batch_size=batch_size)


def measured(name, **settings):
    activation = from_entry(name, ENTRIES[name])
    return measure.measure(activation, constants(activation), **(SMALL | settings))


@pytest.fixture
def hasty(monkeypatch):
    """Blocks too short for a good clock, where the numbers do not matter."""
    monkeypatch.setattr(measure, "BLOCK_SECONDS", 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("hasty")
def test_every_kind_of_activation_gives_a_valid_table(name):
    torch.set_num_threads(2)
    rows = measured(name)
    assert torch.get_num_threads() == 1
    table = parquet.from_rows("cost", rows)
    parquet.validate("cost", table)
    frame = table.to_pandas()
    assert sorted(zip(frame["width"], frame["quantity"], strict=True)) == sorted(
        (width, quantity) for width in SMALL["widths"] for quantity in measure.UNITS
    )
    assert (frame["unit"] == frame["quantity"].map(measure.UNITS)).all()
    timed = frame[~frame["quantity"].isin(COUNTS)]
    assert (timed["pairs"] == SMALL["repeats"]).all()
    assert (timed["ratio_low"] <= timed["ratio_to_relu"]).all()
    assert (timed["ratio_to_relu"] <= timed["ratio_high"]).all()
    counted = frame[frame["quantity"].isin(COUNTS)]
    assert (counted["pairs"] == 0).all()
    assert counted[["ratio_low", "ratio_high"]].isna().all(axis=None)


@pytest.mark.usefixtures("hasty")
def test_relu_is_paired_with_itself():
    rows = pd.DataFrame(measured("relu")).set_index("quantity")
    assert (rows.loc[COUNTS, "ratio_to_relu"] == 1).all()
    mine, partner = (
        arm("relu"),
        measure.Arm(lambda width: nn.ReLU(), measure.RELU, width=16, depth=3, batch_size=12),
    )
    for a, b in zip(mine.network.parameters(), partner.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


def test_both_arms_have_the_same_inputs_and_the_same_weights_up_to_the_gain():
    relu, gelu = arm("relu"), arm("gelu")
    assert torch.equal(relu.inputs, gelu.inputs)
    assert torch.equal(relu.labels, gelu.labels)
    ratio = gelu.network[2].weight / relu.network[2].weight
    gain = constants(from_entry("gelu", ENTRIES["gelu"]))["gain"]
    assert torch.allclose(ratio, torch.full_like(ratio, gain / math.sqrt(2)), rtol=1e-5)


class Counted(TorchDispatchMode):
    """A clock that this machine's load has no part in: it advances by 2⁻³⁰ s for each element computed."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.elements += sum(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result

    def __call__(self):
        return self.elements * 2.0**-30


@pytest.fixture
def counted(monkeypatch):
    """Timers that read that clock."""
    with Counted() as clock:
        monkeypatch.setattr(measure.timeit, "Timer", functools.partial(timeit.Timer, timer=clock))
        yield clock


@pytest.mark.slow
@pytest.mark.usefixtures("counted", "hasty")
def test_a_planted_slowdown_is_found():
    """50 exponentials where ReLU computes once; what they have no part in takes as long as ReLU's."""
    rows = pd.DataFrame(measured("slow", widths=[64], batch_size=128, repeats=12)).set_index("quantity")
    assert rows.loc["op_forward", "ratio_low"] > 40
    assert (rows.loc[["op_share", "step", "inference"], "ratio_low"] > 1.5).all()
    assert (rows.loc[["op_backward", "product"], ["ratio_low", "ratio_high"]] == 1).all(axis=None)
    assert (rows.loc[COUNTS, "ratio_to_relu"] == 1).all()


@pytest.mark.slow
@pytest.mark.usefixtures("counted", "hasty")
def test_without_a_slowdown_none_is_found():
    rows = pd.DataFrame(measured("relu", widths=[64], batch_size=128, repeats=12)).set_index("quantity")
    timed = rows.drop([*COUNTS, "sparse_product"])
    assert (timed[["ratio_low", "ratio_high"]] == 1).all(axis=None)


def test_units_and_ratios(monkeypatch):
    """Known clocks: 2 s a call for everything, 4 s for the step; ReLU half as long."""

    def clocks(pairs, repeats):
        names = ["op_forward", "op_backward", "product", "sparse_product", "step", "inference"]
        assert len(pairs) == 2 * len(names)
        mine = np.array([4.0 if name == "step" else 2.0 for name in names * 2])
        return np.stack([mine, mine / 2], axis=-1)[:, None, :].repeat(repeats, axis=1)

    monkeypatch.setattr(measure, "paired_seconds", clocks)
    rows = pd.DataFrame(measured("gelu")).set_index(["width", "quantity"])
    for width in SMALL["widths"]:
        elements = SMALL["batch_size"] * width * SMALL["depth"]
        assert rows.loc[(width, "op_forward"), "median"] == pytest.approx(2e9 / elements)
        assert rows.loc[(width, "step"), "median"] == pytest.approx(4000)
        assert rows.loc[(width, "step"), "ratio_to_relu"] == 2
        assert rows.loc[(width, "op_share"), "median"] == 1
        assert rows.loc[(width, "op_share"), "ratio_to_relu"] == 1


def test_saved_memory_is_what_the_formulas_need():
    """A linear layer keeps its input; GELU and PReLU keep their own besides, RReLU its noise as well."""
    batch, width, depth = 12, 16, 3
    hidden = 4 * batch * width
    # The network's input, each layer's, log-probabilities, labels (int64), and the loss's sum of weights.
    base = hidden * (1 + depth) + 4 * batch * measure.CLASSES + 8 * batch + 4
    kept = {name: arm(name).counts()["saved_memory"] for name in ("relu", "gelu", "rrelu", "prelu", "identity")}
    extra = depth * hidden
    assert kept == {
        "relu": base,
        "identity": base,
        "gelu": base + extra,
        "prelu": base + extra,
        "rrelu": base + 2 * extra,
    }


@pytest.mark.parametrize("name", ["relu", "prelu", "per_unit"])
def test_a_step_holds_parameters_gradients_and_momentum(name):
    subject = arm(name)
    own = {"relu": 0, "prelu": 1, "per_unit": 16}[name]
    parameters = 3 * (16 * 16 + 16 + own) + 16 * 10 + 10
    counts = subject.counts()
    assert counts["step_memory"] - counts["saved_memory"] == 3 * 4 * parameters


@pytest.mark.parametrize("name", ["relu", "gelu", "prelu"])
def test_zeros_are_those_of_a_forward_pass_by_hand(name):
    subject = arm(name)
    phi = from_entry(name, ENTRIES[name])
    h, zeros, hidden, skippable, macs = subject.inputs.double().numpy(), 0, 0, 0, 0
    for i in (0, 2, 4, 6):
        weight, bias = (p.detach().double().numpy() for p in subject.network[i].parameters())
        products_with = np.broadcast_to(h[:, None, :], (len(h), *weight.shape))  # [samples, out, in]
        macs += products_with.size
        skippable += int((products_with == 0).sum())
        h = h @ weight.T + bias
        if i < 6:
            h, _ = phi.evaluate(h)
            zeros, hidden = zeros + int((h == 0).sum()), hidden + h.size
    counts = subject.counts()
    assert counts["zero_fraction"] == zeros / hidden
    assert counts["skippable_macs"] == skippable / macs
    assert (counts["zero_fraction"] > 0.2) == (name == "relu")


def test_the_sparse_product_is_paired_with_relus_dense_one(monkeypatch):
    seen = {}

    def clocks(pairs, repeats):
        for mine, relus in pairs:
            seen[mine.name] = relus.name
        return np.ones((len(pairs), repeats, 2))

    def named(self):
        return {name: Scripted(name, 1.0, []) for name in real(self)}

    real = measure.Arm.timers
    monkeypatch.setattr(measure.Arm, "timers", named)
    monkeypatch.setattr(measure, "paired_seconds", clocks)
    measured("relu")
    assert {name for name in seen if seen[name] != name} == {"sparse_product"}
    assert seen["sparse_product"] == "product"


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_the_sparse_product_is_the_dense_one(name, monkeypatch):
    monkeypatch.setattr(measure.timeit, "Timer", lambda call, *setup: call)
    timers = arm(name).timers()
    torch.testing.assert_close(timers["sparse_product"](), timers["product"]())


def test_what_is_timed_leaves_the_network_as_it_is():
    subject = arm("prelu")
    before = [parameter.clone() for parameter in subject.network.parameters()]
    for timer in subject.timers().values():
        assert timer.timeit(3) > 0
    subject.counts()
    for old, new in zip(before, subject.network.parameters(), strict=True):
        assert torch.equal(old, new)


def test_inference_is_in_evaluation_mode_and_steps_in_training_mode():
    subject, modes = arm("rrelu"), []
    subject.network[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    timers = subject.timers()
    for name in ("inference", "step", "inference"):
        timers[name].timeit(1)
    assert modes == [False, True, False]
    assert all(op.training for op in subject.ops)


def config(**changes):
    return yaml.safe_load(SMOKE.read_text(encoding="utf-8")) | changes


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"widths": [4]}, "cost.widths.0: 4 must be at least 8"),
        ({"widths": []}, "cost.widths: [] must not be empty"),
        ({"widths": [64, 64]}, "cost.widths: [64, 64] must not hold a value twice"),
        ({"repeats": 5}, "cost.repeats: 5 must be at least 6"),
        ({"depth": 0}, "cost.depth: 0 must be at least 1"),
        ({"batch_size": "many"}, 'cost.batch_size: "many" must be an integer'),
        ({"measure": "yes"}, 'cost.measure: "yes" must be a boolean, true or false'),
        ({"width": 64}, "cost.width: unknown key"),
    ],
)
def test_a_fault_in_the_config_is_one_line(section, words):
    with pytest.raises(StudyError) as error:
        Study.from_config(config(cost=section))
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


def test_only_what_the_experiments_use_is_measured_and_only_if_asked():
    activations = {"relu": {"class": "ReLU"}, "elu": {"class": "ELU"}, "spare": {"class": "Tanh"}}
    experiments = {"core": {"depth": 2, "activation": ["relu", "elu"]}}
    given = {"activations": activations, "experiments": experiments}
    assert Study.from_config(config(**given)).costed() == ["relu", "elu"]
    assert Study.from_config(config(**given, cost={"measure": False})).costed() == []


def test_a_new_activation_changes_no_other_job():
    class Wildcards:
        activation = "relu"

    old = Study.from_config(config())
    more = config()["activations"] | {"elu": {"class": "ELU"}}
    new = Study.from_config(config(activations=more))
    assert old.cost_params(Wildcards) == new.cost_params(Wildcards)
    assert set(new.costed()) - set(old.costed()) == {"elu"}
    assert "measure" not in old.cost_params(Wildcards)["settings"]


@pytest.mark.slow
def test_the_rule_runs_with_every_core_for_itself(tmp_path):
    target = "results/smoke/cost/relu.parquet"
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", SMOKE]
    command += ["--directory", tmp_path, "--cores", "3", target, "--quiet", "host"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rule = done.stderr[done.stderr.index("rule cost:") :]
    assert "threads: 3\n" in rule
    table = pq.read_table(tmp_path / target)
    parquet.validate("cost", table)
    assert set(table["activation"].to_pylist()) == {"relu"}
    log = (tmp_path / "results/smoke/logs/cost/relu.log").read_text(encoding="utf-8")
    assert "× ReLU" in log
