"""Every claim with its verdicts; each opens its tests, cells, numbers and corrections."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.inference import ALPHA
from activation_study.claims.outcomes import Outcome, counted_claims, of_claim
from activation_study.claims.rows import STATISTICAL, entries
from activation_study.core.numbers import ABSENT, decimals, figures
from activation_study.report.blocks import Block, CellNumbers, Claim, ClaimRow, Ledger, Paragraph, Section
from activation_study.report.figures.forest import Mark, forest
from activation_study.report.markup import slug, slugs
from activation_study.report.references import cited
from activation_study.report.source import Source, in_repository
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, number, significant, text
from activation_study.report.words import code, counted

NAME, PART, PLACE = "The claims", "The answer", 40
ICONS = {"true": "✓", "partly": "◐", "false": "✗", "open": "?", "not judged": "○"}


def section(data: StudyData) -> Section | None:
    rows = data.tables["ledger"]
    if rows.empty:
        return None
    tested = data.tables["ledger_cells"]
    cells = dict(tuple(tested.groupby(["family", "row"])))
    ids, written = identifiers(rows), _Written(Source.of(data.provenance), data.claims, rows)
    second = data.validity.get("verdicts_second") or {}
    told = rows.assign(second=(rows["family"] + " " + rows["row"]).map(second))
    groups: dict[str, list[Claim]] = {}
    for (family, _), of in told.groupby(["family", "claim"], sort=False):
        heading = of["section"].iloc[0] or "Other"
        groups.setdefault(heading, []).append(_claim(family, of, cells, ids, written))
    blocks: list[Block] = [
        Paragraph(_lead(rows)),
        Paragraph(_files(rows), "note"),
        Ledger(
            "ledger-claims",
            list(groups.items()),
            [(word.said, word.icon, word.meaning) for word in _present(rows)],
            download("ledger_cells", tested),
            written.code,
        ),
        _table(rows),
    ]
    return Section("ledger", "The article's claims, one by one", blocks)


def _present(rows: pd.DataFrame) -> list[Outcome]:
    found = set(rows["verdict"])
    return [one for one in Outcome if one in found]


def _lead(rows: pd.DataFrame) -> Markup:
    said = ", ".join(f"{count} {word}" for word, count in counted_claims(rows).items())
    return Markup(
        "{}, with {}: {}. Open one for its tests, its numbers and, where its wording is wrong, the correction."
    ).format(counted(rows.groupby(["family", "claim"]).ngroups, "claim"), counted(len(rows), "row"), said)


def _files(rows: pd.DataFrame) -> Markup:
    files = rows.drop_duplicates("family")
    judged = rows[rows["type"].isin(STATISTICAL)].groupby("family").size()
    named = Markup("; ").join(
        Markup("{} ({} tested rows, SHA-256 {})").format(
            code(f"{r['family']}.yaml"), int(judged.get(r["family"], 0)), code(r["claims_sha256"])
        )
        for _, r in files.iterrows()
    )
    return Markup(
        "<strong>How it is judged.</strong> Claims, contrasts and smallest effects are written down in {}. All tests "
        "of a file are one family: p-values are Holm's, at {:g}. A test compares paired seeds within each dataset and "
        "depth, and averages those cells with equal weight. Estimates are positive in the direction of the claim; a "
        "trend is the change from one end of what is varied to the other. Cells in which every arm is at chance, or "
        "never reaches the target, say nothing and are counted apart. Some tests first check that the manipulation "
        "worked; if it did not, the row is open. An interval says what other random seeds would change: the noise of "
        "evaluation seeds and, where networks were evaluated at every rate that counts, the choice of the learning "
        "rate by the tuning seeds. No verdict rests on one seed: where leaving one out changes it, the row is open."
    ).format(named, ALPHA)


def identifiers(ledger: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The id of every claim and row, by its file and name; the file is a part of it where there are several."""
    several = ledger["family"].nunique() > 1
    keys = [key for column in ("claim", "row") for key in zip(ledger["family"], ledger[column], strict=True)]
    named = {(family, name): f"{family} {name}" if several else name for family, name in keys}
    found = slugs(named.values())
    return {key: f"claim-{found[name]}" for key, name in named.items()}


def _claim(
    family: str,
    rows: pd.DataFrame,
    cells: dict[tuple[str, str], pd.DataFrame],
    ids: Mapping[tuple[str, str], str],
    written: _Written,
) -> Claim:
    first = rows.iloc[0]
    notes = [
        (term, cited(first[column] + (f" ({first['source']})" if column == "known" and first["source"] else "")))
        for term, column in (("Right is", "correction"), ("Known before", "known"))
        if first[column]
    ]
    parts = [_row(row, cells.get((family, row["row"])), ids[family, row["row"]], written) for _, row in rows.iterrows()]
    word, said = of_claim(rows["verdict"]), {Outcome(one).said for one in rows["verdict"] if Outcome(one).side}
    verdict = said.pop() if len(said) == 1 else word
    name = first["claim"]
    return Claim(ids[family, name], name, first["quote"], notes, family, word, verdict, ICONS[word], parts)


def _row(row: pd.Series, cells: pd.DataFrame | None, name: str, written: _Written) -> ClaimRow:
    scale = Scale.of(row)
    picture = Markup("")
    if cells is not None and len(cells):
        marks = [
            Mark(_cell_label(c, row), c["estimate"], c["low"], c["high"], faint=not c["informative"])
            for _, c in cells.iterrows()
        ]
        whole = Mark("all, equal weight", row["estimate"], row["low"], row["high"], whole=True)
        margin = row["smallest"] if row["smallest"] > 0 else 0.0
        lines = [0.0] + [margin] * bool(margin) + [-margin] * bool(margin and row["type"] == "equivalence")
        title = f"{row['row']}: {row['test']}"
        message = f"{scale.long(row['estimate'])} over all; "
        message += ", ".join(f"{mark.name} {scale.short(mark.estimate)}" for mark in marks)
        picture = forest([*marks, whole], f"{name}.cells", title, message, scale.short, scale.name, lines)
    return ClaimRow(
        id=name,
        row=row["row"],
        test=row["test"],
        type=row["type"],
        verdict=Outcome(row["verdict"]).said,
        icon=Outcome(row["verdict"]).icon,
        reason=row["reason"],
        facts=[*_facts(row, scale), *written.facts(row)],
        picture=picture,
        topic=f"{row['experiment']}.{'' if row['type'] == 'policy' else row['metric']}",
        unit=scale.name,
        cells=[] if cells is None else [_numbers(cell, row, scale) for _, cell in cells.iterrows()],
        entry=written.entry(row)[1],
    )


def _numbers(cell: pd.Series, row: pd.Series, scale: Scale) -> CellNumbers:
    ends = ABSENT if pd.isna(cell["low"]) else f"{scale.short(cell['low'])} to {scale.short(cell['high'])}"
    values = pd.to_numeric(pd.Series(cell["by_seed"].split(), dtype=object), errors="coerce")
    seeds = " ".join(scale.short(value).removeprefix("× ") for value in values)
    return CellNumbers(_cell_label(cell, row), scale.short(cell["estimate"]), ends, int(cell["n"]), seeds)


class _Written:
    """Where each row is written down, and where the rule by which it is decided."""

    def __init__(self, source: Source, files: Sequence[str], rows: pd.DataFrame) -> None:
        self._source = source
        judged = set(rows["claims_sha256"])
        self._files = {
            Path(file).stem: (path, entries(file))
            for file in files
            if (path := in_repository(file)) and hashlib.sha256(Path(file).read_bytes()).hexdigest() in judged
        }

        self._functions: dict[str, tuple[Markup, str]] = {}

    def entry(self, row: pd.Series) -> tuple[Markup, str]:
        """The row's place in its file and its text there, where that file is the one that was judged."""
        path, at = self._files.get(row["family"], ("", {}))
        line, text = at.get(row["row"], (0, ""))
        return (self._source.line(path, line), text) if text else (Markup(""), "")

    def facts(self, row: pd.Series) -> list[tuple[str, str]]:
        """Where the row is written down, and the function that decides it."""
        rules = {"exact": ("claims.exact", row["metric"]), "policy": ("claims.ledger", "_policy_verdict")}
        rules |= dict.fromkeys(STATISTICAL, ("claims.rules", "holding"))
        term, rule = "Decided by", rules.get(row["type"])
        if rule is None:
            term, rule = "Computed by", ("claims.contrasts", "contrast")
        place, code = self._source.function(*rule)
        name = "code-" + slug(" ".join(rule))
        if code:
            self._functions[name] = place, code
        found = (("Written down in", self.entry(row)[0]), (term, Markup('<a href="#{}">{}</a>').format(name, rule[1])))
        return [(what, where) for what, where in found if where and (code or what != term)]

    @property
    def code(self) -> list[tuple[str, Markup, str]]:
        """Id, place and text of every function that `facts` has named."""
        return [(name, *one) for name, one in self._functions.items()]


def _cell_label(cell: pd.Series, row: pd.Series) -> str:
    label = cell["cell"].replace("/depth=", ", ")
    label += " layers" if cell["dataset"] else ""
    return label if cell["informative"] else f"{label} (no information)"


@dataclass(frozen=True)
class Scale:
    """How a row's estimates are shown: shares as points, differences of logarithms as factors."""

    unit: str

    @classmethod
    def of(cls, row: pd.Series) -> Scale:
        return cls("number" if row["type"] == "exact" else row["unit"])

    def short(self, value: float) -> str:
        """Without the unit, but for the sign that makes a factor."""
        if pd.isna(value):
            return ABSENT
        if self.unit == "fraction":
            return decimals(100 * value, 2, signed=True)
        if self.unit.startswith("log "):
            return f"× {figures(math.exp(min(value, 700)), 3)}"
        return figures(value, 3)

    @property
    def name(self) -> str:
        if self.unit == "fraction":
            return "points"
        return "factor" if self.unit.startswith("log ") else self.unit

    def long(self, *values: float) -> str:
        """With the unit, once."""
        said = " to ".join(map(self.short, values))
        return said if self.name == "factor" else f"{said} {self.name}"


def _facts(row: pd.Series, scale: Scale) -> list[tuple[str, str]]:
    decided = [("Decided", row["decided"])] if row["decided"] else []
    if row["type"] == "exact":
        return [("Computed", f"{figures(row['estimate'], 4)} ({row['unit']})"), *decided]
    facts = []
    if not pd.isna(row["estimate"]):
        said = scale.long(row["estimate"])
        if not pd.isna(row["low"]):
            alike = row["n"] > 1 and row["low"] == row["high"]
            said += f", 95% interval {scale.long(row['low'], row['high'])}"
            said += ": all seeds gave the same, as where none reaches the target; then it is a bound" * alike
        what = "Mean regret" if row["type"] == "policy" else "Estimated effect"
        if not pd.isna(row["threshold"]):
            what = f"Beyond the threshold ({scale.long(row['threshold'])}) by"
        facts.append((what, said))
    if not pd.isna(row["smallest"]):
        facts.append(("Smallest that matters", f"{scale.long(row['smallest'])}: {row['smallest_reason']}"))
    if row["type"] in STATISTICAL and not pd.isna(row["p_superior"]):
        facts.append(("p (Holm)", _ps(row)))
    if row["cells"] > 0:
        facts.append(("Rests on", _evidence(row)))
    facts += _robustness(row, scale)
    if not pd.isna(row["standardised"]):
        ahead = decimals(100 * row["superiority_probability"])
        facts.append(("In seed deviations", f"{figures(row['standardised'], 2)}; above zero in {ahead}% of pairs"))
    if row["verdict"] == Outcome.OPEN and not pd.isna(row["minimum_detectable"]):
        found = f"{scale.long(row['minimum_detectable'])} with a power of 80%"
        facts.append(("Smallest that could be found", f"{found}{_settles(row)}"))
    source = f"experiment {row['experiment']}" if row["experiment"] else "table cost"
    facts.append(("From", f"{source}, {row['metric']} ({row['type']})"))
    return facts + decided


def _robustness(row: pd.Series, scale: Scale) -> list[tuple[str, str]]:
    """What the estimate is without one seed, without diverged networks, at one learning rate, and with fresh seeds."""
    facts = []
    if row["lowest_without"]:
        ends = ((row["lowest"], row["lowest_without"]), (row["highest"], row["highest_without"]))
        facts.append(
            ("Without one seed", " to ".join(f"{scale.short(value)} (without {seed})" for value, seed in ends))
        )
    for term, name in (("Of what trained", "trained"), ("At one learning rate", "one_rate")):
        if not pd.isna(row[f"{name}_estimate"]) and (name != "trained" or row["diverged"] > 0):
            said = scale.long(row[f"{name}_estimate"])
            if not pd.isna(row[f"{name}_low"]):
                said += f", 95% interval {scale.long(row[f'{name}_low'], row[f'{name}_high'])}"
            said += f", in {counted(int(row['one_rate_cells']), 'cell')}" if name == "one_rate" else ""
            facts.append((term, said))
    if not pd.isna(row["new_low"]):
        facts.append(("A new dataset", f"95% prediction {scale.long(row['new_low'], row['new_high'])}"))
    if not pd.isna(row["same_verdict"]):
        share = f"{decimals(100 * row['same_verdict'], 0)}% of studies"
        facts.append(("Simulated with fresh seeds", f"the same verdict in {share}"))
    if not pd.isna(row["second"]):
        facts.append(("In the second study", f"{row['second']}, with other seeds"))
    return facts


def _settles(row: pd.Series) -> str:
    what = "seeds" if row["experiment"] else "timed pairs a width"
    if pd.isna(row["seeds_to_settle"]):
        return f"; no number of {what} settles it"
    if row["seeds_to_settle"] <= row["seeds"]:  # another rule than power leaves it open
        return ""
    return f"; {int(row['seeds_to_settle']):,} {what} would settle it"


def _ps(row: pd.Series) -> str:
    parts = {
        "true": row["p_superior"],
        "too small to matter": row["p_negligible"],
        "the opposite": row["p_reversed"],
    }
    return ", ".join(f"{_p(value)} ({what})" for what, value in parts.items() if not pd.isna(value))


def _p(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else figures(value, 2)


def _evidence(row: pd.Series) -> str:
    if not row["experiment"]:
        return f"{int(row['n'])} timed pairs over {int(row['cells'])} widths"
    said = f"{int(row['n'])} paired values in {counted(int(row['cells']), 'cell')}"
    if pd.isna(row["seeds"]):
        return said
    informative = (
        "" if row["informative_cells"] == row["cells"] else f", of which {int(row['informative_cells'])} informative"
    )
    rates = "the choice of the rate is in the interval" if row["tuning_seeds"] else "at the selected rates alone"
    return (
        f"{said}{informative}; at least {int(row['seeds'])} seeds in each; {int(row['diverged'])} of "
        f"{int(row['networks'])} networks diverged; {rates}"
    )


def _verdict(row: Row) -> Cell:
    return Cell(f"{Outcome(row['verdict']).icon} {Outcome(row['verdict']).said}")


def _table(rows: pd.DataFrame) -> Table:
    columns = [
        text("Row", "row", heads_row=True),
        text("Test", "test"),
        Column("Verdict", _verdict, numeric=False),
        significant("Estimate", "estimate"),
        significant("95% from", "low"),
        significant("to", "high"),
        significant("Smallest that matters", "smallest"),
        text("Unit", "unit"),
        significant("p (Holm)", "p_superior", 2),
        number("n", "n"),
        number("Cells", "cells"),
        number("Seeds", "seeds"),
        number("Diverged", "diverged"),
    ]
    caption = "All rows; estimates are positive in the direction of the claim, logarithms are natural"
    return Table("table-ledger", caption, columns, rows, download("ledger", rows))
