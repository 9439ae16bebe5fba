"""Other activations in a model, and the line with which its weights should begin."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from activation_study.activations import entries
from activation_study.activations.activation import Activation, from_entry
from activation_study.activations.theory import constants
from activation_study.core.errors import StudyError
from activation_study.core.text import shown
from activation_study.inspection.hooked import NO_SITES, SITES, SWAPPED, HookedModel
from activation_study.networks.initialisation import unit_variance
from activation_study.networks.places import replace

if TYPE_CHECKING:
    import pandas as pd

NAMES = {name.lower(): name for name in entries.CLASSES if name not in NO_SITES or name == "Identity"}
USUAL = ("Sigmoid", "Tanh", "ReLU", "LeakyReLU", "PReLU", "RReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish",
         "Softplus", "Softsign", "Hardswish", "ReLU6")  # fmt: skip
What = str | Mapping[str, Any] | Callable[[], nn.Module]


def swap(
    model: nn.Module,
    old: type[nn.Module] | tuple[type[nn.Module], ...],
    new: What,
    *,
    unit_variance_on: Tensor | None = None,
) -> nn.Module:
    """Put another activation wherever a module of class ``old`` stands, in the model itself, and give it back.

    Args:
        old: one class or several, such as ``nn.ReLU``; a class derived from it counts too.
        new: a name of torch.nn in any spelling ("gelu", "leaky_relu"); an entry as in a config's ``activations``,
            ``{"expression": "x * sigmoid(1.702 * x)"}``; or what makes a module, called once for each place.
        unit_variance_on: a batch of inputs; initial weights are then divided, layer by layer, by the standard deviation
            of what they give on it (Mishkin and Matas 2016, as the study's ``lsuv``), as one gain does not fit every
            activation. For a model that is not trained yet; the weights behind a skip are scaled as if it had none.

    Raises:
        StudyError: there is no such activation, or the model has no module of class ``old``.

    >>> from torch import nn
    >>> import activation_study
    >>> activation_study.swap(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), nn.ReLU, "gelu")
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): GELU(approximate='none')
      (2): Linear(in_features=8, out_features=2, bias=True)
    )
    """
    make = _maker(new)
    if isinstance(model, old):
        return make()
    made = replace(model, old, make)
    if not made:
        names = " or ".join(kind.__name__ for kind in (old if isinstance(old, tuple) else (old,)))
        raise StudyError(f"swap: the model has no module of class {names}")
    like = next(model.parameters(), torch.empty(0))
    for module in made:
        module.to(like.device, like.dtype).train(model.training)
        setattr(module, SWAPPED, True)
    if unit_variance_on is not None:
        training = model.training
        unit_variance(HookedModel(model, SITES, unit_variance_on, nn.functional.cross_entropy), [unit_variance_on])
        model.train(training)
    return model


def initialisation_lines(activations: Sequence[str | Mapping[str, Any]] = USUAL) -> pd.DataFrame:
    """Which line to write for which activation: with it, pre-activations of variance 1 give such again.

    The gain is 1/√E φ(z)², z ~ N(0, 1) (He et al. 2015, generalised). PyTorch's own ``calculate_gain`` has 5/3 for tanh
    and 3/4 for SELU, which do not keep the variance.

    Args:
        activations: names of torch.nn or entries, as for `swap`.

    Returns:
        ``activation``, ``gain`` and ``line``, where ``w`` is the weight of a layer behind the activation.

    >>> import activation_study
    >>> for line in activation_study.initialisation_lines(["relu", "gelu"])["line"]: print(line)
    nn.init.kaiming_normal_(w, nonlinearity="relu")
    nn.init.normal_(w, std=1.5335 * w[0].numel() ** -0.5)
    """
    import pandas as pd

    rows = []
    for each in activations:
        activation = _activation(each)
        gain = float(constants(activation)["gain"])
        rows.append((activation.definition.removesuffix("()"), gain, _line(gain)))
    return pd.DataFrame(rows, columns=["activation", "gain", "line"])


def _line(gain: float) -> str:
    """PyTorch's `kaiming_normal_` has the gain √(2 / (1 + a²)), so those up to √2; what is larger is written out."""
    if math.isclose(gain, math.sqrt(2), rel_tol=1e-9):
        return 'nn.init.kaiming_normal_(w, nonlinearity="relu")'
    if math.isclose(gain, 1, rel_tol=1e-9):
        return 'nn.init.kaiming_normal_(w, nonlinearity="linear")'
    if gain < math.sqrt(2):
        return f"nn.init.kaiming_normal_(w, a={math.sqrt(2 / gain**2 - 1):.4g})"
    return f"nn.init.normal_(w, std={gain:.5g} * w[0].numel() ** -0.5)"


def _maker(new: What) -> Callable[[], nn.Module]:
    if callable(new):
        return new
    activation = _activation(new)
    if entries.WIDTH in activation.entry.values():
        raise StudyError(
            f"swap: {activation.definition} has a parameter for each unit; give what makes the module instead"
        )
    return activation.module


@functools.singledispatch
def _activation(what: Any) -> Activation:
    return from_entry("new", dict(what))


@_activation.register
def _(what: str) -> Activation:
    plain = what.replace("_", "").lower()
    if plain not in NAMES:
        close = difflib.get_close_matches(plain, NAMES, 1)
        hint = f"; did you mean {NAMES[close[0]]}?" if close else f"; known are {', '.join(sorted(NAMES.values()))}"
        raise StudyError(f"{shown(what)} is not an activation of torch.nn{hint}")
    return from_entry(what, {"class": NAMES[plain]})
