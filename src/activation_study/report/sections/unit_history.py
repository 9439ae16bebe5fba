"""When units die, whether they come back, and what a negative bias does to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.experiments import bias_doses, scores, unit_balance
from activation_study.core.numbers import decimals, percent
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import Look, colours_of, drawn, label_ends, name_lines, panels, short
from activation_study.report.figures.theme import INK, MUTED, SERIES, emphasis
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, part, seed_columns, text
from activation_study.report.words import fitting, plain_list

NAME, PART, PLACE = "Death and revival", "Why", 40
FOLDS = True
RUN = ["run", "dataset", "activation", "depth"]
FEW = 0.005
"""Share of units from which an activation counts as one whose units die."""
DIED, REVIVED = SERIES[5:7]
"""Colours that no line of a dataset has."""


def section(data: StudyData) -> Section | None:
    layers, runs = data.tables["layers"], data.tables["runs"]
    if not len(layers):
        return None
    balance = unit_balance(data.of_core("layers"), data.runs)
    blocks: list[Block] = []
    if len(balance):
        fates = _fates(balance)
        blocks.append(Paragraph(_lead(balance)))
        most = fates.groupby("activation")["peak"].max()
        if len(most) and most.max() >= FEW:
            blocks.append(_history(balance[balance["activation"] == most.idxmax()], fates, most))
        blocks.append(_fate_table(fates))
    doses = bias_doses(layers, runs)
    if len(doses):
        blocks += [_doses(doses, runs[runs["run"].isin(doses["run"])]), _dose_table(doses, runs)]
    return Section("unit-history", "Units that die and units that revive", blocks) if blocks else None


def _lead(balance: pd.DataFrame) -> str:
    return (
        "Units were probed before training and at a few steps on a log scale. A unit that is dead at one probe and "
        "was not at the one before has died; one that lives again has revived. So the dead at the end are those born "
        "dead, and those that died since, less those that revived: the final count alone hides who came back. Shares "
        f"are of all hidden units, means over {int(balance['n'].max())} seeds at most."
    )


def _fates(balance: pd.DataFrame) -> pd.DataFrame:
    """One row per run: the shares before, during and after training."""
    by_run = balance.sort_values("step").groupby(RUN, as_index=False)
    fates = by_run.agg(
        born_dead=("born_dead", "first"),
        died=("died", "sum"),
        revived=("revived", "sum"),
        dead=("dead", "last"),
        peak=("dead", "max"),
        unusable_001=("unusable_001", "last"),
        unusable_01=("unusable_01", "last"),
        n=("n", "max"),
        diverged=("diverged", "max"),
    )
    return fates.sort_values(["depth", "dataset", "dead"], ascending=[True, True, False], ignore_index=True)


def _history(balance: pd.DataFrame, fates: pd.DataFrame, most: pd.Series) -> Figure:
    """Above dead units over training, below deaths and revivals, of the activation that has most, by depth."""
    name = balance["activation"].iloc[0]
    depths = sorted(balance["depth"].unique())[:4]
    styles = emphasis(sorted(balance["dataset"].unique())[:5])
    own = fates[fates["activation"] == name]
    sums = own.groupby("depth")[["born_dead", "died", "revived", "dead"]].mean()
    others = most[most >= FEW].drop(name).index.tolist()
    message = (
        "Above: share of all hidden units that are dead, a line per dataset; below: share that died (up) and revived "
        "(down) since the probe before, mean over datasets. "
        + " ".join(
            f"At {depth} layers {percent(row['born_dead'])} are born dead, {percent(row['died'])} die, "
            f"{percent(row['revived'])} revive and {percent(row['dead'])} are dead at the end."
            for depth, row in sums.iterrows()
        )
        + f" Others with {percent(FEW)} or more dead at some probe: {plain_list(others) or 'none'}."
    )
    kept = [*RUN[1:], "step", "n", "diverged", "dead", "born_dead", "died", "revived", "unusable_001", "unusable_01"]
    with panels(2 * len(depths), len(depths), 1.9, share=False) as (figure, axes):
        for place, depth in enumerate(depths):
            rows = balance[balance["depth"] == depth]
            steps = sorted(rows["step"].unique())
            above, below = axes[place], axes[place + len(depths)]
            for dataset, style in styles.items():
                one = rows[rows["dataset"] == dataset].sort_values("step")
                at = [steps.index(step) for step in one["step"]]
                above.plot(at, one["dead"] * 100, color=style.colour, linestyle=style.line, linewidth=1.4)
            above.set(title=f"{depth} layers", ylim=(0, max(1.0, balance["dead"].max() * 105)))
            moves = rows.groupby("step")[["died", "revived"]].mean() * 100
            below.bar(range(len(steps)), moves["died"], color=DIED, width=0.7)
            below.bar(range(len(steps)), -moves["revived"], color=REVIVED, width=0.7)
            below.axhline(0, color=INK, linewidth=0.7)
            for axis in (above, below):
                _step_ticks(axis, steps)
        reach = max(abs(end) for axis in axes[len(depths) :] for end in axis.get_ylim())
        for axis in axes[len(depths) :]:
            axis.set_ylim(-reach, reach)
        for said, y, colour in (("died", 0.95, DIED), ("revived", 0.05, REVIVED)):
            left: Look = {"transform": axes[len(depths)].transAxes, "va": "center"}
            axes[len(depths)].text(0.03, y, said, color=colour, **left)
        name_lines(figure, styles)
        axes[0].set_ylabel("dead units (%)")
        axes[len(depths)].set_ylabel("of all units (%)")
        figure.supxlabel("training step", color=MUTED)
        return drawn(figure, "unit-history", _fate(name, sums), message, download("unit_history", balance[kept]))


def _fate(name: str, sums: pd.DataFrame) -> str:
    """Title from the shares of units that died and revived, a row per depth, of the activation that has most."""
    deep = sums.iloc[-1]
    back = deep["revived"] / deep["died"] if deep["died"] else 0.0
    if back < 0.05:
        return f"Units of {label(name)} that die stay dead"
    if back > 1:
        return f"More of {label(name)}'s units revive than die, {sums.index[-1]} layers"
    return f"Of {label(name)}'s units that die {percent(back, 0)} revive, {sums.index[-1]} layers"


def _step_ticks(axis: Axes, steps: list[int]) -> None:
    shown = range(len(steps)) if len(steps) < 8 else range(0, len(steps), 2)
    axis.set_xticks(shown, [f"{steps[place]:,}" for place in shown])
    axis.set_xlim(-0.6, len(steps) - 0.4)


def _fate_table(fates: pd.DataFrame) -> Table:
    columns = [
        text("Dataset", "dataset"),
        number("Layers", "depth"),
        text("Activation", "activation", heads_row=True),
        number("Born dead (%)", "born_dead", 1, 100),
        number("Died (%)", "died", 1, 100),
        number("Revived (%)", "revived", 1, 100),
        number("Dead at the end (%)", "dead", 1, 100),
        number("Unusable at 0.001 (%)", "unusable_001", 1, 100),
        number("Unusable at 0.01 (%)", "unusable_01", 1, 100),
        *seed_columns(),
    ]
    caption = "Units that were born dead, died and revived, in percent of all hidden units; deaths are counted anew"
    return Table("table-unit-history", caption, columns, fates, download("unit_fates", fates.drop(columns="run")))


def _trained(runs: pd.DataFrame) -> str:
    """How these runs were trained, where all of them were alike."""
    used = runs[["optimiser", "steps"]].drop_duplicates()
    if len(used) > 1:
        return ""
    clipped = "" if runs["clip"].notna().any() else " without clipping"
    return f"Trained with {used['optimiser'].item()}{clipped} for {used['steps'].item():,} steps. "


def _doses(doses: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    by_layer = doses.groupby(["activation", "initial_bias", "layer"], as_index=False).agg(
        born_dead=("born_dead", "mean"), dead=("dead", "mean"), n=("n", "sum"), diverged=("diverged", "sum")
    )
    peak = by_layer.groupby("activation")["born_dead"].max().sort_values(ascending=False, kind="stable")
    names = peak.index.tolist()
    levels = sorted(by_layer["initial_bias"].unique(), reverse=True)[:5]
    styles = emphasis([f"bias {decimals(level, 2)}" for level in levels])
    worst = by_layer[by_layer["activation"] == names[0]].groupby("initial_bias")[["born_dead", "dead"]].mean()
    spared = [name for name in names if peak[name] < FEW]
    message = (
        "Share of the layer's units that are dead before training (dashed) and at its end (solid), means over seeds "
        f"and datasets; the bias is in standard deviations of the pre-activations. {_trained(runs)}"
        + f"With {names[0]}, before and after training: "
        + "; ".join(
            f"{percent(row['born_dead'])} and {percent(row['dead'])} at {decimals(level, 2)}"
            for level, row in worst.sort_index(ascending=False).iterrows()
        )
        + "."
        + (f" No unit dies with {plain_list(spared)}." if spared else "")
    )
    kept = by_layer[["activation", "initial_bias", "layer", "n", "diverged", "born_dead", "dead"]]
    shown = [name for name in names if name not in spared] or names[:1]
    with panels(len(shown), len(shown), 2.6) as (figure, axes):
        for axis, name in zip(axes, shown, strict=True):
            ends: dict[str, tuple[float, float]] = {}
            for level, (said, style) in zip(levels, styles.items(), strict=True):
                rows = by_layer[(by_layer["activation"] == name) & (by_layer["initial_bias"] == level)]
                look: Look = {"color": style.colour, "linewidth": 1, "linestyle": (0, (3, 1.5))}
                axis.plot(rows["layer"], rows["born_dead"] * 100, **look)
                axis.plot(rows["layer"], rows["dead"] * 100, color=style.colour, marker=style.marker, markersize=4)
                ends |= {said: (rows["layer"].iloc[-1], rows["dead"].iloc[-1] * 100)} if len(rows) else {}
            layers = sorted(by_layer["layer"].unique())
            axis.set(title=short(name), ylim=(-3, 103), xlabel="layer")
            axis.set_xticks(layers if len(layers) < 8 else layers[::5])
            label_ends(axis, ends, colours_of(styles))
        axes[0].set_ylabel("dead units (%)")
        return drawn(figure, "bias", _harm(peak), message, download("dead_units_by_bias", kept))


def _harm(peak: pd.Series) -> str:
    """Title from the largest share of dead units before training, by activation, most first."""
    if peak.iloc[0] < FEW:
        return "With a negative bias no unit begins dead"
    share = f"{percent(peak.iloc[0], 0)} of a layer dead"
    return fitting(
        f"A negative bias starts {label(str(peak.index[0]))} with {share}", f"A negative bias leaves {share}"
    )


def _dose_table(doses: pd.DataFrame, runs: pd.DataFrame) -> Table:
    """With what it does to learning: the other half of the question."""
    units = doses.groupby("run", as_index=False)[["born_dead", "dead"]].mean()
    frame = scores(runs[runs["run"].isin(units["run"])]).merge(units, on="run")
    frame = frame.sort_values(
        ["activation", "dataset", "initial_bias"], ascending=[True, True, False], ignore_index=True
    )
    columns = [
        text("Activation", "activation", heads_row=True),
        text("Dataset", "dataset"),
        number("Initial bias (sd)", "initial_bias", 2),
        number("Dead before training (%)", "born_dead", 1, 100),
        number("Dead at the end (%)", "dead", 1, 100),
        number("Test accuracy (%)", "test_accuracy", 1, 100),
        interval("95% interval (%)", "test_accuracy"),
        part("Reached the target", "reached", "n"),
        number("Diverged", "diverged"),
    ]
    kept = ["activation", "dataset", "initial_bias", "born_dead", "dead", "test_accuracy", "test_accuracy_low"]
    kept += ["test_accuracy_high", "reached", "n", "diverged"]
    caption = "A negative initial bias: dead units over all hidden layers, and what the networks learn"
    return Table("table-bias", caption, columns, frame, download("negative_bias", frame[kept].replace(np.inf, np.nan)))
