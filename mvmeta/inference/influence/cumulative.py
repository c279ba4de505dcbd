"""Fits to the first group, the first two, and so on."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.fit_rows import fit_rows
from mvmeta.progress import track


@dataclass(frozen=True, eq=False)
class Cumulative:
    """Fits to J growing sets of rows; NaN where a coefficient cannot be estimated yet.

    Attributes
    ----------
    beta, se : ndarray, shape (J, p)
    theta : ndarray, shape (J, n_components)
    rows : ndarray of int, shape (J,)
        Rows so far.
    """

    beta: Floats
    se: Floats
    theta: Floats
    rows: Ints


def cumulative(fit: Fit, order: Ints) -> Cumulative:
    """Fit to the rows of groups 0, then 0 and 1, and so on, components estimated each time.

    Parameters
    ----------
    fit : Fit
    order : ndarray of int, shape (n,)
        Group of each row, numbered in the order in which they come.

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    if fit.weights is not None:
        raise SpecificationError("cumulative fits need generalized least squares, not weights")
    count, p = int(order.max()) + 1, fit.problem.p
    beta, se = np.full((count, p), np.nan), np.full((count, p), np.nan)
    theta = np.full((count, len(fit.theta)), np.nan)
    for g in track(range(count), "cumulative fits"):
        found = fit_rows(fit, np.flatnonzero(order <= g))
        if found is not None:
            beta[g], theta[g] = found.beta, found.theta
            se[g] = np.sqrt(np.diag(found.cov_beta))
    rows = np.cumsum(np.bincount(order)).astype(np.intp)
    return Cumulative(beta, se, theta, rows)
