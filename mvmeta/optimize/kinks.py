"""Maxima where the likelihood is not differentiable: ascents from cell to cell.

Between two kinks of a parameter the likelihood is smooth.  An ascent stays in such a cell;
where it ends at a kink with a slope that leads out of the cell, the next one goes on behind
it.  If that one does not get away from the kink, the likelihood falls on both sides of it:
that is a maximum, without a zero gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mvmeta._typing import Floats
from mvmeta.likelihood.objective import Evaluation
from mvmeta.optimize.newton import Ascent, Box, joined
from mvmeta.optimize.sweep import Axis

BESIDE = 1e-12
"""Relative distance from a kink at which derivatives are those of one side."""
FLAT = 1e-9
"""Slope by a working range that is none: below the smallest distance it is without effect."""
GAIN = 1e-12
"""Relative gain of log-likelihood that is more than rounding."""


def over_kinks(
    go: Callable[[Floats, Box, int], Ascent],
    start: Floats,
    box: Box,
    axes: Sequence[Axis],
    maxiter: int,
) -> Ascent:
    """Climb from `start`, over kinks along `axes`.

    Parameters
    ----------
    go : callable
        (start, box, evaluations allowed) -> Ascent.
    start : ndarray, shape (J,)
    box : Box
    axes : sequence of Axis
        Those with kinks.
    maxiter : int
        Limit on evaluations.
    """
    cells = {a.index: int(np.searchsorted(a.sweep.kinks, start[a.index])) for a in axes}
    here = go(start, _cell(box, axes, cells), maxiter)
    while here.done:
        left = maxiter - here.history[-1].evaluations
        ways = _ways_out(here.at, box, axes, cells)
        if not ways:
            return here
        if left <= 0:
            return replace(here, done=False)
        for axis, side in ways:
            beyond = {**cells, axis.index: cells[axis.index] + side}
            there = joined(here, go(here.at.x, _cell(box, axes, beyond), left))
            if there.at.loglik > here.at.loglik + GAIN * max(1.0, abs(here.at.loglik)):
                here, cells = there, beyond
                break
        else:
            outward = [side * here.at.gradient[axis.index] for axis, side in ways]
            return replace(here, kink=max(outward) > FLAT)
    return here


def _cell(box: Box, axes: Sequence[Axis], cells: dict[int, int]) -> Box:
    lower, upper = box.lower.copy(), box.upper.copy()
    for a in axes:
        c = cells[a.index]
        if c > 0:
            lower[a.index] = a.sweep.kinks[c - 1] * (1 + BESIDE)
        if c < len(a.sweep.kinks):
            upper[a.index] = a.sweep.kinks[c] * (1 - BESIDE)
    return replace(box, lower=lower, upper=upper)


def _ways_out(
    at: Evaluation, box: Box, axes: Sequence[Axis], cells: dict[int, int]
) -> list[tuple[Axis, int]]:
    """Axes along which the point is at a kink, with the likelihood not falling towards it."""
    cell = _cell(box, axes, cells)
    out = []
    for a in axes:
        j = a.index
        above = at.x[j] >= cell.upper[j] and cell.upper[j] < box.upper[j]
        below = at.x[j] <= cell.lower[j] and cell.lower[j] > box.lower[j]
        if above and at.gradient[j] > -FLAT:
            out.append((a, 1))
        if below and at.gradient[j] < FLAT:
            out.append((a, -1))
    return out
