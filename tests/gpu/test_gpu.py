"""What only a GPU can show: that its numbers are the CPU's but for rounding, and a graph's the same to the last bit."""

import os
import subprocess
import sys

import pytest
import torch

import mixed
import small
from activation_study.jobs.job import job
from activation_study.training import device as devices
from activation_study.training import stack as stacks
from activation_study.training.stack import Stack
from activation_study.training.together import train_together

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here"),
]


@pytest.fixture(autouse=True)
def _as_a_job_has_it():
    before = torch.get_float32_matmul_precision()
    devices.prepare("cuda")
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision(before)


def _train(groups, slots, until=mixed.STEPS):
    for group in groups:
        group.start()
    stack = Stack(groups, slots)
    stack.train(until, lambda group: None)
    return stack


@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_graph_does_what_its_steps_do_bit_for_bit(kind, normalisation, monkeypatch):
    more = {"device": "cuda", "dtype": torch.float32, "optimiser": kind, "normalisation": normalisation}
    replayed = _train(mixed.groups(**more), 120)
    monkeypatch.setattr(stacks, "recorded", lambda step, state: step)
    stepped = _train(mixed.groups(**more), 120)
    assert all(torch.equal(one, other) for one, other in zip(replayed.state, stepped.state, strict=True))
    for one, other in zip(replayed.lanes, stepped.lanes, strict=True):
        assert repr(mixed.results(one.group)) == repr(mixed.results(other.group))


def test_one_graph_after_the_other_leaves_the_first_ones_numbers():
    """Their buffers are their own, though both are captured before either is done."""
    names, more = ["mish", "elu", "prelu", "rrelu"], {"device": "cuda", "dtype": torch.float32}
    alone = _train(mixed.groups(names, **more), 16)
    groups = [mixed.groups(names, **more) for _ in range(2)]
    for group in (*groups[0], *groups[1]):
        group.start()
    first, second = (Stack(part, 16) for part in groups)
    for until in (1, 20, mixed.STEPS):
        first.train(until, lambda group: None)
        second.train(until, lambda group: None)
    for stack in (first, second):
        assert all(torch.equal(one, other) for one, other in zip(stack.state[:2], alone.state[:2], strict=True))


def test_bytes_do_not_depend_on_the_company():
    more = {"device": "cuda", "dtype": torch.float32, "width": 64, "optimiser": "adam", "normalisation": "batch"}
    alone, beside = mixed.group("prelu", 7, **more), mixed.group("prelu", 7, **more)
    company = [mixed.group("gelu", 12, **more), mixed.group("rrelu", 7, **more), mixed.group("tanh", 12, **more)]
    _train([alone], 16)
    _train([*company[:2], beside, company[2]], 16)
    assert repr(mixed.results(alone)) == repr(mixed.results(beside))


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_stack_is_its_groups_and_each_the_cpus(kind):
    names = ["relu", "prelu", "rrelu", "elu", "shifted_relu"]
    on_gpu, together = (mixed.groups(names, optimiser=kind, device="cuda") for _ in range(2))
    on_cpu = mixed.groups(names, optimiser=kind)
    _train(together, 24)
    for group in (*on_gpu, *on_cpu):
        group.train(mixed.STEPS)
    for one, two, three in zip(together, on_gpu, on_cpu, strict=True):
        mixed.assert_same(one, two)
        curves = [torch.tensor(group.members[0].curve, dtype=torch.float64) for group in (two, three)]
        torch.testing.assert_close(*curves, rtol=1e-9, atol=1e-12, equal_nan=True)


def test_float32_follows_the_cpu_over_a_short_way():
    factors = {"depth": 5, "width": 64, "dtype": torch.float32, "rates": (0.003, 0.01)}
    on_gpu, on_cpu = mixed.group("tanh", device="cuda", **factors), mixed.group("tanh", **factors)
    _train([on_gpu], 8)
    on_cpu.train(mixed.STEPS)
    for one, other in zip(on_gpu.members, on_cpu.members, strict=True):
        curves = [torch.tensor(record.curve)[:, :3] for record in (one, other)]
        torch.testing.assert_close(*curves, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "prelu", "rrelu", "shifted_relu"])
def test_probes_are_the_cpus(name):
    groups = [mixed.group(name, device=device, normalisation="batch", depth=5) for device in ("cuda", "cpu")]
    for group in groups:
        group.start()
    for one, other in zip(*(group.members for group in groups), strict=True):
        for metric, values in other.layers[0].items():
            # Eigenvalues that should be zero are 1e-16 of the largest, and their roots 1e-8: an H200 was off by 4e-8.
            rel = 1e-6 if metric == "effective_rank" else 1e-9
            assert one.layers[0][metric] == pytest.approx(values, rel=rel, abs=1e-12, nan_ok=True), metric


def test_runs_on_a_gpu_have_the_rows_of_a_cpu():
    def runs():
        return [small.training(small.run({"activation": name}), dtype=torch.float64) for name in ("relu", "prelu")]

    on_gpu = runs()
    for run in on_gpu:
        run.device = torch.device("cuda")
    found = {run.params["id"]: rows for ended in train_together(on_gpu) for run, rows in ended}
    for run in runs():
        expected = run.rows()
        for one, other in zip(found[run.params["id"]]["runs"], expected["runs"], strict=True):
            assert one["status"] == other["status"]
            if one["status"] == "finished":
                assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-6)


def test_without_memory_there_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="needs more memory than there is"), job(tmp_path / "log"):
        torch.empty(2**44, device="cuda")


def test_tf32_errs_by_its_rounding_alone():
    device, product = devices.prepare("cuda", "tf32")
    assert product in ("high", "highest")
    source = torch.Generator().manual_seed(1)
    a, b = (torch.randn(4, 64, 64, generator=source) for _ in range(2))
    with devices.training_products():
        error = (torch.bmm(a.to(device), b.to(device)).cpu().double() - a.double() @ b.double()).abs().max()
    assert error < (2**-10 * (a.abs() @ b.abs()).max() if product == "high" else 1e-4)


SHARES = """
import sys, torch, mixed
from activation_study.training import device
from activation_study.training.stack import Stack
device.prepare("cuda")
groups = mixed.groups(["relu", "rrelu"], device="cuda", dtype=torch.float32)
for group in groups:
    group.start()
Stack(groups, 16).train(mixed.STEPS, lambda group: None)
print(repr([mixed.results(group) for group in groups]))
"""


def test_two_jobs_share_the_gpu():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SHARES]
    jobs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [job.communicate(timeout=300)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert said[0] == said[1] != ""
