"""The model of a fit on some of its rows, estimated again from where the fit ended."""

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import ConvergenceError, CovarianceError
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.select import build_backend

RANK_TOLERANCE = 1e-10
"""Relative size of the smallest diagonal entry of R below which X has lost a column's rank."""


def fit_rows(fit: Fit, keep: Ints) -> Fit | None:
    """Fit to the rows `keep`; None where X loses rank there or the likelihood has no maximum.

    Parameters
    ----------
    fit : Fit
        Without user weights.
    keep : ndarray of int
        Positions of the rows.
    """
    x = fit.problem.x[keep]
    if not full_rank(x):
        return None
    try:
        backend = build_backend(fit.problem.take(keep))
        return estimate(backend, reml=fit.reml, start=fit.theta)[0]
    except (ConvergenceError, CovarianceError):
        return None


def full_rank(x: Floats) -> bool:
    """Whether the columns of x (n, p) are independent."""
    if len(x) < x.shape[1]:
        return False
    length = np.linalg.norm(x, axis=0)
    if not length.all():
        return False
    return bool(np.abs(np.diag(np.linalg.qr(x / length)[1])).min(initial=1.0) > RANK_TOLERANCE)
