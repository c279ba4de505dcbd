"""Predictions: the mean of true effects, and a new true effect around it."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import Basis, critical_value

SAME_TOLERANCE = 1e-12
"""Variances of a structure with a common one differ by rounding only, relative to the largest."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted means and new true effects, m rows.

    Attributes
    ----------
    mean, se : ndarray, shape (m,)
        ``x beta`` and its standard error.
    new_se : ndarray, shape (m,)
        Standard error of a new true effect about `mean`; NaN where its variance is unknown.
    df : ndarray, shape (m,)
        Of both intervals; infinite under z.
    """

    mean: Floats
    se: Floats
    new_se: Floats
    df: Floats

    def confidence_interval(self, alpha: float = 0.05) -> tuple[Floats, Floats]:
        """Limits (m,) for the mean."""
        half = critical_value(self.df, alpha) * self.se
        return self.mean - half, self.mean + half

    def prediction_interval(self, alpha: float = 0.05) -> tuple[Floats, Floats]:
        """Limits (m,) for a new true effect."""
        half = critical_value(self.df, alpha) * self.new_se
        return self.mean - half, self.mean + half

    def probability_below(self, c: Floats | float) -> Floats:
        """P(new true effect < c), shape (m,), with the distribution of the prediction interval.

        ``(c - mean) / new_se`` is referred to t with `df` degrees of freedom; where `new_se` is
        0 the effect is known, and the probability 0 or 1 (1/2 at c itself).
        """
        gap = np.asarray(c, dtype=float) - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(gap == 0, 0.0, gap / self.new_se)
        return np.where(np.isnan(self.new_se), np.nan, stats.t.cdf(ratio, self.df))


def predict(
    basis: Basis, x: Floats, heterogeneity: Floats, new_variance: Floats | float = 0.0
) -> Prediction:
    """Predict at new rows of the design.

    Parameters
    ----------
    basis : Basis
    x : ndarray, shape (m, p)
    heterogeneity : ndarray, shape (m,)
        Variance of a true effect about its mean, summed over terms (`heterogeneity_variance`);
        NaN where it is not defined.
    new_variance : ndarray, shape (m,), or float
        Sampling variance added to the prediction interval: that of a new estimate.

    Notes
    -----
    ``new_se**2 = se**2 + heterogeneity + new_variance``, with the quantile of the confidence
    interval, as metafor has it.

    Raises
    ------
    SpecificationError
        If `new_variance` is negative or no number, or a shape does not fit.
    """
    se = np.sqrt(np.einsum("mp,pq,mq->m", x, basis.cov, x, optimize=True))
    return with_new_effect(basis, x, (x @ basis.beta, se), heterogeneity, new_variance)


def with_new_effect(
    basis: Basis,
    x: Floats,
    mean: tuple[Floats, Floats],
    heterogeneity: Floats,
    new_variance: Floats | float,
) -> Prediction:
    """A prediction from means with their standard errors (m,), (m,) and what is new about them.

    Parameters are those of `predict`, which also says what is raised.
    """
    try:
        sampling = np.asarray(new_variance, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"new_variance takes numbers, got {new_variance!r}") from None
    if not (sampling >= 0).all():
        raise SpecificationError("new_variance must not be negative or missing")
    estimate, se = mean
    try:
        added = np.broadcast_to(heterogeneity + sampling, se.shape)
    except ValueError:
        raise SpecificationError(
            f"heterogeneity and new_variance take one value per new row ({len(se)})"
        ) from None
    return Prediction(estimate, se, np.sqrt(se**2 + added), row_df(basis, x))


def row_df(basis: Basis, x: Floats) -> Floats:
    """Degrees of freedom (m,) of the means of new rows x (m, p), each different row once."""
    if basis.df.normal:
        return np.full(len(x), np.inf)
    usable = np.isfinite(x).all(axis=1)
    rows, of = np.unique(x[usable], axis=0, return_inverse=True)
    out = np.full(len(x), np.nan)
    out[usable] = basis.df.contrasts(rows)[of.ravel()] if len(rows) else np.nan
    return out


def heterogeneity_variance(
    g: Floats, m: int, *, inner: Ints | None = None, z: Floats | None = None
) -> Floats:
    """Variance one random term gives the true effect of each of m new rows, shape (m,).

    Parameters
    ----------
    g : ndarray, shape (q, q)
        Covariance of the effects of one level.
    m : int
        Number of new rows.
    inner : ndarray of int, shape (m,), optional
        Which effect each row carries; negative where the inner level is unknown.
    z : ndarray, shape (m, q), optional
        Rows of Z, for random slopes; NaN where unknown.

    Returns
    -------
    ndarray
        NaN where the variance depends on what is unknown: without `inner` the common variance
        of G is given if there is one.
    """
    if z is not None:
        return np.einsum("mq,qr,mr->m", z, g, z)
    variances = np.diag(g)
    same = np.ptp(variances) <= SAME_TOLERANCE * variances.max(initial=0.0)
    common = variances[0] if same else np.nan
    if inner is None:
        return np.full(m, common)
    known = np.asarray(inner) >= 0
    return np.where(known, variances[np.where(known, inner, 0)], common)
