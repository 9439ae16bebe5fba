"""Sentences from numbers, the same wording everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from markupsafe import Markup

from activation_study.core.numbers import decimals, percent
from activation_study.report.names import defined, is_activation, label
from activation_study.report.study_data import StudyData

NO_ARTICLE = Markup(
    "No claims file of this study says <code>article: true</code>, so no verdict is on the article's claims."
)
LONGEST_LIST, NAMED = 30, 8
"""Names up to which a sentence says all of them, and how many it says of more."""
MOST_WORDS = 12
"""Words of a figure's title."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def code(name: str) -> Markup:
    """A name of the config; an activation by what readers call it, with the config's name beside it on demand."""
    if is_activation(name):
        return Markup('<span class="activation" title="{}">{}</span>').format(defined(name), label(name))
    return Markup("<code>{}</code>").format(name)


def listed(names: Iterable[str], last: str = "and") -> Markup:
    """Names as code, in a sentence: "a, b and c"."""
    names = list(names)
    marked = [code(name) for name in names[: None if len(names) <= LONGEST_LIST else NAMED]]
    marked += [Markup("{} others").format(len(names) - NAMED)] if len(marked) < len(names) else []
    if len(marked) < 2:
        return Markup("").join(marked)
    return Markup("{} {} {}").format(Markup(", ").join(marked[:-1]), last, marked[-1])


def drawn_of(data: StudyData) -> str:
    """A figure's last sentence where it leaves something out."""
    return f" Drawn: {data.folded}." if data.folded else ""


def _few(names: Sequence[str]) -> list[str]:
    """Of more names than a sentence can hold the first, and how many others there are."""
    return list(names) if len(names) <= LONGEST_LIST else [*names[:NAMED], f"{len(names) - NAMED} others"]


def plain_list(names: Sequence[str]) -> str:
    """The same for text without markup, such as a figure's description."""
    said = [label(name) for name in _few(names)]
    return " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))


def fitting(*titles: str) -> str:
    """The first of these titles that is short enough; the last one is."""
    return next((title for title in titles if len(title.split()) <= MOST_WORDS), titles[-1])


def counted(count: int, noun: str) -> str:
    """Small numbers in words: "three datasets"."""
    word = NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"
    return f"{word} {noun}{'s' * (count != 1)}"


def pictured(data: StudyData) -> str:
    """Which of many datasets have panels of their own."""
    shown, of = (len({dataset for dataset, _, _ in cells}) for cells in (data.pictured, data.cells))
    return f" Drawn are the first {NUMBERS[shown]} of {of} datasets; the tables have all." if shown < of else ""


def bounds(row: pd.Series, column: str, digits: int = 1, *, signed: bool = False) -> str:
    """The interval of a share, in percent or percentage points."""
    low, high = (decimals(row[f"{column}_{end}"] * 100, digits, signed=signed) for end in ("low", "high"))
    return f"{low} to {high}"


def standing(data: StudyData, name: str) -> Markup:
    """Where an activation stands in the overall ranking, in a sentence."""
    position = {row["activation"]: (place, row) for place, (_, row) in enumerate(data.overall.iterrows(), 1)}
    if name not in position:
        return Markup("{} was not part of this study.").format(code(name))
    place, row = position[name]
    if pd.isna(row["accuracy"]):
        cells = f"{row['cells']} of {row['of']}"
        return Markup("{} has scores in {} combinations only, so it is not ranked.").format(code(name), cells)
    best = data.order[0]
    complete = int(data.overall["accuracy"].notna().sum())
    said = Markup("{} ranks {} of {} with {}").format(code(name), place, complete, percent(row["accuracy"]))
    if name == best:
        return said + ", the highest mean."
    apart = Markup(", {} points below {}").format(decimals(-row["difference"] * 100, 2), code(best))
    if not data.gives_verdicts:
        return said + apart + "."
    how = "not distinguishable" if row["tied"] else "distinguishable"
    return said + apart + Markup(" (95% interval {}): {}.").format(bounds(row, "difference", 2, signed=True), how)
