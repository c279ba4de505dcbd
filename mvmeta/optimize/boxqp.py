"""A small box-constrained quadratic program: the step of a Newton method with bounds."""

import numpy as np

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
    step = np.zeros_like(gradient)
    held = (lower >= 0) & (gradient <= 0) | (upper <= 0) & (gradient >= 0)
    for _ in range(ROUNDS_PER_VARIABLE * len(step) + 1):
        free = ~held
        target = step.copy()
        if free.any():
            rest = gradient[free] - matrix[np.ix_(free, held)] @ step[held]
            target[free] = np.linalg.solve(matrix[np.ix_(free, free)], rest)
        share, blocking = _first_bound(step, target, lower, upper, free)
        step = step + share * (target - step)
        if blocking is not None:
            step[blocking] = (
                lower[blocking] if target[blocking] < step[blocking] else upper[blocking]
            )
            held[blocking] = True
            continue
        release = _worst_multiplier(gradient - matrix @ step, step, lower, upper, held)
        if release is None:
            break
        held[release] = False
    return np.clip(step, lower, upper)


def _first_bound(
    step: Floats, target: Floats, lower: Floats, upper: Floats, free: Bools
) -> tuple[float, int | None]:
    move = target - step
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = np.where(move < 0, (lower - step) / move, (upper - step) / move)
    room = np.where(free & (move != 0), room, np.inf)
    if not len(room) or room.min() >= 1:
        return 1.0, None
    index = int(np.argmin(room))
    return float(max(room[index], 0.0)), index


def _worst_multiplier(
    slope: Floats, step: Floats, lower: Floats, upper: Floats, held: Bools
) -> int | None:
    inward = np.where(step <= lower, slope, -slope)
    inward = np.where(held & (lower < upper), inward, -np.inf)
    if not len(inward) or inward.max() <= 0:
        return None
    return int(np.argmax(inward))
