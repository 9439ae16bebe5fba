"""environment.yml from requirements.lock: each package with its version and hashes. `make lock` calls it.

The lines stand in the file itself: Snakemake copies it elsewhere, where `-r requirements.lock` would find nothing.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# For those who prefer conda to `make env`:
#
#   conda env create -f environment.yml
#   conda activate activation_study
#   pip install --no-deps --no-build-isolation -e .
#
# Python is conda's. The packages are PyPI's, in the versions of requirements.lock and with its hashes, without which
# pip takes none, so that both ways give the same numbers: conda's builds of them come later and link other libraries.
# `make lock` writes this file; tests/test_environment.py holds the two together.
name: activation_study
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
      - --require-hashes
"""


def entries(lock: str) -> list[str]:
    """The lock's packages, a line each: name, version, marker and hashes; comments are left out."""
    code = "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    return [" ".join(line.split()) for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def environment(lock: str) -> str:
    """The whole file; YAML folds an entry's lines into one."""
    folded = (one.replace(" --hash", "\n        --hash") for one in entries(lock))
    return HEAD + "".join(f"      - >-\n        {one}\n" for one in folded)


if __name__ == "__main__":
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(lock), encoding="utf-8")
