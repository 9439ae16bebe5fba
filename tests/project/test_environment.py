"""pyproject.toml, requirements.lock and environment.yml name the same packages in the same versions."""

import itertools
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = ("pyproject.toml", "requirements.lock", "environment.yml")
PIP = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
PIP["PIP_CONFIG_FILE"] = os.devnull
"""An environment in which pip has no settings of this machine."""
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


def name_of(line: str) -> str:
    return canonicalize_name(Requirement(line.partition("--hash")[0]).name)


def needed(wanted: Iterable[str]) -> set[str]:
    """These packages and what they need on this machine, by what the installed ones say of themselves."""
    found, todo = set(), list(wanted)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            asked = requirements(metadata.requires(name) or []).items()
            todo += [other for other, one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


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
    from_pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
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
    if from_pip[:1] != ["--require-hashes"]:
        found.append("environment.yml: pip's first line is not --require-hashes")
    entries = {name_of(line): " ".join(line.split()) for line in lock_entries(texts["requirements.lock"])}
    listed = {name_of(line): line for line in from_pip if not line.startswith("--")}
    study = needed(runtime)
    superfluous = listed.keys() - entries.keys() | listed.keys() & (extras.keys() - study)
    found += [f"environment.yml: {name} is missing" for name in sorted(study - listed.keys())]
    found += [f"environment.yml: {name} is superfluous" for name in sorted(superfluous)]
    found += [
        f"environment.yml: {name} is {line.partition(' --hash')[0]}, the lock's {entries[name]}"
        for name, line in listed.items()
        if line != entries.get(name, line)
    ]
    lowest = project["requires-python"]
    if SpecifierSet(lowest) != SpecifierSet(f">={python}"):
        found.append(f"environment.yml: python is {python}, pyproject.toml wants {lowest}")
    return found


@pytest.mark.slow
def test_the_three_files_agree(texts: dict[str, str]) -> None:
    assert disagreements(texts) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        ("environment.yml", r"pandas==[\d.]+", "pandas==3.0", "environment.yml: pandas is pandas==3.0,"),
        ("environment.yml", r"pandas==[\d.]+", "pandas>=3", "environment.yml: pandas is pandas>=3"),
        ("environment.yml", r" +- >-\n +scipy==.*\n( +--hash.*\n)+", "", "environment.yml: scipy is missing"),
        ("environment.yml", r" scipy==", " scipyx==", "environment.yml: scipyx is superfluous"),
        ("environment.yml", r" +- --require-hashes\n", "", "environment.yml: pip's first line is not --require-hashes"),
        ("environment.yml", r"(scipy==.*\n)( +--hash.*\n)+", r"\1", "environment.yml: scipy is scipy=="),
        ("environment.yml", r"(scipy==.*\n +--hash=sha256:).{8}", r"\g<1>01234567", "environment.yml: scipy is scipy="),
        (
            "environment.yml",
            r"; sys_platform == 'win32'",
            "; sys_platform == 'linux'",
            "environment.yml: pyreadline3 is",
        ),
        (
            "environment.yml",
            r"(?m)^      - >-",
            "      - pytest==9.0\n      - >-",
            "environment.yml: pytest is superfluous",
        ),
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


def test_environment_yml_is_what_make_lock_writes(texts: dict[str, str]) -> None:
    write = runpy.run_path(str(ROOT / ".ci" / "environment.py"))["environment"]
    assert write(texts["requirements.lock"], texts["pyproject.toml"]) == texts["environment.yml"]


@pytest.mark.slow
def test_pip_reads_the_lines_that_conda_hands_it(texts: dict[str, str], tmp_path: Path) -> None:
    """conda writes them into a file, one below the other, and has pip read that; a hash that is wrong is refused."""
    conda = yaml.safe_load(texts["environment.yml"])["dependencies"]
    lines = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    named = tmp_path / next(line.split()[0] for line in lines if line.startswith("idna==")).replace("==", "-")
    Path(f"{named}-py3-none-any.whl").write_bytes(b"not what the lock names")
    (tmp_path / "condaenv.requirements.txt").write_text("\n".join([lines[0], *(x for x in lines if "idna==" in x)]))
    command = [sys.executable, "-m", "pip", "download", "--no-index", "--no-deps", "--find-links", str(tmp_path)]
    command += ["-r", str(tmp_path / "condaenv.requirements.txt"), "-d", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=PIP)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


def test_every_installation_is_held_to_hashes() -> None:
    """pip by --require-hashes, or of this checkout alone without dependencies; npm by its lock alone."""
    for name in ("Makefile", ".ci/run", "Containerfile", "docs/running.md", "environment.yml"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r".*(?:pip|npm) (?:install|ci)\b.*", text):
            ours = "--no-deps --no-build-isolation -e ." in line
            documented = "--index-url https://download.pytorch.org" in line  # the small CPU build; SECURITY.md says so
            from_lock = "--require-hashes" in line or "npm ci --prefix .ci --ignore-scripts" in line
            assert from_lock or ours or documented, line


def test_npm_installs_what_has_a_sha512() -> None:
    wanted = json.loads((ROOT / ".ci" / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    lock = json.loads((ROOT / ".ci" / "package-lock.json").read_text(encoding="utf-8"))
    packages = dict(lock["packages"])
    assert packages.pop("")["devDependencies"] == wanted
    assert {name.removeprefix("node_modules/"): one["version"] for name, one in packages.items()} == wanted
    assert all(re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", one["integrity"]) for one in packages.values())


REPORT = {"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}]}
FOUND = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("report", "errors", "code", "said"),
    [
        (json.dumps(REPORT), "", 0, "audit: 0 of 1 packages have known vulnerabilities"),
        (json.dumps(REPORT), "", 0, "audit: 1 packages are not in the database: b"),
        (json.dumps({"dependencies": [*REPORT["dependencies"], FOUND]}), "", 1, "c 2 has PYSEC-1, mended in 3"),
        ("", "Traceback ...\nConnectionError: refused", 0, "cannot be asked (ConnectionError: refused)"),
        ("", "", 0, "cannot be asked (no report)"),
        ("<html>", "", 0, "cannot be asked (no report)"),
    ],
)
def test_an_audit_fails_on_what_it_found_and_on_nothing_else(report, errors, code, said, capsys) -> None:
    assert runpy.run_path(str(ROOT / ".ci" / "audit.py"))["judged"](report, errors) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "trouble"),
    [
        (None, "URLError: "),
        ("<html>", "JSONDecodeError: "),
        ("[]", "AttributeError: "),
        ('{"vulnerabilities": []}', "it does not know"),
        ('{"vulnerabilities": [{"id": "PYSEC-1"}]}', ""),
    ],
)
def test_a_database_that_knows_nothing_is_not_asked(page, trouble, tmp_path) -> None:
    """It is known to have something on an old version: else pip-audit would find nothing, and say that all is well."""
    if page is not None:
        (tmp_path / "page").write_text(page)
    said = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["unreachable"]((tmp_path / "page").as_uri())
    assert said.startswith(trouble)
    assert bool(said) == bool(trouble)


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
