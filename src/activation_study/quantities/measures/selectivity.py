"""How much a unit's activation depends on the class.

On the first 256 validation samples, in evaluation mode; of a unit at several positions their mean counts. x_w is
shifted by its smallest value; μ_c is then its mean over the samples of class c, of C classes that occur.

selectivity: the mean over w of (μ_max − μ_rest) / (μ_max + μ_rest), with μ_max the largest μ_c and μ_rest the mean of
    the C − 1 others; 0 for a constant unit. Source: Morcos et al. (2018), arXiv:1803.06959, the class selectivity
    index; the shift is this study's, for activations with negative values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import Measured, Measurement, Moment, Taken, few

if TYPE_CHECKING:
    from torch import Tensor


def selectivity(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean class selectivity of a layer's units [R]: (μ_max − μ_rest)/(μ_max + μ_rest) (Morcos et al. 2018).

    μ_max is a unit's largest class mean, μ_rest the mean of the others. The index wants numbers that are not negative,
    so a unit is first shifted by its minimum; a constant one counts as 0. Absent classes are left out; NaN for one.

    Args:
        x: activations [R, N, W]. labels: [R, N], int64, below ``classes``.
    """
    x = x.double()
    shifted = x - x.amin(1, keepdim=True)
    members = torch.nn.functional.one_hot(labels, classes).double()
    counts = members.sum(1).unsqueeze(2)
    present = counts > 0
    means = torch.bmm(members.transpose(1, 2), shifted) / counts.clamp_min(1)
    largest = means.amax(1)  # an absent class has 0, which is no class's excess over the others
    rest = (means.sum(1) - largest) / (present.sum(1) - 1)
    index = torch.where(largest == 0, 0.0, (largest - rest) / (largest + rest))
    return torch.where(present.sum((1, 2)) > 1, index.mean(1), torch.nan)


def _take(moment: Moment) -> Iterator[Taken]:
    labels, found = torch.stack(few(moment.labels)), []

    def visit(layer: int, h: Tensor, x: Tensor) -> None:
        x = x if x.dim() == 3 else x.mean(2)  # a channel counts by the mean of its map
        found.append(("selectivity", layer, None, selectivity(x, labels, moment.network.classes)))

    moment.network.logits(few(moment.inputs), visit)
    yield from found


DECLARED = (
    Measurement(
        "selectivity",
        (Measured("selectivity", "index", "class selectivity, mean over units", options=("layers",)),),
        "end",
        _take,
    ),
)
