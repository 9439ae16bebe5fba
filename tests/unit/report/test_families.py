"""Activations of one class share a panel of the portraits, and say what they differ in."""

from __future__ import annotations

import pandas as pd

from activation_study.report.sections.portraits import _parted, families

DEFINITIONS = pd.Series(
    {
        "relu": "ReLU()",
        "leaky": "LeakyReLU(negative_slope=0.01)",
        "mine": "maximum(x, -1)",
        "yours": "maximum(x, -2)",
        "leakier": "LeakyReLU(negative_slope=0.2)",
        "paper": "my.module:LeakyReLU()",
        "grown": "(x + 1)",
    }
)


def test_those_of_one_class_stand_together_where_the_first_of_them_stood():
    names = ["relu", "leaky", "mine", "leakier", "yours", "paper", "grown", "unheard_of"]
    assert families(names, DEFINITIONS) == [
        ["relu"], ["leaky", "leakier"], ["mine"], ["yours"], ["paper"], ["grown"], ["unheard_of"],
    ]  # fmt: skip


def test_names_are_parted_between_words():
    assert _parted(["Leaky ReLU 0.01", "Leaky ReLU 0.18"]) == ("Leaky ReLU", "0.01, 0.18")
    assert _parted(["RReLU 0.2 to 0.4", "RReLU"]) == ("RReLU", "0.2 to 0.4, RReLU")
    assert _parted(["mine", "yours"]) == ("mine", "mine, yours")
    assert _parted(["elu_1", "elu_12"]) == ("elu_1", "elu_1, elu_12")
