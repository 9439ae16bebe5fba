"""Activations: entries, formulas, modules, their theory and portraits."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """``activation_study.activations:PaperRReLU``, as configs name it, without PyTorch for those who read entries."""
    if name == "PaperRReLU":
        from activation_study.activations.activation import PaperRReLU

        return PaperRReLU
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
