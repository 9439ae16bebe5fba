"""The arithmetic is what it is said to be."""

import os
import subprocess
import sys
from collections import Counter

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
    monkeypatch.setattr(devices, "tf32_serves", lambda device: serves[0])
    serves = [True]
    assert devices.prepare("auto", "tf32") == (torch.device("cuda"), "high")
    serves[0] = False
    assert devices.prepare("auto", "tf32") == (torch.device("cuda"), "highest")
    assert devices.prepare("auto") == devices.prepare("cuda") == (torch.device("cuda"), "highest")
    assert torch.get_float32_matmul_precision() == "highest"
    serves[0] = True
    devices.prepare("auto", "tf32")
    assert torch.get_float32_matmul_precision() == "highest", "what is looked at is float32's"
    with devices.training_products():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"
    devices.prepare("cpu")
    before = torch.get_float32_matmul_precision()
    with devices.training_products():
        assert torch.get_float32_matmul_precision() == before
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's own choice stays"
    assert all(asked)


@pytest.mark.parametrize(("rounded", "serves"), [(None, False), ("tf32", True), (torch.bfloat16, False)])
def test_tf32_is_held_to_its_own_error(monkeypatch, rounded, serves):
    """Of a card that does not know it products are float32's, and are not called TF32's."""
    real, before = torch.bmm, torch.get_float32_matmul_precision()

    def bmm(a, b):
        if rounded == "tf32":
            a, b = (((m.view(torch.int32) + (1 << 12)) & -(1 << 13)).view(torch.float32) for m in (a, b))
        elif rounded is not None:
            a, b = a.to(rounded).float(), b.to(rounded).float()
        return real(a, b)

    monkeypatch.setattr(torch, "bmm", bmm)
    assert devices.tf32_serves(torch.device("cpu")) is serves
    assert torch.get_float32_matmul_precision() == before


def test_a_cpu_has_no_tf32():
    assert devices.prepare("cpu", "tf32") == devices.prepare("cpu")


TAKES = """
import os, sys, pathlib, torch
from activation_study.training import device
torch.cuda.device_count = lambda: int(sys.argv[2])
device.tempfile.gettempdir = lambda: sys.argv[1]
device.share_gpus()
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def takers():
    """Processes that take a GPU each and keep it until they are told to end."""
    started = []

    def start(folder, count, visible):
        environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        command = [sys.executable, "-c", TAKES, str(folder), str(count)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True))
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.communicate("")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, ["0", "1"]), ("GPU-5ad,MIG-7/1/0,GPU-x", ["GPU-5ad", "MIG-7/1/0"])]
)
def test_jobs_spread_evenly_over_the_gpus(tmp_path, takers, visible, gpus):
    """Of those that one may see, CUDA finds two here."""
    jobs = [takers(tmp_path, 2, visible) for _ in range(4)]
    assert Counter(gpu for _, gpu in jobs) == dict.fromkeys(gpus, 2)
    first, gpu = jobs[0]
    first.kill()
    first.wait()
    assert takers(tmp_path, 2, visible)[1] == gpu, "what a job had is free when it has ended, however it ended"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "visible"), [(1, None), (0, None), (1, "GPU-5ad"), (0, "")])
def test_where_there_is_no_choice_nothing_is_chosen(tmp_path, takers, count, visible):
    assert takers(tmp_path, count, visible)[1] == str(visible)
    assert list(tmp_path.iterdir()) == []
