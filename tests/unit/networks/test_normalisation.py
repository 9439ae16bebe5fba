"""Batch normalisation is nn.BatchNorm1d; its noisy variant is what its documentation says."""

import pytest
import torch
from torch import nn

from activation_study.networks.normalisation import BatchNorm

R, B, W = 2, 9, 5


def _norm(noisy=False, seeds=(1, 2), layer=1, width=W):
    norm = BatchNorm(
        len(seeds),
        width,
        noisy=noisy,
        seeds=seeds,
        layer=layer,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )
    norm.weight += torch.linspace(-0.4, 0.8, width)
    norm.bias += torch.linspace(0.5, -0.5, width)
    return norm


def _samples(seed, samples=B, width=W):
    return torch.randn(R, samples, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + 1


def _reference(norm, replica):
    reference = nn.BatchNorm1d(norm.weight.shape[2], dtype=torch.float64)
    reference.weight.data.copy_(norm.weight[replica, 0])
    reference.bias.data.copy_(norm.bias[replica, 0])
    return reference


def test_training_and_evaluation_equal_pytorch():
    norm = _norm()
    references = [_reference(norm, replica) for replica in range(R)]
    for seed in range(4):
        h, grad = _samples(seed), _samples(100 + seed)
        out, delta = h.clone(), grad.clone()
        norm.forward(out, training=True)
        weight_gradient, bias_gradient = norm.backward(delta)
        for replica, reference in enumerate(references):
            leaf = h[replica].clone().requires_grad_()
            value = reference(leaf)
            reference.zero_grad()
            value.backward(grad[replica])
            torch.testing.assert_close(out[replica], value.detach(), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(delta[replica], leaf.grad, rtol=1e-11, atol=1e-12)
            torch.testing.assert_close(weight_gradient[replica, 0], reference.weight.grad, rtol=1e-11, atol=1e-12)
            torch.testing.assert_close(bias_gradient[replica, 0], reference.bias.grad, rtol=1e-11, atol=1e-12)
    for replica, reference in enumerate(references):
        torch.testing.assert_close(norm.running_mean[replica, 0], reference.running_mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(norm.running_var[replica, 0], reference.running_var, rtol=1e-12, atol=0)
        h = _samples(50)
        norm.forward(h, training=False)
        torch.testing.assert_close(h[replica], reference.eval()(_samples(50)[replica]).detach())


def _noise(norm, step, samples, width=W):
    """Scale and shift of a step, read off what the layer does."""
    plain, noisy = _samples(7, samples, width), _samples(7, samples, width)
    before = [tensor.clone() for tensor in (norm.running_mean, norm.running_var)]
    norm.draw(step)
    norm.noisy = False
    norm.forward(plain, training=True)
    norm.noisy = True
    norm.forward(noisy, training=True)
    norm.running_mean.copy_(before[0])
    norm.running_var.copy_(before[1])
    return norm.noise_scale, noisy - plain * norm.noise_scale


def test_noise_differs_by_unit_sample_step_layer_and_seed_and_is_repeatable():
    norm = _norm(noisy=True)
    scale, shift = _noise(norm, 3, B)
    for noise in (scale, shift):
        assert noise.unique().numel() == noise.numel(), "every element has its own"
    again = _noise(_norm(noisy=True), 3, B)
    assert torch.equal(scale, again[0])
    torch.testing.assert_close(shift, again[1])
    for other in (
        _noise(norm, 4, B),
        _noise(_norm(noisy=True, layer=2), 3, B),
        _noise(_norm(True, (3, 4)), 3, B),
    ):
        assert not torch.isclose(scale, other[0]).any()
    swapped = _noise(_norm(noisy=True, seeds=(2, 1)), 3, B)[0]
    assert torch.equal(swapped, scale.flip(0)), "a replica's noise is its seed's, wherever it stands"


def test_the_noise_has_the_law_it_should():
    """A unit's shift is U(±.5) and its scale 1 + U(±.25); each sample adds U(±.1) of its own to either."""
    norm = _norm(noisy=True, width=2000)
    scale, shift = _noise(norm, 0, 400, width=2000)
    for draws, centre, half_range in ((shift, 0.0, 0.5), (scale, 1.0, 0.25)):
        middle = (draws.amax(1) + draws.amin(1)) / 2
        quantiles = torch.quantile(middle[0], torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64))
        even = torch.linspace(centre - half_range, centre + half_range, 5, dtype=torch.float64)
        torch.testing.assert_close(quantiles, even, rtol=0, atol=0.03)
        within = (draws - middle.unsqueeze(1))[0]
        assert within.abs().max().item() == pytest.approx(0.1, abs=0.002)
        assert within.square().mean().item() == pytest.approx(0.1**2 / 3, rel=0.02)
        assert abs(torch.corrcoef(within[:2])[0, 1]) < 0.1


def test_little_of_the_noise_hides_what_tells_samples_apart():
    """A layer's signal, of variance 1, against what each sample's noise adds to it."""
    norm = _norm(noisy=True, width=2000)
    _, shift = _noise(norm, 0, 400, width=2000)
    assert shift.var(1).mean().item() < 0.01


def test_noise_is_for_training_only():
    h = _samples(1)
    quiet, noisy = h.clone(), h.clone()
    _norm().forward(quiet, training=False)
    _norm(noisy=True).forward(noisy, training=False)
    assert torch.equal(quiet, noisy)


def test_the_noisy_backward_pass_is_the_gradient_of_the_forward_pass():
    norm = _norm(noisy=True)
    norm.draw(3)
    h, grad = _samples(1), _samples(2)
    out, delta = h.clone(), grad.clone()
    norm.forward(out, training=True)
    weight_gradient, bias_gradient = norm.backward(delta)
    scale, shift = _noise(_norm(noisy=True), 3, B)
    leaf = h.clone().requires_grad_()
    weight, bias = (p.clone().requires_grad_() for p in (norm.weight, norm.bias))
    normalised = (leaf - leaf.mean(1, keepdim=True)) / (leaf.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    value = (normalised * weight + bias) * scale + shift
    value.backward(grad)
    torch.testing.assert_close(out, value.detach())
    for found, wanted in ((delta, leaf.grad), (weight_gradient, weight.grad), (bias_gradient, bias.grad)):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_batch_of_one_or_of_equal_samples_is_finite():
    for h in (torch.full((R, 1, W), 2.0).double(), torch.full((R, B, W), 2.0).double()):
        norm = _norm()
        norm.forward(h, training=True)
        assert torch.equal(h, norm.bias.expand_as(h))
        delta = torch.ones_like(h)
        norm.backward(delta)
        assert delta.abs().max() < 1e-9
        assert norm.running_var.isfinite().all()
