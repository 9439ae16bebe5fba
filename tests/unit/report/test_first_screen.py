"""The first screen's headline and its table, from recommendations written by hand; what readers call activations."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest

from activation_study.analysis.inference import Interval
from activation_study.analysis.standing import Standing
from activation_study.report.names import label, labels, naming, relabelled
from activation_study.report.situations import Situation, cheapest, claims_bar, headline
from activation_study.report.words import code

TABLE = pd.DataFrame(
    [
        ("relu", "class", "ReLU()", "ReLU"),
        ("identity", "class", "Identity()", "none (linear)"),
        ("very_leaky_relu", "class", "LeakyReLU(negative_slope=0.18181818181818182)", "Leaky ReLU 0.18"),
        ("rrelu_article", "class", "RReLU(lower=0.0, upper=1.0)", "RReLU 0 to 1"),
        ("prelu_per_unit", "class", "PReLU(num_parameters=width)", "PReLU per unit"),
        ("rrelu_paper", "module", "activation_study.activations:PaperRReLU()", "RReLU paper"),
        ("shifted_relu", "expression", "maximum(x, -1)", "shifted ReLU"),
        ("bent_identity", "expression", "(sqrt(x * x + 1) - 1) / 2 + x", "bent identity"),
        ("swish", "class", "Hardswish()", "hard swish"),
        ("leaky_0_43", "class", "LeakyReLU(negative_slope=0.43)", "Leaky ReLU 0.43"),
        ("tailored_20", "class", "LeakyReLU(negative_slope=0.4256)", "Leaky ReLU 0.426"),
        ("elu", "class", "ELU()", "ELU (elu)"),
        ("elu_again", "class", "ELU()", "ELU (elu_again)"),
    ],
    columns=["activation", "kind", "definition", "label"],
)


def test_an_activation_is_called_by_its_definition_and_no_two_alike():
    assert labels(TABLE) == dict(zip(TABLE["activation"], TABLE["label"], strict=True))


def test_names_are_replaced_as_words_of_their_own_alone():
    with naming(TABLE):
        assert relabelled("relu beats very_leaky_relu; elu, relu.") == ("ReLU beats Leaky ReLU 0.18; ELU (elu), ReLU.")
        for other in ("digits/relu/depth=5", "relu_2", "prelu", "activation=relu", "ReLU"):
            assert relabelled(other) == other
        assert str(code("relu")) == '<span class="activation" title="relu: ReLU()">ReLU</span>'
    assert label("relu") == relabelled("relu") == "relu"
    assert str(code("relu")) == "<code>relu</code>"


def _situation(depth, pick, gain, *, p=0.001, near=(), untried=(), network="multilayer perceptrons"):
    relu = Standing("relu", Interval(-gain / 100, -gain / 100 - 0.001, -gain / 100 + 0.001, 9.0), p)
    others = [Standing(name, Interval(-0.001, -0.004, 0.002, 9.0), 0.5) for name in near]
    answer = SimpleNamespace(
        depth=depth, pick=pick, untried=untried, runner_ups=[*others, *([relu] if relu.tied else [])],
        accuracy=Interval(0.8, 0.7, 0.9, 9.0),
    )  # fmt: skip
    return Situation(network, answer, None if pick == "relu" else relu)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [_situation(5, "elu", 0), _situation(20, "elu", 3.1, near=["mish"]), _situation(50, "b", 9, untried="a")],
            "Use elu or mish: in networks of 20 layers they score 3.1 points more than relu. In shallow ones "
            "none is shown to be a point better.",
        ),
        (
            [_situation(5, "gelu", 1.5), _situation(20, "elu", 3.1)],
            "Use elu: in networks of 20 layers it scores 3.1 points more than relu. In shallow ones gelu is 1.5 points "
            "ahead of it.",
        ),
        (
            [_situation(5, "elu", 2.0, p=0.2)],
            "elu scores highest, but in networks of 5 layers it is not shown to be a point better than relu.",
        ),
        (
            [_situation(16, "elu", 3.9), _situation(16, "mish", 0.1, network="residual")],
            "Use elu: in multilayer perceptrons of 16 layers it scores 3.9 points more than relu. In the other rows "
            "none is shown to be a point better.",
        ),
        (
            [_situation(16, "elu", 3.9), _situation(4, "b", 0.1, network="c"), _situation(16, "b", 2.1, network="c")],
            "Use elu: in multilayer perceptrons of 16 layers it scores 3.9 points more than relu. In one other row one "
            "is a point better too.",
        ),
        ([_situation(5, "relu", 0)], "relu is enough: in networks of 5 layers none is shown to be better."),
    ],
)  # fmt: skip
def test_the_headline_is_short_and_says_what_was_found(found, said):
    text = re.sub("<.*?>", "", str(headline(found)))
    assert text == said
    assert len(text.split()) <= 30
    assert len(re.findall(r"\d[\d.]*", text)) <= 3


def _points(depth: int, **shown: tuple[float, float]) -> list[tuple[int, str, float, float]]:
    return [(depth, name, ratio, accuracy) for name, (ratio, accuracy) in shown.items()]


ALL = _points(20, relu=(1.0, 0.75), silu=(1.03, 0.78), mish=(1.55, 0.785), rrelu=(2.0, 0.77))
"""ReLU is more than a point behind, SiLU is not."""


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            [*_points(5, relu=(1.0, 0.8), silu=(1.03, 0.8), mish=(1.55, 0.79), rrelu=(2.0, 0.8)), *ALL,
             *_points(50, relu=(1.0, 0.1), elu=(1.6, 0.9))],  # not every activation was trained
            "Cheapest less than a point behind, 20 layers: silu, 0.5 behind mish on average. At width 64 its step "
            "takes 1.03 times as long as relu's, mish's 1.55 times; the dearest, rrelu's, 2.00 times.",
        ),
        (
            [point for point in ALL if point[1] != "silu"],
            "Cheapest less than a point behind, 20 layers: mish, which scores most. At width 64 its step takes "
            "1.55 times as long as relu's; the dearest, rrelu's, 2.00 times.",
        ),
        (
            _points(5, relu=(1.0, 0.795), mish=(1.55, 0.8)),
            "Cheapest less than a point behind, 5 layers: relu, to whose step the others are compared.",
        ),
        (_points(5, relu=(1.0, 0.795)), None),
        (_points(5, elu=(1.0, 0.795), mish=(1.55, 0.8)), None),
        ([], None),
    ],
)  # fmt: skip
def test_the_cheapest_is_the_quickest_of_those_that_score_about_as_much(points, said):
    found = cheapest(pd.DataFrame(points, columns=["depth", "activation", "ratio", "accuracy"]).assign(width=64))
    assert said == (None if found is None else re.sub("<.*?>", "", str(found)))


def test_the_bar_of_claims_has_a_part_for_each_verdict_as_long_as_its_count():
    said = str(claims_bar({"true": 12, "partly": 5, "false": 14}, "claims"))
    assert re.findall(r'class="(\w+)" x="(\d+)" y="0" width="(\d+)"', said) == [
        ("true", "0", "12"),
        ("partly", "12", "5"),
        ("false", "17", "14"),
    ]
    assert 'viewBox="0 0 31 1"' in said
    assert "12 true</a>" in said
