"""The words that this page uses in a sense of its own, or of statistics."""

from __future__ import annotations

from activation_study.report.blocks import Facts, Section
from activation_study.report.study_data import StudyData

NAME, PART, PLACE = "Words", "To look up", 60
WORDS = (
    ("Arm", "One side of a comparison: the networks of one activation, or of one value of what is varied."),
    ("Cell", "One dataset with one number of layers. A mean over cells gives each the same weight."),
    ("Censored", "Of a time: the network had not got there when training stopped, so it is only known to be longer."),
    ("Chance", "The accuracy of guessing: one divided by the number of classes. What diverges is counted there."),
    ("Dead unit", "A unit whose slope is exactly zero for every sample that was looked at: it learns nothing."),
    ("Decade", "A factor of ten. A gradient that loses half a decade per layer is a tenth after two layers."),
    ("Differs", "The p of the paired difference is below 0.05 after Holm's correction for all comparisons made."),
    ("Diverged", "The loss or a weight of this network became infinite or not a number during training."),
    ("Edge of chaos", "Weights and biases by which two similar inputs neither merge nor part, layer after layer."),
    ("Holm's correction", "Makes p larger where many comparisons are made: one study in twenty errs, not one test."),
    ("Interval", "95%: of a hundred studies with other seeds, about 95 would have the true value in theirs."),
    ("LSUV", "Layer by layer, weights divided by the deviation of what they give on a first batch."),
    ("Point", "A percentage point of accuracy; one is the smallest difference that matters in this study."),
    ("Regret", "What following a rule loses: the accuracy of the best choice minus that of the rule's choice."),
    ("Seed", "The number that fixes a network's first weights, the order of its data and, often, their split."),
    ("Tuning", "The choice of the learning rate, on validation samples and seeds that no score on this page uses."),
    ("Unit gain", "Weights scaled so that a layer's sums keep a mean square of 1; each activation needs its own."),
)  # fmt: skip


def section(data: StudyData) -> Section:
    """Always there."""
    return Section("words", "What the words mean", [Facts(WORDS)])
