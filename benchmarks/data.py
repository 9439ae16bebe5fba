"""What every side trains on: 5,000 images of Fashion-MNIST for training and 500 for validation."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import torch

from activation_study.data import prepare
from activation_study.data.arrays import Arrays, DatasetUnavailable
from activation_study.data.split import Split, make_split
from activation_study.training import device

TRAIN, VALIDATION = 5_000, 500
ENTRY = {"source": "torchvision", "class": "FashionMNIST", "debian": True}
ENTRY |= {"max_train": TRAIN + VALIDATION, "max_test": VALIDATION}


@functools.cache
def arrays() -> Arrays:
    """Fashion-MNIST; where it cannot be had, random images of its size, whose steps take as long."""
    try:
        return prepare.load("fashion_mnist", ENTRY)
    except DatasetUnavailable:
        source = np.random.default_rng(0)
        x = source.integers(0, 256, (TRAIN + 2 * VALIDATION, 784), np.uint8)
        official_test = np.arange(len(x)) >= TRAIN + VALIDATION
        return Arrays(x, np.arange(len(x)) % 10, official_test, 10, "random images", "")


@functools.cache
def split() -> Split:
    """As a training job has it."""
    return make_split(arrays(), name="fashion_mnist", dataset_entry=ENTRY, replicate_seed=0, max_validation=VALIDATION)


def write_torchvision_files(root: Path) -> None:
    """The same number of images as files that torchvision's FashionMNIST reads."""
    raw, data = root / "FashionMNIST" / "raw", arrays()
    raw.mkdir(parents=True)
    for part, count, chosen in (
        ("train", TRAIN, ~data.official_test),
        ("t10k", VALIDATION, data.official_test),
    ):
        x, y = data.x[chosen][:count].astype(np.uint8), data.y[chosen][:count].astype(np.uint8)
        header = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + x.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, count], ">i4").tobytes() + y.tobytes())


def training_flops(depth: int, width: int, batch: int, features: int = 784, classes: int = 10) -> int:
    """Floating-point operations of the products in one training step of one network.

    Three products a layer (forward, weight gradient, input gradient) of 2 · batch · fan-in · fan-out, but no input
    gradient for the first.
    """
    weights = features * width + (depth - 1) * width**2 + width * classes
    return 2 * batch * (3 * weights - features * width)


def exact_product() -> str:
    """The precision whose products the study takes, without setting it."""
    kept = torch.get_float32_matmul_precision()
    try:
        return device.fastest_exact_product()
    finally:
        torch.set_float32_matmul_precision(kept)


def product_rates(seconds: float) -> dict[str, float]:
    """FLOP/s of batched float32 products by precision and shape: large squares, and those of the training.

    A precision at which products are no longer float32's is left out.
    """
    shapes = [(1, n, n, n) for n in (256, 512, 1024, 2048)]
    shapes += [(8, 256, 128, 128), (8, 128, 64, 64), (8, 256, 784, 128)]
    kept, rates = torch.get_float32_matmul_precision(), {}
    for precision in sorted({"highest", exact_product()}):
        torch.set_float32_matmul_precision(precision)
        for replicas, m, k, n in shapes:
            a, b = torch.randn(replicas, m, k), torch.randn(replicas, k, n)
            name = f"{precision} {replicas}×[{m}, {k}]·[{k}, {n}]"
            rates[name] = _product_rate(a, b, torch.empty(replicas, m, n), seconds)
    torch.set_float32_matmul_precision(kept)
    return rates


def _product_rate(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, seconds: float) -> float:
    """FLOP/s of a batched product, repeated for about that much processor time."""
    torch.bmm(a, b, out=out)
    start, calls = time.process_time(), 0
    while (now := time.process_time()) < start + seconds:
        torch.bmm(a, b, out=out)
        calls += 1
    return 2 * calls * a.numel() * b.shape[2] / (now - start)
