"""The first screen: which activation, how far that reaches, how sure it is."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.inference import MIN_SEEDS
from activation_study.analysis.policies import article_rows
from activation_study.claims.outcomes import counted_claims
from activation_study.core.numbers import decimals, percent
from activation_study.core.runs import as_text
from activation_study.guide.chooser import MLP
from activation_study.guide.wording import meaning
from activation_study.report.blocks import Block, Facts, Figure, Paragraph, Section
from activation_study.report.figures.drawing import at_right, drawn, mark, name_rows, panels, reach
from activation_study.report.figures.theme import MUTED, OTHERS, PAPER, SERIES
from activation_study.report.names import label
from activation_study.report.outlook import outlook
from activation_study.report.sections.profiles import identifiers
from activation_study.report.situations import cheapest, claims_bar, headline, situations, table
from activation_study.report.study_data import StudyData
from activation_study.report.tables import download
from activation_study.report.trust import rests_on, trust
from activation_study.report.words import (
    NO_ARTICLE,
    NUMBERS,
    bounds,
    counted,
    drawn_of,
    fitting,
    listed,
    plain_list,
    standing,
)

NAME, PART, PLACE = "In short", "The answer", 0
FACTORS = {
    "width": "width {}",
    "optimiser": "optimiser {}",
    "clip": "gradients clipped at a norm of {}",
    "initialisation": "initialisation {}",
    "normalisation": "normalisation {}",
    "batch_size": "batches of {}",
}


NEAR = 0.01
"""The difference of accuracy that the claims call the smallest that matters."""


def section(data: StudyData) -> Section:
    """Always there: without scores it says that there are none."""
    found = situations(data) if data.gives_verdicts else []
    blocks: list[Block] = [Paragraph(_unfinished(data), "gap")] if data.state else []
    blocks.append(Paragraph(headline(found) if found else _answer(data), "lead"))
    if len(data.overall) and not data.gives_verdicts:
        blocks.append(Paragraph(_no_verdicts(data), "note"))
    if found:
        blocks.append(table(data, found, identifiers(data)))
    trusted = trust(data.validity) if data.validity else Markup("<strong>How far to trust it.</strong>")
    new = outlook(data) if len(data.sampled) else None
    said = [cheapest(data.trade_off), new, trusted + " " + _reach(data), _claims(data.tables["ledger"])]
    blocks += [Paragraph(text) for text in said if text]
    if len(data.overall) and data.overall["accuracy"].notna().any():
        blocks += [Paragraph(_answer(data)), _differences(data)] if found else [_differences(data)]
    blocks.append(Paragraph(_caveat(data), "note"))
    facts = [("How sure it is", _confidence(data))] if len(data.overall) else []
    facts += [("Single seeds, divergence", rests_on(data.validity))] if data.validity else []
    blocks.append(Facts([*facts, *_scope(data)]))
    return Section("answer", "Which activation function should I use, and why?", blocks)


def _unfinished(data: StudyData) -> Markup:
    said = "<strong>Not finished.</strong> {} What is missing is marked as without data, and there are no verdicts yet."
    return Markup(said).format(data.state)


def _answer(data: StudyData) -> Markup:
    complete = data.overall[data.overall["accuracy"].notna()] if len(data.overall) else data.overall
    if complete.empty:
        return Markup("This run has no scores to rank activations by: see the gaps below.")
    best = complete.iloc[0]
    first = Markup("{} had the highest mean test accuracy: {} (95% interval {}) over {}.").format(
        listed([best["activation"]]),
        percent(best["accuracy"]),
        bounds(best, "accuracy"),
        counted(len(data.common), "combination") + " of dataset and depth",
    )
    if not data.gives_verdicts:
        behind = complete["activation"].iloc[1:4]
        return first + (Markup(" Next came {}.").format(listed(behind, "then")) if len(behind) else Markup(""))
    tied = complete[complete["tied"]].iloc[1:]
    said = _not_distinguishable(tied) if len(tied) else Markup(" Every other activation is distinguishable from it.")
    told_of = {best["activation"], *tied["activation"]}
    return first + said + (Markup(" ") + standing(data, "relu") if "relu" in set(data.order) - told_of else Markup(""))


def _not_distinguishable(tied: pd.DataFrame) -> Markup:
    """Those not distinguishable from the best: as good within a point, or not settled."""
    near = tied["difference_low"] >= -NEAR
    said = Markup("")
    if near.any():
        verb = "is" if near.sum() == 1 else "are"
        said += Markup(" {} {} as good, within a point.").format(listed(tied.loc[near, "activation"]), verb)
    if (~near).any():
        worst = decimals(-100 * tied.loc[~near, "difference_low"].min())
        said += Markup(
            " {} cannot be distinguished from it either, as the interval is too wide{}: up to {} points worse is "
            "possible."
        ).format(listed(tied.loc[~near, "activation"]), _diverged(tied[~near]), worst)
    return said


def _diverged(rows: pd.DataFrame) -> str:
    count, of = int(rows["diverged"].sum()), int(rows["n"].sum())
    return f" ({count} of these {of} networks diverged)" if count else ""


def _claims(ledger: pd.DataFrame) -> Markup | None:
    """The article's claims as one bar, each counted once."""
    if ledger.empty:
        return None
    rows = article_rows(ledger)
    if rows.empty:
        return Markup("<strong>And the article's reasons?</strong> {}").format(NO_ARTICLE)
    count = counted_claims(rows)
    return Markup('<strong>The article\'s <a href="#ledger">{} claims</a>:</strong> {}').format(
        sum(count.values()), claims_bar(count, rows["family"].iloc[0])
    )


def _no_verdicts(data: StudyData) -> Markup:
    return Markup(
        "<strong>A small run: no statistical verdicts.</strong> It has {}, and fewer than {} decide nothing. The order "
        "below describes these runs; it does not say which differences would come back."
    ).format(counted(data.seeds, "evaluation seed"), NUMBERS[MIN_SEEDS])


def _reach(data: StudyData) -> Markup:
    networks, datasets = _networks(data), data.ranking["dataset"].drop_duplicates()
    if data.tables["runs"]["network"].nunique() > data.runs["network"].nunique():
        said = "All below is of {} on {}; of other networks it has the table above, and what claims say of them."
        return Markup(said).format(networks, listed(datasets))
    if len(data.sampled):
        return Markup("Its networks are {}: it says nothing of others.").format(networks)
    what = "dataset" if len(datasets) == 1 else "datasets"
    return Markup("Its networks are {}, its {} {}: it says nothing of others.").format(networks, what, listed(datasets))


def _caveat(data: StudyData) -> Markup:
    datasets = data.ranking["dataset"].drop_duplicates().tolist()
    depths = [f"{depth}" for depth in sorted({depth for _, depth, _ in data.common})]
    return Markup(
        "<strong>How far this reaches.</strong> {} only, with {} hidden layers, after {} steps of training, on {}. {}{}"
    ).format(
        _networks(data).capitalize(),
        plain_list(depths),
        _steps(data),
        listed(datasets),
        _inference(data),
        _beyond(data),
    )


def _inference(data: StudyData) -> str:
    """What varies at random where intervals are given."""
    if len(data.sampled):
        return "The intervals say what other random seeds would change, but where new datasets are named."
    return "The intervals say what other random seeds would change, not what another dataset would."


def _networks(data: StudyData) -> str:
    said = plain_list([meaning(name) for name in sorted(data.runs["network"].unique())])
    plain = set(data.runs["network"]) == {MLP} and set(data.runs["normalisation"]) == {"none"}
    return f"{said} without shortcuts or normalisation" if plain else said


def _steps(data: StudyData) -> str:
    common = {depth for _, depth, _ in data.common}
    steps = data.runs.loc[data.runs["depth"].isin(common), "steps"]
    return f"{steps.min():,}" if steps.nunique() == 1 else f"{steps.min():,} to {steps.max():,}"


def _beyond(data: StudyData) -> str:
    """What was run for some activations only."""
    depths = sorted({depth for _, depth, _ in set(data.cells) - set(data.common)})
    named = plain_list([f"{depth}" for depth in depths])
    return f" Networks of {named} layers were run for some activations only." if depths else ""


def _scope(data: StudyData) -> list[tuple[str, str | Markup]]:
    runs, scored = data.runs, data.ranking
    used = {factor: sorted(runs[factor].dropna().unique()) for factor in FACTORS}
    setting = [FACTORS[factor].format(", ".join(map(as_text, values))) for factor, values in used.items() if values]
    steps = runs.groupby("depth")["steps"].unique().map(sorted)
    setting += [f"{', '.join(map(str, count))} steps at {depth} layers" for depth, count in steps.items()]
    facts = [
        ("Networks", f"{_networks(data)}: {', '.join(setting)}"),
        ("Datasets", ", ".join(sorted(scored["dataset"].unique())) or "none available"),
        ("Hidden layers", ", ".join(map(str, sorted(scored["depth"].unique()))) or "none"),
        ("Activations", _activations(data)),
        (
            "Evaluation seeds",
            f"{data.seeds} fresh ones per run, the same for every activation, so that differences are paired",
        ),
    ]
    return facts


def _activations(data: StudyData) -> Markup:
    said = Markup("{}, each at the learning rates that its tuning seeds chose").format(len(data.order))
    if data.tables["activations"].empty:
        return said
    return said + Markup('; <a href="#table-activations">what each name stands for</a>')


def _confidence(data: StudyData) -> str:
    """What the numbers rest on, and what the words mean."""
    networks, diverged = (int(data.evaluation[name].sum()) for name in ("networks", "networks_diverged"))
    lost = f"{diverged:,} diverged and count at chance" if diverged else "none diverged"
    said = (
        f"{networks:,} networks on {counted(data.seeds, 'fresh seed')} per run, at every learning rate that tuning may "
        f"choose; {lost}; {data.intervals}"
    )
    if not data.gives_verdicts:
        return f"{said}, as a description; no tests"
    return f"{said}; “distinguishable”: a Holm-adjusted p below 0.05 on paired differences"


def _differences(data: StudyData) -> Figure:
    known = data.overall["accuracy"].notna() & data.overall["activation"].isin(data.few.order)
    frame = data.overall[known].iloc[::-1].reset_index(drop=True)
    best = data.order[0]
    open_ = frame["tied"].astype(bool) & (frame["difference_low"] < -NEAR) & data.gives_verdicts
    level = frame["tied"].astype(bool) & ~open_ | (not data.gives_verdicts)
    shown = reach(-100 * frame["difference"])
    worst, above = -shown * 1.04, shown * 0.25
    with panels(1, 1, 0.8 + 0.24 * len(frame)) as (figure, (axis,)):
        axis.axvline(0, color=MUTED, linewidth=0.8)
        for y, row in frame.iterrows():
            colour = SERIES[0] if level[y] else OTHERS
            face = PAPER if open_[y] else colour
            at, low, high = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
            said, *ends = (decimals(value, 2, signed=True) for value in (at, low, high))
            told = mark(row["activation"], f"{said} points ({ends[0]} to {ends[1]})")
            over = {"clip_on": False, "in_layout": False}
            if high > worst:
                bar = [max(low, worst), min(high, above)]
                axis.plot(bar, [y, y], color=colour, linewidth=1.8, solid_capstyle="butt", **told)
            if low < worst:
                axis.plot(worst, y, ">", color=colour, markerfacecolor=face, markersize=6, **over, **told)
            if high > above:
                axis.plot(above, y, "<", color=colour, markerfacecolor=face, markersize=6, **over, **told)
            if at >= worst:
                axis.plot(at, y, "o", color=colour, markerfacecolor=face, markersize=6, **told)
            at_right(axis, 1.09, y, f"{decimals(row['accuracy'] * 100)}%")
            at_right(axis, 1.18, y, said)
            at_right(axis, 1.3, y, f"{row['diverged']} of {row['n']}" if row["diverged"] else "–", MUTED)
        for x, head in ((1.09, "mean"), (1.18, "points"), (1.3, "diverged")):
            at_right(axis, x, len(frame) - 0.1, head, MUTED)
        name_rows(axis, frame["activation"], pad=8)
        # The best beside the names: on a phone the figure's left half alone is seen before it is scrolled.
        axis.set(xlim=(above, worst), ylim=(-0.6, len(frame) - 0.4))
        axis.set_xlabel(f"difference from {label(best)}, percentage points of test accuracy")
        axis.tick_params(length=0)
        axis.grid(axis="y", visible=False)
        figure.draw_without_rendering()  # the columns move with the axis' width: the layout needs two rounds
        title, message = _title(data, frame, level), _message(data, frame, best)
        return drawn(figure, "answer", title, message, download("overall", data.overall))


def _title(data: StudyData, frame: pd.DataFrame, level: pd.Series) -> str:
    """From which activations are level with the best (one per row of `frame`, the best last)."""
    best = label(str(frame["activation"].iloc[-1]))
    others = [label(name) for name in frame.loc[level, "activation"].iloc[::-1]][1:]
    if not data.gives_verdicts:
        return f"{best} scores most in this small run"
    if not others:
        return f"{best} scores most, and none is shown to be as good"
    return fitting(
        f"{best} scores most, and {plain_list(others)} as much within a point",
        f"{best} scores most, and {counted(len(others), 'other')} as much within a point",
    )


def _message(data: StudyData, frame: pd.DataFrame, best: str) -> str:
    last = frame.iloc[0]
    said = f"Mean paired difference from {best} with its 95% interval, each by itself; left is better. "
    if data.gives_verdicts:
        said += "Blue: as good within a point; hollow: not settled; grey: worse, also after correction for all tests. "
    if len(frame) > 1:
        said += f"{last['activation']} comes last, {decimals(-last['difference'] * 100)} points behind."
        said += " An arrow: beyond the axis. A network that diverged counts as guessing."
    return said + drawn_of(data)
