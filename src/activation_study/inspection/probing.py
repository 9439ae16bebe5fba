"""What the activations of a model do on a batch: the quantities that the study takes of its own networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from activation_study.core.errors import StudyError
from activation_study.inspection.hooked import SITES, HookedModel, Loss, copied
from activation_study.quantities.probe import Probe

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("dead", "saturated", "unusable_01", "preactivation_mean", "preactivation_sd")


@dataclass(frozen=True)
class Sites:
    """What a probe found.

    Attributes:
        table: a line per site, in the order of the forward pass.

            - ``site``, ``activation``, ``units``: the module's name and class; a module that is called again has its
              call's number. Units are channels after a convolution, else the last axis; positions count as samples.
            - ``dead``: the share of units whose slope is zero on all samples. ``unusable_01``: whose largest slope is
              below .01 of the activation's largest. ``saturated``: of elements, below a tenth of it.
            - ``preactivation_mean``, ``preactivation_sd``: over samples and units.
            - ``gradient_norm_log10``: of the root mean square over samples of ‖∂L/∂h‖, L a sample's own loss; missing
              where that is zero, or without targets. ``gradient_decay``: decades that it loses from the site above.
        loss: the mean loss of the batch in evaluation mode; missing without targets.
    """

    table: pd.DataFrame
    loss: float | None

    @property
    def summary(self) -> str:
        """One line."""
        table, norms = self.table, self.table["gradient_norm_log10"].to_numpy(float)
        worst = table.loc[table["dead"].idxmax()]
        most = f" (most at {worst['site']}: {worst['dead']:.1%})" if worst["dead"] > 0 else ""
        parts = [f"{len(table)} sites", f"dead units {table['dead'].mean():.1%}{most}",
                 f"saturated {table['saturated'].mean():.1%}"]  # fmt: skip
        known = np.isfinite(norms)
        if known.sum() > 1:
            slope = np.polyfit(np.arange(len(norms))[known], norms[known], 1)[0]
            parts.append(f"the gradient {'loses' if slope >= 0 else 'gains'} {abs(slope):.2g} decades per site "
                         "towards the input")  # fmt: skip
        return "; ".join(parts)

    def __str__(self) -> str:
        return f"{self.table.to_string(index=False, float_format=lambda x: f'{x:.3g}', na_rep='–')}\n{self.summary}"


def probe(
    model: nn.Module,
    batch: Tensor | Sequence[Tensor],
    *,
    activations: Sequence[type[nn.Module]] = (),
    loss: Loss = F.cross_entropy,
) -> Sites:
    """Look at every activation of a model; the model is left as it is.

    Activations are measured in evaluation mode, on the first 256 samples and at most 16 positions of each, gradients in
    training mode on the whole batch, with the same draws of its noise at each call.

    Args:
        model: gives one tensor for one tensor; its activations are modules, of torch.nn, of ``activations``, or put
            there by ``swap``.
        batch: inputs [N, ...], or (inputs, targets); without targets there are no gradients.
        activations: further classes of modules that are activations; they must be elementwise.
        loss: the mean loss of outputs and targets.

    Raises:
        StudyError: fewer than two samples; or the model fails, or has no such module.

    >>> import torch
    >>> from torch import nn
    >>> import activation_study
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(8, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 3))
    >>> found = activation_study.probe(model, (torch.randn(100, 8), torch.randint(3, (100,))))
    >>> found.table[["site", "activation", "units", "dead"]]
      site activation  units  dead
    0    1    Sigmoid     64   0.0
    1    3    Sigmoid     64   0.0
    >>> print(found.summary.split("; ")[-1])
    the gradient loses 0.88 decades per site towards the input
    """
    import pandas as pd

    inputs, targets = (batch, None) if isinstance(batch, Tensor) else batch
    if len(inputs) < 2:
        raise StudyError(f"a batch of {len(inputs)} is too small to be probed; at least two samples are needed")
    labels = inputs if targets is None else targets
    network = HookedModel(copied(model), (*SITES, *activations), inputs, _missing if targets is None else loss)
    labels = labels.to(network.device)
    eyes = Probe(network, 1.0, inputs[None], labels[None])
    value, _, metrics = eyes.activations(network, [inputs], [labels], first=True)
    metrics["saturated"] = metrics["saturated_low"] + metrics["saturated_high"]
    columns = {name: metrics[name][0].tolist() for name in SHOWN}
    norms = np.full(network.depth, np.nan)
    if targets is not None:
        norms = eyes.gradients(network)["gradient_norm_log10"][0, :-1].numpy(force=True)
    table = pd.DataFrame(
        {
            "site": _names([network.sites[part] for part in network.parts]),
            "activation": [type(part).__name__ for part in network.parts],
            "units": [layer.units for layer in network.layers[:-1]],
            **columns,
            "gradient_norm_log10": norms,
            "gradient_decay": np.append(np.diff(norms), np.nan),
        }
    )
    return Sites(table, None if targets is None else float(value))


def _missing(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs.new_full((), torch.nan)


def _names(called: Sequence[str]) -> list[str]:
    """Those of the calls: a module's second call is its #2."""
    seen, names = Counter[str](), []
    for name in called:
        seen[name] += 1
        names.append(f"{name} #{seen[name]}" if seen[name] > 1 else name)
    return names
