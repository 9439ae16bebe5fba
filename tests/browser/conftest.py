"""Chromium, and one report that every test here looks at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import Visit
from small_report import report, tables

__all__ = ["chromium", "html", "report", "tables", "visit"]

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
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture
def visit(chromium: object, tmp_path: Path) -> Iterator[Visit]:
    """Opens pages, each in a context of its own, and closes them after the test."""
    visit = Visit(chromium, tmp_path)
    yield visit
    visit.close()
