"""What a study's numbers come from: code, config, packages, machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from activation_study.study.code import files_digest
from activation_study.study.places import checkout
from activation_study.study.study import Study

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "mnist1d", "snakemake")


def provenance(study: Study) -> dict[str, Any]:
    """Plain values for the report: repository, code version and hash, config hash, package versions, hardware."""
    return {
        "repository": study.config.repository,
        "code": _commit(),
        "code_sha256": files_digest(),
        "config_sha256": study.digest,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _named(*_model()),
        "cores": os.cpu_count(),
    }


def of_job(receipt: Mapping[str, Any], since: float, device: str) -> dict[str, Any]:
    """A training job's row of the table ``jobs``.

    Args:
        receipt: ``receipts.of_run``.
        since: when the job began, as ``time.time()`` gives it.
        device: the device's name and the float32 product in use.
    """
    import torch

    gpu = device.startswith("cuda")
    return {
        "run": receipt["params"]["id"],
        "started": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
        "seconds": time.time() - since,
        "device": device,
        "precision": "tf32" if device == "cuda high" else "float32",
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "processor": torch.cuda.get_device_name() if gpu else _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "code": receipt["code"],
        "params": hashlib.sha256(json.dumps(receipt["params"], sort_keys=True).encode()).hexdigest(),
    }


def _commit() -> str:
    """The git commit, with "-dirty" where files differ from it; outside a checkout the version that is installed.

    "unknown" where git does not say: a checkout without its history may lie in the folders of another project's.
    """
    root = checkout()
    if root is None:
        return f"version {metadata.version('activation-study')}"
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    """The CPU's name, and what decides its rounding: the model, as one name may stand for several, and the
    instructions that PyTorch uses."""
    import torch

    return _named(*_model(), torch.backends.cpu.get_cpu_capability())


def _model() -> list[str]:
    """The CPU's name, and its family and model where they are known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = {key: re.findall(rf"^{key}\s*: (.*)$", text, re.MULTILINE) for key in ("model name", "cpu family", "model")}
    name = found["model name"][0] if found["model name"] else platform.processor() or "unknown"
    return [name, f"family {found['cpu family'][0]} model {found['model'][0]}"] if found["cpu family"] else [name]


def _named(name: str, *more: str) -> str:
    return f"{name} ({', '.join(more)})" if more else name
