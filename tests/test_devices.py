"""The arithmetic is what it is said to be."""

import os

import pytest
import torch

from activation_study import devices
from activation_study.errors import StudyError


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


def test_products_are_exact_to_float32_whatever_was_chosen():
    devices.prepare("cpu")
    source = torch.Generator().manual_seed(3)
    for shape in ((128, 64, 64), (7, 300, 17)):
        a = torch.randn(4, shape[0], shape[1], generator=source)
        b = torch.randn(4, shape[1], shape[2], generator=source)
        error = (torch.bmm(a, b).double() - a.double() @ b.double()).abs().max()
        assert error < 3e-7 * shape[1], "bfloat16 would be off by 1e-1"


@pytest.mark.parametrize(("exact", "chosen"), [(True, "medium"), (False, "highest")])
def test_a_product_that_rounds_more_is_not_used(monkeypatch, exact, chosen):
    real = torch.bmm

    def rounding(a, b):
        if torch.get_float32_matmul_precision() == "medium" and not exact:
            a, b = a.bfloat16().float(), b.bfloat16().float()
        return real(a, b)

    monkeypatch.setattr(torch, "bmm", rounding)
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
