"""No file has over 400 lines, no function over 50, its docstring apart."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    file for folder in (".ci", "benchmarks", "scripts", "src", "tests") for file in (ROOT / folder).rglob("*.py")
)
FILE, FUNCTION = 400, 50
LONGER = {
    "figures/forest.py:forest": "a figure, drawn from top to bottom",
    "networks/closed_forms.py:closed_form": "a case per activation",
}
"""Functions that would not be clearer in pieces, and why."""


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to its end; the docstring, where there is one, is not counted."""
    whole = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - (function.body[0].end_lineno - function.body[0].lineno + 1)


def test_no_file_is_too_long():
    assert [file for file in FILES if len(file.read_text(encoding="utf-8").splitlines()) > FILE] == []


@pytest.mark.slow
def test_no_function_is_too_long():
    found = {}
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines(node) > FUNCTION:
                found[f"{file.parent.name}/{file.name}:{node.name}"] = lines(node)
    assert found.keys() == LONGER.keys(), found


@pytest.mark.parametrize(
    ("text", "count"), [("def f():\n    '''A\n    b.'''\n    return 1", 2), ("def f():\n    g()", 2)]
)
def test_a_docstring_is_not_counted(text, count):
    assert lines(ast.parse(text).body[0]) == count
