"""Chromium, and one report that every test here looks at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activation_study.report.page import build
from checks import Visit
from synthetic import PROVENANCE, SMALL, write_tables

EXECUTABLE = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A running browser. Without one the tests are skipped, but on CI they fail."""
    if EXECUTABLE is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium on the PATH")
        pytest.skip("no chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tables(tmp_path_factory.mktemp("tables"), SMALL)


@pytest.fixture(scope="session")
def report(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "small.html"
    build("small", tables, out, PROVENANCE, now=datetime(2026, 1, 2, tzinfo=UTC))
    return out


@pytest.fixture(scope="session")
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture
def visit(chromium: object, tmp_path: Path) -> Iterator[Visit]:
    """Opens pages, each in a context of its own, and closes them after the test."""
    visit = Visit(chromium, tmp_path)
    yield visit
    visit.close()
