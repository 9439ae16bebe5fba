"""What the study's own negative controls say of its tests: false alarms, and the power for planted effects."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.controls import false_alarms
from activation_study.analysis.inference import ALPHA, MIN_CELLS, Interval, wilson
from activation_study.claims.validity import PLANTED, SMALLEST, family_size, planted_power
from activation_study.core.numbers import decimals, percent
from activation_study.core.runs import RunId
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import at_right, drawn, panels
from activation_study.report.figures.theme import INK, MUTED, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData, cell_name
from activation_study.report.tables import Table, download, interval, number, significant, text
from activation_study.report.words import counted

NAME, PART, PLACE = "False alarms", "How far to trust it", 10
CALLED = {"test_accuracy": "test accuracy", "log_time": "log steps to the target"}


def section(data: StudyData) -> Section | None:
    alarms = false_alarms(data.twins)
    if alarms.empty or not alarms["comparisons"].sum():
        return None
    lead = _outside(alarms) + Markup(
        "The same function was trained under two names, with seeds that have nothing in common: whatever differs "
        "between such twins is noise. Each comparison is as the claims' are, with tuning and evaluation seeds of its "
        "own, and is put to the study's own two-sided test at {}. It should raise an alarm in {} of them."
    ).format(f"{ALPHA:g}", percent(ALPHA, 0))
    blocks: list[Block] = [Paragraph(lead), _figure(alarms), _table(alarms)]
    if power := _power(data):
        blocks.append(Paragraph(power))
    return Section("validity", "Would the study cry wolf?", blocks)


def _outside(alarms: pd.DataFrame) -> Markup:
    """That it fails, if so, before anything else is said, and in which way."""
    raised, of = int(alarms["alarms"].sum()), int(alarms["comparisons"].sum())
    if (rate := wilson(raised, of)).low <= ALPHA <= rate.high:
        return Markup("")
    how = "cries wolf too often" if rate.low > ALPHA else "is more careful than it says"
    return Markup(
        "<strong>The study {}:</strong> {} of {} comparisons raised an alarm, {} ({}) instead of {}. "
    ).format(how, raised, of, percent(rate.estimate), _bounds(rate), percent(ALPHA, 0))


def _bounds(rate: Interval) -> str:
    return f"{decimals(100 * rate.low)} to {decimals(100 * rate.high)}%"


def _name(row: pd.Series) -> str:
    dataset, condition = row["cell"].split("/", 1)
    factors = RunId(dataset, row["first"], condition).factors
    depth, speed = int(factors["depth"]), ", rates for speed" * (factors.get("select") == "speed")
    names = f"{label(row['first'])} and {label(row['second'])}"
    return f"{names}, {cell_name((dataset, depth, ''))}{speed}, {CALLED[row['metric']]}"


def _figure(alarms: pd.DataFrame) -> Figure:
    frame = alarms.iloc[::-1].reset_index(drop=True)
    total, raised = int(frame["comparisons"].sum()), int(frame["alarms"].sum())
    outside = [_name(row) for _, row in frame.iterrows() if not row["rate_low"] <= ALPHA <= row["rate_high"]]
    whole = wilson(raised, total)
    message = (
        f"{raised} alarms in {total} comparisons of one function with itself: {percent(whole.estimate)} "
        f"(95% Wilson interval {_bounds(whole)}), where {percent(ALPHA, 0)} are due; of the single rows "
    ) + (f"{', '.join(outside)} differ from that." if outside else "none differs from that.")
    with panels(1, 1, 0.8 + 0.3 * len(frame)) as (figure, (axis,)):
        axis.axvline(100 * ALPHA, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        for y, row in frame.iterrows():
            axis.plot([100 * row["rate_low"], 100 * row["rate_high"]], [y, y], color=SERIES[0])
            axis.plot(100 * row["rate"], y, "o", color=SERIES[0], markersize=6)
            at_right(axis, 1.13, y, f"{row['alarms']} of {row['comparisons']}")
        axis.set_yticks(range(len(frame)), [_name(row) for _, row in frame.iterrows()], color=INK)
        axis.set(xlim=(-2, None), ylim=(-0.6, len(frame) - 0.4))
        axis.set_xlabel("false alarms (% of comparisons); dashed: nominal")
        axis.grid(axis="y", visible=False)
        figure.draw_without_rendering()  # the counts move with the axis' width: the layout needs two rounds
        return drawn(figure, "validity", _title(raised, total), message, download("false_alarms", alarms))


def _title(raised: int, total: int) -> str:
    """From the alarms that were raised, of so many comparisons."""
    rate, found = wilson(raised, total), f"{raised} in {total}"
    if rate.low > ALPHA:
        return f"{decimals(raised / total / ALPHA)} times as many false alarms as promised: {found}"
    how = "Fewer false alarms than" if rate.high < ALPHA else "As many false alarms as"
    return f"{how} promised: {found}"


def _table(alarms: pd.DataFrame) -> Table:
    columns = [
        text("Function", "first", heads_row=True),
        text("Its twin", "second"),
        text("Cell", "cell"),
        text("Metric", "metric"),
        number("Seeds", "seeds"),
        significant("Difference over all seeds", "difference"),
        interval("95% interval", "difference", 4, 1, signed=True),
        number("Comparisons", "comparisons"),
        number("Alarms", "alarms"),
        number("Rate (%)", "rate", 1, 100),
        interval("95% interval (%)", "rate"),
    ]
    caption = "One function under two names: differences and false alarms"
    return Table("table-validity", caption, columns, alarms, download("false_alarms", alarms))


def _power(data: StudyData) -> Markup:
    family = family_size(data.tables["ledger"], data.tables["ledger_cells"])
    if not family:
        return Markup("")
    said = []
    for metric, smallest in SMALLEST.values():
        power = planted_power([pair for pair in data.twins if pair.metric == metric], smallest, family)
        if power == power:
            said.append(f"{percent(power, 0)} for {CALLED[metric]}")
    if not said:
        return Markup("")
    return Markup(
        "<strong>Power.</strong> An effect of {} times the smallest that matters, planted into this noise and tested "
        "in {} at the strictest level of Holm's correction for {} tests (of every row, and of its single depths and "
        "datasets), is found true with a probability of {}, by "
        "all of the rules. Twins share no seeds; the claims' comparisons do, and mostly scatter less. Each open row "
        "says what it could have found."
    ).format(f"{PLANTED:g}", counted(MIN_CELLS, "cell"), family, " and ".join(said))
