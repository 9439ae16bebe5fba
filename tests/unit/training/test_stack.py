"""A stack of many groups: each trains as if it were alone."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

import mixed
import small
from activation_study.training import checkpoint as checkpoints
from activation_study.training import stack as stacks
from activation_study.training.batches import batch_order
from activation_study.training.checkpoint import Checkpoint
from activation_study.training.stack import Stack, shape, stacked
from activation_study.training.together import train_together
from reference import optimiser, sequential


def _train(groups, slots, until=mixed.STEPS, clip=None, on_evaluation=lambda group: None, due=lambda group: True):
    for group in groups:
        group.start()
    stack = Stack(groups, slots)
    stack.optimiser.clip = clip
    stack.train(until, on_evaluation, due)
    return stack


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_fifty_steps_of_every_activation_at_once_are_those_of_each_alone(kind, normalisation):
    factors = {"optimiser": kind, "normalisation": normalisation}
    together, alone = mixed.groups(**factors), mixed.groups(**factors)
    assert len({shape(group) for group in together}) == 1
    _train(together, 2 * len(together) + 3)
    for one, other in zip(together, alone, strict=True):
        other.train(mixed.STEPS)
        mixed.assert_same(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("centred", [False, True])
def test_centred_activations_of_different_means(centred):
    names = ["relu", "sigmoid", "tanh"]
    together, alone = (mixed.groups(names, centred=centred) for _ in range(2))
    _train(together, 12)
    for one, other in zip(together, alone, strict=True):
        other.train(mixed.STEPS)
        mixed.assert_same(one, other)


def _plainly(group, replica, clip):
    """One replica of a group by nn.Sequential, autograd and torch.optim: its training losses, and the model."""
    factors, record = group.factors, group.members[replica]
    model, split = sequential(group.network, replica), record.replica.split
    rule, losses = optimiser(factors.optimiser, model.parameters(), record.replica.learning_rate), []
    for chosen in batch_order(record.replica.seed, len(split.train_y), factors.batch_size, 0, mixed.STEPS):
        rule.zero_grad()
        loss = nn.functional.cross_entropy(model(split.train_x[chosen].double()), split.train_y[chosen])
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        rule.step()
        losses.append(loss.item())
    return losses, model


@pytest.mark.slow
@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_stack_trains_as_pytorch_does(kind, clip):
    groups = mixed.groups(["tanh", "relu", "prelu", "prelu_per_unit"], optimiser=kind, normalisation="batch")
    expected = [[_plainly(group, replica, clip) for replica in range(2)] for group in groups]
    _train(groups, 20, clip=clip)
    for group, models in zip(groups, expected, strict=True):
        for replica, (losses, model) in enumerate(models):
            mean = group.members[replica].curve[-1][1]
            assert mean == pytest.approx(sum(losses[20:]) / 30, rel=1e-9)
            linears = [layer for layer in model if isinstance(layer, nn.Linear)]
            for weight, linear in zip(group.network.weights, linears, strict=True):
                torch.testing.assert_close(weight[replica], linear.weight.data.t(), rtol=1e-9, atol=1e-12)


def test_clipping_changes_what_is_learned():
    groups = [mixed.groups(["relu"]) for _ in range(2)]
    for part, clip in zip(groups, (None, 0.3), strict=True):
        _train(part, 4, clip=clip)
    assert not torch.allclose(groups[0][0].network.weights[0], groups[1][0].network.weights[0], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_do_not_depend_on_the_company(dtype):
    """At a width whose rows are whole vectors of the processor, as on a GPU any is; other features beside it too."""
    more = {"dtype": dtype, "width": 64, "optimiser": "adam", "normalisation": "batch"}
    alone, beside = mixed.group("prelu", 7, **more), mixed.group("prelu", 7, **more)
    company = [mixed.group("gelu", 12, **more), mixed.group("rrelu", 7, **more), mixed.group("tanh", 12, **more)]
    _train([alone], 16, clip=0.3)
    _train([*company[:2], beside, company[2]], 16, clip=0.3)
    assert repr(mixed.results(alone)) == repr(mixed.results(beside))
    for one, other in zip(alone.network.state, beside.network.state, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_a_replica_that_diverges_leaves_the_others_as_they_are(kind):
    def lost():
        return mixed.group("relu", 12, (0.01, 1e200, 0.03), optimiser=kind)

    (with_lost, beside), (alone, beside_alone) = ([lost(), mixed.group("tanh", 7, optimiser=kind)] for _ in range(2))
    _train([with_lost, beside], 6)
    for group in (alone, beside_alone):
        group.train(mixed.STEPS)
    assert [record.status for record in with_lost.members] == ["finished", "diverged", "finished"]
    mixed.assert_same(with_lost, alone)
    mixed.assert_same(beside, beside_alone)


def test_a_stack_of_the_diverged_ends():
    group = mixed.group("relu", 12, (1e200, 1e200))
    stack = _train([group], 4)
    assert not group.records
    assert stack.step_number < mixed.STEPS


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_slots_that_nobody_takes_hold_nothing_from_elsewhere(kind, monkeypatch):
    """What memory held before must not pass for their numbers: empty memory is NaN here."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        stack = _train(mixed.groups(["relu", "elu"], optimiser=kind), 9)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(tensor.isfinite().all() for tensor in stack.state)


def test_groups_get_their_networks_where_they_need_them():
    """At a probe, where a replica is lost, at the end, and where a checkpoint is due; they are the stop's then."""
    plan = mixed.Plan([0, 1, 5, 20, 30, mixed.STEPS], frozenset([0, 5]), 16)

    def seen(rates, due):
        group, told = mixed.group("relu", rates=rates, plan=plan), []
        alone = mixed.group("relu", rates=rates, plan=plan)
        group.start()

        def look(group):
            told.append(group.step)
            alone.train(group.step)
            mixed.assert_same(group, alone)

        Stack([group], 5).train(mixed.STEPS, look, lambda group: due)
        return told

    assert seen((0.01, 0.03), False) == [5, mixed.STEPS]
    assert seen((0.01, 0.03), True) == [1, 5, 20, 30, mixed.STEPS]
    assert seen((0.01, 1e200), False) == [1, 5, mixed.STEPS]


def test_stops_may_differ(monkeypatch):
    """And lie anywhere in the stretches of steps whose batches come together."""
    monkeypatch.setattr(stacks, "STRETCH", 7)
    plans = [mixed.PLAN, mixed.Plan([0, 7, 20], frozenset([0]), 16)]
    together, alone = ([mixed.group("relu", plan=plan) for plan in plans] for _ in range(2))
    _train(together, 4, due=lambda group: False)
    for one, other in zip(together, alone, strict=True):
        other.train(mixed.STEPS)
        mixed.assert_same(one, other)


def test_validation_samples_may_be_more_or_fewer():
    names = ["relu", "prelu", "tanh"]
    together, alone = mixed.groups(names, normalisation="batch"), mixed.groups(names, normalisation="batch")
    for group in (*together, *alone):
        if group.network.features == mixed.FEATURES[0]:
            for record in group.records:
                split = record.replica.split
                fewer = {f"validation_{part}": getattr(split, f"validation_{part}")[:51] for part in "xy"}
                record.replica = replace(record.replica, split=replace(split, **fewer))
            group._validation = group.samples("validation", group.records)
    _train(together, 13, due=lambda group: False)
    for one, other in zip(together, alone, strict=True):
        other.train(mixed.STEPS)
        mixed.assert_same(one, other)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_kept_of_the_lost_is_of_the_step_that_lost_them(place, tmp_path, monkeypatch):
    """Of two groups in one file the one that goes on writes what the other one was, too."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    plan = mixed.Plan([0, 1, 2, 3, 10, 20, mixed.STEPS], frozenset([0, 1, mixed.STEPS]), 16)

    def groups():
        lost = mixed.group("identity", rates=(30.0, 30.0), plan=plan, dtype=torch.float32)
        rest = mixed.group("relu", plan=plan, dtype=torch.float32)
        return [lost, rest] if place == 0 else [rest, lost]

    straight, before, after = groups(), groups(), groups()
    _train(straight, 4)
    kept = Checkpoint(tmp_path / "kept.pt", {}, torch.device("cpu"))
    names = {id(group): str(number) for number, group in enumerate(before)}
    _train(before, 4, on_evaluation=lambda group: kept.keep(names[id(group)], group), due=lambda group: False)
    found = Checkpoint(tmp_path / "kept.pt", {}, torch.device("cpu"))
    found.restore(str(place), after[place])
    assert after[place].step == straight[place].step > 1
    assert repr(mixed.results(after[place])) == repr(mixed.results(straight[place]))


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_a_stack_of_restored_groups_goes_on_bit_for_bit(kind):
    """Once in other company, and with slots of those that were lost before."""

    def groups():
        return [mixed.group("relu", 12, (0.01, 1e200, 0.03), optimiser=kind), mixed.group("prelu", 7, optimiser=kind)]

    straight, before, after = groups(), groups(), groups()
    _train(straight, 6)
    _train(before, 6, until=20)
    for old, new in zip(before, after, strict=True):
        new.restore(old.state())
    _train(after[::-1], 6)
    for one, other in zip(after, straight, strict=True):
        assert repr(mixed.results(one)) == repr(mixed.results(other))
        for mine, theirs in zip(one.network.state, other.network.state, strict=True):
            assert torch.equal(mine, theirs)


def test_what_a_graph_cannot_hold_is_left_to_the_group():
    own = mixed.group("relu")
    own.network.kernels[0].capturable = False
    assert shape(own) is None
    followed = mixed.group("relu", plan=mixed.Plan([0, 1], frozenset(), 16, frozenset(["path"])))
    assert shape(followed) is None
    assert shape(mixed.group("shifted_relu")) == shape(mixed.group("rrelu", 7)) != shape(mixed.group("relu", depth=3))


def test_groups_are_divided_among_stacks_by_activation():
    groups = mixed.groups(["relu", "tanh"]) + mixed.groups(["relu"])
    parts = [[group.factors.activation for group in part] for part in stacked(groups, 9)]
    assert sorted(map(len, parts)) == [2, 4]
    assert {"relu"} in map(set, parts)


RUNS = ({"activation": "relu"}, {"activation": "prelu"}, {"activation": "tanh"}, {"normalisation": "noisy_batch"})


def _runs(**more):
    training = {"replicas_per_chunk": {"cpu": 8}}
    rates = {"momentum": [0.003, 0.03, 1e3]}
    return [
        small.training(small.run({"steps": 20} | run, training=training, learning_rates=rates), **more) for run in RUNS
    ]


def _together(runs):
    return itertools.chain.from_iterable(train_together(runs))


def _assert_alike(found, expected):
    for name in ("runs", "curves", "layers", "measurements"):
        assert len(found[name]) == len(expected[name])
        for one, other in zip(found[name], expected[name], strict=True):
            for column, value in other.items():
                same = pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True) if isinstance(value, float) else value
                assert one[column] == same, (name, column)


@pytest.mark.slow
def test_runs_that_train_together_have_the_rows_that_they_have_alone():
    runs = _runs(dtype=torch.float64)
    rows = {id(run): rows for run, rows in _together(runs)}
    statuses = set()
    for run, alone in zip(runs, _runs(dtype=torch.float64), strict=True):
        expected = alone.rows()
        _assert_alike(rows[id(run)], expected)
        statuses |= {row["status"] for row in expected["runs"]}
        for phase, steps in alone.clock.replica_steps.items():
            if phase == "data":  # which another of the runs may have made ready for all
                continue
            assert run.clock.replica_steps[phase] == steps
            assert run.clock.seconds[phase] > 0
    assert statuses == {"finished", "pruned", "diverged"}


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_runs_that_were_killed_go_on_together(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    expected = [rows for _, rows in _together(_runs()[:3])]
    real, kept, killed = Checkpoint.keep, [], []

    def keep(self, name, group):
        real(self, name, group)
        kept.append(name)
        if len(kept) % 17 == 0:
            killed.append(name)
            raise _Killed

    monkeypatch.setattr(Checkpoint, "keep", keep)
    for _ in range(50):
        runs = _runs()[:3]
        for number, run in enumerate(runs):
            run.checkpoint = Checkpoint(tmp_path / f"{number}.pt", {"run": run.params}, run.device)
        try:
            rows = {run.params["id"]: rows for run, rows in _together(runs)}
        except _Killed:
            continue
        break
    else:
        pytest.fail("it never ended")
    assert len(killed) >= 3
    found = [rows[run.params["id"]] for run in runs]
    for one, other in zip(found, expected, strict=True):
        for name in ("runs", "curves", "layers"):
            assert repr(one[name]) == repr(other[name]), name


@pytest.mark.slow
def test_runs_of_one_dataset_share_its_samples():
    runs = _runs()[:2]
    (first, _), (second, _) = _together(runs)
    assert first.splits is second.splits
    assert runs[0].splits_of != small.training(small.run({"train_size": 100})).splits_of
    one, other = (mixed.group(name).pool for name in ("relu", "tanh"))
    assert one.x is other.x is not mixed.group("relu", 7).pool.x
