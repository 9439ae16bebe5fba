"""`make gpu`, on a machine that has no GPU: each step is tried, and what it said is written."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARD = "import json; print(json.dumps(['2.14.1', '13.0', ['A card']]))"


@pytest.fixture
def script(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu_script", ROOT / ".ci" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", tmp_path / "gpu")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(module, "_installing", lambda: (["true"], 10))
    return module


def test_without_a_gpu_it_says_so(script, monkeypatch):
    monkeypatch.setattr(script, "CARD", "import json; print(json.dumps(['2.14.1', None, False]))")
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == "error: PyTorch finds no GPU here; make gpu is for a machine with one"


def test_a_step_that_fails_or_takes_too_long_keeps_none_from_running(script, monkeypatch):
    figures = script.OUT / "figures.json"
    steps = {
        "tests": (["-c", "print('2 failed, 3 passed in 1.2s'); raise SystemExit(1)"], 20),
        "endless": (["-c", "import time; time.sleep(60)"], 0.5),
        "figures": (["-c", f"from pathlib import Path; Path({str(figures)!r}).write_text('{{\"ratio\": 3}}')"], 20),
    }
    monkeypatch.setattr(script, "STEPS", steps)
    monkeypatch.setattr(script, "CARD", CARD)
    script.OUT.mkdir()
    (script.OUT / "old.json").write_text("of an earlier call")
    assert script.main() == 1
    assert not (script.OUT / "old.json").exists()
    found = json.loads((script.OUT / "summary.json").read_text())
    assert found["cards"] == ["A card"]
    assert {name: step["ok"] for name, step in found["steps"].items()} == {
        "install": True,
        "tests": False,
        "endless": False,
        "figures": True,
    }
    assert found["steps"]["endless"]["said"] == "not done after 0 s"
    assert found["tests"] == "2 failed, 3 passed in 1.2s"
    assert found["figures"] == {"ratio": 3}
    assert "=== endless: " in (script.OUT / "log.txt").read_text()


def test_it_takes_eight_minutes_at_most_and_names_what_is_there(script, monkeypatch):
    installing = importlib.util.spec_from_file_location("again", ROOT / ".ci" / "gpu.py")
    module = importlib.util.module_from_spec(installing)
    installing.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", script.OUT)
    script.OUT.mkdir()
    assert module._installing()[1] + sum(seconds for _, seconds in module.STEPS.values()) <= 8 * 60
    for command, _ in module.STEPS.values():
        for word in command:
            assert not word.endswith((".py", ".yaml")) or (ROOT / word).exists()


def test_what_is_installed_leaves_pytorch_alone(script):
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("a", ROOT / ".ci/gpu.py"))
    spec.loader.exec_module(module)
    module.OUT = script.OUT
    script.OUT.mkdir()
    module._installing()
    names = [line.partition("==")[0] for line in (script.OUT / "wanted.txt").read_text().splitlines()]
    assert {"pandas", "snakemake", "pyarrow", "pytest"} <= {*names}
    assert not [name for name in names if name.startswith(("torch", "nvidia", "cuda", "triton"))]
