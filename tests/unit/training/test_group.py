"""A chunk of replicas: its state can be kept, restored, divided and joined without a trace."""

import copy

import pytest
import torch

import small
from activation_study.data.split import make_split
from activation_study.networks.mlp import StackedMLP
from activation_study.training.group import ReplicaGroup, joined
from activation_study.training.records import Clock, Plan, Record, Replica

STEPS = 20
PLAN = Plan([0, 1, 2, 5, 10, 15, STEPS], frozenset([0, 5, STEPS]), 16)


def _chunk(seeds, rates=None, activation="prelu", optimiser="momentum", dtype=torch.float64, clip=None):
    kinds = {"activation": activation, "optimiser": optimiser, "normalisation": "batch"}
    run = small.run(kinds | {"clip": clip, "steps": STEPS})
    trainer, entry = small.training(run), run.settings.dataset.model_dump()
    factors = trainer.factors
    replicas = [
        Replica(
            "tuning",
            i,
            rate,
            seed,
            make_split(trainer.arrays, name="b", dataset_entry=entry, replicate_seed=seed),
        )
        for i, (seed, rate) in enumerate(zip(seeds, rates or [0.03] * len(seeds), strict=True))
    ]
    network = StackedMLP(trainer.activation, factors, trainer.constants, 12, 3, seeds, dtype=dtype)
    return ReplicaGroup(network, [Record(replica) for replica in replicas], factors, PLAN, Clock())


def _results(records):
    return {r.replica.seed: (r.curve, r.layers, r.status, r.diverged_step) for r in records}


def _assert_same(found, expected, rtol=1e-9):
    for seed, (curve, layers, *status) in found.items():
        torch.testing.assert_close(
            torch.tensor(curve), torch.tensor(expected[seed][0]), rtol=rtol, atol=0, equal_nan=True
        )
        assert layers.keys() == expected[seed][1].keys()
        for step, metrics in layers.items():
            for name, values in metrics.items():
                want = expected[seed][1][step][name]
                assert values == pytest.approx(want, rel=1e-6, abs=1e-9, nan_ok=True), (step, name)
        assert status == list(expected[seed][2:])


def test_no_step_of_a_clipped_replica_is_longer_than_rate_times_clip():
    moved = {}
    for clip in (None, 0.5):
        chunk = _chunk([1, 2], rates=[0.03, 0.1], optimiser="sgd", clip=clip)
        before = [tensor.clone() for tensor in chunk.network.parameters]
        chunk.train(1)
        steps = [(new - old).flatten(1) for new, old in zip(chunk.network.parameters, before, strict=True)]
        moved[clip] = torch.cat(steps, 1).norm(dim=1)
    limits = torch.tensor([0.015, 0.05], dtype=torch.float64)
    assert (moved[None] > limits).all()
    torch.testing.assert_close(moved[0.5], limits, rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["prelu", "rrelu"])
@pytest.mark.parametrize(("optimiser", "clip"), [("momentum", None), ("adam", 0.5), ("sgd", None)])
def test_chunks_can_be_divided_and_joined_between_any_two_steps(optimiser, activation, clip):
    whole = _chunk([1, 2, 3, 4], activation=activation, optimiser=optimiser, clip=clip)
    whole.train(STEPS)
    expected = _results(whole.members)
    first, second = (_chunk(s, activation=activation, optimiser=optimiser, clip=clip) for s in ([1, 2], [3, 4]))
    for chunk in (first, second):
        chunk.train(10)
    records = first.records + second.records
    pairs = [joined([(second, [1]), (first, [0])]), joined([(first, [1]), (second, [0])])]
    assert [[r.replica.seed for r in pair.records] for pair in pairs] == [[4, 1], [2, 3]]
    for pair in pairs:
        pair.train(STEPS)
    _assert_same(_results(records), expected)


def test_joining_leaves_the_old_chunks_as_they_were():
    chunk = _chunk([1, 2])
    chunk.train(10)
    before = [tensor.clone() for tensor in chunk.network.state]
    joined([(chunk, [1])]).train(STEPS)
    for now, then in zip(chunk.network.state, before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("optimiser", ["momentum", pytest.param("adam", marks=pytest.mark.slow)])
def test_a_restored_chunk_goes_on_bit_for_bit(optimiser):
    rates = [0.03, 1e4, 0.1]  # the second one diverges
    straight = _chunk([1, 2, 3], rates, optimiser=optimiser)
    straight.train(STEPS)
    assert optimiser == "adam" or [r.status for r in straight.members] == ["finished", "diverged", "finished"]
    for stop in (0, 1, 2, 10, 15, STEPS):
        before = _chunk([1, 2, 3], rates, optimiser=optimiser)
        before.train(stop)
        state = copy.deepcopy(before.state())
        after = _chunk([1, 2, 3], rates, optimiser=optimiser)
        after.restore(state)
        after.train(STEPS)
        assert repr(_results(after.members)) == repr(_results(straight.members))
        for one, other in zip(after.network.parameters, straight.network.parameters, strict=True):
            assert torch.equal(one, other)


def test_a_state_keeps_the_records_of_its_time():
    """Tuning's survivors go on in another chunk, with the same records: the old state must not follow."""
    chunk = _chunk([1, 2])
    chunk.train(10)
    state = chunk.state()
    joined([(chunk, [0, 1])]).train(STEPS)
    assert [point[0] for point in chunk.records[0].curve] == PLAN.evaluations
    for values in state["records"]:
        assert [point[0] for point in values["curve"]] == PLAN.evaluations[:5]
        assert sorted(values["layers"]) == [0, 5]


def test_only_the_lost_replica_is_dropped():
    chunk = _chunk([1, 2, 3], [0.03, 1e6, 0.1])
    chunk.train(STEPS)
    assert [record.replica.seed for record in chunk.records] == [1, 3]
    alone = _chunk([1, 3], [0.03, 0.1])
    alone.train(STEPS)
    found = _results(chunk.records)
    _assert_same(found, _results(alone.records))
    lost = chunk.members[1]
    assert lost.status == "diverged"
    assert lost.diverged_step in PLAN.evaluations
    assert all(point[0] < lost.diverged_step for point in lost.curve)
    assert all(step < lost.diverged_step for step in lost.layers)


def test_a_replica_whose_last_step_was_one_too_many_is_dropped():
    """Its last losses were finite, its network is not: the probe must survive that."""
    chunk = _chunk([1, 2])
    chunk.train(2)
    chunk.network.weights[0][1, 0, 0] = torch.nan
    chunk.step = 4
    chunk._look(torch.zeros(2))  # an evaluation
    assert [record.replica.seed for record in chunk.records] == [1]
    chunk = _chunk([1, 2])
    chunk.train(2)
    chunk.network.weights[0][1, 0, 0] = torch.inf
    chunk.step = 5
    chunk._look(torch.zeros(2))  # a probe
    assert [record.replica.seed for record in chunk.records] == [1]
    assert 5 in chunk.members[0].layers
    assert 5 not in chunk.members[1].layers
    assert (chunk.members[1].status, chunk.members[1].diverged_step) == ("diverged", 5)


def test_scores_are_means_over_all_samples():
    chunk = _chunk([1, 2])
    chunk.train(5)
    chunk.score()
    for replica, record in enumerate(chunk.records):
        for part in ("train", "test"):
            x = getattr(record.replica.split, f"{part}_x").double()
            y = getattr(record.replica.split, f"{part}_y")
            logits = chunk.network.logits([x] * 2)[replica]
            loss = torch.nn.functional.cross_entropy(logits, y).item()
            assert record.scores[f"{part}_loss"] == pytest.approx(loss, rel=1e-12)
            assert record.scores[f"{part}_accuracy"] == (logits.argmax(1) == y).double().mean().item()


def test_a_large_test_set_is_scored_in_pieces():
    arrays = small.blobs(samples=6000)
    run = small.run({"steps": 2})
    (row, _) = [row for row in small.rows(run, arrays, torch.float64)["runs"] if row["role"] == "evaluation"]
    # 1,200 test samples: a count over 1,200, though pieces hold 1,000 and 200.
    assert row["test_accuracy"] * 1200 == pytest.approx(round(row["test_accuracy"] * 1200), abs=1e-6)
    assert row["train_accuracy"] * 1000 == pytest.approx(round(row["train_accuracy"] * 1000), abs=1e-6)
