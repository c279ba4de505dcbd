"""Heterogeneity against the mean effect, and the share of it that moderators explain."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.inference.fitted.fit import Fit


@dataclass(frozen=True, eq=False)
class RelativeHeterogeneity:
    """Heterogeneity relative to the size of the mean effect.

    Attributes
    ----------
    cvh : ndarray
        sqrt(variance) / |mean|; infinite where the mean is 0.
    m1 : ndarray
        sqrt(variance) / (|mean| + sqrt(variance)), between 0 and 1.
    m2 : ndarray
        variance / (mean^2 + variance), between 0 and 1.
    """

    cvh: Floats
    m1: Floats
    m2: Floats


def relative_heterogeneity(mean: float, variance: Floats) -> RelativeHeterogeneity:
    """CVH and M of variances (T,).

    Parameters
    ----------
    mean : float
        Mean effect: the intercept, or the average of X b where there are moderators.
    variance : ndarray, shape (T,)

    Notes
    -----
    Yang et al. (2025, Methods in Ecology and Evolution, doi:10.1111/2041-210X.70155).
    """
    sd, size = np.sqrt(variance), abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return RelativeHeterogeneity(
            np.where(sd > 0, sd / size, 0.0),
            np.where(sd > 0, sd / (size + sd), 0.0),
            np.where(sd > 0, variance / (size**2 + variance), 0.0),
        )


@dataclass(frozen=True)
class Explained:
    """R2 of Nakagawa & Schielzeth (2013, Methods Ecol Evol 4:133), sampling errors left out.

    Attributes
    ----------
    marginal : float
        var(X b) / (var(X b) + heterogeneity): what moderators explain.
    conditional : float
        The same with the variance of all levels that rows share added to the numerator; what is
        left is the variance of single estimates.
    """

    marginal: float
    conditional: float


def explained(fit: Fit, variance: Floats) -> Explained:
    """R2 of a fit; NaN where there is no variance to explain.

    Parameters
    ----------
    fit : Fit
    variance : ndarray, shape (T,)
        Variance that each term adds to a row on average.
    """
    _, fixed, square = fit.fitted_moments
    fixed = fixed if fixed > ROUNDING * square else 0.0
    several = np.array([t.n_levels < fit.problem.n for t in fit.problem.terms], dtype=bool)
    return explained_share(fixed, variance, several)


def explained_share(fixed: float, variance: Floats, shared: Bools) -> Explained:
    """R2 from the variance of X b; NaN where there is no variance to explain.

    Parameters
    ----------
    fixed : float
    variance : ndarray, shape (T,)
        That each term adds to a row on average.
    shared : ndarray of bool, shape (T,)
        Terms with levels that several rows share.
    """
    whole = fixed + float(variance.sum())
    if whole == 0.0:
        return Explained(np.nan, np.nan)
    conditional = fixed + float(variance[shared].sum()) if len(shared) else fixed
    return Explained(fixed / whole, conditional / whole)


ROUNDING = 1e-24
"""Variance of fitted values, relative to their squares, that is rounding of a constant."""
