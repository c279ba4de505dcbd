"""Where a function is extreme on a contour of the likelihood, by Newton's method.

The extreme of f where l >= 0 is where the gradients are parallel, grad f = mu grad l, on l = 0:
J + 1 equations for the point and mu.  With l nearly quadratic, as in all but small data, the
start that is exact for a quadratic l leaves two or three evaluations to do.
"""

from collections.abc import Callable

import numpy as np

from mvmeta._typing import Floats

Smooth = Callable[[Floats], tuple[float, Floats]]
"""Point (J,) -> value and gradient (J,)."""

MOST_STEPS = 12
ON_CONTOUR, ROUNDING = 1e-9, 1e-14
"""Height above the contour that counts as none, and the rounding of l in units of its size."""
PARALLEL = 1e-6
"""Sine of the angle between the gradients that counts as none: f is off by its square."""
NUDGE = 1e-6
"""Step of the differences of grad f, which costs nothing beside l."""
DEGENERATE = 1e-8
"""Cosine below which a pair of differences says nothing about the curvature of l."""


def extreme_on_contour(
    f: Smooth, above: Smooth, information: Floats, low: Floats, high: Floats, size: float
) -> Floats | None:
    """The point s where f is smallest among those with l(s) >= 0, or None if this finds none.

    Parameters
    ----------
    f : callable
    above : callable
        l: positive with gradient 0 at s = 0.
    information : ndarray, shape (J, J)
        Minus the second derivatives of l at 0.
    low, high : ndarray, shape (J,)
        Bounds; an extreme on one of them is for other methods.
    size : float
        Magnitude of the terms l is a difference of.
    """
    (slack, _), (_, slope) = above(np.zeros(len(low))), f(np.zeros(len(low)))
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return None
    direction = np.linalg.solve(information, slope)
    square = float(slope @ direction)
    if not (np.isfinite(square) and square > 0 and slack > 0):
        return None
    s, mu = -direction * np.sqrt(2 * slack / square), np.sqrt(square / (2 * slack))
    curvature, before, downhill = information, np.zeros(len(s)), np.zeros(len(s))
    for _ in range(MOST_STEPS):
        if not (np.isfinite(s).all() and (s > low).all() and (s < high).all()):
            return None
        (_, slope), (height, uphill) = f(s), above(s)
        if not (np.isfinite(slope).all() and uphill.any()):
            return None
        curvature = _updated(curvature, s - before, downhill - uphill)
        before, downhill = s, uphill
        if abs(height) < ON_CONTOUR + ROUNDING * size and _parallel(slope, uphill):
            return s
        step, mu = _newton(_bend(f, s, slope) + mu * curvature, slope, uphill, height)
        s = s + step
    return None


def _parallel(slope: Floats, uphill: Floats) -> bool:
    mu = float(slope @ uphill) / float(uphill @ uphill)
    across = float(np.linalg.norm(slope - mu * uphill))
    return mu > 0 and across < PARALLEL * float(np.linalg.norm(slope))


def _updated(curvature: Floats, step: Floats, change: Floats) -> Floats:
    """Minus the second derivatives of l, corrected for what its gradient did (symmetric rank 1)."""
    rest = change - curvature @ step
    along = float(rest @ step)
    if abs(along) <= DEGENERATE * float(np.linalg.norm(rest) * np.linalg.norm(step)):
        return curvature
    return curvature + np.outer(rest, rest) / along


def _bend(f: Smooth, s: Floats, slope: Floats) -> Floats:
    """Second derivatives of f (J, J)."""
    columns = [(f(s + NUDGE * unit)[1] - slope) / NUDGE for unit in np.eye(len(s))]
    return np.asarray((np.array(columns) + np.array(columns).T) / 2)


def _newton(bend: Floats, slope: Floats, uphill: Floats, height: float) -> tuple[Floats, float]:
    """Step and new mu; NaN where the equations are singular."""
    n = len(slope)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n], system[:n, n], system[n, :n] = bend, -uphill, uphill
    try:
        found = np.linalg.solve(system, np.append(-slope, -height))
    except np.linalg.LinAlgError:
        return np.full(n, np.nan), np.nan
    return found[:n], float(found[n])
