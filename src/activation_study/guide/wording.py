"""A recommendation in words, for the page and the command line."""

from __future__ import annotations

from activation_study.analysis.standing import Standing
from activation_study.core.numbers import percent, points
from activation_study.guide.chooser import DEARER, MLP, NEAR, Evidence, Recommendation
from activation_study.networks.base import architectures
from activation_study.tables.columns import FORMER_VERDICTS

NO_ARTICLE = "no verdicts on the article's claims, as no claims file of this study says article: true"

WITHIN = " of those within the budget"
WIDE = "Not settled, maybe more than a point worse"

NO_FILE = "no row is cited, as the claims file that it judges is not here"


def lines(answer: Recommendation, evidence: Evidence) -> list[str]:
    """The answer in plain lines."""
    said = [f"Use {answer.pick}.", *answer.notes, f"Evidence: {evidence_text(answer)}"]
    near, open_ = beside(answer)
    said.append(f"As good within a point: {listed(near)}." if near else "As good within a point: no other.")
    if open_:
        said.append(f"{WIDE}: {listed(open_)}.")
    apart = [other for other in answer.others if other not in answer.runner_ups]
    if apart:
        said.append(
            f"Distinguishably worse: {listed(apart[:3])}" + (f", and {len(apart) - 3} more." * (len(apart) > 3))
        )
    said.append(f"Budget: {budget_text(answer)}")
    if answer.budget == "low" and len(evidence.costs):
        kind = "networks" if evidence.network == MLP else "multilayer perceptrons"
        said.append(f"Costs: timed in {kind} of {evidence.costs['width'].iloc[0]:,} units per layer.")
    if answer.overfitting:
        said.append("Over-fitting: of those as good as the best, the one with the smallest gap from training to test.")
    said.append(f"Confidence: {confidence_text(answer)}")
    verdicts = [str(evidence.ledger.loc[row, "verdict"]) for row in answer.rows]
    older = [", by earlier rules" * (verdict in FORMER_VERDICTS) for verdict in verdicts]
    cited = [f"{row} ({verdict}{rules})" for row, verdict, rules in zip(answer.rows, verdicts, older, strict=True)]
    none = ("no row compares it" if evidence.rows else NO_FILE) if len(evidence.ledger) else NO_ARTICLE
    said.append(f"Ledger: {', '.join(cited) or f'{none}; the evidence is the scores above'}")
    reach = f"{meaning(evidence.network)} on {', '.join(answer.datasets)}"
    said.append(f"Reach: {reach}; intervals are over seeds, and say nothing of other datasets.")
    return [line if line.endswith((".", ")")) else f"{line}." for line in said]


def meaning(network: str) -> str:
    """A family in words; a network of one's own by its name."""
    known = architectures()
    return known[network].meaning if network in known else network


def evidence_text(answer: Recommendation) -> str:
    """Test accuracy with its interval, and how many networks are behind it."""
    means = ", ".join(f"{percent(value)} on {name}" for name, value in answer.datasets.items())
    cells = f"{answer.cells} cell{'s' * (answer.cells != 1)}"
    return (
        f"mean test accuracy {percent(answer.accuracy.estimate)} (95% interval {percent(answer.accuracy.low)} to "
        f"{percent(answer.accuracy.high)}): {means}; {answer.n} networks of {answer.tested_depth} layers on "
        f"{samples_text(answer)} samples, {cells} of at least {answer.seeds} seeds, "
        f"{answer.diverged} diverged."
    )


def samples_text(answer: Recommendation) -> str:
    """The numbers of training samples behind it."""
    fewest, most = answer.tested_samples
    return f"{fewest:,} to {most:,}" if fewest < most else f"{fewest:,}"


def beside(answer: Recommendation) -> tuple[list[Standing], list[Standing]]:
    """Those not distinguishable from the pick: as good within a point, and those whose interval is too wide."""
    near = [other for other in answer.runner_ups if other.difference.low >= -NEAR]
    return near, [other for other in answer.runner_ups if other not in near]


def listed(others: list[Standing]) -> str:
    """Names with the difference of test accuracy from the pick and its interval, in points."""
    return ", ".join(
        f"{other.name} {points(other.difference.estimate)} points ({points(other.difference.low)} to "
        f"{points(other.difference.high)})"
        for other in others
    )


def budget_text(answer: Recommendation) -> str:
    if answer.budget == "low":
        tenth = f"takes {100 * (DEARER - 1):.0f}% or more longer than ReLU's, or was not timed"
        left = f"; left out, as a training step {tenth}: {', '.join(answer.excluded)}" if answer.excluded else ""
        return f"low: tune {answer.pick} alone{left}."
    names = [answer.pick, *(other.name for other in answer.worth_trying)]
    if len(names) == 1:
        return f"high: tune {answer.pick}; no other {'of those trained there ' * bool(answer.untried)}may be better."
    return f"high: tune {', '.join(names)}, and keep what is best on validation."


def confidence_text(answer: Recommendation) -> str:
    """The confidence with what speaks for or against it."""
    within = f",{WITHIN}" if answer.excluded else ""
    if not answer.failed:
        said = "tested as asked, within a point of the best on every dataset, and none may be a point better"
        return f"high{within}: {said}."
    return f"{answer.confidence}{within}: {'; '.join(answer.failed)}."


def compared_text(answer: Recommendation) -> str:
    """What the pick was compared with, where that is not everything."""
    if not answer.untried:
        return "all others"
    return f"the other {len(answer.others)} that were trained there"
