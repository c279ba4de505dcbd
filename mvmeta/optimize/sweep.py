"""Starts on every hill along a correlation or range.

The likelihood of a model with a range or a correlation may have several maxima along it, most
of them regular ones in the variances.  So the parameter is held at some values, the others
climb a few steps at each, and the hills of what comes out are where ascents start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mvmeta._typing import Floats
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import Direction, NotPositiveDefiniteError
from mvmeta.optimize.newton import Box, ascend
from mvmeta.structures.base import Sweep

STEPS = 4
"""Evaluations at each value: Fisher scoring is close to the maximum of variances by then."""
ROUGHLY = 1e-2
"""Decrement, twice the height that is left, good enough to compare heights."""
FINELY = 0.25
"""Step between the values, in steps of the sweep, at which a variance of 0 is looked at."""
LEVEL = 1e-6
"""Difference of heights that is none."""
HILLS, BELOW = 4, 6.0
"""Most hills climbed, and how far below the highest one a hill may be to be climbed."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A parameter of the whole problem to sweep.

    `terms` are those that have it (tied ones), `straight` those of them whose G is linear in what
    moves while it is held.
    """

    index: int
    sweep: Sweep
    scale: int | None
    terms: tuple[int, ...]
    straight: tuple[int, ...]


def axes(objective: Objective) -> list[Axis]:
    """The parameters to sweep, of tied terms once."""
    problem, group = objective.problem, objective.problem.shared_working.group
    out: dict[int, Axis] = {}
    first = 0
    for t, term in enumerate(problem.terms):
        for sweep in term.structure.sweeps():
            index = int(group[first + sweep.index])
            scale = None if sweep.scale is None else int(group[first + sweep.scale])
            known = out.get(index)
            terms = (*(known.terms if known else ()), t)
            straight = (*(known.straight if known else ()), *((t,) if sweep.straight else ()))
            out[index] = Axis(index, sweep, scale, terms, straight)
        first += len(term.structure.working.lower)
    return list(out.values())


def hills(objective: Objective, starts: Sequence[Floats], box: Box, axis: Axis) -> list[Floats]:
    """A point on every hill along `axis`, the highest first; `starts` are those of the others."""
    walks = [_walk(objective, x, box, axis) for x in starts]
    found = [max(ends, key=lambda end: end[0]) for ends in zip(*walks, strict=True)]
    height = np.array([h for h, _ in found])
    order = np.argsort(-height).tolist()
    tops = [j for j in order if _is_top(height, j) and height[j] > height.max() - BELOW]
    return [found[j][1] for j in tops[:HILLS]]


def _walk(objective: Objective, start: Floats, box: Box, axis: Axis) -> list[tuple[float, Floats]]:
    """Height and point at each value, all parameters but the swept one a few steps up.

    Each climb starts where the one before it ended, but for what has gone to a bound there.
    """
    evaluate = partial(objective.working, straight=axis.straight)
    out, x = [], start
    for value in axis.sweep.values:
        lower, upper, x = box.lower.copy(), box.upper.copy(), x.copy()
        lower[axis.index] = upper[axis.index] = x[axis.index] = value
        held = replace(box, lower=lower, upper=upper)
        try:
            end = ascend(evaluate, x, held, maxiter=STEPS, tol=ROUGHLY, polish=False)
        except NotPositiveDefiniteError:
            out.append((-np.inf, x))
            continue
        out.append((end.at.loglik, end.at.x))
        x = np.where((end.at.x == box.lower) | (end.at.x == box.upper), start, end.at.x)
    return out


def _is_top(height: Floats, j: int) -> bool:
    """Not below its neighbours, and above one of them: the edges of a plateau are tops."""
    left = height[j - 1] if j > 0 else -np.inf
    right = height[j + 1] if j + 1 < len(height) else -np.inf
    return bool(height[j] > max(left, right) - LEVEL and height[j] > min(left, right) + LEVEL)


def revived(objective: Objective, x: Floats, axis: Axis) -> Floats | None:
    """Where a variance of 0 would grow after all: at another value of the swept parameter.

    Parameters
    ----------
    objective : Objective
    x : ndarray, shape (J,)
        A maximum.
    axis : Axis

    Returns
    -------
    ndarray, shape (J,), or None
        `x` at the value at which the likelihood rises most steeply with the variance; None
        where the variance is not 0, or the likelihood rises nowhere.
    """
    if axis.scale is None or x[axis.scale] > 0:
        return None
    values = axis.sweep.values
    values = np.interp(
        np.arange(0, len(values) - 1 + FINELY / 2, FINELY), np.arange(len(values)), values
    )
    slopes = np.zeros(len(values))
    for t in axis.terms:
        chart = objective.problem.terms[t].structure.working
        piece = objective.problem.split_working(x)[t].copy()
        directions = []
        for value in values:
            piece[axis.sweep.index] = value
            directions.append(Direction(t, chart.jacobian(piece)[axis.sweep.scale or 0]))
        slopes += objective.slopes(x, directions)
    best = int(np.argmax(slopes))
    if slopes[best] <= 0:
        return None
    out = x.copy()
    out[axis.index] = values[best]
    return out
