"""How accuracy falls when noise is added to the inputs."""

from __future__ import annotations

import pandas as pd

from activation_study.analysis.experiments import noise_robustness
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, label_ends, lines, panels, short
from activation_study.report.figures.theme import MUTED, looks
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, seed_columns, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Noise", "Single questions", 10
FOLDS = True
SHOWS = ("core.noise_loss",)
CELL = ["dataset", "depth"]


def section(data: StudyData) -> Section | None:
    noise = noise_robustness(data.of_core("measurements"), data.runs).dropna(subset=["accuracy"])
    if noise.empty:
        return None
    lead = (
        "Trained networks were given validation inputs with Gaussian noise on top, in units of the standardised "
        "inputs. An activation that makes networks robust loses less as the noise grows; since all lose much, the "
        "lower row shows each against the median of all activations at the same noise."
    )
    return Section("noise", "Noise on the inputs", [Paragraph(lead), _figure(data, noise), _table(noise)])


def _figure(data: StudyData, noise: pd.DataFrame) -> Figure:
    cells = list(noise[CELL].drop_duplicates().sort_values(CELL).itertuples(index=False, name=None))[:4]
    styles = looks(data.emphasised)
    strongest = noise[noise["dose"] == noise["dose"].max()]
    title = "Accuracy under noise on the inputs"
    message = (
        f"Above: validation accuracy, mean over seeds; below: points above or below the median of all activations. "
        f"Named: {plain_list(data.emphasised)}; grey: the others. At the strongest noise "
        f"({decimals(noise['dose'].max())}) " + "; ".join(_extremes(strongest, cell) for cell in cells) + "."
    )
    frame = noise.assign(percent=noise["accuracy"] * 100, points=noise["above_median"] * 100)
    kept = [*CELL, "activation", "dose", "n", "diverged", "accuracy", "accuracy_low", "accuracy_high", "above_median"]
    with panels(2 * len(cells), len(cells), 2.2, share=False) as (figure, axes):
        for place, (dataset, depth) in enumerate(cells):
            rows = frame[(frame["dataset"] == dataset) & (frame["depth"] == depth)].sort_values("dose")
            above, below = axes[place], axes[place + len(cells)]
            lines(above, rows, "dose", "percent", styles, "activation")
            lines(below, rows, "dose", "points", styles, "activation")
            below.axhline(0, color=MUTED, linewidth=0.8)
            above.set_title(short(f"{dataset}, {depth} layers", 36))
            above.set_ylim(0, 100)
            span = frame["points"].quantile([0.02, 0.98])
            below.set_ylim(span.iloc[0] * 1.2, span.iloc[1] * 1.2)
            if place == len(cells) - 1:
                last = rows.groupby("activation")["points"].last()
                label_ends(below, {name: (0, last[name]) for name in styles if name in last.index}, styles)
        axes[0].set_ylabel("accuracy (%)")
        axes[len(cells)].set_ylabel("points above the median")
        figure.supxlabel("standard deviation of the noise", color=MUTED)
        return drawn(figure, "noise", title, message, download("noise_accuracy", noise[kept]))


def _extremes(strongest: pd.DataFrame, cell: tuple[str, int]) -> str:
    rows = strongest[(strongest["dataset"] == cell[0]) & (strongest["depth"] == cell[1])].set_index("activation")
    points = rows["above_median"] * 100
    best, worst = points.idxmax(), points.idxmin()
    return (
        f"{best} stands highest on {cell[0]} ({decimals(points[best], 1, signed=True)} points) and {worst} lowest "
        f"({decimals(points[worst], 1, signed=True)})"
    )


def _table(noise: pd.DataFrame) -> Table:
    """The two ends: without noise, and with the most."""
    ends = noise[noise["dose"].isin([noise["dose"].min(), noise["dose"].max()])]
    clean = ends[ends["dose"] == ends["dose"].min()].set_index("run")["accuracy"]
    frame = ends[ends["dose"] == ends["dose"].max()].assign(clean=lambda rows: rows["run"].map(clean))
    frame = frame.assign(lost=frame["clean"] - frame["accuracy"])
    frame = frame.sort_values(["dataset", "depth", "lost"], ignore_index=True)
    columns = [
        text("Dataset", "dataset"),
        number("Layers", "depth"),
        text("Activation", "activation", heads_row=True),
        number("Without noise (%)", "clean", 1, 100),
        number("With the strongest noise (%)", "accuracy", 1, 100),
        interval("95% interval (%)", "accuracy"),
        number("Lost (points)", "lost", 1, 100),
        *seed_columns(),
    ]
    caption = f"Validation accuracy without noise and with noise of standard deviation {decimals(noise['dose'].max())}"
    return Table("table-noise", caption, columns, frame, download("noise_lost", frame.drop(columns="run")))
