"""The float32 product of precision "medium", as another processor would compute it."""

from __future__ import annotations

import pytest

KINDS = ("exact", "bfloat16")


def simulate(patch: pytest.MonkeyPatch, kind: str) -> None:
    """Under "medium" the study's products are as exact as any of float32, or their factors are rounded to bfloat16.

    PyTorch itself is asked for "highest" then, so this processor's own kernels for "medium" have no part in it.
    """
    import torch

    set_real, asked = torch.set_float32_matmul_precision, [torch.get_float32_matmul_precision()]

    def set_precision(precision: str) -> None:
        set_real("highest" if precision == "medium" else precision)
        asked[0] = precision

    patch.setattr(torch, "set_float32_matmul_precision", set_precision)
    patch.setattr(torch, "get_float32_matmul_precision", lambda: asked[0])
    if kind == "exact":
        return

    def rounded(factor: torch.Tensor) -> torch.Tensor:
        single = factor.dtype == torch.float32 and asked[0] == "medium"
        return factor.bfloat16().float() if single else factor

    bmm, baddbmm = torch.bmm, torch.baddbmm
    patch.setattr(torch, "bmm", lambda a, b, **more: bmm(rounded(a), rounded(b), **more))
    patch.setattr(torch, "baddbmm", lambda c, a, b, **more: baddbmm(c, rounded(a), rounded(b), **more))
