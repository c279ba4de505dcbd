"""Covariance of the estimated components, and Wald intervals on scales without bounds."""

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.inference.coefficients.wald import check_alpha
from mvmeta.inference.components.scales import OpenScale
from mvmeta.inference.fitted.curvature import INFORMATION_TOLERANCE
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import MarginalCovariance

NOT_INVOLVED = 1e-8
"""Squared entry of a component in directions without information that is rounding."""


def components_covariance(fit: Fit, backend: MarginalCovariance) -> Floats:
    """Inverse of the observed information of the natural components, (C, C).

    Components that are fixed or on the boundary are constants, and those that are not identified
    have no variance: NaN.  Those that are equal share one row.
    """
    problem = fit.problem
    sharing = problem.shared
    free = ~sharing.lead((problem.fixed | fit.boundary).astype(float)).astype(bool)
    observed = sharing.add_pairs(Objective(backend, fit.reml).natural(fit.theta).observed)
    cov = np.full(observed.shape, np.nan)
    cov[np.ix_(free, free)] = inverse_where_known(observed[np.ix_(free, free)])
    return cov[np.ix_(sharing.group, sharing.group)]


def inverse_where_known(information: Floats) -> Floats:
    """Covariance (J, J) of the parameters the information determines; NaN for the others.

    Where the information has no curvature in some directions, parameters that change along one
    of them may have any value.  The others are known as well as if those were: their part of the
    generalised inverse does not depend on what is chosen for the open ones.

    Parameters
    ----------
    information : ndarray, shape (J, J)
    """
    if not len(information):
        return information
    diagonal = np.diag(information)
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    known = values > INFORMATION_TOLERANCE
    along = vectors[:, known]
    cov = (along / values[known]) @ along.T / np.outer(size, size)
    unknown = (vectors[:, ~known] ** 2).sum(axis=1) > NOT_INVOLVED
    cov[unknown] = cov[:, unknown] = np.nan
    return np.asarray(cov)


def wald_limits(fit: Fit, cov: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Limits (C,) of the components; NaN for constants and for what is not identified.

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
