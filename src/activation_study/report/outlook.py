"""What the page says of a new dataset, in sentences that the numbers support."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.new_datasets import ALL
from activation_study.core.numbers import decimals, percent
from activation_study.report.study_data import StudyData
from activation_study.report.words import bounds, code, listed


def outlook(data: StudyData) -> Markup:
    """What ReLU alone and what was best elsewhere cost on a dataset that the study has not seen."""
    count = data.sampled.index.get_level_values(0).nunique()
    said = Markup("<strong>And on a new dataset?</strong> On one like these {}, {} {} {}").format(
        count,
        _cost(data, "step 1", Markup("tuning {} alone").format(code("relu"))),
        _better(data.effects),
        _learnt(data),
    )
    return said + Markup(' <a href="#new-datasets">How that is known.</a>')


def _cost(data: StudyData, policy: str, words: Markup) -> Markup:
    """Expected regret with its interval, and a bound for a single dataset that no distribution is assumed for."""
    row = data.policies.set_index("policy").loc[policy]
    sure = row["datasets"] / (row["datasets"] + 1)
    return Markup(
        "{} is expected to cost {} points of test accuracy (95% interval {}) against comparing every activation, and "
        "at most {} with a probability of {}."
    ).format(
        words, decimals(100 * row["regret"]), bounds(row, "regret"), decimals(100 * row["worst"]), percent(sure, 0)
    )


def _learnt(data: StudyData) -> Markup:
    """The same of the activation that was best on the other datasets."""
    if "best fixed" not in set(data.policies["policy"]):
        return Markup("")
    row = data.policies.set_index("policy").loc["best fixed"]
    own = data.regret[data.regret["policy"] == "best fixed"].drop_duplicates("dataset")
    picks = own["pick"].value_counts()
    words = Markup("Taking what was best on the others ({})").format(
        Markup(", ").join(Markup("{} {}×").format(code(name), times) for name, times in picks.items())
    )
    saved = "less" if row["saved_low"] > 0 else "more" if row["saved_high"] < 0 else "neither shown to be less nor more"
    return _cost(data, "best fixed", words) + Markup(" That is {} than with {}.").format(saved, code("relu"))


def _better(effects: pd.DataFrame) -> Markup:
    """Which activations a new dataset is expected to score higher and lower with."""
    rows = effects[(effects["condition"] == ALL) & (effects["p_holm"] < ALPHA)].sort_values("difference")
    higher, lower = rows[rows["difference"] > 0][::-1], rows[rows["difference"] < 0]
    if rows.empty:
        return Markup("No other activation is shown to score more or less than it, over datasets.")
    parts = []
    if len(higher):
        first = higher.iloc[0]
        parts.append(
            Markup("{} {} expected to score more: {} by {} points ({}), on a single dataset by {} to {}").format(
                listed(higher["activation"]),
                "is" if len(higher) == 1 else "are",
                code(first["activation"]),
                decimals(100 * first["difference"]),
                bounds(first, "difference"),
                *(decimals(100 * first[f"new_{end}"], signed=True) for end in ("low", "high")),
            )
        )
    if len(lower):
        alone = Markup("None is shown to score more than it over datasets, and {} to score less")
        parts.append((Markup("{} less") if parts else alone).format(listed(lower["activation"])))
    return Markup("; ").join(parts) + "."
