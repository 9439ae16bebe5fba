"""What can serve as an activation: state, randomness, widths, and the range that float32 training reaches."""

import json

import numpy as np
import pytest
import torch

import small
from activation_study.activations import portrait
from activation_study.activations.activation import DRAWS, from_entry
from activation_study.activations.expressions import parse
from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.jobs import job
from activation_study.networks import kernels
from activation_study.study.study import Study


def own(name, widths=(6,), **arguments):
    return from_entry("mine", {"module": f"odd_examined:{name}", **arguments}, widths=widths)


def said(entry, widths=()):
    with pytest.raises(StudyError) as caught:
        from_entry("mine", entry, widths=widths)
    message = str(caught.value)
    assert message.startswith("activations.mine: ")
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("Numpy", "NumPy's generator (numpy.random)"),
        ("NumpyStart", "NumPy's generator (numpy.random)"),
        ("Python", "Python's generator (random)"),
        ("OwnTorch", "a generator of its own ('source')"),
        ("OwnNumpy", "a generator of its own ('RNG')"),
        ("System", "elsewhere than torch's generator"),
        ("Late", "makes 'a' at the first call"),
        ("LateBuffer", "makes 'a' at the first call"),
        ("Counter", "keeps state between calls: 'calls' changes"),
        ("Last", "keeps state between calls: the same input"),
        ("Running", "keeps state between calls: 'mean' changes"),
        ("Centred", "at one sample depends on other samples"),
        ("Whitened", "at one unit depends on other units"),
        ("Size", "how many samples"),
        ("Place", "the sample's place"),
        ("Ramp", "its units differ, which it must say by an argument that is `width`"),
        ("Naive", "write softplus(x)"),
        ("InFloat32", "it computes in float32 whatever it is given"),
        ("PartlyInFloat32", "it computes in float32 whatever it is given"),
        ("ReluInFloat32", "it computes in float32 whatever it is given"),
    ],
)
def test_refused_for_the_true_reason(name, held):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert held in said({"module": f"odd_examined:{name}"}, widths=[6])
    assert np.array_equal(before[0], np.random.get_state()[1]), "a check draws nothing from anybody's generator"
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize("name", ["Rounded", "Steep"])
def test_a_staircase_or_a_ripple_is_not_taken_for_float32(name):
    assert own(name).units == 1


@pytest.mark.parametrize(
    ("entry", "widths"),
    [
        ({"class": "PReLU", "num_parameters": 16}, [16]),
        ({"class": "PReLU", "num_parameters": "width"}, [16, 64]),
        ({"module": "odd_examined:Slopes", "units": 16}, [16]),
        ({"module": "odd_examined:Ramp", "units": "width"}, [4, 16]),
        ({"module": "odd_examined:Ramp", "units": 16}, [16]),
    ],
)
def test_units_of_the_studys_widths(entry, widths):
    activation = from_entry("mine", entry, widths=widths)
    row = portrait.description(activation)["constants"]
    slope = 0.25 if "Ramp" not in entry.get("module", "") else None
    ramp = np.linspace(0.5, 1, min(widths))
    second = (1 + slope**2) / 2 if slope else np.mean(ramp**2)
    assert row["gain"] == pytest.approx(second**-0.5, rel=1e-12)


@pytest.mark.parametrize(
    "entry", [{"class": "PReLU", "num_parameters": 16}, {"module": "odd_examined:Slopes", "units": 16}]
)
@pytest.mark.parametrize("widths", [[16, 64], [32]])
def test_a_number_that_should_be_the_width(entry, widths):
    key = next(key for key, value in entry.items() if value == 16)
    assert f"{key}: 16 is not the number of units" in (message := said(entry, widths))
    assert message.endswith(f"write {key}: width")


def test_another_number_is_not_taken_for_a_width():
    assert "its value at x = -30 is inf" in said({"class": "Softplus", "beta": 0})


def test_a_study_knows_its_widths(tmp_path):
    core = small.CONFIG["experiments"]["core"] | {"activation": "all", "width": [16, 8]}
    study = Study.from_config(small.config(experiments={"core": core}, cost={"measure": False}))
    assert (study.widths("relu"), study.widths("prelu")) == ([], [8, 16])
    costed = Study.from_config(small.config(experiments={"core": core}, cost={"activation": "prelu", "widths": [32]}))
    assert costed.widths("prelu") == [8, 16, 32]
    params = {"name": "prelu", "entry": {"class": "PReLU", "num_parameters": 16}, "allow_modules": True}
    job.describe_activation(params | {"widths": [16]}, tmp_path / "prelu.json")
    assert files.read_json(tmp_path / "prelu.json")["status"] == "available"
    job.describe_activation(params | {"widths": study.widths("prelu")}, tmp_path / "prelu.json")
    described = files.read_json(tmp_path / "prelu.json")
    assert described["status"] == "refused"
    assert "write num_parameters: width" in described["message"]


def test_a_study_with_a_literal_width_trains():
    entry = {"class": "PReLU", "num_parameters": 16}
    study = Study.from_config(small.config(activations={"prelu": entry}, cost={"measure": False}))
    run = small.run({"activation": "prelu"}, activations={"prelu": entry})
    assert study.config.activations["prelu"].model_dump() == entry
    activation = from_entry("prelu", entry, widths=[16])
    kernel = kernels.layer_kernel(activation, 2, 16, dtype=torch.float32, device="cpu", seeds=[1, 2], layer=1)
    assert kernel.parameters["weight"].shape == (2, 16)
    assert run.factors.width == 16


RANDOM = ["RandomParameter", "RandomBuffer", "RandomNumber", "RandomUnits"]


@pytest.mark.parametrize("name", RANDOM)
def test_random_initial_parameters_are_a_draw_per_replica_and_layer(name):
    arguments = {"units": "width"} if name == "RandomUnits" else {}
    activation = own(name, **arguments)
    assert activation.drawn

    def kernel(seeds, layer):
        torch.rand(len(seeds))  # whatever else is drawn
        return kernels.layer_kernel(
            activation, len(seeds), 6, dtype=torch.float64, device="cpu", seeds=seeds, layer=layer
        )

    def slopes(seeds, layer):
        k, h = kernel(seeds, layer), -torch.ones(len(seeds), 1, 6, dtype=torch.float64)
        x = k.forward(h, torch.empty_like(h))
        backward = k.backward(h, x, torch.ones_like(h), torch.empty_like(h))
        torch.testing.assert_close(backward, -x)
        torch.testing.assert_close(k.derivative(h), -x)
        return -x[:, 0]

    both = slopes([5, 7], 2)
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, slopes([5, 7], 3)), "another layer, another draw"
    assert torch.equal(both, slopes([5, 7], 2))
    assert torch.equal(both.flip(0), slopes([7, 5], 2)), "whoever it is trained with"
    for seed, found in zip((5, 7), both, strict=True):  # as a plain loop would do it
        torch.manual_seed(kernels.seed_of("activation parameters", seed, 2))
        expected = torch.rand(6 if name == "RandomUnits" else 1).double().expand(6)
        torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomBuffer", "RandomUnits"])
def test_constants_of_random_initial_parameters_are_averages_over_draws(name):
    activation = own(name, **({"units": "width"} if name == "RandomUnits" else {}))
    row = portrait.description(activation)["constants"]
    units = 6 if name == "RandomUnits" else 1
    draws = []
    for draw in range(DRAWS):
        torch.manual_seed(kernels.seed_of("activation constants", draw))
        draws.append(torch.rand(units).double().numpy())
    first, second = np.mean(draws), np.mean(np.square(draws))
    assert second == pytest.approx(1 / 3, rel=0.15), "of U(0, 1)"
    assert row["gain"] == pytest.approx(((1 + second) / 2) ** -0.5, rel=1e-5)
    assert row["mean"] == pytest.approx((1 - first) / np.sqrt(2 * np.pi), rel=1e-5)
    assert row["chi"] == pytest.approx(1, rel=1e-5)
    assert row["sigma_b2"] == pytest.approx(0, abs=1e-4)
    value, slope = activation.evaluate(np.array([-2.0, 3.0]))
    np.testing.assert_allclose(value, [-2 * first, 3])
    np.testing.assert_allclose(slope, [first, 1])
    np.random.seed(1)
    torch.manual_seed(99)
    again = own(name, **({"units": "width"} if name == "RandomUnits" else {}))
    assert json.dumps(again.evaluate(np.array([-2.0]))[0].tolist()) == json.dumps(value[:1].tolist())


# --- the range of float32 ----------------------------------------------------------------------------------------

NAIVE = {
    "log(1 + exp(x))": ("x = 88.7", "softplus(x)"),
    "x * tanh(log(1 + exp(x)))": ("x = 88.7", "mish(x)"),
    "1 / (1 + exp(-x))": ("x = -88.7", "sigmoid(x)"),
    "x / (1 + exp(-x))": ("x = -88.7", "silu(x)"),
    "x / (1 + exp(-1.702*x))": ("x = -52.1", "x * sigmoid(1.702*x)"),
    "maximum(x,0) + minimum(exp(x)-1,0)": ("x = 88.7", "elu(x)"),
    "maximum(x,0) + minimum(2*(exp(x)-1),0)": ("x = 88.7", "where(x > 0, x, 2*expm1(x))"),
    "log(cosh(x))": ("x = 89.4", "x + softplus(-2*x) - log(2)"),
    "(exp(x)-exp(-x))/(exp(x)+exp(-x))": ("x = 88.7", "tanh(x)"),
    "2/(1+exp(-2*x)) - 1": ("x = -44.4", "tanh(x)"),
    "log(1+exp(2*x))/2": ("x = 44.4", "softplus(2*x)/2"),
    "-log(1+exp(-x))": ("x = -88.7", "logsigmoid(x)"),
    "log(sigmoid(x))": ("x = -88.7", "logsigmoid(x)"),
    "x**16/(1+x**16)": ("x = 256", None),
    "log(2 + exp(x))": ("x = 88.7", None),
    "exp(x/10)/(1+exp(x/10))": ("x = 887", "sigmoid(0.1*x)"),
    "1/(1+exp(-3*x))": ("x = -30", "sigmoid(3*x)"),
    "log(1+exp(5*x))/5": ("x = 18", "softplus(5*x)/5"),
    "x/(1+exp(-4*x))": ("x = -30", "x * sigmoid(4*x)"),
    "(exp(3*x)-exp(-3*x))/(exp(3*x)+exp(-3*x))": ("x = -30", "tanh(3*x)"),
    "exp(-4*x)/(1+exp(-4*x))": ("x = -30", "sigmoid(-4*x)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("text", NAIVE)
def test_a_formula_that_overflows_where_its_value_does_not(text):
    place, instead = NAIVE[text]
    message = said({"expression": text})
    assert f"in float32 at {place}" in message
    if instead is None:
        assert "write it so that nothing does on the way" in message
    else:
        assert message.endswith(f"write {instead}")
        x = np.linspace(-20, 20, 81)
        better = from_entry("it", {"expression": instead}).evaluate(x)[0]
        np.testing.assert_allclose(better, parse(text)(torch.tensor(x)).numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *("exp(x)", "exp(x) - 1", "sinh(x)", "cosh(x)", "x**2", "x**3", "x**16", "x*exp(x)", "exp(2*x)", "asinh(x)"),
        *("where(x > 0, x, exp(x) - 1)", "(x > 0)*x + (x <= 0)*(exp(x) - 1)", "x/sqrt(1 + x**2)", "exp(-x**2)"),
    ],
)
def test_what_overflows_in_truth_or_not_at_all_is_taken(text):
    activation = from_entry("it", {"expression": text})
    assert np.isfinite(activation.evaluate(np.linspace(-12, 12, 97))).all()


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("log1p(x + 40)", "its value at x = -4"),
        ("sqrt(1000 - abs(x))", "its value at x = 10"),
        ("exp(5*x)", "its value at x = 18 is inf in float32"),
        ("exp(5*x) - exp(4.99*x)", "its value at x = 18 is nan in float32"),
    ],
)
def test_what_has_no_value_in_reach(text, held):
    assert held in said({"expression": text})
