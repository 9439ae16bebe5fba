"""A browser for tests: one for all of a process, as a second Playwright would not start."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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


def sheets(page: Any) -> int:
    """How many A4 pages a page prints on."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", prefer_css_page_size=True)))
