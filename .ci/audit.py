"""Known vulnerabilities of what requirements.lock names, by pip-audit, from PyPI's database; any is exit code 1.

Where that database cannot be asked, or does not answer in time, a line says so and nothing fails.
"""

import importlib.util
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
KNOWN = "https://pypi.org/pypi/jinja2/2.10/json"
"""A version with known vulnerabilities: of a mirror that has none of it, pip-audit would say that all is well."""
SECONDS = 300


def main() -> int:
    if importlib.util.find_spec("pip_audit") is None:
        print("audit: pip-audit is not installed; make env installs it")
        return 1
    if trouble := unreachable(KNOWN):
        return skipped(trouble)
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return skipped(f"no answer in {SECONDS} s")
    return judged(done.stdout, done.stderr)


def unreachable(url: str) -> str:
    """Why the database cannot be asked; empty if it can."""
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return "" if json.load(answer).get("vulnerabilities") else "it does not know what others do"
    except (OSError, ValueError, AttributeError) as error:  # no network, no such page, another answer than its JSON
        return f"{type(error).__name__}: {error}"


def judged(report: str, errors: str) -> int:
    """What pip-audit found, as an exit code with a line; without a report it broke off.

    Args:
        report, errors: what it wrote, as JSON and as text.
    """
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        return skipped((errors.strip().splitlines() or ["no report"])[-1])
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    for one in packages:
        for found in one.get("vulns", []):
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"audit: {one['name']} {one['version']} has {found['id']}, mended in {mended}")
    if unknown:
        print(f"audit: {len(unknown)} packages are not in the database: {', '.join(unknown)}")
    vulnerable = sum(bool(one.get("vulns")) for one in packages)
    print(f"audit: {vulnerable} of {len(packages) - len(unknown)} packages have known vulnerabilities")
    return int(vulnerable > 0)


def skipped(why: str) -> int:
    print(f"audit: skipped, as the database of vulnerabilities cannot be asked ({' '.join(why.split())[:200]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
