"""Coefficients of scale formulas that run off: the likelihood rises to a limit, and has no maximum.

Where the estimates of some rows differ by no more than their sampling errors, the likelihood is the
higher the smaller their variance is, and a log-linear one becomes 0 at infinity only.
"""

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.ridge import straightened

UNKNOWN = 30.0
"""Standard error of a logarithm of variances that no finite maximum has."""
FURTHER = (10.0, 30.0)
"""Steps, in logarithms of variances, at which the likelihood is looked at again."""
LEVEL = 1e-9
"""Fall of the log-likelihood, relative, that is rounding."""


def far_end(objective: Objective, theta: Floats) -> Floats | None:
    """A point far out on a way to infinity on which the likelihood does not fall, if there is one.

    The way is that of the least information about the coefficients of scale formulas.  It leads
    nowhere where the likelihood is as level on the way back: nothing is known of them there.

    Parameters
    ----------
    objective : Objective
    theta : ndarray, shape (n_components,)
        Where an ascent stopped, in natural components.

    Returns
    -------
    ndarray, shape (n_components,), or None
        Natural components.
    """
    straight = straightened(objective, theta)
    which = None if straight is None else _running(objective, straight)
    if straight is None or which is None or not which.any():
        return None
    x = straight.problem.to_working(theta)
    here = straight.working(x)
    values, vectors = np.linalg.eigh(here.observed[np.ix_(which, which)])
    way = np.zeros(len(x))
    way[which] = vectors[:, 0] / np.abs(vectors[:, 0]).max()
    level = here.loglik - LEVEL * max(1.0, abs(here.loglik))
    ends = []
    if values[0] < UNKNOWN**-2:
        ends = [s for s in (1.0, -1.0) if _is_level(straight, x, s * way, level)]
    objective.n_evaluations += straight.n_evaluations
    if len(ends) != 1:
        return None
    return straight.problem.to_natural(x + ends[0] * FURTHER[-1] * way)


def _running(objective: Objective, straight: Objective) -> Bools:
    """Working parameters (J,) of `straight` that may grow without end."""
    pairs = zip(objective.problem.terms, straight.problem.terms, strict=True)
    moved = [b.structure.can_run_off and a is not b for a, b in pairs]
    sizes = [len(t.structure.working.lower) for t in straight.problem.terms]
    full = np.repeat(np.array(moved, dtype=float), sizes)
    return straight.problem.shared_working.lead(full).astype(bool)


def _is_level(straight: Objective, x: Floats, way: Floats, level: float) -> bool:
    try:
        return all(straight.working(x + step * way).loglik >= level for step in FURTHER)
    except NotPositiveDefiniteError:
        return False
