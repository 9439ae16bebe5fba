"""Whether zero-centred activations learn faster: across activations, and with nothing changed but the centring."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from activation_study.analysis.experiments import centredness, centring_pairs, scores
from activation_study.analysis.inference import ALPHA
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import (
    Look,
    colours_of,
    drawn,
    label_points,
    mark,
    name_rows,
    panels,
    plain_log,
    rows_high,
    short,
)
from activation_study.report.figures.theme import MUTED, OTHERS, PAPER, SERIES, looks
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, interval, number, text
from activation_study.report.words import counted, fitting, plain_list

NAME, PART, PLACE = "Zero-centring", "Why", 60
FOLDS = True
SHOWS = ("core.centredness",)
FEWEST = 6
"""Activations from which it says something that two are among the three slowest."""


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
        pairs = distinct(pairs)
        blocks += [
            Paragraph(
                "Activations differ in more than their mean. So some were trained twice: as they are, and with their "
                "mean under N(0, 1) subtracted and given back by the next layer's initial biases. Both networks begin "
                "as the same function, with the same gradients of the pre-activations; only the weights' gradients see "
                "other inputs."
            ),
            _ratios(pairs),
            _table(pairs),
        ]
    return Section("centring", "Zero-centred activations and speed", blocks) if blocks else None


def _lead() -> str:
    return (
        "Units are off centre by the median over a layer's units of |mean activation|, in units of the layer's "
        "standard deviation; a layer by |mean over all its units| in the same; here before training, the mean over "
        "hidden layers and seeds. Speed is the number of steps to the target; a network that never reaches it counts "
        "with the whole budget."
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
    rho = {
        str(dataset): _rank_correlation(rows[["of_units", "log_time"]].dropna())
        for dataset, rows in across.groupby("dataset")
    }
    message = (
        f"Each dot is an activation, {across['depth'].iloc[0]} layers: the geometric mean over seeds of the steps to "
        "the target, against how far its layers are off centre before training; log scales. Hollow triangle: some "
        "network never reached the target, and the true time is longer. Rank correlation, above 0 where off-centre "
        "activations are slower: "
        + "; ".join(f"{decimals(one, 2, signed=True)} on {name}" for name, (one, _) in rho.items())
        + "."
    )
    kept = ["dataset", "activation", "depth", "of_units", "of_layers", "log_time", "log_time_low", "log_time_high"]
    kept += ["reached", "n", "diverged", "horizon"]
    styles = looks(data.emphasised)
    shown = across.dropna(subset=["of_units"]).assign(steps=np.exp(across["log_time"]))
    with panels(len(datasets), min(len(datasets), 3), 2.8) as (figure, axes):
        axes[0].set(xscale="log", yscale="log", ylim=(shown["steps"].min() / 1.3, shown["steps"].max() * 1.3))
        axes[0].set_xlim(shown["of_units"].min() / 1.5, shown["of_units"].max() * 1.6)
        plain_log(axes[0].xaxis, (1,) if shown["of_units"].max() > 20 * shown["of_units"].min() else (1, 2, 5))
        plain_log(axes[0].yaxis)
        for axis, dataset in zip(axes, datasets, strict=True):
            rows = shown[shown["dataset"] == dataset]
            for row in rows.to_dict("records"):
                colour = styles[row["activation"]].colour if row["activation"] in styles else OTHERS
                shape, face = ("o", colour) if row["reached"] == row["n"] else ("^", PAPER)
                told = mark(row["activation"], f"{decimals(row['steps'], 0)} steps, {decimals(row['of_units'], 2)} off")
                look: Look = {"color": colour, "markerfacecolor": face, "markersize": 5.5}
                axis.plot(row["of_units"], row["steps"], shape, **look, **told)
            axis.set_title(short(dataset, 36))
            at = rows.drop_duplicates("activation").set_index("activation")[["of_units", "steps"]]
            named = {name: tuple(at.loc[name]) for name in styles if name in at.index}
            others = list(at[~at.index.isin(named)].itertuples(index=False, name=None))
            label_points(axis, named, colours_of(styles), others)
        axes[0].set_ylabel("steps to the target")
        figure.supxlabel("off centre: |mean| of the middle unit over the layer's sd", color=MUTED)
        return drawn(
            figure,
            "centredness",
            _relation(rho, _farthest(shown)),
            message,
            download("centredness_and_speed", across[kept]),
        )


def _rank_correlation(rows: pd.DataFrame) -> tuple[float, float]:
    """Spearman's, of the two columns, and its p; NaN where either is constant or there are fewer than three rows."""
    if len(rows) < 3 or (rows.nunique() < 2).any():
        return np.nan, np.nan
    found = stats.spearmanr(*rows.to_numpy().T)
    return float(found.statistic), float(found.pvalue)


def _farthest(shown: pd.DataFrame) -> str:
    """Title where the same two activations are furthest off centre, and among the slowest, on all datasets; or none."""
    pairs = set()
    for _, rows in shown.groupby("dataset"):
        off = frozenset(rows.nlargest(2, "of_units")["activation"])
        once = len(rows) == rows["activation"].nunique() >= FEWEST
        if not once or not off <= set(rows.nlargest(3, "steps")["activation"]):
            return ""
        pairs.add(off)
    if len(pairs) != 1:
        return ""
    where = "everywhere" if shown["dataset"].nunique() > 1 else "here"
    return fitting(
        f"{plain_list(sorted(*pairs))}, most off-centre, are among the three slowest {where}",
        f"The two most off-centre activations are among the three slowest {where}",
    )


def _relation(rho: Mapping[str, tuple[float, float]], farthest: str = "") -> str:
    """Title from rank correlation and p by dataset; nothing is corrected, as nothing is concluded.

    Where no correlation stands out, `farthest`, what is said of those furthest off centre, or how large they are.
    """
    slower = [name for name, (one, p) in rho.items() if one > 0 and p < ALPHA]
    faster = [name for name, (one, p) in rho.items() if one < 0 and p < ALPHA]
    if not slower and not faster:
        return farthest or _size([one for one, _ in rho.values() if not np.isnan(one)])
    if slower and faster:
        return "Whether off-centre activations are slower depends on the dataset"
    where = f"{len(slower or faster)} of {counted(len(rho), 'dataset')}"
    return f"Off-centre activations are {'slower' if slower else 'faster'} on {where}"


def _size(found: list[float]) -> str:
    if not found:
        return "How far off centre and how fast activations are"
    ends = list(dict.fromkeys(decimals(one, 2, signed=True) for one in (min(found), max(found))))
    return f"Off-centre and slow: rank correlation{'s' * (len(found) > 1)} of {' to '.join(ends)}"


def distinct(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each pair of networks once: where the rate for accuracy was also the one for speed, the same ones came twice."""
    same = ["dataset", "activation", "depth", "optimiser", "n", "log_time_raw", "log_time_centred", "log_ratio"]
    return pairs.drop_duplicates([*same, "log_ratio_low", "log_ratio_high"])


def _ratios(pairs: pd.DataFrame) -> Figure:
    optimisers = pairs["optimiser"].drop_duplicates().tolist()
    faster, slower = (pairs["log_ratio_high"] < 0).sum(), (pairs["log_ratio_low"] > 0).sum()
    message = (
        "Steps to the target of the centred network over those of the same one without, paired by seed: geometric "
        f"mean with its 95% interval; log scale; left is faster. {faster} of {len(pairs)} intervals lie below 1 and "
        f"{slower} above. Hollow: some network never reached the target, and counts with the whole budget. “Speed”: "
        "the learning rate was chosen for speed, else for accuracy."
    )
    most = max((pairs["optimiser"] == name).sum() for name in optimisers)
    reach = pairs[["log_ratio", "log_ratio_low", "log_ratio_high"]]
    ends = np.exp([reach.min(axis=None), reach.max(axis=None)])
    with panels(len(optimisers), len(optimisers), rows_high(most), share=False) as (figure, axes):
        for axis, optimiser in zip(axes, optimisers, strict=True):
            rows = pairs[pairs["optimiser"] == optimiser].sort_values("log_ratio", ascending=False, kind="stable")
            axis.axvline(1, color=MUTED, linewidth=0.8)
            said = []
            for y, row in enumerate(rows.to_dict("records")):
                low, ratio, high = (np.exp(row[f"log_ratio{end}"]) for end in ("_low", "", "_high"))
                colour = SERIES[0] if high < 1 or low > 1 else OTHERS
                face = PAPER if min(row["reached_raw"], row["reached_centred"]) < row["n"] else colour
                told = mark(row["activation"], f"{decimals(ratio, 2)} ({decimals(low, 2)} to {decimals(high, 2)})")
                axis.plot([low, high], [y, y], color=colour, **told)
                axis.plot(ratio, y, "o", color=colour, markerfacecolor=face, markersize=5, **told)
                speed = ", speed" if row["select"] == "speed" else ""
                said.append(f"{label(row['activation'])}, {row['dataset']}{speed}")
            name_rows(axis, said, most=44)
            axis.set(title=short(optimiser, 36), xscale="log", xlim=(ends[0] / 1.1, ends[1] * 1.1))
            plain_log(axis.xaxis, (1, 2, 5) if ends[1] / ends[0] > 4 else (1, 1.5, 2, 3, 5, 7))
        figure.supxlabel("steps to the target, centred over as it is", color=MUTED)
        held = download("centring_pairs", pairs.drop(columns="run"))
        return drawn(figure, "centring", _speeds_up(pairs), message, held)


def _speeds_up(pairs: pd.DataFrame) -> str:
    """Title from how many pairs' intervals lie below and above 1, and on which dataset alone."""
    faster, slower = pairs["log_ratio_high"] < 0, pairs["log_ratio_low"] > 0
    found = faster if faster.sum() >= slower.sum() else slower
    where = pairs.loc[found, "dataset"].unique()
    alone = f", all on {where[0]}" if len(where) == 1 < pairs["dataset"].nunique() else ""
    verb = "speeds learning up" if found is faster else "slows learning down"
    return f"Centring {verb} in {found.sum()} of {len(pairs)} pairs{alone}"


def _table(pairs: pd.DataFrame) -> Table:
    ratio = {f"times{end}": np.exp(pairs[f"log_ratio{end}"]) for end in ("", "_low", "_high")}
    frame = pairs.assign(**ratio, raw=np.exp(pairs["log_time_raw"]), centred=np.exp(pairs["log_time_centred"]))
    frame = frame.sort_values(["optimiser", "dataset", "times"], ignore_index=True)
    columns = [
        text("Optimiser", "optimiser"),
        text("Dataset", "dataset"),
        text("Activation", "activation", heads_row=True),
        text("Rate chosen for", "select"),
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
