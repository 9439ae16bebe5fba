"""Whether a module can serve as an activation, found by running it on a few numbers.

It must be a differentiable function of each element alone, the same at every call; noise and initial parameters may be
drawn, by torch's generator only. Value and derivative must be finite for \\|x| ≤ 30, in float32 and float64, without a
pole (`poles`). Further out, to \\|x| = 10,000 (inputs shifted by 1,000, the most that a config may ask for, lead to
pre-activations of some thousand), they may overflow in float32 only where they do so in truth: exp(x) beyond 88.7 is
taken, and its overflow counts as divergence; log(1 + exp(x)), which is 88.7 there and not infinite, is refused.
"""

from __future__ import annotations

import functools
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activation_study.activations import expressions, poles
from activation_study.core.text import one_line, shown

RANGE = 30.0
"""Up to this |x| it must be finite."""
REACH = 1e4
"""Up to this |x| float32 must hold what is true there."""
LARGE = 1e30
"""What is larger in truth may overflow in float32."""
MODES = (True, True, False, False, True)
"""Training or evaluation: calls that must give the same value wherever the mode is the same."""

Build = Callable[[int], nn.Module]


class NotAnActivation(Exception):
    """Says why."""


class _NotFinite(NotAnActivation):
    """Args: what is said, and the x where it is so."""

    def __str__(self) -> str:
        return self.args[0]


@dataclass(frozen=True)
class Found:
    """What an examination finds.

    Attributes:
        learnable: it has parameters.
        stochastic: it is random in training mode.
        drawn: two of them, built from different seeds, differ.
        units: the width that shows all it does: 1, or the smallest examined if it needs that, or its units differ.
    """

    learnable: bool
    stochastic: bool
    drawn: bool
    units: int


def examine(build: Build, widths: Sequence[int], *, per_unit: bool, own: bool) -> Found:
    """Run it in both modes and precisions, at every width.

    Args:
        build: makes a module for a number of units.
        per_unit: whether its units may differ.
        own: whether it is code that nobody knows, which may keep state or draw numbers of its own.
    Raises:
        NotAnActivation: it cannot serve as one; says why.
    """
    learnable = stochastic = drawn = by_unit = False
    with torch.random.fork_rng(devices=[]):
        for width in widths:
            batch = _batch(width)
            if own:
                _check_repeatable(build, width, batch.float())
            for dtype in (torch.float32, torch.float64):
                x = batch.to(dtype)
                for training in (True, False):
                    module = _fresh(build, width, dtype, training)
                    try:
                        y = _run(module, x, seed=0)
                        _check_elementwise(module, x, y)
                        _check_gradient(module, x)
                    except _NotFinite as error:
                        double = _fresh(build, width, torch.float64, training)
                        raise NotAnActivation(_not_finite(error, module, double, width)) from None
                    learnable = any(p.requires_grad for p in module.parameters())
                    differs = not torch.equal(y, _run(module, x, seed=1))
                    if differs and not training:
                        raise NotAnActivation("it is random in evaluation mode")
                    stochastic = stochastic or differs
                    if own and not training:
                        by_unit = _check_places(module, x, y, per_unit) or by_unit
                        drawn = drawn or not torch.equal(y, _run(_fresh(build, width, dtype, training, 1), x, seed=0))
        units = min(widths) if by_unit or not _works_alone(build) else 1
        for training in (True, False):
            _check_reach(functools.partial(_fresh, build, units, training=training), units)
        module = _fresh(build, units, torch.float64, training=False)
        if own:
            _check_precision(module, units)
        if unbounded := poles.find(lambda x: tuple(_curves(module, torch.from_numpy(x), units).numpy()), RANGE):
            raise NotAnActivation(unbounded)
    return Found(learnable, stochastic, drawn, units)


def _batch(width: int) -> Tensor:
    """[samples, width], float64: every point at every unit, in another order."""
    count = 121 if width < 16 else 31
    points = torch.linspace(-RANGE, RANGE, count, dtype=torch.float64)  # 0 is one of them
    source = torch.Generator().manual_seed(0)
    columns = [points, *(points[torch.randperm(count, generator=source)] for _ in range(width - 1))]
    return torch.cat(columns).reshape(-1, width)


def _fresh(build: Build, width: int, dtype: torch.dtype, training: bool, seed: int = 0) -> nn.Module:
    torch.default_generator.manual_seed(seed)
    return build(width).to(dtype).train(training)


def _run(module: nn.Module, x: Tensor, seed: int, *, finite: bool = True) -> Tensor:
    given = x.clone()
    torch.default_generator.manual_seed(seed)
    try:
        with torch.no_grad():
            y = module(given)
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        raise NotAnActivation(f"it fails on an input [samples, units] = {list(x.shape)}: {reason}") from None
    if not isinstance(y, Tensor) or y.shape != x.shape:
        shape = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise NotAnActivation(f"it turns an input of shape {list(x.shape)} into {shape}")
    if y.dtype != x.dtype:
        raise NotAnActivation(f"it turns {x.dtype} into {y.dtype}")
    if not torch.equal(given, x):
        raise NotAnActivation("it writes on its input (inplace)")
    if finite:
        _check_finite("value", x, y)
    return y


def _check_finite(what: str, x: Tensor, y: Tensor) -> None:
    wrong = ~y.isfinite()
    if wrong.any():
        x, y = x.reshape(-1), y.reshape(-1)
        wrong = wrong.reshape(-1)
        place = x[wrong][0].item()
        raise _NotFinite(f"its {what} at x = {place:g} is {y[wrong][0].item()}", place)


def _not_finite(error: _NotFinite, module: nn.Module, double: nn.Module, units: int) -> str:
    """What to say of a value or derivative in either precision, given the same module in float64."""
    x = torch.tensor([error.args[1]], dtype=torch.float64)
    true = _curves(double, x, units)
    if not true.isfinite().all():
        return str(error)
    single = module.float()
    if true.abs().max() >= LARGE or _curves(single, x.float(), units).isfinite().all():
        return f"{error} in float32"
    return _breaks(single, double, error.args[1], units)


def _check_elementwise(module: nn.Module, x: Tensor, y: Tensor) -> None:
    """Halving one element must leave the value of every other as it was.

    Halving keeps the sign: PyTorch's RReLU draws a number for each negative element only.
    """
    flat = x.flatten()
    for position in (int(flat.argmin()), int(flat.argmax())):
        changed = flat.clone()
        changed[position] /= 2
        moved = _run(module, changed.view_as(x), seed=0) != y
        row, column = divmod(position, x.shape[1])
        moved[row, column] = False
        if moved[row].any():
            raise NotAnActivation("its value at one unit depends on other units")
        if moved.any():
            raise NotAnActivation("its value at one sample depends on other samples")


def _check_gradient(module: nn.Module, x: Tensor) -> None:
    gradient = _gradient(module, x)
    _check_finite("derivative", x, gradient)
    if not gradient.any():
        raise NotAnActivation("its derivative is zero everywhere")


def _gradient(module: nn.Module, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    try:
        return torch.autograd.grad(module(leaf).sum(), leaf)[0]
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        raise NotAnActivation(f"it cannot be differentiated: {reason}") from None


def _check_precision(module: nn.Module, units: int) -> None:
    """In float64, its derivative must be the slope over a billionth as it is over a hundredth."""
    x = torch.linspace(-3, 3, 97, dtype=torch.float64).unsqueeze(1).repeat(1, units)
    slope = _gradient(module, x)

    def agrees(step: float) -> Tensor:
        rise = _run(module, x + step, seed=0) - _run(module, x - step, seed=0)
        return (rise / (2 * step) - slope).abs() <= 0.05 * slope.abs()

    matters = (slope.abs() > 0.01) & agrees(2.0**-7)
    if (matters & ~agrees(2.0**-30)).sum() > matters.sum() / 2:
        raise NotAnActivation("it computes in float32 whatever it is given, also float64; drop .float() and the like")


def _check_places(module: nn.Module, x: Tensor, y: Tensor, per_unit: bool) -> bool:
    """The value must not depend on the sample's place or on how many there are; whether it depends on the unit's."""
    tolerance = 1e-5 if x.dtype == torch.float32 else 1e-12  # the last bits may depend on the place in memory

    def agrees(given: Tensor, expected: Tensor) -> bool:
        return torch.allclose(_run(module, given, seed=0), expected, rtol=tolerance, atol=tolerance)

    if not agrees(x.roll(1, 0), y.roll(1, 0)):
        raise NotAnActivation("its value depends on the sample's place in the batch")
    if not agrees(x[: len(x) // 2], y[: len(x) // 2]):
        raise NotAnActivation("its value depends on how many samples there are in the batch")
    by_unit = not agrees(x.roll(1, 1), y.roll(1, 1))
    if by_unit and not per_unit:
        raise NotAnActivation("its units differ, which it must say by an argument that is `width`, as in units: width")
    return by_unit


def _works_alone(build: Build) -> bool:
    """Whether it takes a layer of one unit."""
    try:
        _run(_fresh(build, 1, torch.float64, training=False), _batch(1), seed=0)
    except NotAnActivation:
        return False
    return True


def _check_repeatable(build: Build, width: int, x: Tensor) -> None:
    """The same seed and the same input give the same value, in any module built alike, after whatever calls."""
    numpy_before, python_before = np.random.get_state(), random.getstate()
    try:
        modules = [_fresh(build, width, x.dtype, training=True) for _ in range(3)]
        if any(nn.parameter.is_lazy(p) for p in modules[0].parameters()):
            raise NotAnActivation("it makes its parameters at the first call, too late to train them; give their sizes")
        made = set(modules[0].state_dict())
        first, second = ([_run(module.train(mode), x, seed=0) for mode in MODES] for module in modules[:2])
        late = sorted(set(modules[0].state_dict()) - made)
        if late:
            raise NotAnActivation(
                f"it makes {shown(late[0])} at the first call, too late to train it: make it in __init__"
            )
        before, generators = _state(modules[0]), _generators(modules[0])
        for mode in MODES[:3]:
            _run(modules[0].train(mode), x / 2, seed=0)
            _run(modules[2].train(mode), x / 2, seed=0)
        changed = [name for name, value in _state(modules[0]).items() if not _same(before.get(name), value)]
        drew = [name for name, state in _generators(modules[0]).items() if generators.get(name) != state]
        after = [_run(modules[2].train(mode), x, seed=0) for mode in MODES]
        moved = [
            name
            for name, same in (
                ("NumPy's generator (numpy.random)", _same_numpy(numpy_before, np.random.get_state())),
                ("Python's generator (random)", python_before == random.getstate()),
            )
            if not same
        ]
    finally:
        np.random.set_state(numpy_before)
        random.setstate(python_before)
    unseeded = ", which the study does not seed; draw with torch, as in torch.rand_like(x)"
    if moved:
        raise NotAnActivation(f"it draws random numbers from {moved[0]}{unseeded}")
    alike = all(map(torch.equal, first, second))
    steady = all(torch.equal(one, first[MODES.index(mode)]) for mode, one in zip(MODES, first, strict=True))
    if drew and not (alike and steady):
        raise NotAnActivation(f"it draws random numbers from a generator of its own ({shown(drew[0])}){unseeded}")
    if not alike and not changed:
        raise NotAnActivation(f"it draws random numbers from elsewhere than torch's generator{unseeded}")
    if changed:
        raise NotAnActivation(f"it keeps state between calls: {shown(changed[0])} changes")
    if not steady or not all(map(torch.equal, first, after)):
        raise NotAnActivation("it keeps state between calls: the same input does not always give the same value")


def _state(module: nn.Module) -> dict[str, Tensor | float]:
    """Its parameters, buffers and numbers, by name."""
    state: dict[str, Tensor | float] = {name: value.clone() for name, value in module.state_dict().items()}
    for prefix, part in module.named_modules():
        numbers = {name: value for name, value in vars(part).items() if isinstance(value, int | float)}
        state |= {f"{prefix}.{name}".strip("."): value for name, value in numbers.items() if name != "training"}
    return state


def _same(a: Tensor | float | None, b: Tensor | float) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b


def _same_numpy(a: Any, b: Any) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


def _generators(module: nn.Module) -> dict[str, Any]:
    """The states of the generators that it, or the file that it comes from, holds, by name."""
    states: dict[str, Any] = {}
    homes = [vars(part) for part in module.modules()]
    homes += [vars(sys.modules[type(part).__module__]) for part in module.modules()]
    for name, value in (item for home in homes for item in home.items()):
        match value:
            case torch.Generator() | np.random.RandomState():
                states[name] = repr(
                    value.get_state().tolist() if isinstance(value, torch.Generator) else value.get_state()
                )
            case np.random.Generator():
                states[name] = repr(value.bit_generator.state)
            case random.Random():
                states[name] = repr(value.getstate())
    return states


def _check_reach(fresh: Callable[[torch.dtype], nn.Module], units: int) -> None:
    """From |x| = 30 outwards, the first value or derivative that is not finite in float32 must be large in truth."""
    single, double = fresh(torch.float32), fresh(torch.float64)
    for sign in (1.0, -1.0):
        x = sign * torch.logspace(math.log10(RANGE), math.log10(REACH), 200, dtype=torch.float64)  # steps of 3%
        broken = ~_curves(single, x.float(), units).isfinite().all(0)
        if not broken.any():
            continue
        place = int(broken.int().argmax())
        true = _curves(double, x[: place + 1], units)
        known = true[:, true.isfinite().all(0)]
        if known.numel() and known[:, -1].abs().max() >= LARGE:
            continue
        _check_finite("value", x[place], true[0, place])
        _check_finite("derivative", x[place], true[1, place])
        low, high = (x[place - 1].item(), x[place].item()) if place else (x[0].item(), x[0].item())
        for _ in range(30):
            middle = torch.tensor([(low + high) / 2], dtype=torch.float64)
            fine = bool(_curves(single, middle.float(), units).isfinite().all())
            low, high = (middle.item(), high) if fine else (low, middle.item())
        raise NotAnActivation(_breaks(single, double, high, units))


def _curves(module: nn.Module, x: Tensor, units: int) -> Tensor:
    """φ and φ′ [2, points], of its units the one that is largest or not finite.

    Args:
        x: points, in the precision to compute in.
    """
    rows = x.unsqueeze(1).repeat(1, units)
    both = torch.stack([_run(module, rows, seed=0, finite=False), _gradient(module, rows)]).double()
    worst = torch.where(both.isfinite(), both.abs(), torch.inf).argmax(2, keepdim=True)
    return both.gather(2, worst).squeeze(2)


def _breaks(single: nn.Module, double: nn.Module, place: float, units: int) -> str:
    x = torch.tensor([place], dtype=torch.float64)
    got, true = _curves(single, x.float(), units)[:, 0], _curves(double, x, units)[:, 0]
    which = 0 if not got[0].isfinite() else 1
    return (
        f"it overflows or underflows in float32 at x = {place:.3g}, where its {('value', 'derivative')[which]} is "
        f"{true[which].item():.3g} and comes out as {got[which].item():g}; write {_stable(double, units)}"
    )


def _stable(module: nn.Module, units: int) -> str:
    """How to write the same function so that nothing overflows on the way, if it is a well-known one."""

    def at(points: Sequence[float]) -> Tensor:
        return _curves(module.eval(), torch.tensor(points, dtype=torch.float64), units)[0]

    points = torch.linspace(-8, 8, 65, dtype=torch.float64)
    values, (minus, zero, plus) = at(points.tolist()), at([-1.0, 0.0, 1.0]).tolist()
    known = ["softplus(x)", "sigmoid(x)", "tanh(x)", "silu(x)", "mish(x)", "logsigmoid(x)", "elu(x)"]
    known += ["x + softplus(-2*x) - log(2)", "expm1(x)"]
    # The same functions of a multiple of x, found from one value.
    if 0 < plus < 1:
        known += [f"sigmoid({_number(math.log(plus / (1 - plus)))}*x)"]
        known += [f"x * sigmoid({_number(math.log(plus / (1 - plus)))}*x)"]
    if 0 < abs(plus) < 1:
        known += [f"tanh({_number(math.atanh(plus))}*x)"]
    if zero > 0:
        scale = _number(math.log(2) / zero)
        known += [f"softplus({scale}*x)/{scale}"]
    if minus < 0:
        known += [f"where(x > 0, x, {_number(minus / math.expm1(-1))}*expm1(x))"]
    for text in known:
        if torch.allclose(expressions.parse(text)(points), values, rtol=1e-5, atol=1e-6):
            return text
    return "it so that nothing does on the way, with softplus, sigmoid, tanh, expm1, log1p or where(x > 0, …, …)"


def _number(value: float) -> str:
    return f"{value:.6g}"
