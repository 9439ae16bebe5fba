"""Whether zero-centred activations learn faster: across activations, and with nothing changed but the centring."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.experiments import centredness, centring_pairs, scores
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, label_points, panels, plain_log, short
from activation_study.report.figures.theme import MUTED, OTHERS, PAPER, SERIES, looks
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, interval, number, text
from activation_study.report.words import counted

NAME, PART, PLACE = "Zero-centring", "Why", 60
FOLDS = True
SHOWS = ("core.centredness",)


def section(data: StudyData) -> Section | None:
    layers, runs = data.tables["layers"], data.tables["runs"]
    if not len(layers):
        return None
    blocks: list[Block] = []
    across = _across(data)
    if across["of_units"].notna().any():
        blocks += [Paragraph(_lead()), _scatter(data, across)]
    pairs = centring_pairs(layers, runs)
    if len(pairs):
        blocks += [
            Paragraph(
                "Activations differ in more than their mean. So some were trained twice: as they are, and with their "
                "mean under N(0, 1) subtracted and given back by the next layer's initial biases. Both networks begin "
                "as the same function with the same δ; only the weights' gradients see other inputs."
            ),
            _arrows(pairs),
            _table(pairs),
        ]
    return Section("centring", "Zero-centred activations and speed", blocks) if blocks else None


def _lead() -> str:
    return (
        "A layer is off centre by the median over its units of |mean activation|, in units of the layer's standard "
        "deviation; here before training, the mean over hidden layers and seeds. Speed is the number of steps to the "
        "target; a network that never reaches it counts with the whole budget."
    )


def _across(data: StudyData) -> pd.DataFrame:
    """The shallowest cells, where nearly all learn: one row per run of the core."""
    layers = data.tables["layers"]
    table = scores(data.runs)
    table = table[table["depth"] == table["depth"].min()]
    off_centre = centredness(layers[layers["run"].isin(table["run"])], data.runs)
    return table.merge(off_centre.reset_index(), on="run", how="left")


def _scatter(data: StudyData, across: pd.DataFrame) -> Figure:
    datasets = sorted(across["dataset"].unique())
    depth = across["depth"].iloc[0]
    order = {
        dataset: rows[["of_units", "log_time"]].corr(method="spearman").iloc[0, 1]
        for dataset, rows in across.groupby("dataset")
    }
    never = across[across["reached"] < across["n"]]
    title = f"Centredness and steps to the target, {depth} layers"
    message = (
        "One mark per activation, named where it is emphasised or stands apart: the geometric mean over seeds of the "
        "steps to the target, against how far its layers are off centre before training; both on log scales. Hollow "
        "triangles: some network never reached the target, and the true time is longer. Rank correlation, above 0 "
        "where off-centre activations are slower: "
        + "; ".join(f"{decimals(rho, 2, signed=True)} on {dataset}" for dataset, rho in order.items())
        + f". {counted(len(never), 'run').capitalize()} of {len(across)} are censored."
    )
    kept = ["dataset", "activation", "depth", "of_units", "of_layers", "log_time", "log_time_low", "log_time_high"]
    kept += ["reached", "n", "diverged", "horizon"]
    with panels(len(datasets), min(len(datasets), 3), 2.8, share=False) as (figure, axes):
        for place, (axis, dataset) in enumerate(zip(axes, datasets, strict=True)):
            rows = across[across["dataset"] == dataset].dropna(subset=["of_units"])
            named = _worth_naming(data, rows)
            for row in rows.assign(steps=np.exp(rows["log_time"])).to_dict("records"):
                colour = SERIES[0] if row["activation"] in named else OTHERS
                mark, face = ("o", colour) if row["reached"] == row["n"] else ("^", PAPER)
                axis.plot(row["of_units"], row["steps"], mark, color=colour, markerfacecolor=face, markersize=5.5)
            axis.set(title=short(dataset, 36), xscale="log", yscale="log")
            axis.set_xlim(rows["of_units"].min() / 1.5, rows["of_units"].max() * 1.6)
            axis.set_ylim(np.exp(rows["log_time"].min()) / 1.3, np.exp(rows["log_time"].max()) * 1.3)
            plain_log(axis.xaxis)
            plain_log(axis.yaxis)
            at = rows.drop_duplicates("activation").set_index("activation").loc[named]
            others = rows[~rows["activation"].isin(named)]
            label_points(
                axis,
                dict(zip(named, zip(at["of_units"], np.exp(at["log_time"]), strict=True), strict=True)),
                dict.fromkeys(named, SERIES[0]),
                list(zip(others["of_units"], np.exp(others["log_time"]), strict=True)),
            )
            if place % 3 == 0:
                axis.set_ylabel("steps to the target")
        figure.supxlabel("off centre: |mean| of the middle unit over the layer's sd", color=MUTED)
        return drawn(figure, "centredness", title, message, download("centredness_and_speed", across[kept]))


def _worth_naming(data: StudyData, rows: pd.DataFrame) -> list[str]:
    """The emphasised activations, and the five furthest from the middle of all."""
    place = np.log(rows.set_index("activation")[["of_units"]]).assign(time=rows["log_time"].to_numpy())
    apart = (((place - place.median()) / place.std()) ** 2).sum(axis=1).sort_values(ascending=False, kind="stable")
    return [name for name in dict.fromkeys(place.index) if name in {*data.emphasised, *apart.index[:5]}]


def _arrows(pairs: pd.DataFrame) -> Figure:
    optimisers = pairs["optimiser"].drop_duplicates().tolist()
    datasets = sorted(pairs["dataset"].unique())
    styles = looks(pairs["activation"].drop_duplicates().tolist()[:5])
    faster = pairs[pairs["log_ratio_high"] < 0]
    slower = pairs[pairs["log_ratio_low"] > 0]
    most = pairs.loc[pairs["log_ratio"].idxmin()]
    title = "The same networks with and without centring"
    message = (
        "Arrows run from the activation as it is to the one with its mean subtracted: rightwards is more centred, "
        f"downwards, on a log scale, is faster. Centring shortens the time to the target in {len(faster)} of "
        f"{len(pairs)} pairs (95% interval of the paired ratio below 1) and lengthens it in {len(slower)}; most with "
        f"{most['activation']} on {most['dataset']} under {most['optimiser']}, to "
        f"{decimals(np.exp(most['log_ratio']) * 100, 0)}% of the steps. A network that never reached the target counts "
        "with the whole budget (dashed arrows)."
    )
    count = len(optimisers) * len(datasets)
    with panels(count, len(datasets), 2.3, share=False) as (figure, axes):
        for place, axis in enumerate(axes):
            optimiser, dataset = optimisers[place // len(datasets)], datasets[place % len(datasets)]
            rows = pairs[(pairs["optimiser"] == optimiser) & (pairs["dataset"] == dataset)]
            ends: dict[str, tuple[float, float]] = {}
            along: list[tuple[float, float]] = []
            for row in rows.to_dict("records"):
                style = styles.get(row["activation"])
                colour = style.colour if style else OTHERS
                raw, centred = ((row[f"of_layers_{of}"], np.exp(row[f"log_time_{of}"])) for of in ("raw", "centred"))
                censored = min(row["reached_raw"], row["reached_centred"]) < row["n"]
                look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.5, "shrinkA": 2, "shrinkB": 0}
                axis.annotate("", centred, raw, arrowprops=look | {"linestyle": "--" if censored else "-"})
                axis.plot(*raw, "o", color=colour, markersize=4)
                ends[row["activation"]] = raw
                along += zip(*np.linspace(raw, centred, 12).T, strict=True)
            times = np.exp([*rows["log_time_raw"], *rows["log_time_centred"]])
            off = [*rows["of_layers_raw"], *rows["of_layers_centred"]]
            axis.set(xlim=(max(off, default=1) * 1.25, -0.05), title=short(f"{dataset}, {optimiser}", 36))
            axis.set(yscale="log", ylim=(times.min() / 1.4, times.max() * 1.4))
            plain_log(axis.yaxis)
            label_points(axis, ends, {name: style.colour for name, style in styles.items()}, along)
        for axis in axes[:: len(datasets)]:
            axis.set_ylabel("steps to the target")
        figure.supxlabel("off centre: |mean| of the layer over its sd (0 at the right)", color=MUTED)
        return drawn(figure, "centring", title, message, download("centring_pairs", pairs.drop(columns="run")))


def _table(pairs: pd.DataFrame) -> Table:
    ratio = {f"times{end}": np.exp(pairs[f"log_ratio{end}"]) for end in ("", "_low", "_high")}
    frame = pairs.assign(**ratio, raw=np.exp(pairs["log_time_raw"]), centred=np.exp(pairs["log_time_centred"]))
    frame = frame.sort_values(["optimiser", "dataset", "times"], ignore_index=True)
    columns = [
        text("Optimiser", "optimiser"),
        text("Dataset", "dataset"),
        text("Activation", "activation", heads_row=True),
        number("Steps as it is", "raw"),
        number("Steps centred", "centred"),
        number("Ratio", "times", 2),
        interval("95% interval", "times", 2, 1),
        number("Layer off centre as it is (sd)", "of_layers_raw", 2),
        number("Layer off centre, centred (sd)", "of_layers_centred", 2),
        number("Units off centre as they are (sd)", "of_units_raw", 2),
        number("Units off centre, centred (sd)", "of_units_centred", 2),
        Column("Reached, as it is and centred", _reached, numeric=False),
        number("Pairs", "n"),
        number("Diverged", "diverged"),
    ]
    caption = (
        "Centring alone: geometric means of the steps to the target, and their paired ratio, centred over as it is"
    )
    return Table("table-centring", caption, columns, frame, download("centring", frame.drop(columns="run")))


def _reached(row: Row) -> Cell:
    return Cell(f"{row['reached_raw']} and {row['reached_centred']} of {row['n']}")
