"""The arithmetic is what it is said to be."""

import os

import pytest
import torch

import products
from activation_study.core.errors import StudyError
from activation_study.training import device as devices


@pytest.fixture(autouse=True)
def _restore():
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])


def test_the_cpu_runs_one_thread():
    torch.set_num_threads(2)
    device, product = devices.prepare("cpu")
    assert device.type == "cpu"
    assert torch.get_num_threads() == 1
    assert product == torch.get_float32_matmul_precision()


def _error(a, b):
    """Of the batched products that training is made of, at most, relative to what float32 may be off by."""
    exact, out = a.double() @ b.double(), torch.empty(len(a), a.shape[1], b.shape[2])
    products = [
        torch.bmm(a, b),
        torch.bmm(a.transpose(1, 2).contiguous().transpose(1, 2), b, out=out).clone(),
        torch.bmm(a, b.transpose(1, 2).contiguous().transpose(1, 2), out=out).clone(),
        torch.baddbmm(torch.zeros(len(a), 1, b.shape[2]), a, b, out=out),
    ]
    return max((product.double() - exact).abs().max().item() for product in products) / (3e-7 * a.shape[2])


def _factors():
    source = torch.Generator().manual_seed(3)
    for rows, inner, columns in ((128, 64, 64), (7, 300, 17), (256, 256, 256), (1, 8, 1)):
        yield (torch.randn(4, *shape, generator=source) for shape in ((rows, inner), (inner, columns)))


@pytest.mark.parametrize("processor", [None, *products.KINDS])
def test_products_are_exact_to_float32_whatever_was_chosen(monkeypatch, processor):
    """On this processor, and on those of either kind."""
    if processor:
        products.simulate(monkeypatch, processor)
    devices.prepare("cpu")
    assert all(_error(*factors) < 1 for factors in _factors())


@pytest.mark.parametrize(("processor", "chosen"), [("exact", "medium"), ("bfloat16", "highest")])
def test_a_product_that_rounds_more_is_not_used(monkeypatch, processor, chosen):
    products.simulate(monkeypatch, processor)
    torch.set_float32_matmul_precision("medium")
    assert all((_error(*factors) < 1) == (chosen == "medium") for factors in _factors())
    assert devices.fastest_exact_product() == chosen
    assert torch.get_float32_matmul_precision() == chosen


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.prepare("auto")[0].type == "cpu"
    with pytest.raises(StudyError, match="device: 'cuda' but PyTorch finds no GPU"):
        devices.prepare("cuda")


def test_with_a_gpu_auto_takes_it_and_no_product_is_rounded(monkeypatch):
    asked = []
    torch.set_float32_matmul_precision("high")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, **more: asked.append(mode))
    assert devices.prepare("cpu")[0].type == "cpu"
    assert not asked
    assert devices.prepare("auto") == devices.prepare("cuda") == (torch.device("cuda"), "highest")
    assert torch.get_float32_matmul_precision() == "highest"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's own choice stays"
    assert all(asked)
