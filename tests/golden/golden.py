"""What the project makes, as digests, to hold two revisions against each other on one machine.

    python tests/golden/golden.py REVISION

A change that is to change nothing leaves all of them as they were: the page of the published tables with its figures
and downloads, the ledger of these tables, every recommendation, and the tables of a small study that has every kind of
activation, optimiser, normalisation and measurement. Receipts are left out, as they name the code, and so are clocks.
Other processors round otherwise, so that no digest is kept in the repository.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "reports" / "reference" / "tables"
CLOCKS = {"timings", "cost", "jobs", "gaps"}
OWN = """import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, width=1):
        super().__init__()
        self.slope = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x):
        return torch.where(x > 0, x, self.slope * x)
"""
STUDY = {
    "study": "golden",
    "device": "cpu",
    "allow_modules": True,
    "seeds": {"tuning": 2, "evaluation": 2},
    "learning_rates": {"momentum": [0.003, 0.01, 0.03], "adam": [0.001, 0.003, 0.01]},
    "training": {
        "replicas_per_chunk": {"cpu": 4},
        "pruning": {"keep": 2},
        "evaluations_per_decade": 5,
        "probes_per_decade": 1,
        "probe_samples": 32,
    },
    "activations": {
        "relu": {"class": "ReLU"},
        "rrelu": {"module": "activation_study.activations:PaperRReLU"},
        "prelu": {"class": "PReLU", "num_parameters": "width"},
        "quick_gelu": {"expression": "x * sigmoid(1.702 * x)"},
        "scaled": {"module": "own:Scaled"},
    },
    "datasets": {"digits": {"source": "digits", "target": 0.5, "target_reason": "well above the 0.1 of guessing"}},
    "cost": {"widths": [8], "depth": 2, "batch_size": 8, "repeats": 6},
    "experiments": {
        "core": {
            "depth": [1, 3],
            "width": 12,
            "steps": 30,
            "batch_size": 16,
            "measure": ["noise", "selectivity", "covariate_shift", "sign_agreement", "saturation", "path"],
        },
        "other": {
            "depth": 2,
            "width": 8,
            "steps": 20,
            "batch_size": 16,
            "optimiser": "adam",
            "normalisation": ["none", "batch", "noisy_batch"],
            "initialisation": ["gain", "torch_default"],
        },
    },
}


def digests() -> dict[str, str]:
    """Name → SHA-256 of everything that this checkout makes."""
    return dict(itertools.chain(_page(), _ledger(), _recommendations(), _study()))


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A line for everything that one of the two lacks or that is not the same."""
    words = {(True, False): "gone", (False, True): "new", (True, True): "changed"}
    names = sorted({*before, *after})
    return [f"{words[n in before, n in after]}: {n}" for n in names if before.get(n) != after.get(n)]


def _digest(content: bytes | str) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def _page() -> Iterator[tuple[str, str]]:
    from activation_study.report.page import build

    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        claims = (str(ROOT / "claims.yaml"),)
        build("golden", PUBLISHED, Path(folder) / "golden.html", {"code": "none"}, claims=claims, now=now)
        for file in sorted(Path(folder).rglob("*.*")):
            yield f"page/{file.relative_to(folder)}", _digest(file.read_bytes())


def _ledger() -> Iterator[tuple[str, str]]:
    from activation_study.claims import file as claims_file
    from activation_study.claims.ledger import evaluate
    from activation_study.jobs.judge import READ
    from activation_study.tables import parquet

    paths = {name: PUBLISHED / f"{name}.parquet" for name in READ}  # the largest are not published
    read = {n: (parquet.read(n, p) if p.exists() else parquet.from_rows(n, [])).to_pandas() for n, p in paths.items()}
    found = evaluate(claims_file.read(), read)
    yield "ledger/rows", _digest(found.rows.to_csv())
    yield "ledger/cells", _digest(found.cells.to_csv())


def _recommendations() -> Iterator[tuple[str, str]]:
    from activation_study.__main__ import main

    for depth, samples, budget, fits in itertools.product(
        (2, 5, 20, 50), ((), ("--samples", "300"), ("--samples", "10000")), ("low", "high"), ((), ("--overfitting",))
    ):
        asked = ["recommend", "--depth", str(depth), *samples, "--budget", budget, *fits, "--tables", str(PUBLISHED)]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            main(asked)
        yield " ".join(asked[:-2]), _digest(said.getvalue())


def _study() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "own.py").write_text(OWN, encoding="utf-8")
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        environment = kept | {"PYTHONPATH": str(ROOT / "src"), "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
        done = subprocess.run([*command, "--cores", "2"], cwd=folder, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        for file in sorted((folder / "results/golden/tables").glob("*.parquet")):
            table = pd.read_parquet(file).drop(columns=["seconds"], errors="ignore")
            if file.stem not in CLOCKS:
                yield f"study/{file.stem}", _digest(table.to_csv(float_format=float.hex))


def _of(revision: str) -> dict[str, str]:
    """The digests that the checkout of a revision makes, by the file that lies there in this one's place."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, revision], cwd=ROOT, check=True)
        try:
            return _run(folder)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def _run(tree: Path) -> dict[str, str]:
    command = [sys.executable, tree / "tests/golden/golden.py"]
    made = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tree / "src")}, capture_output=True, check=False)
    if made.returncode:
        sys.exit(made.stderr.decode())
    found: dict[str, str] = json.loads(made.stdout)
    return found


def main() -> None:
    if len(sys.argv) == 1:
        print(json.dumps(digests(), indent=1))
        return
    before, after = _of(sys.argv[1]), _run(ROOT)
    wrong = differences(before, after)
    print("\n".join([*wrong, f"{len(before)} before, {len(after)} after, {len(wrong)} not the same"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
