"""How test accuracy and over-fitting depend on the number of training samples."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.experiments import data_sizes
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, mark, name_rows, panels, rows_high, short
from activation_study.report.figures.theme import OTHERS, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, part, text
from activation_study.report.words import fitting, plain_list

NAME, PART, PLACE = "Training samples", "Single questions", 20
SHOWS = ("data_size.*",)


def section(data: StudyData) -> Section | None:
    sizes = data_sizes(data.tables["runs"])
    if sizes.empty:
        return None
    lead = (
        "The same networks with fewer training samples, and with all of them where an activation's run with all "
        f"differs in nothing else{_steps(data.tables['runs'])}. The gap is training minus test accuracy: what a "
        "network has learnt of its samples alone."
    )
    return Section("data-size", "The number of training samples", [Paragraph(lead), _figure(sizes), _table(sizes)])


def _steps(runs: pd.DataFrame) -> str:
    """How long they train, which may be another time than elsewhere on the page."""
    steps = runs.loc[runs["train_size"].notna(), "steps"].unique()
    return f"; all train for {steps[0]:,} steps" if len(steps) == 1 else ""


def _figure(sizes: pd.DataFrame) -> Figure:
    """With the fewest samples, where activations differ: accuracy above, gap below, a column per dataset."""
    datasets = sorted(sizes["dataset"].unique())
    fewest = sizes[sizes["train_samples"] == sizes.groupby("dataset")["train_samples"].transform("min")]
    order = fewest.groupby("activation")["test_accuracy"].mean().sort_values(kind="stable").index.tolist()
    message = (
        "Above: test accuracy, mean over seeds with its 95% interval; below: training minus test accuracy; best on "
        "average first; blue: first in its panel; axes differ. "
        "An accuracy stands out whose interval lies above all others, a gap whose interval lies below most. "
        + " ".join([*(_extremes(fewest, dataset) for dataset in datasets), _shrinks(sizes)])
    )
    with panels(2 * len(datasets), len(datasets), rows_high(len(order)), share=False) as (figure, axes):
        for place, dataset in enumerate(datasets):
            rows = fewest[fewest["dataset"] == dataset].set_index("activation").reindex(order)
            _dots(axes[place], rows, "test_accuracy", rows["test_accuracy"].idxmax(), labelled=place == 0)
            _dots(axes[place + len(datasets)], rows, "accuracy_gap", rows["accuracy_gap"].idxmin(), labelled=place == 0)
            axes[place].set(title=f"{short(dataset, 20)}, {rows['train_samples'].max():z,.0f}", xlabel="accuracy (%)")
            axes[place + len(datasets)].set_xlabel("gap (points)")
        return drawn(figure, "data-size", _title(fewest), message, download("data_size", sizes[_kept()]))


def _dots(axis: Axes, rows: pd.DataFrame, column: str, best: object, *, labelled: bool) -> None:
    for y, (name, row) in enumerate(rows.iterrows()):
        value, low, high = (100 * row[f"{column}{end}"] for end in ("", "_low", "_high"))
        if pd.notna(value):
            colour = SERIES[0] if name == best else OTHERS
            told = mark(str(name), f"{decimals(value)} ({decimals(low)} to {decimals(high)})")
            axis.plot([low, high], [y, y], color=colour, **told)
            axis.plot(value, y, "D" if name == best else "o", color=colour, markersize=5, **told)
    name_rows(axis, rows.index.tolist(), labelled=labelled)


def _shrinks(sizes: pd.DataFrame) -> str:
    """How far the gap shrinks with more samples, whatever the activation."""
    means = sizes.groupby(["dataset", "train_samples"])["accuracy_gap"].mean() * 100
    few, most = (means.groupby("dataset").agg(end) for end in ("first", "last"))
    least, greatest = few.round(1).min(), few.round(1).max()
    return (
        f"Mean gap with the fewest samples: {decimals(least)} to {decimals(greatest)} points over datasets; with the "
        f"most: {decimals(most.min())} to {decimals(most.max())}."
    )


def _title(fewest: pd.DataFrame) -> str:
    """From who scores most with the fewest samples, dataset by dataset; where no interval stands apart, from gaps."""
    scores = fewest.sort_values("test_accuracy", ascending=False, kind="stable").groupby("dataset")
    apart = [rows["test_accuracy_low"].iloc[0] > rows["test_accuracy_high"].iloc[1:].max() for _, rows in scores]
    best = fewest.loc[fewest.groupby("dataset")["test_accuracy"].idxmax(), "activation"].value_counts()
    samples = f"{fewest['train_samples'].min():,}"
    if not any(apart):
        return _gaps(fewest, samples)
    if best.iloc[0] == 1 and len(best) > 1:
        return f"With {samples} training samples each dataset has another best"
    return f"With {samples} samples {label(str(best.index[0]))} leads on {best.iloc[0]} of {best.sum()} datasets"


def _gaps(fewest: pd.DataFrame, samples: str) -> str:
    """Title where no accuracy stands out, from the smallest gaps whose intervals lie below most others."""
    gaps = fewest.sort_values("accuracy_gap", kind="stable").groupby("dataset")
    least = {
        str(dataset): label(str(rows["activation"].iloc[0]))
        for dataset, rows in gaps
        if rows["accuracy_gap_high"].iloc[0] < rows["accuracy_gap_low"].iloc[1:].median()
    }
    if not least:
        return f"With {samples} training samples no activation's accuracy or gap stands out"
    said = f"With {samples} samples no accuracy stands out"
    whose = [f"{said}; {name}'s gap does on {dataset}" for dataset, name in least.items()]
    return fitting(*(whose if len(whose) == 1 else []), f"{said}, but gaps do")


def _kept() -> list[str]:
    kept = ["dataset", "activation", "depth", "train_samples", "n", "diverged", "reached", "learning_rate"]
    return [*kept, *(f"{name}{end}" for name in ("test_accuracy", "accuracy_gap") for end in ("", "_low", "_high"))]


def _extremes(fewest: pd.DataFrame, dataset: str) -> str:
    rows = fewest[fewest["dataset"] == dataset].set_index("activation")
    gap, score = rows["accuracy_gap"] * 100, rows["test_accuracy"] * 100
    return (
        f"On {dataset} with {rows['train_samples'].iloc[0]:,} samples {score.idxmax()} scores highest "
        f"({decimals(score.max())}%); the gap is smallest with {gap.idxmin()} ({decimals(gap.min())} points) and "
        f"largest with {gap.idxmax()} ({decimals(gap.max())})."
    )


def _table(sizes: pd.DataFrame) -> Table:
    frame = sizes.sort_values(["dataset", "train_samples", "accuracy_gap"], ignore_index=True)
    columns = [
        text("Dataset", "dataset"),
        number("Training samples", "train_samples"),
        text("Activation", "activation", heads_row=True),
        number("Test accuracy (%)", "test_accuracy", 2, 100),
        interval("95% interval (%)", "test_accuracy", 2),
        number("Training minus test accuracy (points)", "accuracy_gap", 2, 100, signed=True),
        interval("95% interval (points)", "accuracy_gap", 2, signed=True),
        part("Reached the target", "reached", "n"),
        number("Diverged", "diverged"),
    ]
    caption = "Test accuracy and gap by number of training samples, " + plain_list(sorted(frame["dataset"].unique()))
    return Table("table-data-size", caption, columns, frame, download("data_size", sizes[_kept()]))
