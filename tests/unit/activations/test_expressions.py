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

from activation_study.activations import expressions
from activation_study.activations.expressions import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, parse
from activation_study.core.errors import StudyError

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
        ("np.tanh(x)", np.tanh(X)),
        ("torch.relu(x) + F.relu(x) + torch.nn.functional.relu(x) + numpy.pi", 3 * np.maximum(X, 0) + math.pi),
        ("1 + x^2*3", 1 + 3 * X**2),
        ("-x^2", -(X**2)),
        ("x^2^2 + 2^-1", X**4 + 0.5),
        ("x² − π·x", X**2 - math.pi * X),
        ("(x + 7)⁻¹", 1 / (X + 7)),
        ("𝑥 × 2", 2 * X),
        ("--x", X),
        ("((x))", X),
        ("relu(x)\n  + 1\n", np.maximum(X, 0) + 1),
        ("max(0, x)", np.maximum(X, 0)),
        ("min(max(0,x),6)", np.clip(X, 0, 6)),
        ("np.maximum(0, x)", np.maximum(X, 0)),
        ("x if x > 0 else 0.01*x", np.where(X > 0, X, 0.01 * X)),
        ("where(x > 0, x, 0.01*x)", np.where(X > 0, X, 0.01 * X)),
        ("np.where(x >= 0.7 or x < -1, x, 2)", np.where((X >= 0.7) | (X < -1), X, 2)),
        ("where((x > 0) & (x < 2), 1, x)", np.where((X > 0) & (X < 2), 1, X)),
        ("where(not x > 0, x, 1 if x != 2 else 5)", np.where(X > 0, np.where(X != 2, 1, 5), X)),
        ("where(x == 0, 1, sin(x)/x)", np.sinc(X / math.pi)),
        ("(x > 0) * x", (X > 0) * X),
        ("2*(0 < x < 3)*x*(x <= 0.7)", 2 * ((X > 0) & (X < 3) & (X <= 0.7)) * X),
        ("(x<0)*(exp(x)-1) + (x>=0)*x", np.where(X < 0, np.expm1(X), X)),
        ("1/(1+e**(-x))", special.expit(X)),
        ("atan(x) + arctan(x)", 2 * np.arctan(X)),
        ("asinh(x) + np.arcsinh(x)", 2 * np.arcsinh(X)),
        ("sinh(x/9) + cosh(x/9)", np.exp(X / 9)),
        ("clip(x, 0, 6)", np.clip(X, 0, 6)),
        ("clip(x, 0, None)", np.maximum(X, 0)),
        ("clamp(x, min=0)", np.maximum(X, 0)),
        ("torch.clamp(x, max=1)", np.minimum(X, 1)),
        ("np.clip(x, a_min=-1, a_max=1)", np.clip(X, -1, 1)),
        ("clamp(x, -sqrt(3), sqrt(3))", np.clip(X, -math.sqrt(3), math.sqrt(3))),
        ("pow(x, 2) + np.power(x, 2) + x ** sqrt(4)", 3 * X**2),
        ("maximum(x, .01*x)", np.maximum(X, 0.01 * X)),
        ("silu(x) + gelu(x)", X * special.expit(X) + X * special.ndtr(X)),
        (
            "elu(x) - selu(x)/1.0507009873554805",
            np.where(X > 0, 0, (1 - 1.6732632423543772) * np.expm1(np.minimum(X, 0))),
        ),
        (
            "mish(x) + softsign(x) + logsigmoid(x)",
            X * np.tanh(np.logaddexp(0, X)) + X / (1 + abs(X)) - np.logaddexp(0, -X),
        ),
    ],
)
def test_value(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-12, atol=1e-12)
    assert parse(text).text == text.strip()


@pytest.mark.parametrize(
    "side", ["where(x > 0, x, exp(x) - 1)", "x if x > 0 else exp(x) - 1", "(x>0)*x + (x<=0)*(exp(x)-1)"]
)
@pytest.mark.parametrize("points", [[-3.0, 0.0, 1.0, 800.0], [800.0, 900.0], [-2.0, -1.0]])
def test_the_side_that_is_not_chosen_spoils_no_gradient(side, points):
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    y = parse(side)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    chosen = np.minimum(points, 0)
    np.testing.assert_allclose(y.detach(), np.where(np.array(points) > 0, points, np.expm1(chosen)), rtol=1e-14)
    np.testing.assert_allclose(slope, np.where(np.array(points) > 0, 1, np.exp(chosen)), rtol=1e-14)


def test_what_is_not_a_number_stays_so_in_a_mask():
    assert parse("(x > 0) * x")(torch.tensor([math.nan, 1.0])).isnan().tolist() == [True, False]


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
        ("2x", "write 2*x for the product"),
        ("0.5 x", "write 0.5*x"),
        ("2(x + 1)", "write 2*(…)"),
        ("(x + 1)(x - 1)", "write (…)*(…)"),
        ("x(x + 1)", "a product is written x*(…)"),
        ("2 relu(x)", "write 2*relu(…)"),
        ("sin x", "write sin(x)"),
        ("х * sigmoid(х)", "the letter 'х' (it is CYRILLIC SMALL LETTER HA) is not x"),
        ("√x", "SQUARE ROOT"),
        ("x\u200b", "ZERO WIDTH SPACE"),
        ("½*x", "VULGAR FRACTION"),
        ("maximum(x, 0,01*x)", "if 0,01 is a number, write 0.01"),
        ("maximum(x, 0,5*x)", "if 0,5 is a number, write 0.5"),
        ("0,5*x", "write 0.5"),
        ("x*sigmoid(beta*x)", "unknown name 'beta'; the variable is x; write its value"),
        ("maximum(0,z)", "unknown name 'z'; the variable is x"),
        ("X * 2", "write x"),
        ("softmax(x)", "not elementwise"),
        ("np.max(x, 0)", "write maximum(a, b)"),
        ("rand(x) * x", "draws random numbers"),
        ("Tanh(x)", "did you mean tanh?"),
        ("swish(x)", "write silu(x)"),
        ("x.relu()", "write relu(x)"),
        ("2 ** -x", "write exp(log(2) * (…))"),
        ("y = relu(x)", "write only what stands to the right of ="),
        ("x > 0 ? x : 0", "where(x > 0, x, 0)"),
        ("|x|", "abs(x)"),
        ("x # the identity\n+ 1", "comment"),
        ("where(x, 1, 2)", "'x' is not allowed as a condition"),
        ("where(1 > 0, x, 1)", "'1 > 0' does not depend on x"),
        ("(x > 0) + x", "a comparison stands in where"),
        ("clamp(x)", "clamp takes 2 or 3 arguments, not 1"),
        ("clip(x)", "clip takes 2 or 3 arguments, not 1"),
        ("x.swish()", "write silu(x)"),
        ("x.sum()", "sum is not elementwise"),
        ("nn.LeakyReLU(0.1)(x)", "its entry is class: LeakyReLU"),
        ("log(0) * x", "'log(0)' is not a finite number"),
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


@pytest.mark.slow
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
        inner.map(lambda t: f"({t})^2"),
        inner.map(lambda t: f"1 + {t}^2*3"),
        st.tuples(inner, inner, inner).map(lambda t: f"where({t[0]} > {t[1]}, {t[2]}, 1)"),
        st.tuples(inner, inner).map(lambda t: f"(({t[0]}) if x < 0.5 else ({t[1]}))"),
        st.tuples(inner, inner).map(lambda t: f"((x >= 0) * ({t[0]}) + (x < 0) * ({t[1]}))"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
        inner.map(lambda t: f"np.arctan({t})"),
        inner.map(lambda t: f"clip({t}, -2, max=3)"),
        inner.map(lambda t: f"e**(-1 - tanh({t}))"),
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(TREES)
def test_well_formed_formulas_mean_what_they_mean_in_numpy(text):
    names = {"tanh": np.tanh, "pi": math.pi, "e": math.e, "np": np, "where": lambda c, a, b: a if c else b, "max": max}
    names["clip"] = lambda value, low, max: np.clip(value, low, max)
    own = text.replace("^", "**")  # the test's own text, point by point as Python means it
    expected = np.array([float(eval(own, names | {"x": float(x)})) for x in X])
    _, refusal = attempt(text)
    if "x" not in text:
        assert any(words in refusal for words in ("does not depend on x", "not a finite number", "bounds of clamp"))
    elif refusal is None:
        np.testing.assert_allclose(value(text), expected, rtol=1e-9, atol=1e-9)
    else:
        known = ("levels", "not a finite number", "does not depend on x", "characters", "the exponent of **")
        assert any(words in refusal for words in known)


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
    assert 0 < calls < 1000 + 30 * len(text)
    assert time.process_time() - start < 5, "a single call that takes long, such as a regular expression's"


def test_parsing_does_not_import_torch():
    code = "import sys; from activation_study.activations.expressions import parse; parse('tanh(x)');"
    code += "print('torch' in sys.modules)"
    source = Path(expressions.__file__).parents[2]
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(source)})
    assert shown.stdout.strip() == "False"
