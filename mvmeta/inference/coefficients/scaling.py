"""Knapp-Hartung scaling of the covariance of the fixed effects."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit

SCALINGS = ("nonrobust", "knha", "adhoc")


def knapp_hartung_factor(fit: Fit) -> float:
    """``s2w = e' inv(M) e / (k - p)``; NaN where k = p.

    Hartung (1999), Knapp & Hartung (2003), with M the fitted marginal covariance.
    """
    k, p = fit.problem.n, fit.problem.p
    if k == p:
        return np.nan
    return fit.residual_quadratic / (k - p)


def scaled_cov(fit: Fit, kind: str) -> Floats:
    """Covariance (p, p) of the fixed effects under ``cov_type=kind``.

    Parameters
    ----------
    fit : Fit
    kind : {"nonrobust", "knha", "adhoc"}
        As it is; times s2w; times max(1, s2w).

    Raises
    ------
    SpecificationError
        For another kind, or if k = p leaves nothing to scale by.
    """
    if kind not in SCALINGS:
        raise SpecificationError(f"unknown scaling {kind!r}; takes one of {', '.join(SCALINGS)}")
    if kind == "nonrobust":
        return fit.cov_beta
    factor = knapp_hartung_factor(fit)
    if np.isnan(factor):
        raise SpecificationError(
            f"cov_type={kind!r} scales by the residuals, but k = p rows leave none"
        )
    return fit.cov_beta * (max(1.0, factor) if kind == "adhoc" else factor)
