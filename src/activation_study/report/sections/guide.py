"""The article's three steps, with what the ranking says beside each."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.report.data import StudyData
from activation_study.report.document import Items, Paragraph, Section
from activation_study.report.tables import decimals
from activation_study.report.words import code, standing

ARTICLE = "https://blog.paperspace.com/vanishing-gradients-activation-function/"
STEPS = (
    (
        "Try ReLU first.",
        "It is simple, cheap and easy to write, and it has served many people well.",
        ("relu",),
    ),
    (
        "If ReLU disappoints, try Leaky ReLU or ELU.",
        "The article finds activations centred on zero much better. It prefers ELU where computing time allows, and "
        "Leaky ReLU for very large networks.",
        ("leaky_relu", "elu"),
    ),
    (
        "With time to spare, compare PReLU and RReLU as well.",
        "RReLU where the network over-fits; PReLU, which learns its slopes, only with much training data.",
        ("prelu", "rrelu"),
    ),
)


def section(data: StudyData) -> Section | None:
    if not len(data.overall):
        return None
    steps = [
        Markup('<strong>{}</strong> {} <span class="evidence"><em>In this study:</em> {}</span>').format(
            step, why, Markup(" ").join(standing(data, name) for name in names) + _extra(data, names)
        )
        for step, why, names in STEPS
    ]
    lead = Markup(
        'The <a href="{}">article that this study examines</a> ends on three steps. The order of the ranking stands '
        "beside each; it is evidence on these networks, not on the reasons that the article gives."
    ).format(ARTICLE)
    return Section("guide", "The article's guide, and this ranking", [Paragraph(lead), Items(steps, numbered=True)])


def _extra(data: StudyData, names: tuple[str, ...]) -> Markup:
    """What the ranking holds on the third step's two conditions."""
    if "rrelu" not in names:
        return Markup("")
    gaps = data.ranking.groupby("activation")["generalisation_gap"].mean()
    said = Markup("")
    if {"rrelu", "relu"} <= set(gaps.index) and not pd.isna(gaps[["rrelu", "relu"]]).any():
        said = Markup(" The mean gap between test and training loss is {} with {} and {} with {}.").format(
            decimals(gaps["rrelu"], 2), code("rrelu"), decimals(gaps["relu"], 2), code("relu")
        )
    return said + Markup(" Every network here saw the same training set, so nothing tests “with much data”.")
