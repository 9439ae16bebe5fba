"""The example scripts run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs" / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(script, tmp_path):
    call = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert call.returncode == 0, call.stderr
    assert "17 sites" in call.stdout
