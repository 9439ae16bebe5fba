"""Figures as SVG: deterministic, free of styles that a policy may drop, ids that cannot collide."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.path import Path

from activation_study.report.figures.drawing import lines, mark, panels, reach, spread
from activation_study.report.figures.heat import heat
from activation_study.report.figures.svg import svg
from activation_study.report.figures.theme import COLD, GAP, SERIES, VARIABLES, look_number, looks, themed
from activation_study.report.names import naming


def _draw(name: str) -> str:
    with panels(2, 2, 1.5) as (figure, (left, right)):
        left.plot([1, 2, 3], [3, 1, 2], "o--", color=SERIES[0])
        left.set_title("<b> & name")
        right.fill_between([1, 2, 3], [3, 1, 2], color=SERIES[1])
        return svg(figure, name, "a title", "what <it> shows")


def test_the_same_figure_gives_the_same_bytes():
    assert _draw("a") == _draw("a")


def test_no_style_attribute_and_no_style_sheet():
    drawn = _draw("a")
    assert "style" not in drawn
    assert f'stroke="{SERIES[0]}"' in drawn


def test_title_and_description_come_first_and_label_the_image():
    root = ElementTree.fromstring(_draw("a"))
    title, description = root[0], root[1]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert (title.text, description.text) == ("a title", "what <it> shows")


def test_every_reference_resolves_and_every_id_has_the_prefix():
    drawn = _draw("figure-x")
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawn)
    assert references
    assert {a or b for a, b in references} <= set(ids)
    assert all(one.startswith("figure-x.") for one in ids)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_two_figures_share_no_id():
    one, two = (set(re.findall(r'\bid="([^"]+)"', _draw(name))) for name in ("a", "b"))
    assert not one & two


@pytest.mark.parametrize(
    ("message", "fault"),
    [("all of it", "a log scale that the message does not mention"), ("on a log scale", "an image")],
)
def test_a_figure_that_misleads_or_may_be_blocked_is_refused(message: str, fault: str):
    with panels(2, 2, 1.5, share=False) as (figure, (left, right)):
        left.plot([1, 10], [1, 10])
        left.set_xscale("log")
        right.imshow(np.arange(6).reshape(2, 3))
        with pytest.raises(ValueError, match=fault):
            svg(figure, "a", "a title", message)


def test_a_heat_map_covers_each_class_once():
    """By the areas of its paths: each value's colour has as many cells, those without a value stand as a gap."""
    values = np.array([[0.0, 1.0, 1.0], [2.0, np.nan, 0.0]])
    with panels(1, 1, 1.5) as (_, (axis,)):
        heat(axis, values, (0.5, 1.5), (("", "none"), (COLD[0], "some"), (COLD[1], "much")), (10, 0, 6, 4))
        areas = {patch.get_facecolor(): _area(patch.get_path()) for patch in axis.patches}
    assert areas == {to_rgba(COLD[0]): 2 * 4.0, to_rgba(COLD[1]): 4.0, to_rgba(GAP): 4.0}


def _area(path: Path) -> float:
    return sum(float(np.prod(np.ptp(corners, axis=0))) for corners in path.vertices.reshape(-1, 5, 2))


def test_texts_stay_text():
    root = ElementTree.fromstring(_draw("a"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b> & name" in texts


def test_every_colour_of_the_theme_has_a_rule():
    rules = themed()
    assert all(f'[fill="{colour}"] {{ fill: var(--{name}); }}' in rules for colour, name in VARIABLES.items())


def test_a_grey_line_has_the_number_of_its_activations_look():
    frame = pd.DataFrame({"by": ["gelu", "gelu", "relu", "relu"], "x": [1, 2, 1, 2], "y": [1, 2, 2, 1]})
    table = pd.DataFrame({"activation": ["gelu", "relu"], "kind": "class", "definition": ["GELU()", "ReLU()"]})
    with naming(table), panels(1, 1, 1.5) as (figure, (axis,)):
        lines(axis, frame, "x", "y", looks(["relu"]), "by")
        axis.plot(1, 1, "o", **mark("gelu", "a dot"))
        drawn = svg(figure, "a", "a title", "what it shows")
    number = look_number("gelu")
    assert re.findall(r'data-activation="(\w+)"(?: data-look="(\d+)")?><title>([^<]+)', drawn) == [
        ("gelu", str(number), "GELU"),
        ("gelu", "", "GELU: a dot"),
        ("relu", "", "ReLU"),
    ]
    look = looks(["gelu"])["gelu"]
    colour, dashes = VARIABLES[look.colour], " ".join(f"{1.8 * dash:g}" for dash in look.dashes)
    assert f'.lit[data-look="{number}"] {{ --own: var(--{colour}); --dashes: {dashes or "none"}; }}' in themed()


def test_no_two_activations_of_a_study_look_alike():
    """Of `bump` and `wavy` the names alone gave the same; the usual ones look the same in every study."""
    names = ["bump", "wavy", "relu", *(f"mine_{number}" for number in range(30))]
    table = pd.DataFrame({"activation": names, "kind": "expression", "definition": "x"})
    with naming(table):
        assert len(set(map(look_number, names))) == len(names)
    with naming(table[:3]):
        assert len({look.colour for look in looks(names[:3]).values()}) == 3
        assert look_number("relu") == 0
    with naming(table[::-1]):
        again = list(map(look_number, names))
    with naming(table):
        assert list(map(look_number, names)) == again, "whatever their order"


def test_of_few_activations_none_is_beyond_the_axis():
    assert reach(pd.Series([0, 1.25, 7.92])) > 7.92
    assert reach(pd.Series([0, 1, 1, 1, 1, 1, 60])) < 5


@pytest.mark.parametrize("positions", [[0.1, 0.11, 0.12], [0.97, 0.98, 0.99, 1.0], [0.0, 0.5, 1.0], [0.4]])
def test_labels_move_apart_and_stay_inside(positions: list[float]):
    moved = spread(np.array(positions), 0.1)
    assert (np.diff(moved) >= 0.1 - 1e-12).all()
    assert moved.min() >= -1e-12
    assert moved.max() <= 1 + 1e-12


def test_labels_that_have_room_stay_where_they_are():
    np.testing.assert_allclose(spread(np.array([0.1, 0.4, 0.9]), 0.1), [0.1, 0.4, 0.9])
