"""Where a function is extreme on a contour of the likelihood, by Newton's method.

The extreme of f where l >= 0 is where the gradients are parallel, ``grad l = t grad f``, on l = 0.
Every step solves these equations for the quadratic models of f and l at the point it starts from
(Venzon & Moolgavkar 1988, Appl Stat 37:87, for f one of the parameters).  The step from the
maximum of l is the Wald limit; two or three more are all there is to do.
"""

from collections.abc import Callable

import numpy as np

from mvmeta._typing import Floats

Smooth = Callable[[Floats], tuple[float, Floats, Floats]]
"""Point (J,) -> value, gradient (J,) and second derivatives (J, J)."""

MOST_STEPS = 12
LAST_STEP = 1e-3
"""Length of a step after which none is needed: the point is off by the square of that, or by a
small share of it where the information is approximate, and the value of f by the square of it."""
ON_CONTOUR = 0.05
"""Height from which a last step may lead to the contour."""
MOST_TURNS = 30
ON_MODEL = 1e-12
"""Height of the model above the contour that counts as none."""


def extreme_on_contour(f: Smooth, above: Smooth, low: Floats, high: Floats) -> Floats | None:
    """The point s where f is smallest among those with l(s) >= 0, or None if this finds none.

    Parameters
    ----------
    f : callable
    above : callable
        l: positive at s = 0, and largest there among the points within the bounds.  In place of
        its second derivatives their negatives (the information).
    low, high : ndarray, shape (J,)
        Bounds; an extreme on one of them is for other methods.

    Notes
    -----
    s is to be in units in which l falls by about 1/2 for a step of length 1 from its maximum.
    What is found is an extreme to second order, too; whether l stays above 0 on the way to it is
    not looked at.
    """
    s = np.zeros(len(low))
    for _ in range(MOST_STEPS):
        _, slope, bend = f(s)
        height, uphill, information = above(s)
        found = _to_contour(slope, bend, height, uphill, information)
        if found is None:
            return None
        step, t = found
        s = s + step
        if not (np.isfinite(s).all() and (s > low).all() and (s < high).all()):
            return None
        if np.abs(step).max() < LAST_STEP:
            there = abs(height) < ON_CONTOUR  # a model without curvature has steps of any length
            return s if there and _falls(information + t * bend, slope) else None
    return None


def _to_contour(
    slope: Floats, bend: Floats, height: float, uphill: Floats, information: Floats
) -> tuple[Floats, float] | None:
    """Step to the extreme of the model of f on the contour of the model of l, and t."""
    with np.errstate(all="ignore"):  # no number, no step
        try:
            top, along = np.linalg.solve(information, np.column_stack([uphill, slope])).T
            t = float(np.sqrt((2.0 * height + uphill @ top) / (slope @ along)))
            if not (np.isfinite(t) and t > 0):
                return None
            bent = _bent(slope, bend, height, uphill, information, t) if bend.any() else None
        except np.linalg.LinAlgError:
            return None
    return bent or (top - t * along, t)


def _bent(
    slope: Floats, bend: Floats, height: float, uphill: Floats, information: Floats, t: float
) -> tuple[Floats, float] | None:
    """The same with the second derivatives of f: t by Newton steps from that without them."""
    for _ in range(MOST_TURNS):
        matrix = information + t * bend
        step: Floats = np.linalg.solve(matrix, uphill - t * slope).astype(float)
        rest = height + float(uphill @ step) - 0.5 * float(step @ information @ step)
        if abs(rest) <= ON_MODEL:
            return step, t
        turn = np.linalg.solve(matrix, slope + bend @ step)
        t -= float(rest / ((information @ step - uphill) @ turn))
        if not (np.isfinite(t) and t > 0):
            return None
    return None


def _falls(matrix: Floats, slope: Floats) -> bool:
    """Whether `matrix` (J, J) is positive definite across `slope`: no saddle on the contour."""
    across = np.linalg.svd(slope[None])[2][1:]
    return bool((np.linalg.eigvalsh(across @ matrix @ across.T) > 0).all())
