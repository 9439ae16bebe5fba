"""Where a function of one number, or its derivative, has no bound.

A pole between two points of a grid leaves an extreme of the derivative there. Looking closer, 4 times each time, shows
whether the derivative keeps growing, as that of 1/(x - 9.53) does, or settles, as that of tanh(1e6*x) does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

POINTS = 3001
LOOKS = 18  # from a fiftieth to nearly the resolution of float64
EARLY = 11  # the look with which the last is compared
GROWTH = 45.0  # between these two: |x|^-a grows 4^(6a)-fold, and its square has no mean if a ≥ 1/2, a 64-fold growth
FLAT = 1e-9  # an extreme that stands out by less is rounding
BEYOND = 1e15  # what is so much larger than beside it grows, even where rounding hides the pole itself

Function = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def find(f: Function, reach: float) -> str | None:
    """What has no bound where, in words, or None: what is as steep as 1e8 yet finite is none.

    Args:
        f: values and derivatives at points [n], in float64.
        reach: the largest |x| to look at.
    """
    grid = np.linspace(-reach, reach, POINTS)
    value, slope = f(grid)
    broken = np.flatnonzero(~(np.isfinite(value) & np.isfinite(slope)))
    if broken.size:
        what = "derivative" if np.isfinite(value[broken[0]]) else "value"
        return f"its {what} at x = {grid[broken[0]]:g} is not finite"
    steps, least = np.diff(slope), np.minimum(np.abs(slope[:-2]), np.abs(slope[2:]))
    extreme = (np.sign(steps[1:]) != np.sign(steps[:-1])) & (np.abs(steps[1:] - steps[:-1]) > FLAT * (1 + least))
    at = 1 + np.flatnonzero(extreme)
    centre, half = grid[at], grid[1] - grid[0]
    base = np.where(np.abs(slope[at - 1]) < np.abs(slope[at + 1]), slope[at - 1], slope[at + 1])
    before = early = np.zeros(at.size)
    for look in range(LOOKS):
        if not centre.size:
            return None
        x = centre[:, None] + half * np.linspace(-1, 1, 9)
        value, slope = (one.reshape(x.shape) for one in f(x.ravel()))
        excess = np.abs(slope - base[:, None])
        excess[~np.isfinite(excess)] = np.inf
        centre = x[np.arange(len(x)), excess.argmax(1)]
        beyond = ~(excess.max(1) <= BEYOND * (1 + np.abs(base)))
        if beyond.any():
            return _unbounded(centre[beyond][0])
        half /= 4
        size = np.median(excess, 1)  # steadier than the largest, which may hit the pole itself
        if look == EARLY:
            early = size
        if look % 2:
            growing = size > 1.5 * before
            centre, base, before, size, early = (one[growing] for one in (centre, base, size, size, early))
    unbounded = size > GROWTH * early
    return _unbounded(centre[unbounded][0]) if unbounded.any() else None


def _unbounded(place: float) -> str:
    return f"it, or its derivative, grows without bound near x = {place:.5g}"
