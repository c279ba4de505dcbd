"""Variance inflation: what the other moderators cost a coefficient in precision."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats, Ints


def inflation(cov: Floats, sets: Sequence[Ints]) -> Floats:
    """Generalised variance inflation factor of sets of coefficients, shape (S,).

    Parameters
    ----------
    cov : ndarray, shape (p, p)
        Covariance of the coefficients, the intercept left out.
    sets : sequence of arrays of int
        Positions of the coefficients of each set.

    Notes
    -----
    ``det(R_s) det(R_rest) / det(R)`` with R the correlation of the coefficients (Fox & Monette
    1992, JASA 87:178); for a single coefficient the variance inflation factor.
    """
    sd = np.sqrt(np.diag(cov))
    r = cov / np.outer(sd, sd)
    whole = np.linalg.slogdet(r)[1]
    out = np.empty(len(sets))
    for i, own in enumerate(sets):
        rest = np.setdiff1d(np.arange(len(r)), own)
        parts = [np.linalg.slogdet(r[np.ix_(s, s)])[1] if len(s) else 0.0 for s in (own, rest)]
        out[i] = np.exp(sum(parts) - whole)
    return out
