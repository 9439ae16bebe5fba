"""Fixtures: one small report for all tests of a folder, whose conftest takes them from here."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from activation_study.report.page import build
from synthetic import CLAIMS, PROVENANCE, SMALL, write_tables


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tables(tmp_path_factory.mktemp("tables"), SMALL)


@pytest.fixture(scope="session")
def report(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML file; its figures and tables lie beside it in `small/`."""
    out = tmp_path_factory.mktemp("reports") / "small.html"
    build("small", tables, out, PROVENANCE, claims=CLAIMS, now=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    return out
