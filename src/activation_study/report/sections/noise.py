"""How accuracy falls when noise is added to the inputs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.experiments import noise_robustness
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import colours_of, drawn, label_ends, lines, mark, panels, short
from activation_study.report.figures.theme import MUTED, OTHERS, looks
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, seed_columns, text

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
        "inputs. What counts here is the accuracy that is left as the noise grows; since all lose much, each "
        "activation is shown against the median of all at the same noise. What scores little loses little: the table "
        "has both."
    )
    return Section("noise", "Noise on the inputs", [Paragraph(lead), _figure(data, noise), _table(noise)])


def _figure(data: StudyData, noise: pd.DataFrame) -> Figure:
    cells = list(noise[CELL].drop_duplicates().sort_values(CELL).itertuples(index=False, name=None))[:4]
    strongest = noise[noise["dose"] == noise["dose"].max()]
    message = (
        "Validation accuracy in points above or below the median of all activations, means over seeds; axes differ; "
        "grey: those "
        f"without a name. At the strongest noise ({decimals(noise['dose'].max())}) "
        + "; ".join(_extremes(strongest, cell) for cell in cells)
        + "."
    )
    frame = noise.assign(points=noise["above_median"] * 100)
    cut = False
    kept = [*CELL, "activation", "dose", "n", "diverged", "accuracy", "accuracy_low", "accuracy_high", "above_median"]
    with panels(len(cells), min(len(cells), 3), 2.6, share=False) as (figure, axes):
        for axis, (dataset, depth) in zip(axes, cells, strict=True):
            rows = frame[(frame["dataset"] == dataset) & (frame["depth"] == depth)].sort_values("dose")
            styles = looks([*dict.fromkeys([*data.emphasised, *_ends(strongest, (dataset, depth))[1:]])])
            lines(axis, rows, "dose", "points", styles, "activation")
            axis.axhline(0, color=MUTED, linewidth=0.8)
            span = rows["points"].quantile([0.02, 0.98])
            last = rows.groupby("activation")["points"].last()
            ends = {name: (0, last[name]) for name in styles if name in last.index}
            low, high = min([span.iloc[0], *last[list(ends)]]), max([span.iloc[1], *last[list(ends)]])
            low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
            axis.set(title=short(f"{dataset}, {depth} layers", 36), ylim=(low, high))
            cut |= _cut(axis, rows, low, high)
            label_ends(axis, ends, colours_of(styles))
        figure.supylabel("points above the median", color=MUTED)
        figure.supxlabel("standard deviation of the noise", color=MUTED)
        message += " An arrow: beyond the axis." * cut
        return drawn(figure, "noise", _title(strongest), message, download("noise_accuracy", noise[kept]))


def _title(strongest: pd.DataFrame) -> str:
    """From who stands highest at the strongest noise, cell by cell."""
    best = strongest.loc[strongest.groupby(CELL)["above_median"].idxmax(), "activation"].value_counts()
    if best.iloc[0] == 1 and len(best) > 1:
        return "No activation keeps most accuracy under noise everywhere"
    return f"{label(str(best.index[0]))} keeps most accuracy under noise in {best.iloc[0]} of {best.sum()} panels"


def _cut(axis: Axes, rows: pd.DataFrame, low: float, high: float) -> bool:
    """Arrows where a line is beyond the axis; whether there are any."""
    outside = rows[(rows["points"] < low) | (rows["points"] > high)]
    for name, own in outside.groupby("activation"):
        for shape, end, beyond in (("v", low, own["points"] < low), ("^", high, own["points"] > high)):
            doses = own.loc[beyond, "dose"]
            if len(doses):
                told = mark(str(name))
                axis.plot(doses, [end] * len(doses), shape, color=OTHERS, clip_on=False, markersize=5, **told)
    return not outside.empty


def _ends(strongest: pd.DataFrame, cell: tuple[str, int]) -> tuple[pd.Series, str, str]:
    """In one cell at the strongest noise: points above the median by activation, and who has most and least."""
    rows = strongest[(strongest["dataset"] == cell[0]) & (strongest["depth"] == cell[1])].set_index("activation")
    points = rows["above_median"] * 100
    return points, str(points.idxmax()), str(points.idxmin())


def _extremes(strongest: pd.DataFrame, cell: tuple[str, int]) -> str:
    points, best, worst = _ends(strongest, cell)
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
