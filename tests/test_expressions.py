"""Formulas in x: what they compute, what is refused, and that nothing in them is ever run."""

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from activation_study import expressions
from activation_study.errors import StudyError
from activation_study.expressions import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, parse

X = np.array([-5.0, -1.3, -0.2, 0.0, 0.7, 2.0, 9.0])
POSITIVE = np.abs(X) + 0.1


def value(text, x=X):
    return parse(text)(torch.tensor(x)).numpy()


def attempt(text):
    """(formula, None) or (None, why it was refused)."""
    try:
        return parse(text), None
    except StudyError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x * sigmoid(1.702 * x)", X * special.expit(1.702 * X)),
        ("relu(x) - 0.3989422804014327", np.maximum(X, 0) - 0.3989422804014327),
        ("x*(1 + erf(x/2**0.5))/2", X * special.ndtr(X)),
        ("maximum(x, -1)", np.maximum(X, -1)),
        ("maximum(-1, x)", np.maximum(X, -1)),
        ("maximum(x, sin(x))", np.maximum(X, np.sin(X))),
        ("minimum(x, 1)", np.minimum(X, 1)),
        ("minimum(x, -x)", np.minimum(X, -X)),
        ("minimum(maximum(x, 1), 3) + maximum(2, 1)", np.clip(X, 1, 3) + 2),
        ("clamp(x + 3, 0, 6)", np.clip(X + 3, 0, 6)),
        ("  x - -x ** 2 / 4", X + X**2 / 4),
        ("+x / (1 + abs(x))", X / (1 + np.abs(X))),
        ("2 ** -1 * x + pi", X / 2 + math.pi),
        ("1 / (2 + cos(x))", 1 / (2 + np.cos(X))),
        ("1e-3 * x + sqrt(2)", X / 1000 + math.sqrt(2)),
        ("sign(x) * expm1(abs(x) / 9)", np.sign(X) * np.expm1(np.abs(X) / 9)),
        (
            "exp(-x*x) + log1p(x*x) + softplus(x) + tanh(x)",
            np.exp(-X * X) + np.log1p(X * X) + np.logaddexp(0, X) + np.tanh(X),
        ),
        ("log(x*x + 1)", np.log(X * X + 1)),
    ],
)
def test_value(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-12, atol=1e-12)
    assert parse(text).text == text.strip()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_keeps_shape_and_dtype_and_has_a_gradient(name):
    arguments = {1: "x", 2: "x, 0.5 * x", 3: "x, 0.25, 3"}[FUNCTIONS[name][1]]
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([[0.3, 1.5]], dtype=dtype, requires_grad=True)
        y = parse(f"{name}({arguments})")(x)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("text", ["maximum(x, 0)", "minimum(x, 0)", "clamp(x, 0, 1)", "clamp(x, -1, 0)"])
def test_the_derivative_at_a_numeric_bound_is_zero_like_that_of_relu(text):
    x = torch.zeros(1, requires_grad=True)
    assert torch.autograd.grad(parse(text)(x).sum(), x)[0] == 0


@pytest.mark.parametrize(
    ("text", "offending"),
    [
        ("", "not a formula"),
        ("x +", "not a formula"),
        ("log(x", "not a formula"),
        ("x\x00", "not a formula"),
        ("x = 1", "not a formula"),
        ("import os", "not a formula"),
        ("(" * 300, "not a formula"),
        ("1", "does not depend on x"),
        ("exp(2) * pi", "does not depend on x"),
        ("y * x", "'y'"),
        ("swish(x)", "'swish'"),
        ("__import__('os').system('true') + x", "is not allowed"),
        ("x.data", "'x.data'"),
        ("x[0]", "'x[0]'"),
        ("x < 1", "'x < 1'"),
        ("x if x else 1", "is not allowed"),
        ("[x for x in x]", "is not allowed"),
        ("lambda x: x", "is not allowed"),
        ("(y := x)", "'y := x'"),
        ("f'{x}'", "is not allowed"),
        ("x // 2", "'x // 2'"),
        ("x % 2", "'x % 2'"),
        ("x @ x", "'x @ x'"),
        ("~x", "'~x'"),
        ("not x", "'not x'"),
        ("x + True", "'True'"),
        ("x + 2j", "'2j'"),
        ("x + 'a'", "is not allowed"),
        ("x + None", "'None'"),
        ("tanh(*x)", "is not allowed"),
        ("tanh(x=x)", "'tanh(x=x)'"),
        ("tanh(x, x)", "tanh takes 1 argument, not 2"),
        ("maximum(x)", "maximum takes 2 arguments, not 1"),
        ("clamp(x, 1, 0)", "bounds of clamp"),
        ("clamp(x, x, 1)", "bounds of clamp"),
        ("x ** x", "exponent"),
        ("2 ** x", "exponent"),
        ("x ** 17", "exponent"),
        ("9 ** 9 ** 9 * x", "exponent"),
        ("1 / 0 * x", "'1 / 0' is not a finite number"),
        ("(-8) ** 0.5 * x", "is not a finite number"),
        ("1e999 * x", "'1e999' is not a finite number"),
        ("9" * 350 + " * x", "is not a finite number"),
        ("-" * 60 + "x", f"more than {MAX_DEPTH} levels"),
        ("x" * (MAX_LENGTH + 1), f"more than the {MAX_LENGTH} allowed"),
        (3, "must be text"),
    ],
)
def test_refused_in_one_line_that_names_the_piece(text, offending):
    with pytest.raises(StudyError) as caught:
        parse(text)
    message = str(caught.value)
    assert offending in message
    assert "\n" not in message


def test_an_operator_spread_over_lines_is_still_reported_on_one():
    with pytest.raises(StudyError, match=r"not allowed") as caught:
        parse("(x\n// 2)")
    assert "\n" not in str(caught.value)


PIECES = [
    "x",
    "y",
    "1",
    "2.5",
    "1e308",
    "pi",
    "+",
    "-",
    "*",
    "**",
    "/",
    "(",
    ")",
    ",",
    " ",
    "\n",
    "#",
    "'",
    '"',
    ":=",
    "[",
    "]",
    ".",
]
PIECES += [
    "__import__",
    "eval",
    "lambda",
    "for",
    "in",
    "if",
    "\\",
    "\x00",
    "é",
    "0x",
    "_",
    "None",
    "open('p','w')",
    *FUNCTIONS,
]


@settings(max_examples=600, deadline=500)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_is_a_formula_or_refused(text):
    formula, refusal = attempt(text)
    if refusal is None:
        x = torch.linspace(-3, 3, 7, dtype=torch.float64)
        assert formula(x).shape == x.shape
    else:
        assert "\n" not in refusal


LEAVES = st.sampled_from(["x", "1.5", "-2", "pi"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"tanh({t})"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"({t})**2"),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_well_formed_formulas_mean_what_they_mean_in_numpy(text):
    expected = eval(text, {"x": X, "tanh": np.tanh, "pi": math.pi})  # the test's own text
    _, refusal = attempt(text)
    if "x" not in text:
        assert "does not depend on x" in refusal or "not a finite number" in refusal
    elif refusal is None:
        np.testing.assert_allclose(value(text), expected, rtol=1e-9, atol=1e-9)
    else:
        assert "levels" in refusal or "not a finite number" in refusal


@pytest.mark.parametrize(
    "text", ["(" * 199 + "x" + ")" * 199, "[" * 200, "-" * 399 + "x", "x" + "**2" * 130, "x+" * 199 + "x"]
)
def test_no_text_takes_long(text):
    """In calls of functions, Python's and C's, and in the processor's own time: no load of the machine counts."""
    calls, start = 0, time.process_time()

    def note(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        attempt(text)
    finally:
        sys.setprofile(before)
    assert 0 < calls < 1000 + 20 * len(text)
    assert time.process_time() - start < 5, "a single call that takes long, such as a regular expression's"


def test_parsing_does_not_import_torch():
    code = "import sys; from activation_study.expressions import parse; parse('tanh(x)'); print('torch' in sys.modules)"
    source = Path(expressions.__file__).parents[1]
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(source)})
    assert shown.stdout.strip() == "False"
