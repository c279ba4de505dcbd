"""Covariance of the estimated components, and Wald intervals on scales without bounds."""

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.components.scales import OpenScale
from mvmeta.inference.fitted.curvature import components_cov
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import MarginalCovariance


def components_covariance(fit: Fit, backend: MarginalCovariance) -> Floats:
    """Inverse of the observed information of the natural components, (C, C).

    Components that are fixed or on the boundary are constants: NaN.  Those that are equal share
    one row.

    Raises
    ------
    SpecificationError
        If the information is not positive definite.
    """
    problem = fit.problem
    sharing = problem.shared
    free = ~sharing.lead((problem.fixed | fit.boundary).astype(float)).astype(bool)
    observed = sharing.add_pairs(Objective(backend, fit.reml).natural(fit.theta).observed)
    cov = np.full(observed.shape, np.nan)
    cov[np.ix_(free, free)] = components_cov(observed[np.ix_(free, free)], "observed")
    return cov[np.ix_(sharing.group, sharing.group)]


def wald_limits(fit: Fit, cov: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Limits (C,) of the components; NaN for constants.

    Normal on the logarithm of what is bounded below alone (variances, ranges), on the logit of
    the place between two bounds (correlations), and as it is without bounds (loadings), so that
    no limit leaves the range.

    Parameters
    ----------
    fit : Fit
    cov : ndarray, shape (C, C)
        From `components_covariance`.
    alpha : float
        1 - coverage.

    Raises
    ------
    SpecificationError
        If `alpha` is not between 0 and 1.
    """
    check_alpha(alpha)
    low = np.array([c.lower for c in fit.problem.components])
    high = np.array([c.upper for c in fit.problem.components])
    se = np.sqrt(np.diag(cov))
    scale = OpenScale(low, high, as_is=np.isnan(se))
    centre = scale.coordinates(fit.theta)
    half = stats.norm.isf(alpha / 2) * se / scale.slopes(fit.theta)[0]
    return scale.components(centre - half), scale.components(centre + half)
