"""What a row of the ledger may come to."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, Self

import pandas as pd

Side = Literal["for", "partly", "against", "open"]
WORDS = ("true", "partly", "false", "open", "not judged")
"""What a claim as a whole may be called."""


class Outcome(StrEnum):
    """A row's verdict: its icon, whether it speaks for the claim (None: nothing was judged), its meaning, and what the
    page calls it: true or false, and what that rests on where it is no test."""

    icon: str
    side: Side | None
    meaning: str
    said: str

    def __new__(cls, label: str, icon: str = "", side: Side | None = None, meaning: str = "", said: str = "") -> Self:
        # The defaults are for type checkers, which take the look-up Outcome(label) for a call of this.
        member = str.__new__(cls, label)
        member._value_ = label
        member.icon, member.side, member.meaning, member.said = icon, side, meaning, said or label
        return member

    TRUE = (
        "true",
        "✓",
        "for",
        "tested: shown in the claimed direction, at least as large as the smallest effect that matters, of the same "
        "sign on every dataset and at every depth (a rule about the estimate, no proof that the true effect is so "
        "large); an equivalence: shown to lie within that margin, on every dataset. No single seed undoes it",
    )
    HOLDS = "holds as stated", "✓", "for", "it follows, whatever the seeds", "true, computed"
    LITTLE_REGRET = (
        "little regret",
        "✓",
        "for",
        "a way to choose that loses no more than the smallest loss that matters, on every dataset. No single seed "
        "undoes it",
        "true, little regret",
    )
    PARTLY = "partly", "◐", "partly", "tested: true, by the same rules, at the depths or on the datasets that it names"
    FALSE = (
        "false",
        "✗",
        "against",
        "tested: the opposite is shown, or that what is claimed is smaller than the smallest effect that matters, on "
        "every dataset. No single seed undoes it",
    )
    WRONG = "wrong as stated", "✗", "against", "it is refuted, and the correct statement is given", "false, computed"
    COSTLY = "costly", "✗", "against", "a way to choose that loses more than that, on some dataset", "false, costly"
    OPEN = (
        "open",
        "?",
        "open",
        "tested, and none of these is shown: the reason, what could have been found, and how many seeds would settle "
        "it are given",
    )
    EXPLORATORY = "exploratory", "○", None, "estimated and shown, not judged"
    NOT_TESTED = "not tested", "–", None, "this study has no runs for it"


def of_claim(rows: Iterable[str]) -> str:
    """One of WORDS for a claim, from its rows' verdicts: true or false where all that is judged agrees or is open
    beside a false one, partly where a part is true."""
    sides = {Outcome(row).side for row in rows} - {None}
    if sides == {"for"}:
        return "true"
    if sides & {"for", "partly"}:
        return "partly"
    if "against" in sides:
        return "false"
    return "open" if sides else "not judged"


def counted_claims(ledger: pd.DataFrame) -> dict[str, int]:
    """How many claims are true, partly true …, those of WORDS that there are, from the table `ledger`."""
    found = ledger.groupby(["family", "claim"])["verdict"].agg(of_claim)
    return {word: int((found == word).sum()) for word in WORDS if (found == word).any()}
