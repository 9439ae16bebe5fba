"""An activation by itself: its constants and its graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from activation_study.activations.activation import Activation
from activation_study.activations.theory import constants

RANGE, POINTS = 5.0, 201


def description(activation: Activation) -> dict[str, Any]:
    """The activation's row of the ``activations`` table, and its value and derivative (evaluation mode) on [−5, 5]."""
    x = np.linspace(-RANGE, RANGE, POINTS)
    value, derivative = activation.evaluate(x)
    portrait = {"x": x.tolist(), "value": value.tolist(), "derivative": derivative.tolist()}
    return {"constants": constants(activation), "portrait": portrait}
