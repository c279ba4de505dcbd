"""Rough covariances of the effects of a term from residuals: where to start."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem

LEAST = 0.05
"""Share of the mean squared residual below which a variance does not start."""

MOST_LEVELS = 200
"""Inner levels beyond which a rough G takes longer than it saves."""


def residual_covariance(problem: MetaProblem, term: int) -> Floats | None:
    """Mean products of ordinary residuals over the levels of a term, less sampling variances.

    Parameters
    ----------
    problem : MetaProblem
    term : int
        One with inner levels.

    Returns
    -------
    ndarray, shape (q, q), or None
        Positive semi-definite; variances at least `LEAST` of the overall one, covariances 0 of
        inner levels that never occur together.  None for terms without inner levels, or so many
        that each of them is seen in few rows.
    """
    t = problem.terms[term]
    if (
        t.inner is None or t.q > MOST_LEVELS or not isinstance(problem.y, np.ndarray)
    ):  # rows that come in batches
        return None
    r = problem.y - problem.x @ np.linalg.lstsq(problem.x, problem.y, rcond=None)[0]
    cell = t.level * t.q + t.inner
    count = np.bincount(cell, minlength=t.n_levels * t.q).reshape(-1, t.q)
    size = np.maximum(count, 1)
    mean = np.bincount(cell, r, minlength=t.n_levels * t.q).reshape(-1, t.q) / size
    noise = np.bincount(cell, problem.v.variances, minlength=t.n_levels * t.q)
    noise = noise.reshape(-1, t.q) / size**2
    together = (count > 0).T.astype(float) @ (count > 0)
    out = mean.T @ mean / np.maximum(together, 1.0)
    floor = LEAST * float((r**2).mean())
    diagonal = out.diagonal() - noise.sum(axis=0) / np.maximum(together.diagonal(), 1.0)
    np.fill_diagonal(out, np.maximum(diagonal, floor))
    values, vectors = np.linalg.eigh(out)
    return np.asarray((vectors * np.clip(values, 0.0, None)) @ vectors.T)
