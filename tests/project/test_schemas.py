"""The JSON schemas that editors use say what the models say."""

import runpy

import pytest

from activation_study.study.config import ROOT

SCRIPT = runpy.run_path(str(ROOT / ".ci" / "schemas.py"))


@pytest.mark.parametrize("path", SCRIPT["MODELS"], ids=lambda path: path.name)
def test_a_schema_is_the_model_s(path):
    text = SCRIPT["text"](SCRIPT["MODELS"][path])
    assert path.read_text(encoding="utf-8") == text, "python .ci/schemas.py writes it anew"
