"""The optimisers are torch.optim's, replica by replica."""

import pytest
import torch

from activation_study.training.optimisers import Optimiser

RATES = [0.001, 0.03, 0.5]
SHAPES = [(3, 4, 5), (3, 1, 5), (3, 2)]


def _gradients(steps, dtype):
    source = torch.Generator().manual_seed(0)
    for step in range(steps):
        scale = 10.0 ** (step % 7 - 4)  # from tiny, where Adam's epsilon counts, to large
        yield [torch.randn(shape, generator=source, dtype=dtype) * scale for shape in SHAPES]


def _start(dtype):
    source = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=source, dtype=dtype) for shape in SHAPES]


def _reference(kind, parameters, rate):
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=rate)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9 if kind == "momentum" else 0)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
def test_a_hundred_steps_equal_torch_optim(kind, dtype, rtol, clip):
    stacked = _start(dtype)
    mine = Optimiser(kind, stacked, torch.tensor(RATES, dtype=torch.float64), clip)
    alone = [[p[r].clone().requires_grad_() for p in _start(dtype)] for r in range(3)]
    theirs = [_reference(kind, alone[r], RATES[r]) for r in range(3)]
    for gradients in _gradients(100, dtype):
        mine.begin_step()
        for index in (2, 0, 1):  # the order must not matter
            mine.update(index, gradients[index].clone())
        mine.end_step()
        for r, rule in enumerate(theirs):
            for parameter, gradient in zip(alone[r], gradients, strict=True):
                parameter.grad = gradient[r].clone()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(alone[r], clip)
            rule.step()
    for index, parameter in enumerate(stacked):
        expected = torch.stack([alone[r][index].detach() for r in range(3)])
        torch.testing.assert_close(parameter, expected, rtol=rtol, atol=rtol)
        moved = (parameter - _start(dtype)[index]).abs().flatten(1).amax(1)
        assert (moved > 1e-4).all(), "frozen parameters would be equal too"


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_limit_that_no_gradient_reaches_changes_no_bit(kind):
    stacks = [_start(torch.float32) for _ in range(2)]
    rules = [Optimiser(kind, p, torch.tensor(RATES), clip) for p, clip in zip(stacks, (None, 1e6), strict=True)]
    for gradients in _gradients(10, torch.float32):
        for rule in rules:
            rule.begin_step()
            for index, gradient in enumerate(gradients):
                rule.update(index, gradient)
            rule.end_step()
    for plain, clipped in zip(*stacks, strict=True):
        assert torch.equal(plain, clipped)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 1e30])
def test_a_replica_whose_gradient_has_no_finite_norm_is_lost_and_no_other(kind, value):
    """1e30 is finite, but the sum of squares is not."""
    kept, stacked = _start(torch.float32), _start(torch.float32)
    for parameters, replicas in ((kept, slice(0, 2)), (stacked, slice(None))):
        rule = Optimiser(kind, [p[replicas] for p in parameters], torch.tensor(RATES[replicas]), 0.5)
        (gradients,) = _gradients(1, torch.float32)
        gradients[1][2, 0, 3] = value
        rule.begin_step()
        for index, gradient in enumerate(gradients):
            rule.update(index, gradient[replicas])
        rule.end_step()
    for fine, all_of_them in zip(kept, stacked, strict=True):
        assert torch.equal(fine[:2], all_of_them[:2])
        assert all_of_them[2].isnan().all()


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_restored_optimiser_goes_on_as_if_nothing_had_happened(kind):
    straight, halves = _start(torch.float64), _start(torch.float64)
    rates = torch.tensor(RATES, dtype=torch.float64)
    one, first = Optimiser(kind, straight, rates), Optimiser(kind, halves, rates)
    for step, gradients in enumerate(_gradients(10, torch.float64)):
        if step == 5:
            kept = [state.clone() for state in first.state]
            steps = first.step
            first = Optimiser(kind, halves, rates)
            first.load(kept)
            first.step = steps
        for rule in (one, first):
            rule.begin_step()
            for index, gradient in enumerate(gradients):
                rule.update(index, gradient)
            rule.end_step()
    for a, b in zip(straight, halves, strict=True):
        assert torch.equal(a, b)


def test_gradients_that_share_their_memory_are_no_silent_error():
    parameters = [torch.zeros(2, 3), torch.zeros(2, 3)]
    optimiser, shared = Optimiser("adam", parameters, torch.tensor([0.1, 0.1])), torch.ones(2, 3)
    optimiser.begin_step()
    for index in range(2):
        optimiser.update(index, shared)
    with pytest.raises(ValueError, match="share their memory"):
        optimiser.end_step()
