"""pyproject.toml, requirements.lock and environment.yml name the same packages in the same versions."""

import itertools
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = ("pyproject.toml", "requirements.lock", "environment.yml")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@pytest.fixture
def texts() -> dict[str, str]:
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def lock_entries(text: str) -> list[str]:
    """The lock's logical lines: one per distribution, with its hashes; comments left out."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def lock_requirements(text: str) -> dict[str, Requirement]:
    return requirements([entry.partition("--hash")[0] for entry in lock_entries(text)])


def pinned_version(requirement: Requirement) -> str | None:
    """The version of an exact pin, None of anything looser."""
    match = re.fullmatch(r"==([^,*]+)", str(requirement.specifier))
    return match and match[1]


def disagreements(texts: dict[str, str]) -> list[str]:
    """One line for each way in which the three files differ."""
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    runtime = requirements(project["dependencies"])
    extras = requirements([*itertools.chain(*project["optional-dependencies"].values())])
    conda = yaml.safe_load(texts["environment.yml"])["dependencies"]
    from_pip = next(requirements(entry["pip"]) for entry in conda if isinstance(entry, dict))
    python = next(str(entry).partition("=")[2] for entry in conda if str(entry).startswith("python="))
    locked = lock_requirements(texts["requirements.lock"])

    found = [
        f"lock: {entry.split()[0]} has no hash"
        for entry in lock_entries(texts["requirements.lock"])
        if not HASH.search(entry)
    ]
    found += [f"lock: {name} is not pinned" for name, pin in locked.items() if pinned_version(pin) is None]
    for name, wanted in (runtime | extras).items():
        version = pinned_version(locked[name]) if name in locked else None
        if version is None or version not in wanted.specifier:
            found.append(f"lock: {name} is {version}, pyproject.toml wants {wanted.specifier}")
    found += [f"environment.yml: {name} is missing" for name in sorted(runtime.keys() - from_pip.keys())]
    found += [f"environment.yml: {name} is superfluous" for name in sorted(from_pip.keys() - runtime.keys())]
    for name, pin in from_pip.items():
        if name in locked and pin.specifier != locked[name].specifier:
            found.append(f"environment.yml: {name} is {pin.specifier}, the lock's {locked[name].specifier}")
    lowest = project["requires-python"]
    if SpecifierSet(lowest) != SpecifierSet(f">={python}"):
        found.append(f"environment.yml: python is {python}, pyproject.toml wants {lowest}")
    return found


def test_the_three_files_agree(texts: dict[str, str]) -> None:
    assert disagreements(texts) == []


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        ("environment.yml", r"pandas==[\d.]+", "pandas==3.0", "environment.yml: pandas is ==3.0,"),
        ("environment.yml", r"pandas==[\d.]+", "pandas>=3", "environment.yml: pandas is >=3"),
        ("environment.yml", r" +- scipy==.*\n", "", "environment.yml: scipy is missing"),
        ("environment.yml", r"- scipy==", "- scipyx==", "environment.yml: scipyx is superfluous"),
        ("environment.yml", r"python=[\d.]+", "python=3.12", "environment.yml: python is 3.12"),
        (
            "pyproject.toml",
            r"requires-python = .*",
            'requires-python = ">=3.10"',
            "environment.yml: python is",
        ),
        ("pyproject.toml", r"torch==[\d.]+", "torch==2.0.0", "lock: torch is"),
        ("pyproject.toml", r'"pytest>=', '"pytest-timeout", "pytest>=', "lock: pytest-timeout is None"),
        ("requirements.lock", r"(?m)^numpy==[\d.]+", "numpy==1.26.4", "lock: numpy is 1.26.4"),
        ("requirements.lock", r"(?m)^sympy==", "sympy>=", "lock: sympy is not pinned"),
        (
            "requirements.lock",
            r"(?m)^idna==.*\\\n( +--hash.*\n)+",
            "idna==3.20\n",
            "lock: idna==3.20 has no hash",
        ),
    ],
)
def test_a_drift_is_noticed(texts: dict[str, str], file: str, pattern: str, replacement: str, complaint: str) -> None:
    texts[file], count = re.subn(pattern, replacement, texts[file], count=1)
    assert count == 1
    assert any(complaint in line for line in disagreements(texts)), disagreements(texts)


def test_the_lock_names_no_place(texts: dict[str, str]) -> None:
    """No path and no index of the machine that wrote it: pip's own configuration decides where to look."""
    places = re.findall(r"(?m)^.*(?:://| @ |^-|^/|^\./).*$", texts["requirements.lock"])
    assert places == []


def test_the_tests_run_on_the_locked_versions(texts: dict[str, str]) -> None:
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    locked = lock_requirements(texts["requirements.lock"])
    installed = {name: metadata.version(name) for name in requirements(project["dependencies"])}
    # A local label such as torch's +cpu names the build, not the release.
    assert {name: version.partition("+")[0] for name, version in installed.items()} == {
        name: pinned_version(locked[name]) for name in installed
    }
