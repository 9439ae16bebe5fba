"""How figures look: colours, style, the few emphasised series.

Colours here are the light ones; `style.css` gives the same names their dark values.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import seaborn as sns

from activation_study.report.names import known

INK, MUTED, GRID, OTHERS, PAPER, BAND, GAP = (
    "#1b1f24",
    "#57606a",
    "#d9dee3",
    "#8c959f",
    "#ffffff",
    "#c8d1da",
    "#b9bec4",
)
SERIES = ("#0a5cad", "#b54708", "#0b7a5c", "#8a3ca8", "#7c6000", "#b3266e", "#006d8f")
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.2, 1.2), (6, 1.5, 1.2, 1.5), (8, 2))
MARKERS = ("o", "s", "^", "D", "v")
LOOKS = len(SERIES) * len(DASHES)
"""Colours and dashes in step repeat after so many."""
WEIGHT = 1.8
"""Of a highlighted line, in points: as `.lit[data-look] path` has it."""
USUAL = (
    "relu", "leaky_relu", "elu", "sigmoid", "tanh", "mish", "selu", "gelu", "silu", "softplus", "prelu", "rrelu",
    "very_leaky_relu", "rrelu_paper", "rrelu_article", "prelu_per_unit", "identity",
)  # fmt: skip
"""Those with a look of their own, seven in a row in seven colours; what a study adds takes one by its name."""
COLD, HOT = (tuple(sns.color_palette(name, 8).as_hex()[1::2]) for name in ("Blues", "Oranges"))
"""Steps of heat maps, from weak to strong."""
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    OTHERS: "others",
    PAPER: "paper",
    BAND: "band",
    GAP: "gap",
    **{colour: f"series-{number}" for number, colour in enumerate(SERIES, 1)},
    **{colour: f"cold-{number}" for number, colour in enumerate(COLD, 1)},
    **{colour: f"hot-{number}" for number, colour in enumerate(HOT, 1)},
}

STYLE = {
    "text.parse_math": False,  # a name with two $ is no formula
    "svg.fonttype": "none",
    "svg.hashsalt": "activation study",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 5,
    "axes.titley": 1.0,  # a place of its own: else every title is measured against every tick
    "axes.labelsize": 8.5,
    "figure.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": OTHERS,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": OTHERS,
    "ytick.color": OTHERS,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.constrained_layout.hspace": 0.04,
}


@dataclass(frozen=True)
class Series:
    """How one emphasised series is drawn, everywhere."""

    colour: str
    dashes: tuple[float, ...]
    marker: str

    @property
    def line(self) -> str | tuple[int, tuple[float, ...]]:
        """The dashes as matplotlib has them."""
        return (0, self.dashes) if self.dashes else "-"


def emphasis(names: Sequence[str]) -> dict[str, Series]:
    """A style for each of at most five names, by their place: for depths, widths and datasets."""
    styles = (Series(*style) for style in zip(SERIES, DASHES, MARKERS, strict=False))
    return dict(zip(names, styles, strict=False))


def looks(activations: Sequence[str]) -> dict[str, Series]:
    """The style that each activation has in every figure of the page."""
    return {name: _look(name) for name in activations}


def look_number(name: str) -> int:
    """Which of the LOOKS an activation has; no two of a study have the same while there are as many looks."""
    return _look_numbers(known()).get(name, _preferred(name))


@cache
def _look_numbers(names: tuple[str, ...]) -> dict[str, int]:
    """By name; what is not usual takes the first free one from its own on, if it can of a free colour."""
    found = {name: _preferred(name) for name in names if name in USUAL}
    for name in (name for name in names if name not in USUAL):
        others = [(_preferred(name) + step) % LOOKS for step in range(LOOKS)]
        colours = {one % len(SERIES) for one in found.values()}
        free = [one for one in others if one not in found.values()] or others
        found[name] = next((one for one in free if one % len(SERIES) not in colours), free[0])
    return found


def _preferred(name: str) -> int:
    return (USUAL.index(name) if name in USUAL else zlib.crc32(name.encode())) % LOOKS


def _look(name: str) -> Series:
    return _numbered(look_number(name))


def _numbered(number: int) -> Series:
    return Series(SERIES[number % len(SERIES)], DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)])


def themed() -> str:
    """The style rules that turn the figures' colours into the page's variables, and give a highlighted grey line its
    activation's look."""
    rules = [
        f'[{what}="{colour}"] {{ {what}: var(--{name}); }}'
        for colour, name in VARIABLES.items()
        for what in ("fill", "stroke")
    ]
    for number in range(LOOKS):
        one = _numbered(number)
        dashes = " ".join(f"{WEIGHT * dash:zg}" for dash in one.dashes) or "none"
        rules.append(f'.lit[data-look="{number}"] {{ --own: var(--{VARIABLES[one.colour]}); --dashes: {dashes}; }}')
    return "\n".join(rules)
