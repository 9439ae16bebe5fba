"""A run: tuning, pruning, selection, fresh evaluation seeds, and what becomes of replicas that fail."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import small
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.seeds import seed_of
from activation_study.data.split import make_split
from activation_study.networks.initialisation import initial_parameters
from activation_study.tables import parquet
from activation_study.training import run as training
from activation_study.training.batches import batch_order
from reference import optimiser

CLASSES = 3
TARGET = 0.7  # which some replicas reach exactly, and float32 would miss
KEY = ("role", "replicate", "learning_rate")


def _keyed(rows, more=()):
    return {tuple(row[name] for name in (*KEY, *more)): row for row in rows}


def _curve(rows, key, column):
    points = [(row["step"], row[column]) for row in rows["curves"] if tuple(row[name] for name in KEY) == key]
    return np.array(sorted(points)).T


def _assert_close(found, expected, rtol):
    """Two lists of rows, equal but for rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            if isinstance(value, float):
                assert one[name] == pytest.approx(value, rel=rtol, abs=1e-12, nan_ok=True), name
            else:
                assert one[name] == value, name


def _assert_valid(rows):
    for name, part in rows.items():
        parquet.validate(name, parquet.from_rows(name, part))


def _plain_training(run, arrays, role, replicate, rate, rule):
    """One replica by nn.Sequential, autograd and torch.optim: curves, and the scores on the test samples."""
    factors, settings = run.params["factors"], run.params["settings"]
    seed = seed_of("blobs", factors["depth"], role, replicate, "main")
    split = make_split(arrays, name="blobs", dataset_entry=settings["dataset"], replicate_seed=seed)
    dims = [12, *[factors["width"]] * factors["depth"], CLASSES]
    layers = []
    for weight, bias in initial_parameters(seed, dims, Factors(**factors), small.CONSTANTS["tanh"]):
        linear = nn.Linear(*weight.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = weight.T.clone(), bias.clone()
        layers += [linear, nn.Tanh()]
    model, curve, losses = nn.Sequential(*layers[:-1]), {}, []
    step_rule = optimiser(rule, model.parameters(), rate)
    order = batch_order(seed, len(split.train_y), factors["batch_size"], 0, factors["steps"])
    for step in range(factors["steps"] + 1):
        with torch.no_grad():
            logits = model(split.validation_x.double())
            loss = nn.functional.cross_entropy(logits, split.validation_y).item()
            curve[step] = loss, (logits.argmax(1) == split.validation_y).double().mean().item()
        if step < factors["steps"]:
            loss = nn.functional.cross_entropy(model(split.train_x[order[step]].double()), split.train_y[order[step]])
            losses.append(loss.item())
            step_rule.zero_grad()
            loss.backward()
            step_rule.step()
    with torch.no_grad():
        logits = model(split.test_x.double())
        test = nn.functional.cross_entropy(logits, split.test_y).item(), (logits.argmax(1) == split.test_y)
    return curve, losses, (test[0], test[1].double().mean().item())


@pytest.mark.parametrize("rule", ["momentum", "sgd", "adam"])
def test_a_run_equals_plain_pytorch(rule):
    run = small.run(
        {"activation": "tanh", "depth": 3, "steps": 50, "optimiser": rule},
        learning_rates={rule: [0.003, 0.01, 0.03]},
    )
    arrays = small.blobs(noise=2.0)
    rows = small.rows(run, arrays, torch.float64)
    selected = next(row["learning_rate"] for row in rows["runs"] if row["selected"])
    for role, rate in (("tuning", 0.003), ("tuning", selected), ("evaluation", selected)):
        expected, losses, (test_loss, test_accuracy) = _plain_training(run, arrays, role, 1, rate, rule)
        row = _keyed(rows["runs"])[role, 1, rate]
        steps, loss = _curve(rows, (role, 1, rate), "validation_loss")
        assert steps[-1] == row["steps_done"] == (50 if row["status"] == "finished" else 12)
        assert loss == pytest.approx([expected[step][0] for step in steps], rel=1e-9)
        accuracy = _curve(rows, (role, 1, rate), "validation_accuracy")[1]
        assert accuracy == pytest.approx([expected[step][1] for step in steps], rel=1e-12)
        train_loss = _curve(rows, (role, 1, rate), "train_loss")[1]
        between = zip(steps[:-1].astype(int), steps[1:].astype(int), strict=True)
        assert train_loss[1:] == pytest.approx([np.mean(losses[a:b]) for a, b in between], rel=1e-9)
        assert math.isnan(train_loss[0])
        if role == "evaluation":
            assert row["test_loss"] == pytest.approx(test_loss, rel=1e-9)
            assert row["test_accuracy"] == pytest.approx(test_accuracy, rel=1e-12)
    assert {row["status"] for row in rows["runs"]} == {"finished", "pruned"}


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "normalisation"), [("rrelu", "none"), ("prelu", "noisy_batch")])
def test_chunks_do_not_change_results(activation, normalisation):
    factors = {"activation": activation, "normalisation": normalisation}
    expected = small.rows(small.run(factors), dtype=torch.float64)
    for size in (1, 3, 16):
        run = small.run(factors, training={"replicas_per_chunk": {"cpu": size}} | _rest())
        rows = small.rows(run, dtype=torch.float64)
        for name in ("runs", "curves", "layers"):
            _assert_close(rows[name], expected[name], 1e-9)


def _rest(**changes):
    """The small config's training settings but for the chunks."""
    return {k: v for k, v in small.CONFIG["training"].items() if k != "replicas_per_chunk"} | changes


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "normalisation"), [("rrelu", "none"), ("prelu", "noisy_batch")])
def test_two_calls_are_identical_to_the_last_bit(activation, normalisation):
    run = small.run({"activation": activation, "normalisation": normalisation})
    once, again = ({k: v for k, v in small.rows(run).items() if k != "timings"} for _ in range(2))
    assert repr(once) == repr(again)


def test_equal_functions_give_equal_results_and_other_seed_streams_do_not():
    formula = small.run(activations={"relu": {"expression": "maximum(x, 0)"}})
    rows = small.rows(small.run(), dtype=torch.float64)
    _assert_close(small.rows(formula, dtype=torch.float64)["curves"], rows["curves"], 1e-9)
    other = small.rows(small.run({"seed_stream": "other"}), dtype=torch.float64)
    second = small.rows(small.run(seeds={"stream": "second"}), dtype=torch.float64)
    for one, two in ((other, rows), (second, rows), (second, other)):
        pairs = zip(one["curves"], two["curves"], strict=False)
        assert all(a["validation_loss"] != b["validation_loss"] for a, b in pairs)


def _spied(monkeypatch, run, arrays=None):
    """The seeds and splits that a run's networks get: role -> list in order."""
    seen = {"tuning": [], "evaluation": []}
    real = training.Replica

    def spy(role, replicate, rate, seed, split):
        seen[role].append((replicate, seed, split.digest))
        return real(role, replicate, rate, seed, split)

    with monkeypatch.context() as patch:
        patch.setattr(training, "Replica", spy)
        small.rows(run, arrays)
    return {role: sorted(set(replicas)) for role, replicas in seen.items()}


@pytest.mark.slow
def test_evaluation_seeds_are_fresh_and_runs_are_paired(monkeypatch):
    base = _spied(monkeypatch, small.run())
    seeds = {role: {seed for _, seed, _ in replicas} for role, replicas in base.items()}
    assert len(seeds["tuning"]) == len(seeds["evaluation"]) == 2
    assert not seeds["tuning"] & seeds["evaluation"]
    for paired in (
        {"activation": "tanh"},
        {"width": 8},
        {"normalisation": "batch"},
        {"initialisation": "edge_of_chaos"},
        {"steps": 12},
        {"optimiser": "sgd"},
        {"centred": True},
        {"initial_bias": -1.0},
    ):
        assert _spied(monkeypatch, small.run(paired)) == base, paired
    more = _spied(monkeypatch, small.run(seeds={"tuning": 2, "evaluation": 4}))
    assert more["tuning"] == base["tuning"]
    assert more["evaluation"][:2] == base["evaluation"], "more seeds keep those there were"
    for independent in ({"depth": 3}, {"seed_stream": "other"}):
        other = _spied(monkeypatch, small.run(independent))
        assert not {seed for _, seed, _ in other["evaluation"]} & (seeds["tuning"] | seeds["evaluation"])


def test_small_sets_are_split_anew_for_each_replicate_and_large_ones_once(monkeypatch):
    digests = {digest for replicas in _spied(monkeypatch, small.run()).values() for _, _, digest in replicas}
    assert len(digests) == 4
    fixed = small.blobs(official_test=True)
    digests = {d for replicas in _spied(monkeypatch, small.run(), fixed).values() for _, _, d in replicas}
    assert len(digests) == 1
    part = _spied(monkeypatch, small.run({"train_size": 60}), fixed)
    assert len({d for replicas in part.values() for _, _, d in replicas}) == 4


def test_the_factors_of_the_data_reach_the_split(monkeypatch):
    asked = []
    real = training.make_split
    monkeypatch.setattr(training, "make_split", lambda arrays, **given: asked.append(given) or real(arrays, **given))
    factors = {"train_size": 60, "input_transform": "gaussianised", "input_shift": 0.5}
    rows = small.rows(small.run(factors, training=_rest(max_validation=20)))
    for given in asked:
        assert factors.items() <= given.items()
        assert given["max_validation"] == 20
    assert {row["train_samples"] for row in rows["runs"]} == {60}
    assert {row["samples"] for row in rows["layers"]} == {20}


def test_a_class_without_samples_is_an_error_that_says_so():
    with pytest.raises(StudyError, match=r"datasets\.blobs: class \d has no sample in the training part"):
        small.rows(small.run({"train_size": 2}))


def test_pruning_keeps_the_rates_with_the_best_mean_accuracy_after_a_quarter():
    rates = [0.0001, 0.003, 0.01, 0.03, 0.1]
    changes = {"learning_rates": {"momentum": rates}}
    arrays = small.blobs(noise=2.0)
    whole = small.rows(small.run(**changes, training=_rest(pruning={"keep": 99})), arrays, torch.float64)
    pruned = small.rows(small.run(**changes), arrays, torch.float64)

    def mean_accuracy(rate):
        points = (row for row in whole["curves"] if row["step"] == 10 and row["learning_rate"] == rate)
        return np.mean([row["validation_accuracy"] for row in points if row["role"] == "tuning"])

    best = sorted(rates, key=mean_accuracy)[-2:]
    assert mean_accuracy(best[0]) > sorted(map(mean_accuracy, rates))[-3], "a tie would test nothing"
    for row in pruned["runs"]:
        if row["role"] == "tuning":
            gone = row["learning_rate"] not in best
            assert row["status"] == ("pruned" if gone else "finished")
            assert row["steps_done"] == (10 if gone else 40)
            for column in (
                "validation_accuracy",
                "validation_loss",
                "reached",
                "area_under_loss",
                "test_accuracy",
            ):
                assert (row[column] is None) == (gone or column == "test_accuracy")
    # Those that go on are what they would have been.
    for key in [key for key in _keyed(pruned["runs"]) if key[0] == "tuning"]:
        steps, loss = _curve(pruned, key, "validation_loss")
        expected = _curve(whole, key, "validation_loss")
        assert loss == pytest.approx(expected[1][: len(loss)], rel=1e-9)
        assert steps.tolist() == expected[0][: len(loss)].tolist()
    scores = {rate: [] for rate in best}
    for row in pruned["runs"]:
        if row["role"] == "tuning" and row["status"] == "finished":
            scores[row["learning_rate"]].append(row["validation_accuracy"])
    (selected,) = {row["learning_rate"] for row in pruned["runs"] if row["selected"]}
    assert np.mean(scores[selected]) == max(map(np.mean, scores.values()))


def test_divergence_is_recorded_dropped_and_leaves_the_others_alone():
    factors = {"activation": "prelu"}
    alone = small.run(factors, learning_rates={"momentum": [0.01, 0.03]}, training=_rest(pruning={"keep": 99}))
    expected = small.rows(alone, dtype=torch.float64)
    both = small.run(factors, learning_rates={"momentum": [0.01, 0.03, 1e3]}, training=_rest(pruning={"keep": 99}))
    rows = small.rows(both, dtype=torch.float64)
    _assert_valid(rows)
    _assert_close([row for row in rows["curves"] if row["learning_rate"] < 1], expected["curves"], 1e-9)
    lost = [row for row in rows["runs"] if row["learning_rate"] == 1e3]
    assert [row["replicate"] for row in lost] == [0, 1]
    for row in lost:
        assert row["status"] == "diverged"
        assert 0 < row["diverged_step"] == row["steps_done"] <= 40
        assert row["validation_accuracy"] == pytest.approx(1 / 3)
        assert row["validation_loss"] == pytest.approx(math.log(3))
        assert row["reached"] is False
        assert row["time_to_target"] is None
        assert row["test_accuracy"] is None, "a tuning replica is not scored on the test samples"
        steps, loss = _curve(rows, ("tuning", row["replicate"], 1e3), "validation_loss")
        assert steps[-1] < row["diverged_step"]
        assert np.isfinite(loss).all()


def test_a_run_in_which_everything_diverges_is_complete():
    run = small.run({"activation": "prelu"}, learning_rates={"momentum": [1e3]})
    rows = small.rows(run)
    _assert_valid(rows)
    assert len(rows["runs"]) == 4
    for row in rows["runs"]:
        assert row["status"] == "diverged"
        assert row["selected"] is True
        assert row["edge"] is False, "a grid of one rate has no edge"
        if row["role"] == "evaluation":
            for part in ("train", "validation", "test"):
                assert row[f"{part}_accuracy"] == pytest.approx(1 / 3)
                assert row[f"{part}_loss"] == pytest.approx(math.log(3))
    assert {row["step"] for row in rows["layers"]} >= {0}


@pytest.mark.slow
def test_inputs_beyond_all_bounds_diverge_at_once():
    """Not finite at step 0 already: no curve, and every table is valid all the same."""
    run = small.run({"activation": "prelu", "initial_bias": 1000.0, "depth": 20})
    activation = small.training(run)
    activation.constants = activation.constants | {"gain": 1e30}
    rows = activation.rows()
    _assert_valid(rows)
    assert {row["diverged_step"] for row in rows["runs"]} == {0}
    assert rows["curves"] == rows["layers"] == []
    assert [row["area_under_loss"] for row in rows["runs"]] == pytest.approx([math.log(math.log(3))] * 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "factors",
    [
        {"activation": "rrelu", "normalisation": "noisy_batch"},
        {"activation": "prelu", "optimiser": "adam", "initialisation": "torch_default"},
        {"activation": "tanh", "centred": True, "initialisation": "edge_of_chaos"},
        {"activation": "tanh", "initialisation": "lsuv"},
        {"steps": 1, "depth": 1},
        {"steps": 2, "batch_size": 500},
    ],
    ids=str,
)
def test_every_replica_has_its_rows(factors):
    run = small.run(factors)
    rows = small.rows(run)
    _assert_valid(rows)
    settings, steps, depth = run.settings, run.factors.steps, run.factors.depth
    rates = settings.learning_rates
    expected = {("tuning", replicate, rate) for replicate in range(2) for rate in rates}
    (selected,) = {row["learning_rate"] for row in rows["runs"] if row["selected"]}
    expected |= {("evaluation", replicate, selected) for replicate in range(2)}
    assert set(_keyed(rows["runs"])) == expected
    assert len(rows["runs"]) == len(expected)
    evaluated = {(*key, step) for key in expected if key[0] == "evaluation" for step in (0, steps)}
    assert evaluated <= set(_keyed(rows["curves"], ["step"]))
    layers = _keyed(rows["layers"], ["step", "layer"])
    assert {(*key, layer) for key in evaluated for layer in range(1, depth + 2)} <= set(layers)
    assert len(layers) == len(rows["layers"])
    assert {key[0] for key in layers} == {"evaluation"}
    for row in rows["runs"]:
        assert {name: row[name] for name in Factors.model_fields} == dict(run.factors)
        assert row["edge"] is (selected in (rates[0], rates[-1]))
        assert row["selected"] is (row["learning_rate"] == selected)
    for row in rows["layers"]:
        output = row["layer"] == depth + 1
        assert (row["mean"] is None) == output
        assert row["weight_norm_log10"] is not None
        assert row["units"] == (CLASSES if output else 16)


def test_time_to_target_and_area_follow_from_the_curve():
    rows = small.rows(
        small.run(datasets={"blobs": small.CONFIG["datasets"]["blobs"] | {"target": TARGET}}),
        small.blobs(noise=2.0),
    )
    seen = set()
    for key, row in _keyed(rows["runs"]).items():
        if row["status"] == "pruned":
            continue
        steps, accuracy = _curve(rows, key, "validation_accuracy")
        first = np.argmax(accuracy >= TARGET) if (accuracy >= TARGET).any() else None
        assert row["reached"] is (first is not None)
        seen.add(row["reached"])
        if first is None:
            assert row["time_to_target"] is None
        else:
            crossing = np.interp(TARGET, accuracy[first - 1 : first + 1], steps[first - 1 : first + 1])
            assert row["time_to_target"] == pytest.approx(crossing)
        assert row["horizon"] == 40
        steps, loss = _curve(rows, key, "validation_loss")
        late, capped = np.log(steps[1:]), np.log(np.clip(loss[1:], 1e-7, math.log(3)))
        assert row["area_under_loss"] == pytest.approx(np.trapezoid(capped, late) / (late[-1] - late[0]))
    assert any((_curve(rows, key, "validation_accuracy")[1] == TARGET).any() for key in _keyed(rows["runs"]))
    assert seen == {True, False}, "both must occur, or a branch was not tested"


def test_a_dead_network_is_a_result():
    rows = small.rows(small.run({"initial_bias": -100.0}))
    _assert_valid(rows)
    assert {row["status"] for row in rows["runs"]} <= {"finished", "pruned"}
    for row in rows["layers"]:
        if row["layer"] <= 2:
            assert row["dead"] == row["born_dead"] == row["zero_fraction"] == row["dormant_0"] == 1
            assert row["died"] == row["revived"] == 0
            assert row["gradient_zero"] is True
        else:
            assert row["gradient_zero"] is None
    assert max(row["test_accuracy"] for row in rows["runs"] if row["role"] == "evaluation") < 0.5


def test_more_probes_and_evaluations_do_not_change_the_training():
    often = small.run(training=_rest(evaluations_per_decade=50, probes_per_decade=10))
    rows, expected = small.rows(often, dtype=torch.float64), small.rows(small.run(), dtype=torch.float64)
    found = _keyed(rows["curves"], ["step"])
    assert len(rows["curves"]) > len(expected["curves"])
    for key, row in _keyed(expected["curves"], ["step"]).items():
        assert found[key]["validation_loss"] == pytest.approx(row["validation_loss"], rel=1e-12)
