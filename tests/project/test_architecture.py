"""ARCHITECTURE.md is what the code is."""

import runpy

from activation_study.study.config import ROOT


def test_the_page_is_what_its_script_writes():
    page = runpy.run_path(str(ROOT / ".ci" / "architecture.py"))["page"]
    assert (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8") == page(), "python .ci/architecture.py writes it anew"
