"""One layer's kernel against float64 autograd, replica by replica, and the noise of the random slopes."""

import numpy as np
import pytest
import torch
from scipy import stats

from activation_study.activations.activation import from_entry, slope_distribution
from activation_study.networks import kernels
from activation_study.networks import noise as noises
from activation_study.networks.kernels import layer_kernel
from formulas import TABLE
from own_activations import LearnedSwish

ENTRIES = {name: entry for name, (entry, _, _) in TABLE.items()} | {
    "prelu_per_unit": {"class": "PReLU", "num_parameters": "width"},
    "learned_swish": {"module": "own_activations:LearnedSwish", "beta": 1.3},
    "hardswish": {"class": "Hardswish"},
    "own_relu": {"module": "own_activations:OddReLU"},
    "dropout": {"class": "Dropout", "p": 0.25},
}
LEARNABLE = ["prelu", "prelu_per_unit", "learned_swish"]
STOCHASTIC = ["rrelu", "rrelu_article", "rrelu_paper", "dropout"]
RANDOM_SLOPES = STOCHASTIC[:3]
FIXED = [name for name in ENTRIES if name not in STOCHASTIC]


def kernel(name, replicas=3, width=7, dtype=torch.float64, seeds=None, layer=2):
    seeds = range(replicas) if seeds is None else seeds
    activation = from_entry(name.partition(":")[2] or name, ENTRIES.get(name) or {"module": name})
    return layer_kernel(activation, len(seeds), width, dtype=dtype, device="cpu", seeds=list(seeds), layer=layer)


def sample(*shape, dtype=torch.float64, seed=0):
    source = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)


def forward(k, h, training=True):
    return k.forward(h, torch.full_like(h, torch.nan), training)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("replicas", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_values_and_gradients_against_autograd(name, replicas, dtype, tolerance):
    k = kernel(name, replicas, dtype=dtype)
    for p in k.parameters.values():
        p.add_(0.1 * sample(*p.shape, dtype=dtype, seed=1))  # replicas learn apart
    h, grad = sample(replicas, 13, 7, dtype=dtype), sample(replicas, 13, 7, dtype=dtype, seed=2)
    h[0, 0, 0] = 0
    x = forward(k, h)
    apart = k.backward(h, x, grad, torch.full_like(h, torch.nan))
    first = {key: g.clone() for key, g in k.gradients.items()}
    in_place = grad.clone()
    assert k.backward(h, x, in_place, in_place) is in_place
    assert torch.equal(apart, in_place)
    derivative = k.derivative(h)
    close = {"rtol": tolerance, "atol": tolerance}
    for replica in range(replicas):
        module = from_entry(name, ENTRIES[name]).module(7).double()
        for key, parameter in module.named_parameters():
            parameter.data = k.parameters[key][replica].double()
        leaf = h[replica].double().clone().requires_grad_()
        value = module(leaf)
        value.backward(grad[replica].double())
        torch.testing.assert_close(x[replica].double(), value.detach(), **close)
        torch.testing.assert_close(apart[replica].double(), leaf.grad, **close)
        for key, parameter in module.named_parameters():
            torch.testing.assert_close(
                first[key][replica].double(), parameter.grad, rtol=tolerance, atol=30 * tolerance
            )
            assert torch.equal(first[key], k.gradients[key]), "gradients pile up"
        (expected,) = torch.autograd.grad(module.eval()(leaf).sum(), leaf)
        torch.testing.assert_close(derivative[replica].double(), expected, **close)


@pytest.mark.parametrize("name", ENTRIES)
def test_backward_is_the_slope_of_forward(name):
    """By finite differences in training mode, with the noise frozen; away from the kinks."""
    k = kernel(name, width=5)
    k.draw(9)
    h = sample(3, 11, 5)
    h = h + 0.01 * h.sign()
    step = 1e-6
    difference = (forward(k, h + step) - forward(k, h - step)) / (2 * step)
    got = k.backward(h, forward(k, h), torch.ones_like(h), torch.empty_like(h))
    smooth = (h - (-1)).abs() > 1e-3
    torch.testing.assert_close(got[smooth], difference[smooth], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", FIXED)
def test_evaluation_equals_training_without_noise(name):
    k, h = kernel(name), sample(3, 13, 7)
    assert torch.equal(forward(k, h, training=False), forward(k, h))
    torch.testing.assert_close(k.derivative(h), k.backward(h, forward(k, h), torch.ones_like(h), torch.empty_like(h)))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_evaluation_is_the_module_in_evaluation_mode(name):
    k, h = kernel(name), sample(3, 13, 7)
    module = from_entry(name, ENTRIES[name]).module(7).eval()
    torch.testing.assert_close(forward(k, h, training=False), module(h))
    leaf = h.clone().requires_grad_()
    torch.testing.assert_close(k.derivative(h), torch.autograd.grad(module(leaf).sum(), leaf)[0])


@pytest.mark.parametrize("name", LEARNABLE)
def test_parameters_are_one_instance_per_replica(name):
    k = kernel(name, 4, width=6)
    module = from_entry(name, ENTRIES[name]).module(6)
    assert set(k.parameters) == set(k.gradients) == {key for key, _ in module.named_parameters()}
    for key, parameter in module.named_parameters():
        assert k.parameters[key].shape == k.gradients[key].shape == (4, *parameter.shape)
        assert (k.parameters[key] == parameter).all()


def test_own_learnable_class_is_the_one_of_the_tests():
    k = kernel("learned_swish", 2)
    k.parameters["beta"].copy_(torch.tensor([0.5, 2.0]))
    h = sample(2, 3, 7)
    for replica, beta in enumerate((0.5, 2.0)):
        torch.testing.assert_close(forward(k, h)[replica], LearnedSwish(beta).double()(h[replica]).detach())


def test_as_many_seeds_as_replicas():
    with pytest.raises(ValueError, match="3 replicas need as many seeds, not 2"):
        layer_kernel(
            from_entry("relu", {"class": "ReLU"}),
            3,
            5,
            dtype=torch.float32,
            device="cpu",
            seeds=[0, 1],
            layer=1,
        )


def noise(k, step, shape=(16, 8)):
    """What a stochastic kernel multiplies -1 with, [R, *shape]."""
    seeds = k.noise.seeds if isinstance(k, kernels.RandomSlope) else k._seeds
    k.draw(step)
    h = torch.full((len(seeds), *shape), -1.0, dtype=torch.float64)
    return -forward(k, h)


@pytest.mark.slow
@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_is_a_function_of_seed_layer_and_step(name):
    k = kernel(name, seeds=[5, 6, 7])
    first = noise(k, 4)
    noise(k, 5)
    torch.rand(3)
    assert torch.equal(noise(k, 4), first), "the same step, later"
    assert torch.equal(noise(kernel(name, seeds=[7, 5]), 4), first[[2, 0]]), "another chunk of replicas"
    assert torch.equal(first, noise(kernel(name, seeds=[5, 6, 7]), 4)), "after a resume"
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(noise(k, 5), first)
    assert not torch.equal(noise(kernel(name, seeds=[5, 6, 7], layer=3), 4), first)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_forward_and_backward_of_a_step_see_the_same_noise(name):
    k = kernel(name)
    k.draw(3)
    h = sample(3, 16, 8).abs().neg()
    x = forward(k, h)
    torch.testing.assert_close(k.backward(h, x, torch.ones_like(h), torch.empty_like(h)), x / h)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANDOM_SLOPES)
def test_float32_and_float64_see_the_same_noise(name):
    h = sample(3, 16, 8)
    torch.testing.assert_close(
        forward(kernel(name, dtype=torch.float32), h.float()).double(),
        forward(kernel(name), h),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", RANDOM_SLOPES)
def test_slopes_follow_their_law_at_every_step(name):
    """Mean, variance and distribution against the module's own law; no slope outside its range."""
    k = kernel(name, 2)
    law = slope_distribution(from_entry(name, ENTRIES[name]).module())
    u = (np.arange(100_000) + 0.5) / 100_000
    mean, variance = law.quantile(u).mean(), law.quantile(u).var()
    steps = torch.stack([noise(k, step, (128, 64)) for step in range(30)])
    low, high = sorted((law.quantile(0.0), law.quantile(1.0)))
    assert low <= steps.min() <= steps.max() <= high
    count = steps[0, 0].numel()
    per_step = steps.flatten(2).mean(2)
    assert (per_step - mean).abs().max() < 5 * np.sqrt(variance / count)
    assert steps.var().item() == pytest.approx(variance, rel=0.02)
    grid = law.quantile(np.linspace(0, 1, 2001))
    order = np.argsort(grid)
    cdf = lambda v: np.interp(v, grid[order], np.linspace(0, 1, 2001))  # noqa: E731
    assert stats.kstest(steps[7, 0].flatten().numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", RANDOM_SLOPES)
def test_the_pool_has_exactly_the_mean_of_the_law(name):
    law = slope_distribution(from_entry(name, ENTRIES[name]).module())
    pool = (
        noises._pool(kernels.SLOPES, law, 1.0, (1, 2), noises.SIZE, dtype=torch.float64, device=torch.device("cpu")) + 1
    )
    u = (np.arange(noises.SIZE) + 0.5) / noises.SIZE
    for row in pool:
        np.testing.assert_allclose(np.sort(row.numpy()), np.sort(law.quantile(u)), rtol=1e-12)


def test_noise_is_uncorrelated_between_steps_layers_replicas_and_neighbours():
    kept = {}
    for layer in (1, 2, 3):
        k = kernel("rrelu", 3, layer=layer)
        for step in range(12):
            for replica, values in enumerate(noise(k, step, (64, 32))):
                kept[layer, step, replica] = values.flatten() - values.mean()
    rows = torch.stack(list(kept.values()))
    correlation = torch.corrcoef(rows)[*torch.triu_indices(len(rows), len(rows), 1)]
    size = rows.shape[1]
    assert correlation.abs().max() < 5.5 / np.sqrt(size)
    assert correlation.mean().abs() < 5 / np.sqrt(size * len(correlation))
    assert (correlation**2).mean().item() * size == pytest.approx(1, abs=0.1)
    for shift in (1, 32):  # the next unit, the next sample
        lagged = (rows[:, shift:] * rows[:, :-shift]).mean() / rows.var()
        assert lagged.abs() < 5 / np.sqrt(rows.numel())


@pytest.mark.slow
def test_a_layer_larger_than_the_pool_gets_a_larger_pool():
    k = kernel("rrelu", 1)
    slopes = noise(k, 0, (4096, 128))
    assert slopes.shape == (1, 4096, 128)
    assert slopes.unique().numel() > 0.99 * slopes.numel()


def test_replicas_of_one_seed_share_their_noise():
    slopes = noise(kernel("rrelu", seeds=[4, 4, 5]), 0)
    assert torch.equal(slopes[0], slopes[1])
    assert not torch.equal(slopes[0], slopes[2])


@pytest.mark.slow
def test_random_initial_parameters_come_from_the_replicas_seed():
    own = "own_activations:RandomStart"
    a, b = kernel(own, seeds=[1, 2]), kernel(own, seeds=[2, 1])
    assert torch.equal(a.parameters["slope"], b.parameters["slope"].flip(0))
    assert a.parameters["slope"][0] != a.parameters["slope"][1]
    assert a.parameters["slope"][0] != kernel(own, seeds=[1], layer=3).parameters["slope"][0]
