"""Leverage and residuals on their own scale, one per row."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.weighted import weighted_projector

NO_RESIDUAL_TOLERANCE = 1e-10
"""Below this share of M_ii the variance of a residual is rounding: its row has leverage one."""


@dataclass(frozen=True, eq=False)
class RowDiagnostics:
    """Residuals e = y - X b and what they are measured against, each of shape (n,).

    Attributes
    ----------
    leverage : ndarray
        Diagonal of H, with X b = H y.
    resid : ndarray
        e.
    resid_se : ndarray
        Square root of the diagonal of (I - H) M (I - H)'.
    studentized : ndarray
        e / resid_se; NaN where a row determines a coefficient by itself, so that e and its
        standard error are both 0.
    pearson : ndarray
        e / sqrt(M_ii).
    """

    leverage: Floats
    resid: Floats
    resid_se: Floats
    studentized: Floats
    pearson: Floats


def row_diagnostics(fit: Fit, projection: Projection | None = None) -> RowDiagnostics:
    """Leverage, internally studentized and Pearson residuals of every row.

    Parameters
    ----------
    fit : Fit
    projection : Projection, optional
        Of X under M, where it has been made.
    """
    if fit.weights is None:
        at = projection or Projection(fit.problem.x, fit.factor.solve)
        # (I - H) M (I - H)' = M - X inv(X'N X) X'
        leverage, variance = at.leverage, fit.marginal_diagonal - at.fitted_variance
    else:
        leverage, variance = _weighted(fit, fit.weights)
    total = fit.marginal_diagonal
    none = variance <= NO_RESIDUAL_TOLERANCE * total
    se = np.sqrt(np.where(none, 0.0, variance))
    studentized = np.full(fit.problem.n, np.nan)
    np.divide(fit.resid, se, out=studentized, where=~none)
    return RowDiagnostics(leverage, fit.resid, se, studentized, fit.resid / np.sqrt(total))


def _weighted(fit: Fit, weights: sparse.csr_array) -> tuple[Floats, Floats]:
    x = fit.problem.x
    a = weighted_projector(x, weights)
    ma = fit.multiply(a)
    variance = (
        fit.marginal_diagonal
        - 2.0 * np.einsum("np,np->n", x, ma)
        + np.einsum("np,pq,nq->n", x, a.T @ ma, x)
    )
    return np.einsum("np,np->n", x, a), variance
