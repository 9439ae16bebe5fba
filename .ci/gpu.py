"""What a GPU does with the study: `make gpu`, at most eight minutes.

For a machine with an NVIDIA GPU, Python and PyTorch; what else is missing is installed beside these, from `wheels/` if
that folder is there (`pip download` fills it), else from the index. Then, each whatever became of the one before: the
tests marked `gpu`, the figures of benchmarks/gpu.py, the demo study on the GPU, from nothing to its page.
What they found stands in results/gpu/summary.json, what they said in results/gpu/log.txt.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
OUT, ENVIRONMENT, WHEELS = ROOT / "results" / "gpu", ROOT / ".gpu", ROOT / "wheels"
PYTHON = ENVIRONMENT / "bin" / "python"
HERE = {"torch", "torchvision", "triton"}  # PyTorch stays the machine's own, with all that it brings
CARD = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.is_available() and "
CARD += "[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]]))"
DEMO = "-m snakemake --profile profiles/gpu --cores 8 --configfile config/demo.yaml --config study=gpu_demo device=cuda"
STEPS = {
    "tests": (["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu"], 120),
    "figures": (["benchmarks/gpu.py"], 110),
    "demo": (DEMO.split(), 120),
}
"""Python's arguments, and the most seconds."""


def main() -> int:
    for folder in (OUT, ROOT / "results" / "gpu_demo"):  # nothing of an earlier call passes for new
        shutil.rmtree(folder, ignore_errors=True)
    OUT.mkdir(parents=True)
    with (OUT / "log.txt").open("w", encoding="utf-8") as log:
        found: dict[str, Any] = {"steps": {"install": _step(log, "install", *_installing())}}
        asked = subprocess.run([str(PYTHON), "-c", CARD], capture_output=True, text=True, check=False)
        if asked.returncode:
            sys.exit(f"error: PyTorch cannot be imported on this machine: {asked.stderr.strip().splitlines()[-1]}")
        found["torch"], found["cuda"], cards = json.loads(asked.stdout)
        if not cards:
            sys.exit("error: PyTorch finds no GPU here; make gpu is for a machine with one")
        found["cards"] = cards
        for name, (command, seconds) in STEPS.items():
            found["steps"][name] = _step(log, name, [str(PYTHON), *command], seconds)
            _write(found)
    return 0 if all(step["ok"] for step in found["steps"].values()) else 1


def _installing() -> tuple[list[str], float]:
    """Makes the environment, on top of the machine's packages."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = re.findall(r"^([a-z0-9-]+)(==[^ ;\\]+)", text, re.MULTILINE)
    wanted = [name + version for name, version in locked if name not in HERE and not re.match("nvidia|cuda", name)]
    (OUT / "wanted.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
    pip = f"'{PYTHON}' -m pip install --quiet --no-compile --no-deps"
    each = f'while read -r one; do {pip} "$one" || echo "not installed: $one"; done < \'{OUT / "wanted.txt"}\''
    packages = f"{pip} --no-index '{WHEELS}'/*.whl" if WHEELS.is_dir() else each
    # `--system-site-packages` would be those beneath an environment, and PyTorch may be in one.
    machines = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    beside = "; ".join(["import site", *(f"site.addsitedir({path!r})" for path in machines)])
    script = f"""
    set -e
    [ -x '{PYTHON}' ] || '{sys.executable}' -m venv '{ENVIRONMENT}'
    echo "{beside}" > "$(echo '{ENVIRONMENT}'/lib/python3*/site-packages)/machine.pth"
    {packages}
    {pip} --no-build-isolation -e '{ROOT}'
    """
    return ["bash", "-c", script], 120


def _step(log: IO[str], name: str, command: list[str], seconds: float) -> dict[str, Any]:
    print(f"{name} ...", flush=True)
    environment = os.environ | {"PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"}
    log.write(f"\n=== {name}: {' '.join(command)[:300]}\n")
    log.flush()
    since = time.monotonic()
    started = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        code: int | None = started.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
        os.killpg(started.pid, signal.SIGKILL)  # with all that it started, which would keep the GPU
        started.wait()
    said = f"exit code {code}" if code is not None else f"not done after {seconds:.0f} s"
    took = time.monotonic() - since
    print(f"{name}: {said}, {took:.0f} s", flush=True)
    return {"ok": code == 0, "said": said, "seconds": took}


def _write(found: dict[str, Any]) -> None:
    """With the figures of the benchmark, and how many tests passed."""
    figures, log = OUT / "figures.json", (OUT / "log.txt").read_text(encoding="utf-8")
    tests = re.findall(r"^((?:\d+ \w+, )*\d+ \w+ in [\d.]+s.*)$", log, re.MULTILINE)
    more = {"tests": tests[-1] if tests else "none"}
    more["figures"] = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else None
    (OUT / "summary.json").write_text(json.dumps(found | more, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
