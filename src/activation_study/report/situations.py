"""The first screen's headline and its table: which activation in which situation, at what price, how surely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from activation_study.analysis.policies import step_costs
from activation_study.analysis.standing import Standing
from activation_study.core.numbers import ABSENT, decimals, percent
from activation_study.guide.chooser import MLP, NEAR, Evidence, Recommendation, recommend
from activation_study.guide.wording import beside, meaning
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, number, text
from activation_study.report.words import code, counted, listed

REFERENCE = "relu"


@dataclass(frozen=True)
class Situation:
    """The recommendation for a network and a depth, and where ReLU stands beside it, unless it is the pick or was not
    compared."""

    network: str
    answer: Recommendation
    reference: Standing | None

    @property
    def gain(self) -> float:
        """Points of test accuracy that the pick is ahead of ReLU; NaN without it."""
        return -100 * self.reference.difference.estimate if self.reference else float("nan")

    @property
    def matters(self) -> bool:
        """Whether ReLU is shown to be behind, by a difference that matters."""
        return self.reference is not None and not self.reference.tied and self.gain >= 100 * NEAR


def situations(data: StudyData) -> list[Situation]:
    """One for each network and depth, the core's networks first, then as the config has them, shallow ones first; all
    training samples, and a budget for every activation."""
    found = []
    for network, evidence in _networks(data):
        for depth in evidence.depths:
            answer = recommend(evidence, depth, None, "high", overfitting=False)
            if answer is not None:
                reference = next((other for other in answer.others if other.name == REFERENCE), None)
                found.append(Situation(network, answer, reference))
    return found


def _networks(data: StudyData) -> Iterator[tuple[str, Evidence]]:
    """What is known of each family and normalisation, by its name in words."""
    core = set(data.runs["network"])
    alone = core == {MLP}
    if alone:
        yield meaning(MLP), Evidence.of(data.tables, data.guide_rows)
    trained = data.tables["runs"][["network", "normalisation"]].drop_duplicates()
    for network, normalisation in sorted(
        trained.itertuples(index=False, name=None), key=lambda one: one[0] not in core
    ):
        if network == MLP and (alone or normalisation != "none"):
            continue
        within = "" if normalisation == "none" else f" with {normalisation} normalisation"
        evidence = Evidence.of(data.tables, data.guide_rows, network=network, normalisation=normalisation)
        yield meaning(network) + within, evidence


def headline(found: list[Situation]) -> Markup:
    """The finding in at most thirty words: at the deepest networks that trained every activation, and at the others."""
    first = [one for one in found if one.network == found[0].network]
    whole = [one for one in first if not one.answer.untried] or first
    deep, shallow = whole[-1], whole[0]
    if len(first) < len(found):
        if matter := sum(one.matters for one in found if one is not deep):
            return _at(deep, deep.network) + f" In {counted(matter, 'other row')} one is a point better too."
        return _at(deep, deep.network) + " In the other rows none is shown to be a point better."
    said = _at(deep)
    if len(whole) == 1 or (deep.reference is None and deep.answer.pick != REFERENCE):
        return said
    if shallow.matters:
        return said + Markup(" In shallow ones {} is {} points ahead of it.").format(
            code(shallow.answer.pick), decimals(shallow.gain)
        )
    return said + " In shallow ones none is shown to be a point better."


def _at(one: Situation, network: str = "networks") -> Markup:
    answer = one.answer
    there = f"in {network} of {answer.depth} layers"
    if answer.pick == REFERENCE:
        return Markup("{} is enough: {} none is shown to be better.").format(code(REFERENCE), there)
    if one.matters:
        near = [other.name for other in beside(answer)[0] if other.name != REFERENCE][:1]
        return Markup("Use {}: {} {} {} points more than {}.").format(
            listed([answer.pick, *near], "or"),
            there,
            "they score" if near else "it scores",
            decimals(one.gain),
            code(REFERENCE),
        )
    if one.reference is None:
        return Markup("{} scores highest {}: {}.").format(code(answer.pick), there, percent(answer.accuracy.estimate))
    return Markup("{} scores highest, but {} it is not shown to be a point better than {}.").format(
        code(answer.pick), there, code(REFERENCE)
    )


def table(data: StudyData, found: list[Situation], profiles: dict[str, str]) -> Table:
    """A row per situation. `profiles` has the id of each activation's section."""
    timed = sorted(data.tables["cost"].query("quantity == 'step'")["width"].unique())
    widths = [int(width) for width in dict.fromkeys([*timed[:1], *timed[-1:]])]
    costs = {width: step_costs(data.tables["cost"], width)["ratio_to_relu"] for width in widths}
    rows = []
    for one in found:
        answer = one.answer
        near = [other.name for other in beside(answer)[0]]
        rows.append(
            {
                "network": one.network,
                "layers": answer.depth,
                "use": answer.pick,
                "profile": profiles.get(answer.pick, ""),
                "as_good": ", ".join(near),
                "accuracy": answer.accuracy.estimate,
                "reference": answer.accuracy.estimate - one.gain / 100 if one.reference else _own(answer),
                **{f"step_{width}": ratios.get(answer.pick) for width, ratios in costs.items()},
                "sure": ": ".join(filter(None, [answer.confidence, _why(answer)])),
            }
        )
    frame = pd.DataFrame(rows)
    several = frame["network"].nunique() > 1
    columns = [
        *([text("Network", "network")] if several else []),
        number("Layers", "layers"),
        Column("Use", _use, numeric=False, heads_row=True),
        Column("As good", _as_good, numeric=False),
        number("Scores (%)", "accuracy", 1, 100),
        number("ReLU (%)", "reference", 1, 100),
        *(number(f"Time, width {width}", f"step_{width}", 2) for width in widths),
        text("How sure", "sure"),
    ]
    caption = (
        f"Which activation to use, by {'network and ' * several}hidden layers. As good: shown to be within a point. "
        "Scores: test accuracy, mean over the datasets."
        + f" Time: of a training step over ReLU's{', in multilayer perceptrons' * several}"
        * bool(widths)
    )
    return Table("table-situations", caption, columns, frame, download("situations", frame.drop(columns="profile")))


def _why(answer: Recommendation) -> str:
    """The conditions of high confidence that fail, without their details; else what it rests on."""
    if not answer.failed:
        return f"{answer.cells} cell{'s' * (answer.cells != 1)} with {answer.seeds} seeds, settled"
    return "; ".join(reason.split(":")[0] for reason in answer.failed)


def _own(answer: Recommendation) -> float:
    return answer.accuracy.estimate if answer.pick == REFERENCE else float("nan")


def _use(row: Row) -> Cell:
    said = label(row["use"])
    return Cell(Markup('<a href="#{}">{}</a>').format(row["profile"], said) if row["profile"] else said)


def _as_good(row: Row) -> Cell:
    return Cell(row["as_good"] or ABSENT)


def cheapest(points: pd.DataFrame) -> Markup | None:
    """The quickest less than a point behind the most accurate, where every activation was trained, and the dearest.

    Args:
        points: as `cost_against_quality` gives them.

    Returns:
        None where ReLU, to which all times are compared, or all others are missing.
    """
    if not len(points) or REFERENCE not in set(points["activation"]):
        return None
    many = points.groupby("depth")["activation"].nunique()
    depth = many.index[many == many.max()].max()
    rows = points[points["depth"] == depth].set_index("activation")
    if len(rows) < 2:
        return None
    best, dearest = rows["accuracy"].idxmax(), rows["ratio"].idxmax()
    quick = rows.loc[rows["accuracy"] >= rows.loc[best, "accuracy"] - NEAR, "ratio"].idxmin()
    times = rows["ratio"].map(lambda ratio: decimals(ratio, 2))
    step = Markup("At width {:,.0f} its step takes {} times as long as {}'s").format(
        rows["width"].iloc[0], times[quick], code(REFERENCE)
    )
    if quick == REFERENCE:
        said = Markup("{}, to whose step the others are compared").format(code(quick))
    elif quick == best:
        said = Markup("{}, which scores most. {}").format(code(quick), step)
    else:
        behind = decimals(100 * (rows.loc[best, "accuracy"] - rows.loc[quick, "accuracy"]))
        said = Markup("{}, {} behind {} on average. {}, {}'s {} times").format(
            code(quick), behind, code(best), step, code(best), times[best]
        )
    if dearest not in (quick, best):
        said += Markup("; the dearest, {}'s, {} times").format(code(dearest), times[dearest])
    return Markup("<strong>Cheapest less than a point behind, {} layers:</strong> {}.").format(depth, said)


def claims_bar(count: dict[str, int], file: str) -> Markup:
    """Verdicts as one bar, by their word in reading order; beside it the counts, which lead to the file's claims."""
    total, place, bars = sum(count.values()), 0, Markup("")
    for word, many in count.items():
        bars += Markup('<rect class="{}" x="{}" y="0" width="{}" height="1"/>').format(
            word.replace(" ", "-"), place, many
        )
        place += many
    said = ", ".join(f"{many} {word}" for word, many in count.items())
    drawn = Markup(
        '<svg class="bar" role="img" aria-label="{}" viewBox="0 0 {} 1" preserveAspectRatio="none">{}</svg>'
    ).format(said, total, bars)
    counts = Markup(" ").join(
        Markup('<a class="key {}" href="#ledger" data-pick="{}" data-file="{}">{} {}</a>').format(
            word.replace(" ", "-"), word, file, many, word
        )
        for word, many in count.items()
    )
    return drawn + counts
