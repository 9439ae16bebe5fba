"""Chromium, and one report that every test here looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import Visit
from small_report import report, tables

__all__ = ["html", "report", "tables", "visit"]


@pytest.fixture(scope="session")
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture
def visit(chromium: object, tmp_path: Path) -> Iterator[Visit]:
    """Opens pages, each in a context of its own, and closes them after the test."""
    visit = Visit(chromium, tmp_path)
    yield visit
    visit.close()
