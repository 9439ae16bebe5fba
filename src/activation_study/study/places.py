"""Where a study's files are looked for that nobody named: in the working directory, then in this package's checkout."""

from __future__ import annotations

from pathlib import Path

from activation_study.study.code import PACKAGE

RESULTS = Path("results/default/tables")
REFERENCE = Path("reports/reference/tables")
"""The tables that the maintainers published."""
FAMILIES = Path("reports/reference/families")
"""Of those the runs of other networks."""


def checkout() -> Path | None:
    """The folder of the checkout that this package lies in; None where it is installed from a wheel."""
    root = PACKAGE.parents[1]
    return root if PACKAGE.parent.name == "src" and (root / "Snakefile").is_file() else None


def candidates(*names: Path) -> list[Path]:
    """The places of the first name in their order, then those of the second …; absolute, none twice."""
    roots = [Path.cwd(), *filter(None, [checkout()])]
    return list(dict.fromkeys(root / name for name in names for root in roots))
