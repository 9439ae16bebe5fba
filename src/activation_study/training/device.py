"""Where and how precisely the arithmetic runs."""

from __future__ import annotations

import os

import torch

from activation_study.core.errors import StudyError


def prepare(device: str) -> tuple[torch.device, str]:
    """The device for ``auto``, ``cpu`` or ``cuda``, with one thread, determinism and the product kernel set.

    Returns:
        The device, and the float32 product in use: ``highest`` or ``medium``.

    Raises:
        StudyError: if ``cuda`` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise StudyError("device: 'cuda' but PyTorch finds no GPU here; use auto or cpu")
    # Parallelism is across jobs; a thread count that varies would change the last bits of every result.
    torch.set_num_threads(1)
    if device == "cpu" or not available:
        return torch.device("cpu"), fastest_exact_product()
    # On a CPU one thread is enough for that, and the call takes seconds. cuBLAS reads its variable when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")  # no TF32
    return torch.device("cuda"), "highest"


def fastest_exact_product() -> str:
    """Route float32 products to oneDNN where it is still float32.

    ``medium`` reaches oneDNN's kernels, faster than the default on many CPUs, but PyTorch allows them to use bfloat16
    inside. So a product is compared with float64, and the route is kept only while its error is float32's.
    """
    source = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=source) for _ in range(2))
    exact = a.double() @ b.double()

    def error(precision: str) -> float:
        torch.set_float32_matmul_precision(precision)
        return float((torch.bmm(a[None], b[None])[0].double() - exact).abs().max())

    reference = error("highest")
    if error("medium") <= 4 * reference:
        return "medium"
    torch.set_float32_matmul_precision("highest")
    return "highest"
