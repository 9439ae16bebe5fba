"""Which samples a step sees: a pure function of seed and step."""

from types import SimpleNamespace

import pytest
import torch

from activation_study.training.batches import TrainingPool, batch_order


def _split(samples, offset=0.0):
    values = torch.arange(samples, dtype=torch.float32)
    return SimpleNamespace(train_x=torch.stack([values + offset, -values], 1), train_y=torch.arange(samples))


@pytest.mark.parametrize(("samples", "batch"), [(10, 4), (10, 10), (10, 25), (7, 3), (100, 1), (1, 3)])
def test_every_epoch_sees_every_sample_once(samples, batch):
    steps = 3 * samples  # whole epochs: steps · batch is a multiple of the samples
    flat = batch_order(5, samples, batch, 0, steps).flatten()
    for epoch in flat.view(-1, samples):
        assert epoch.sort().values.tolist() == list(range(samples))
    if samples > 5:
        assert len({tuple(epoch.tolist()) for epoch in flat.view(-1, samples)}) > 1, "epochs are fresh permutations"


@pytest.mark.parametrize(("samples", "batch"), [(10, 4), (10, 25), (7, 7)])
def test_any_part_of_the_order_is_a_part_of_the_whole(samples, batch):
    whole = batch_order(1, samples, batch, 0, 40)
    for first, steps in ((0, 1), (3, 5), (7, 33), (39, 1)):
        assert torch.equal(batch_order(1, samples, batch, first, steps), whole[first : first + steps])


def test_seeds_have_orders_of_their_own():
    one, other = (batch_order(seed, 1000, 100, 0, 10) for seed in (1, 2))
    assert not torch.equal(one, other)
    assert (one == other).double().mean() < 0.01
    assert torch.equal(one, batch_order(1, 1000, 100, 0, 10))


def test_the_first_positions_are_uniform():
    firsts = torch.stack([batch_order(seed, 10, 1, 0, 1)[0, 0] for seed in range(2000)])
    counts = torch.bincount(firsts, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared of 9 degrees of freedom, p = .001


def test_a_pool_serves_each_replica_its_own_split_in_its_own_order():
    small, large = _split(6), _split(9, offset=0.5)
    splits, seeds = [small, large, small, large], [1, 1, 2, 2]
    pool = TrainingPool(splits, seeds, 4, torch.device("cpu"))
    assert len(pool.x) == 15, "a shared split is stored once"
    for step, indices in zip(range(5), pool.order(0, 5), strict=True):
        inputs, labels = pool.gather(indices)
        for replica, (split, seed) in enumerate(zip(splits, seeds, strict=True)):
            order = batch_order(seed, len(split.train_y), 4, step, 1)[0]
            assert torch.equal(inputs[replica], split.train_x[order])
            assert torch.equal(labels[replica], split.train_y[order])


def test_learning_rates_of_one_seed_see_the_same_batches():
    split = _split(9)
    pool = TrainingPool([split] * 3, [4, 4, 5], 4, torch.device("cpu"))
    order = pool.order(0, 6)
    assert torch.equal(order[:, 0], order[:, 1])
    assert not torch.equal(order[:, 0], order[:, 2])


def test_the_pool_has_the_precision_asked_for():
    pool = TrainingPool([_split(6)], [1], 4, torch.device("cpu"), torch.float64)
    inputs, labels = pool.gather(pool.order(0, 1)[0])
    assert (inputs.dtype, labels.dtype) == (torch.float64, torch.int64)
