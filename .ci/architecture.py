"""ARCHITECTURE.md from the code: its packages from the top down, what each imports, and what a change makes again.

python .ci/architecture.py
"""

import ast
import tomllib
from pathlib import Path

import grimp

from activation_study.study.code import PACKAGE, STEPS, modules_of

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Architecture

Data go one way: `config.yaml` → `Study` → runs → jobs → training → tables → analysis → claims → guide → report.

A file's place says what it is about and what it may import: packages stand below from the top down, and each imports
only from those further down (`make lint` holds them to that). `.ci/architecture.py` writes this page from the code, and
a test holds the two together.
"""
AGAIN = """
## What a change makes again

A result is made again when the code changes that it rests on, by its syntax tree: comments, docstrings and layout do
not count, nor does how public data are downloaded. Edits of `scripts` and `workflow` are for Snakemake to notice.

| rule | packages whose code counts |
| --- | --- |
"""


def page() -> str:
    """The whole text."""
    graph = grimp.build_graph(PACKAGE.name, cache_dir=None)
    parts = [HEAD]
    for name in packages():
        found = graph.find_descendants(f"{PACKAGE.name}.{name}")
        below = {other for module in found for other in graph.find_modules_directly_imported_by(module)}
        used = {other.split(".")[1] for other in below} - {name}
        known = ", ".join(f"`{other}`" for other in packages() if other in used) or "nothing"
        parts.append(f"\n## `{name}`\n\n{summary(PACKAGE / name / '__init__.py')} It imports {known}.\n\n")
        parts += ["| module | what it is about |\n| --- | --- |\n", *rows(PACKAGE / name)]
    return "".join([*parts, AGAIN, *(f"| {step} | {counting(step)} |\n" for step in STEPS)])


def packages() -> list[str]:
    """From the top down, as the contract has them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]["contracts"][0]
    return [name for layer in contract["layers"] for name in layer.split(" | ") if (PACKAGE / name).is_dir()]


def rows(folder: Path) -> list[str]:
    files = sorted(file for file in folder.rglob("*.py") if file.name != "__init__.py")
    return [f"| `{file.relative_to(folder).with_suffix('').as_posix()}` | {summary(file)} |\n" for file in files]


def summary(file: Path) -> str:
    """The first paragraph of its docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def counting(step: str) -> str:
    counted = {module.partition(".")[0] for module in modules_of(step)}
    return ", ".join(f"`{name}`" for name in packages() if name in counted)


if __name__ == "__main__":
    (ROOT / "ARCHITECTURE.md").write_text(page(), encoding="utf-8")
