"""What a row of the ledger may come to."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

Side = Literal["for", "partly", "against", "open"]


class Outcome(StrEnum):
    """A row's verdict: its icon, whether it speaks for the claim (None: nothing was judged), and its meaning."""

    icon: str
    side: Side | None
    meaning: str

    def __new__(cls, label: str, icon: str = "", side: Side | None = None, meaning: str = "") -> Self:
        # The defaults are for type checkers, which take the look-up Outcome(label) for a call of this.
        member = str.__new__(cls, label)
        member._value_ = label
        member.icon, member.side, member.meaning = icon, side, meaning
        return member

    TRUE = (
        "true",
        "✓",
        "for",
        "tested: shown in the claimed direction, at least as large as the smallest effect that matters, of the same "
        "sign on every dataset and at every depth (a rule about the estimate, no proof that the true effect is so "
        "large); an equivalence: shown to lie within that margin, on every dataset. No single seed undoes it",
    )
    HOLDS = "holds as stated", "✓", "for", "computed: it follows, whatever the seeds"
    LITTLE_REGRET = (
        "little regret",
        "✓",
        "for",
        "a way to choose that loses no more than the smallest loss that matters, on every dataset",
    )
    PARTLY = "partly", "◐", "partly", "tested: true, by the same rules, at the depths or on the datasets that it names"
    FALSE = (
        "false",
        "✗",
        "against",
        "tested: the opposite is shown, or that what is claimed is smaller than the smallest effect that matters, on "
        "every dataset. No single seed undoes it",
    )
    WRONG = "wrong as stated", "✗", "against", "computed: it is refuted, and the correct statement is given"
    COSTLY = "costly", "✗", "against", "a way to choose that loses more than that, on some dataset"
    OPEN = (
        "open",
        "?",
        "open",
        "tested, and none of these is shown: the reason, what could have been found, and how many seeds would settle "
        "it are given",
    )
    EXPLORATORY = "exploratory", "○", None, "estimated and shown, not judged"
    NOT_TESTED = "not tested", "–", None, "this study has no runs for it"
