"""Where and how precisely the arithmetic runs."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from activation_study.core.errors import StudyError

_HELD: list[FileLock] = []
"""A lock that nobody knows of any more is given back."""
_TRAINING: list[str | None] = [None]
"""The precision of the products of the training, where that is another than that of all others."""
TF32_LOST = 13
"""Bits of a float32 that TF32 leaves out of a product's factors."""


def prepare(device: str, precision: str = "float32") -> tuple[torch.device, str]:
    """The device for ``auto``, ``cpu`` or ``cuda``, with one thread, determinism and the product kernel set.

    Args:
        precision: of products on a GPU, ``float32`` or ``tf32``; where TF32 errs by more than its rounding it is not
            used.

    Returns:
        The device, and the float32 product in use: ``highest``, ``medium`` on a CPU or, for TF32, ``high``.

    Raises:
        StudyError: if ``cuda`` is asked for and there is none.
    """
    # Parallelism is across jobs; a thread count that varies would change the last bits of every result.
    torch.set_num_threads(1)
    _TRAINING[0] = None
    if device == "cpu":
        return torch.device("cpu"), fastest_exact_product()
    share_gpus()  # before CUDA starts
    if not torch.cuda.is_available():
        if device == "cuda":
            raise StudyError("device: 'cuda' but PyTorch finds no GPU here; use auto or cpu")
        return torch.device("cpu"), fastest_exact_product()
    # On a CPU one thread is enough for that. cuBLAS reads its variable when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")  # `use_deterministic_algorithms` imports the compiler first, for seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # one kernel for each
    found = torch.device("cuda")
    torch.set_float32_matmul_precision("highest")  # no TF32
    torch.backends.cudnn.allow_tf32 = False
    _TRAINING[0] = "high" if precision == "tf32" and tf32_serves(found) else None
    return found, _TRAINING[0] or "highest"


@contextmanager
def training_products() -> Iterator[None]:
    """Within it, products are those of the training; outside, where networks are looked at, float32's."""
    before = torch.get_float32_matmul_precision()
    if _TRAINING[0] is None:
        yield
        return
    torch.set_float32_matmul_precision(_TRAINING[0])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def share_gpus() -> None:
    """On a machine with several GPUs let this process see the one that the fewest others have taken."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # by NVIDIA's management library, which starts nothing
    gpus = [str(number) for number in range(count)] if listed is None else listed.split(",")[:count]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = taken(gpus, Path(tempfile.gettempdir()) / f"gpus-{os.getuid()}")


def taken(gpus: Sequence[str], folder: Path) -> str:
    """The GPU of the first free lock, all GPUs once, then all of them once more; held until the process ends."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for turn in itertools.count():
        for gpu in gpus:
            lock = FileLock(folder / f"gpu-{re.sub(r'[^A-Za-z0-9-]', '_', gpu.strip())}.{turn}", blocking=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            _HELD.append(lock)
            return gpu.strip()
    raise AssertionError("there is always a next turn")


def tf32_serves(device: torch.device) -> bool:
    """Whether a product under ``high`` is off by what cutting its factors to TF32 does, and no more.

    On a card without TF32 it is off by much less, as it is float32's.
    """
    a, b = _factors()
    exact = a.double() @ b.double()

    def cut(factor: Tensor) -> Tensor:
        return (factor.view(torch.int32) & -(1 << TF32_LOST)).view(torch.float32).double()

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    product = torch.bmm(a[None].to(device), b[None].to(device))[0].cpu().double()
    torch.set_float32_matmul_precision(before)
    error, rounding = (product - exact).norm(), (cut(a) @ cut(b) - exact).norm()
    return bool(rounding / 100 <= error <= 2 * rounding)


def _factors() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    return torch.randn(256, 256, generator=source), torch.randn(256, 256, generator=source)


def fastest_exact_product() -> str:
    """Route float32 products to oneDNN where it is still float32.

    ``medium`` reaches oneDNN's kernels, faster than the default on many CPUs, but PyTorch allows them to use bfloat16
    inside. So a product is compared with float64, and the route is kept only while its error is float32's.
    """
    a, b = _factors()
    exact = a.double() @ b.double()

    def error(precision: str) -> float:
        torch.set_float32_matmul_precision(precision)
        return float((torch.bmm(a[None], b[None])[0].double() - exact).abs().max())

    reference = error("highest")
    if error("medium") <= 4 * reference:
        return "medium"
    torch.set_float32_matmul_precision("highest")
    return "highest"
