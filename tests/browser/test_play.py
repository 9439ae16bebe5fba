"""The page to play with: its numbers against the laws in Python, its formulas against the parser in Python."""

from __future__ import annotations

import io
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from activation_study.activations import activation, portrait, several_inputs
from activation_study.core.errors import StudyError
from activation_study.report import page as building
from activation_study.report.names import naming
from activation_study.report.sections import play
from activation_study.report.study_data import StudyData
from activation_study.study.study import Study
from activation_study.tables.of_study import Tables
from checks import Visit
from synthetic import PROVENANCE
from whole_study import CONFIG

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETTINGS = ((20, 64, "gain", 0.0), (30, 16, "torch_default", 0.5), (7, 3, "edge_of_chaos", 0.2))
"""Layers, units, how weights begin, the inputs' correlation."""
FORMULAS = (
    "relu(x)", "tanh(x)", "x * sigmoid(1.702 * x)", "sin(x)", "maximum(x, -1)", "clamp(x, -1, 1)", "softsign(x)",
    "x if x > 0 else 0.3*x", "x * tanh(softplus(x))", "x + sin(x)^2", "(x > 0)*x + (x <= 0)*expm1(x)", "exp(-x*x/2)",
    "erf(x)", "asinh(x) + 0.1",
)  # fmt: skip
UNIT = Path(__file__).parents[1] / "unit/activations/test_expressions.py"
ROWS = "document.querySelector('#figure-play a.drawn').href"


def described(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: portrait.description(activation.from_entry(name, entry)) for name, entry in entries.items()}


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, Any]]:
    """The activations of the default study, and the formulas."""
    configured = Study.from_file(CONFIG).config.activations
    formulas = {f"formula_{i}": {"expression": text} for i, text in enumerate(FORMULAS)}
    return described({name: entry.model_dump() for name, entry in configured.items()} | formulas)


@pytest.fixture(scope="module")
def whole(known: dict[str, dict[str, Any]], tables: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of this section alone, with every activation of the default study."""
    data = StudyData.read("small", tables, PROVENANCE)
    own = {name: one for name, one in known.items() if not name.startswith("formula_")}
    points = [pd.DataFrame(one["portrait"]).assign(activation=name) for name, one in own.items()]
    made = dict(data.tables) | {
        "activations": pd.DataFrame([one["constants"] for one in own.values()]),
        "portraits": pd.concat(points, ignore_index=True),
    }
    out = tmp_path_factory.mktemp("play") / "play.html"
    with naming(made["activations"]):
        building.write("play", {"Why": play.section(replace(data, tables=Tables(made)))}, out)
    return out.read_text(encoding="utf-8")


def chosen(page: Any, wanted: list[tuple[str, tuple[int, int, str, float]]]) -> Iterator[pd.DataFrame]:
    """What the page computes for each activation (or "=" and a formula) and settings: the rows that it offers."""
    details = [":".join(map(str, (*settings, name))) for name, settings in wanted]
    addresses = page.evaluate(
        f"(all) => all.map((detail) => {{ dispatchEvent(new CustomEvent('play', {{ detail }})); return {ROWS}; }})",
        details,
    )
    for address in addresses:
        yield pd.read_csv(io.StringIO(unquote(address.partition(",")[2])))


def test_its_numbers_are_those_of_the_laws(visit: Visit, whole: str, known: dict[str, dict[str, Any]]):
    asked = {name: f"={FORMULAS[int(name[8:])]}" if name.startswith("formula_") else name for name in known}
    wanted = [(name, settings) for name in asked for settings in SETTINGS]
    page = visit(whole)
    found = chosen(page, [(asked[name], settings) for name, settings in wanted])
    for (name, (depth, width, start, correlation)), rows in zip(wanted, found, strict=True):
        graph, constants = pd.DataFrame(known[name]["portrait"]), known[name]["constants"]
        expected = several_inputs.beginnings(graph, constants, depth, width, start, correlation)
        columns = list(rows.columns)
        np.testing.assert_allclose(rows, expected[columns], rtol=1e-5, atol=2e-6, err_msg=f"{asked[name]}, {start}")
    assert visit.errors == []


def test_formulas_mean_and_are_refused_as_in_the_config(visit: Visit, whole: str):
    cases = runpy.run_path(str(UNIT))
    taken = cases["test_value"].pytestmark[0].args[1]
    refused = [text for text, _ in cases["test_refused_in_one_line_that_names_the_piece"].pytestmark[0].args[1]]
    refused = [text for text in refused if isinstance(text, str)] + [
        "constructor(x)",
        "x*toString",
        "clamp(x, toString=1)",
    ]
    page = visit(whole)
    grammar = "JSON.parse(document.getElementById('play-laws').textContent).grammar"
    values = page.evaluate(
        f"([texts, x]) => texts.map((text) => x.map(formula(text, {grammar})))",
        [[text for text, _ in taken], cases["X"].tolist()],
    )
    for (text, expected), value in zip(taken, values, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12, err_msg=text)
    said = page.evaluate(
        f"""(texts) => texts.map((text) => {{
          try {{ formula(text, {grammar}); return ""; }}
          catch (error) {{ return error instanceof Refusal ? error.message : `fault: ${{error}}`; }}
        }})""",
        refused,
    )
    wrong = [(text, why) for text, why in zip(refused, said, strict=True) if not why or "\n" in why or "fault" in why]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1/(x - 0.5)", "not finite"),
        ("sign(x)", "too steep near x = 0"),
        ("exp(x*x/2)", "grows too fast"),
        ("x - x", "slope is zero"),
        ("swish(x)", "write silu(x)"),
    ],
)
def test_what_cannot_serve_is_refused_below_the_formula(visit: Visit, whole: str, text: str, why: str):
    page = visit(whole)
    page.locator(".play select").first.select_option("=")
    before = page.locator(".found").text_content()
    page.get_by_label("Formula in x").fill(text)
    assert why in page.get_by_role("alert").text_content()
    assert page.get_by_label("Formula in x").get_attribute("aria-invalid") == "true"
    assert page.locator(".found").text_content() == before
    with pytest.raises(StudyError):
        described({"typed": {"expression": text}})


def test_the_address_brings_back_what_was_played(visit: Visit, whole: str):
    page = visit(whole)
    page.get_by_label("Activation").select_option("=")
    page.get_by_label("Formula in x").fill("x*atan(x)")
    page.get_by_label("Weights begin as").select_option("torch_default")
    page.get_by_label("Hidden layers").press("ArrowRight")
    said, address = page.locator(".found").text_content(), page.evaluate("location.hash")
    assert said.startswith("After 21 layers of 64 units, the gradient at layer 1 is ")
    assert visit(whole, hash=address).locator(".found").text_content() == said
    foolish = visit(whole, hash="#figure-play?play=9:x:nothing::=<script>")
    assert foolish.locator(".found").text_content().startswith("After 20 layers of 64 units")
    assert visit.errors == []


def test_it_says_what_it_draws(visit: Visit, whole: str):
    page = visit(whole, hash="#figure-play?play=20:64:gain:0:sigmoid")
    said = page.get_by_role("status").text_content()
    assert "the gradient at layer 1 is 56 million times smaller than at layer 20. No unit is dead." in said
    assert page.locator("#figure-play svg > desc").text_content() == said
    page.get_by_role("button", name="Keep for comparison").click()
    page.get_by_label("Activation").select_option("relu")
    legend = page.locator("#figure-play svg > text").all_text_contents()
    assert {"sigmoid, 20 layers of 64", "ReLU, 20 layers of 64"} <= set(legend)
    assert page.locator("#figure-play circle").count() == 2 * 3 * 20


def test_it_fits_a_phone_and_the_whole_screen(visit: Visit, whole: str):
    page = visit(whole, width=320)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.get_by_role("button", name="in full screen").click()
    for _ in range(100):  # the page's policy forbids that it waits for an expression
        if page.evaluate("document.fullscreenElement?.id") == "figure-play":
            return
        page.wait_for_timeout(100)
    pytest.fail("the figure did not fill the screen")


def test_without_a_script_three_activations_stand_there(visit: Visit, whole: str):
    page = visit(whole, java_script_enabled=False)
    assert page.locator("#figure-play svg [data-activation]").count() == 9
    assert "ReLU, tanh and sigmoid, 20 layers of 64 units" in page.locator("#figure-play figcaption").text_content()
    assert page.locator(".play").count() == 0
