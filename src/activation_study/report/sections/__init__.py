"""The report's sections, one module each, which is found by lying here.

A section says its NAME in the page's contents, its PART, its PLACE among that part's sections, and has
`section(StudyData) -> Section | None`, which gives None where there is nothing to show. One whose first figure shows
what claims are about SHOWS their topics, see `evidence`.
"""

from __future__ import annotations

from types import ModuleType

from activation_study.core.registry import modules

PARTS = ("The answer", "How good, how fast", "Why", "Single questions", "To look up", "How far to trust it")
"""The page's parts in reading order."""


def discover() -> list[ModuleType]:
    """All sections in reading order. Raises ValueError where a part is unknown, or two have the same place."""
    places: dict[tuple[int, int], ModuleType] = {}
    for module in modules("report.sections"):
        if module.PART not in PARTS:
            raise ValueError(f"{module.__name__}: PART is {module.PART!r}, which is none of {PARTS}")
        other = places.setdefault((PARTS.index(module.PART), module.PLACE), module)
        if other is not module:
            raise ValueError(f"{other.__name__} and {module.__name__}: the same PLACE in {module.PART!r}")
    return [places[place] for place in sorted(places)]
