"""How test accuracy and over-fitting depend on the number of training samples."""

from __future__ import annotations

import pandas as pd

from activation_study.analysis.experiments import data_sizes
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import colours_of, drawn, label_ends, lines, panels, plain_log, short
from activation_study.report.figures.theme import MUTED, looks
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, part, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Training samples", "Single questions", 20
SHOWS = ("data_size.*",)


def section(data: StudyData) -> Section | None:
    sizes = data_sizes(data.tables["runs"])
    if sizes.empty:
        return None
    lead = (
        "The same networks with fewer training samples, and with all of them where an activation's run with all "
        "differs in nothing else. The gap is training minus test accuracy: what a network has learnt of its samples "
        "alone."
    )
    return Section("data-size", "The number of training samples", [Paragraph(lead), _figure(sizes), _table(sizes)])


def _figure(sizes: pd.DataFrame) -> Figure:
    datasets = sorted(sizes["dataset"].unique())
    names = sizes["activation"].value_counts().sort_index().index.tolist()
    learning = [name for name in names if name.startswith(("relu", "elu", "prelu", "rrelu"))]
    styles = looks(list(dict.fromkeys([*learning, *names]))[:5])
    fewest = sizes[sizes["train_samples"] == sizes.groupby("dataset")["train_samples"].transform("min")]
    message = (
        "Above: test accuracy, mean over seeds; below: training minus test accuracy; bars: 95% intervals; samples on "
        "a log scale; "
        "axes differ. " + " ".join(_extremes(fewest, dataset) for dataset in datasets)
    )
    frame = sizes.assign(percent=sizes["test_accuracy"] * 100, gap=sizes["accuracy_gap"] * 100)
    with panels(2 * len(datasets), len(datasets), 2.2, share=False) as (figure, axes):
        for place, dataset in enumerate(datasets):
            rows = frame[frame["dataset"] == dataset].sort_values("train_samples")
            for axis, column in ((axes[place], "percent"), (axes[place + len(datasets)], "gap")):
                lines(axis, rows, "train_samples", column, styles, "activation")
                for name, style in styles.items():
                    own = rows[rows["activation"] == name]
                    axis.plot(own["train_samples"], own[column], style.marker, color=style.colour, markersize=3.5)
                    ends = (
                        100 * own[f"{'test_accuracy' if column == 'percent' else 'accuracy_gap'}_{end}"]
                        for end in ("low", "high")
                    )
                    axis.vlines(own["train_samples"], *ends, color=style.colour, linewidth=0.8)
                axis.set_xscale("log")
                plain_log(axis.xaxis, (1, 3))
                if place == len(datasets) - 1:
                    last = rows.groupby("activation")[column].last()
                    label_ends(
                        axis, {name: (0, last[name]) for name in styles if name in last.index}, colours_of(styles)
                    )
            axes[place].set_title(short(dataset, 36))
        axes[0].set_ylabel("test accuracy (%)")
        axes[len(datasets)].set_ylabel("gap (points)")
        figure.supxlabel("training samples", color=MUTED)
        return drawn(figure, "data-size", _title(fewest), message, download("data_size", sizes[_kept()]))


def _title(fewest: pd.DataFrame) -> str:
    """From who scores most with the fewest samples, dataset by dataset."""
    best = fewest.loc[fewest.groupby("dataset")["test_accuracy"].idxmax(), "activation"].value_counts()
    samples = f"{fewest['train_samples'].min():,}"
    if best.iloc[0] == 1 and len(best) > 1:
        return f"With {samples} training samples each dataset has another best"
    return f"With {samples} samples {label(str(best.index[0]))} leads on {best.iloc[0]} of {best.sum()} datasets"


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
