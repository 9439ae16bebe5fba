"""environment.yml from requirements.lock: what the study needs, with versions and hashes. `make lock` calls it.

Tools for tests are left out, so that a newer one does not make conda's environment, and the runs in it, anew. The lines
stand in the file itself: Snakemake copies it elsewhere, where `-r requirements.lock` would find nothing.
"""

import re
import tomllib
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
# `make lock` writes this file; tests/project/test_environment.py holds the two together.
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


def entries(lock: str, needed: set[str]) -> list[str]:
    """A line for each package that is needed, or that a needed one needs: name, version, marker and hashes.

    Below each package of the lock a comment says which others asked for it.
    """
    packages, asked_by = {}, {}
    for block in re.findall(r"^\S+==.*(?:\n +.*)*", lock, re.MULTILINE):
        name = block.partition("==")[0]
        code, _, comment = block.partition("# via")
        packages[name] = " ".join(code.replace("\\\n", " ").replace("#", " ").split())
        asked_by[name] = set(re.findall(r"^ *#? *([a-z0-9-]+)$", comment, re.MULTILINE))
    found: set[str] = set()
    while more := {name for name in packages.keys() - found if name in needed or asked_by[name] & found}:
        found |= more
    return [line for name, line in packages.items() if name in found]


def environment(lock: str, project: str) -> str:
    """The whole file, from the texts of requirements.lock and pyproject.toml; YAML folds an entry's lines into one."""
    needed = {re.match(r"[\w-]+", one)[0] for one in tomllib.loads(project)["project"]["dependencies"]}
    folded = (one.replace(" --hash", "\n        --hash") for one in entries(lock, needed))
    return HEAD + "".join(f"      - >-\n        {one}\n" for one in folded)


if __name__ == "__main__":
    lock, project = ((ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "pyproject.toml"))
    (ROOT / "environment.yml").write_text(environment(lock, project), encoding="utf-8")
