"""Times that not every network reached: whether an estimate is a bound."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def bound(arms: Sequence[pd.DataFrame], weights: Sequence[float]) -> str:
    """Why Σ weight · mean log min(T, H) is a bound on Σ weight · mean log T, in words; empty where all got there.

    A network that has not got there within the budget H counts as H, the least that its time can be. So the estimate is
    a lower bound if only arms of positive weight have such networks, and an upper one if only those of negative weight.

    Args:
        arms: a row per network, with a column `reached`.
    """
    missed = [int((~arm["reached"].eq(True)).sum()) for arm in arms]
    raised = sum(count for count, weight in zip(missed, weights, strict=True) if weight > 0)
    lowered = sum(count for count, weight in zip(missed, weights, strict=True) if weight < 0)
    if not raised + lowered:
        return ""
    kind = "an estimate within the budget" if raised and lowered else f"{'a lower' if raised else 'an upper'} bound"
    return (
        f"{kind}: {raised + lowered} of {sum(map(len, arms))} networks had not got there when the budget ended, and "
        "count as it"
    )
