"""What single figures draw and say of it, from made-up numbers: which lines, which way, and what is not seen."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from activation_study.report.figures.drawing import panels
from activation_study.report.sections import decay, noise, two_inputs, validity


def test_the_slopes_of_the_ranking_are_drawn_before_those_near_them():
    """0.18 and not 0.1, which comes first but is not in the ranking, and is as near to 0 as 0.18 is to it."""
    slopes = {"a": 0.0, "b": 0.1, "c": 2 / 11, "d": 0.5, "e": 1.0}
    x = np.linspace(-4, 4, 81)
    portraits = pd.concat(
        pd.DataFrame({"activation": name, "x": x, "value": np.where(x > 0, x, slope * x)})
        for name, slope in slopes.items()
    )
    constants = pd.DataFrame({"activation": list(slopes), "stochastic": False})
    data = SimpleNamespace(tables={"activations": constants, "portraits": portraits}, order=["c", "a", "e"])
    assert list(two_inputs._slopes(data)) == ["a", "c", "d", "e"]


def test_a_slope_that_its_name_rounds_is_said_as_one_over_what_it_is():
    slopes = {"a": 0.0, "b": 0.5, "c": 2 / 11, "d": 0.3456, "e": 1 / 3}
    assert two_inputs._fractions(slopes) == " c has slope 1/5.5. e has slope 1/3."


def test_a_line_beyond_the_axis_has_an_arrow_where_it_is_beyond():
    rows = pd.DataFrame({"activation": list("aab"), "dose": [0.0, 1.0, 1.0], "points": [1.0, -9.0, 3.0]})
    with panels(1, 1, 1.5) as (_, (axis,)):
        assert noise._cut(axis, rows, -5, 5)
        drawn = [(one.get_marker(), one.get_xydata().tolist()) for one in axis.lines if len(one.get_xdata())]
        assert drawn == [("v", [[1.0, -5.0]])]
        assert not noise._cut(axis, rows, -10, 5)


def test_the_titles_activation_has_the_first_panel_and_its_layers_run_from_input_to_output():
    rows = [
        ("gain", name, 8, layer, (layer - 8) * loss) for name, loss in (("a", 0.1), ("b", 1)) for layer in range(1, 9)
    ]
    layers = pd.DataFrame(rows, columns=["initialisation", "activation", "depth", "layer", "measured"])
    layers = layers.assign(predicted=layers["measured"], n=9, zeros=0, **dict.fromkeys(decay.QUARTILES, 0.0))
    figure = decay._layers(layers)
    assert figure.title == "B, unit gain: 10⁷ times less gradient 8 layers down"
    assert figure.svg.index(">b<") < figure.svg.index(">a<")
    assert "layer, from input to output" in figure.svg
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*>[2-8]</text>', figure.svg)]
    assert len(places) > 2
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("bar", "shade", "said"),
    [
        (0.1, np.nan, "the middle half of the networks is narrower than a mark."),
        (0.1, 0.1, "the middle half of the networks is narrower than a mark."),
        (1.0, 0.1, "with a bar from quartile to quartile of the networks."),
        (0.1, 1.0, "which holds for leaky ReLUs at their gain."),
    ],
)
def test_a_caption_speaks_of_bars_and_shades_that_are_seen(bar: float, shade: float, said: str):
    """Of an axis of ten decades."""
    layers = pd.DataFrame({"depth": 20, "measured": [0.0, -10.0], "predicted": [0.0, -10.0]})
    ends = {f"{of}_{end}": [0.0, width * (end == "q75")] for of, width in (("measured", bar), ("single", shade))
            for end in ("q25", "q75")}  # fmt: skip
    found = decay._marks(layers.assign(**ends), 4)
    assert found.startswith("Lines: theory; marks: measured, each start's at every fourth layer")
    assert found.endswith(said)
    assert "every" not in decay._marks(layers.assign(**ends, depth=5), 4)


def test_the_counts_of_false_alarms_end_within_their_drawing():
    row = {"first": "very_leaky_relu", "second": "very_leaky_relu_again", "cell": "fashion_mnist/depth=20", "alarms": 0}
    row |= {"metric": "log_time", "comparisons": 20, "rate": 0.0, "rate_low": 0.0, "rate_high": 0.161}
    figure = validity._figure(pd.DataFrame([row | {"alarms": one} for one in (0, 1, 2)]))
    width = float(re.findall(r'viewBox="0 0 ([\d.]+) ', figure.svg)[0])
    ends = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="end"[^>]*>\d of 20<', figure.svg)]
    assert len(ends) == 3
    assert max(ends) <= width
