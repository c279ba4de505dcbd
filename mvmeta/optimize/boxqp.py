"""A small box-constrained quadratic program: the step of a Newton method with bounds."""

import numpy as np
from scipy.linalg import lapack

from mvmeta._typing import Bools, Floats

ROUNDS_PER_VARIABLE = 6
"""Active-set changes allowed per variable; a positive definite problem needs about one."""


def box_step(gradient: Floats, matrix: Floats, lower: Floats, upper: Floats) -> Floats:
    """Maximise ``g's - s'Bs / 2`` subject to ``lower <= s <= upper``.

    Parameters
    ----------
    gradient : ndarray, shape (J,)
    matrix : ndarray, shape (J, J)
        B, positive definite.
    lower, upper : ndarray, shape (J,)
        Bounds of the step, with lower <= 0 <= upper; may be infinite.

    Returns
    -------
    ndarray, shape (J,)
        The maximiser, by a primal active-set method (Nocedal & Wright 2006, section 16.5).
    """
    step = _solve(matrix, gradient)
    if ((lower <= step) & (step <= upper)).all():
        return step
    step = np.zeros_like(gradient)
    held = (lower >= 0) & (gradient <= 0) | (upper <= 0) & (gradient >= 0)
    for _ in range(ROUNDS_PER_VARIABLE * len(step) + 1):
        free = ~held
        target = _solve_free(gradient, matrix, step, free)
        share, blocking = _first_bound(step, target, lower, upper, free)
        step = step + share * (target - step)
        if blocking is not None:
            step[blocking] = (
                lower[blocking] if target[blocking] < step[blocking] else upper[blocking]
            )
            held[blocking] = True
            continue
        if not held.any():
            break
        release = _worst_multiplier(gradient - matrix @ step, step, lower, upper, held)
        if release is None:
            break
        held[release] = False
    return np.minimum(np.maximum(step, lower), upper)


def _solve_free(gradient: Floats, matrix: Floats, step: Floats, free: Bools) -> Floats:
    """`step` with its free entries where the slope by them is 0."""
    if free.all():
        return _solve(matrix, gradient)
    target = step.copy()
    if free.any():
        rest = gradient[free] - matrix[free][:, ~free] @ step[~free]
        target[free] = _solve(matrix[free][:, free], rest)
    return target


def _solve(matrix: Floats, right: Floats) -> Floats:
    if not len(right):
        return right
    _, out, bad = lapack.dposv(matrix, right)
    return np.asarray(np.linalg.solve(matrix, right) if bad else out, dtype=float)


def _first_bound(
    step: Floats, target: Floats, lower: Floats, upper: Floats, free: Bools
) -> tuple[float, int | None]:
    outside = free & ((target < lower) | (target > upper))
    if not outside.any():
        return 1.0, None
    at = np.flatnonzero(outside)
    move = (target - step)[at]
    room = (np.where(move < 0, lower[at], upper[at]) - step[at]) / move
    first = int(np.argmin(room))
    return float(max(room[first], 0.0)), int(at[first])


def _worst_multiplier(
    slope: Floats, step: Floats, lower: Floats, upper: Floats, held: Bools
) -> int | None:
    inward = np.where(step <= lower, slope, -slope)
    inward = np.where(held & (lower < upper), inward, -np.inf)
    if not len(inward) or inward.max() <= 0:
        return None
    return int(np.argmax(inward))
