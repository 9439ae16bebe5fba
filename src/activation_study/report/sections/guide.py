"""The article's three steps beside what the evidence supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from activation_study.analysis.policies import article_rows, by_dataset
from activation_study.guide.sentences import Sentence, by_step, sentences
from activation_study.report.blocks import Block, Items, Paragraph, Section
from activation_study.report.names import relabelled
from activation_study.report.sections.ledger import identifiers
from activation_study.report.study_data import StudyData
from activation_study.report.words import NO_ARTICLE, code

NAME, PART, PLACE = "The article's guide", "The answer", 10
ARTICLE = "https://blog.paperspace.com/vanishing-gradients-activation-function/"
STEPS = {
    "relu_first": (
        "Try ReLU first.",
        "It is simple, cheap and easy to write, and it has served many people well.",
    ),
    "then_another": (
        "If ReLU disappoints, try Leaky ReLU or ELU.",
        "The article finds activations centred on zero much better. It prefers ELU where computing time allows, and "
        "Leaky ReLU for very large networks.",
    ),
    "with_time": (
        "With time to spare, compare PReLU and RReLU as well.",
        "RReLU where the network over-fits; PReLU, which learns its slopes, only with much training data.",
    ),
}

BESIDE = Markup(
    "Beside each stands what the evidence supports. Each sentence links to the test behind it; what a step costs "
    '<a href="#{}">is measured</a>. '
)


def section(data: StudyData) -> Section | None:
    """None where the study has neither scores nor verdicts."""
    ledger = data.tables["ledger"]
    if not len(data.overall) and ledger.empty:
        return None
    said = by_step(sentences(data.guide_rows, ledger, by_dataset(data.regret), data.regret))
    rows, families = article_rows(ledger), ledger["family"].unique()
    ids = {row: name for (family, row), name in identifiers(ledger).items() if family in set(rows["family"])}
    costs = "new-datasets" if len(data.sampled) else "regret"
    lead = Markup(
        'The <a href="{}">article that this study examines</a> ends on three steps. {}What to use instead is '
        'in <a href="#chooser">the chooser</a>.'
    ).format(ARTICLE, BESIDE.format(costs) if data.guide_rows else "")
    blocks: list[Block] = [Paragraph(lead)]
    if not data.guide_rows:
        missing = Markup(
            "<strong>No verdicts:</strong> {} Nothing stands beside the steps, therefore; what following them costs is "
            '<a href="#{}">measured below</a>.'
        ).format(NO_ARTICLE, costs)
        blocks.append(Paragraph(missing, "gap"))
    elif rows.empty:
        missing = Markup(
            "<strong>No verdicts:</strong> the ledger has none on these claims, so the sentences rest on regrets alone."
        )
        blocks.append(Paragraph(missing, "gap"))
    elif len(families) > 1:
        counts = Markup("Of this study's claims files, {} is the one whose verdicts are cited here.")
        blocks.append(Paragraph(counts.format(code(f"{rows['family'].iloc[0]}.yaml")), "note"))
    steps = [
        Markup("<strong>{}</strong> {}{}").format(step, why, _evidence(said[name], ids))
        for name, (step, why) in STEPS.items()
    ]
    blocks.append(Items(steps, numbered=True))
    if said["beyond"]:
        blocks += [Paragraph("What the article's steps leave out:"), Items([_one(one, ids) for one in said["beyond"]])]
    return Section("guide", "The article's guide, and what the evidence supports", blocks)


def _evidence(said: Sequence[Sentence], ids: Mapping[str, str]) -> Markup:
    if not said:
        return Markup("")
    shown = Markup("<br>").join(Markup("• {}").format(_one(sentence, ids)) for sentence in said)
    return Markup(' <span class="evidence"><em>The evidence:</em><br>{}</span>').format(shown)


def _one(sentence: Sentence, ids: Mapping[str, str]) -> Markup:
    """A sentence with links to the rows that it rests on."""
    links = Markup(", ").join(Markup('<a href="#{}">{}</a>').format(ids[row], row) for row in sentence.rows)
    said = relabelled(sentence.text)
    return Markup("{} ({})").format(said, links) if links else Markup("{}").format(said)
