"""A reproducible study of activation functions.

For a model of one's own, without a study: ``probe``, ``swap`` and ``initialisation_lines``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from activation_study.inspection.probing import probe as probe
    from activation_study.inspection.swapping import initialisation_lines as initialisation_lines
    from activation_study.inspection.swapping import swap as swap

__all__ = ["initialisation_lines", "probe", "swap"]


def __getattr__(name: str) -> Any:
    """PyTorch is imported with the first of them, and not where a config is read."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = "probing" if name == "probe" else "swapping"
    return getattr(import_module(f"activation_study.inspection.{file}"), name)
