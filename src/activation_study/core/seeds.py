"""Seeds from names: every random draw of the study is a pure function of what it is for."""

from __future__ import annotations

import hashlib

from activation_study.core.registry import torch


def seed_of(*parts: object) -> int:
    """A 63-bit seed from the parts' text. Never give it the activation or the learning rate: runs are paired."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator of its own for the parts, so that a draw does not depend on the device or on other draws."""
    return torch.Generator().manual_seed(seed_of(*parts))
