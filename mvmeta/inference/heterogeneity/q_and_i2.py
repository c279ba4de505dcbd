"""How much the estimates differ beyond their sampling errors: QE and I2 by term."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import size_classes
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.projection import Projection


@dataclass(frozen=True)
class HeterogeneityTest:
    """Cochran's Q of the residuals of the model without random effects.

    Attributes
    ----------
    statistic : float
        Chi-square of `df` degrees of freedom; NaN where V is singular.
    df : int
        k - p.
    pvalue : float
        P-value of the hypothesis that the effects differ by their sampling errors alone.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> test = res.heterogeneity_test()
    >>> round(test.statistic, 2), test.df
    (578.86, 55)
    """

    statistic: float
    df: int
    pvalue: float


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """Share of the variance that each random term accounts for.

    Attributes
    ----------
    variance : ndarray, shape (n_terms,)
        Variance a term adds to a row: sigma2 of a random intercept, else the mean over rows of
        diag(Z (I (x) G) Z').
    i2 : ndarray, shape (n_terms,)
        variance / (sum of variances + typical), a fraction.
    total_i2 : float
        Sum of `i2`.
    typical : float
        Typical sampling variance (k - p) / tr(P_V); NaN, as is all of I2, where V is singular
        or k = p.
    """

    variance: Floats
    i2: Floats
    total_i2: float
    typical: float


def heterogeneity_test(fit: Fit) -> HeterogeneityTest:
    """QE: residual sum of squares under V alone, chi-square with k - p df.

    0 with p-value 1 where k = p; NaN where V is singular.
    """
    problem = fit.problem
    df = problem.n - problem.p
    if problem.v.is_singular:
        return HeterogeneityTest(np.nan, df, np.nan)
    if df == 0:
        return HeterogeneityTest(0.0, 0, 1.0)
    statistic = Projection(problem.x, problem.v.solve).quadratic(problem.y)
    return HeterogeneityTest(statistic, df, float(stats.chi2.sf(statistic, df)))


def heterogeneity(fit: Fit, rows: Ints | None = None) -> Heterogeneity:
    """I2 of every random term and in total.

    Parameters
    ----------
    fit : Fit
    rows : ndarray of int, optional
        Rows over which variances and the typical sampling variance are averaged; all unless given.

    Notes
    -----
    Higgins & Thompson (2002, Statistics in Medicine 21:1539), their typical sampling variance
    generalised to moderators and correlated sampling errors: ``typical = (k - p) / tr(P_V)``,
    ``P_V = inv(V) - inv(V) X inv(X'inv(V) X) X'inv(V)``.  Of some rows it is the sum of their
    1 - h, h the diagonal of ``X inv(X'inv(V) X) X'inv(V)``, over that of their diagonal of P_V.
    """
    chosen = slice(None) if rows is None else rows
    pairs = zip(fit.problem.terms, fit.gs, strict=True)
    variance = np.array([t.marginal_variance(g)[chosen].mean() for t, g in pairs], dtype=float)
    typical = typical_sampling_variance(fit, rows)
    i2 = variance / (variance.sum() + typical)
    return Heterogeneity(variance, i2, float(i2.sum()) if np.isfinite(typical) else np.nan, typical)


def typical_sampling_variance(fit: Fit, rows: Ints | None = None) -> float:
    """Of all rows or some, see `heterogeneity`; NaN where V is singular or no row is left over."""
    problem = fit.problem
    if problem.v.is_singular or problem.n == problem.p:
        return np.nan
    at = Projection(problem.x, problem.v.solve)
    if rows is None:
        return (problem.n - problem.p) / (
            trace_inverse(problem.v) - float(at.removed_diagonal.sum())
        )
    left_over = len(rows) - float(at.leverage[rows].sum())
    if left_over <= NONE_LEFT * len(rows):
        return np.nan
    precision = inverse_diagonal(problem.v)[rows] - at.removed_diagonal[rows]
    return left_over / float(precision.sum())


def trace_inverse(v: SamplingCovariance) -> float:
    """tr(inv(V))."""
    return float(inverse_diagonal(v).sum())


def inverse_diagonal(v: SamplingCovariance) -> Floats:
    """diag(inv(V)), shape (n,)."""
    if v.is_diagonal:
        return np.asarray(1.0 / v.variances)
    out = np.empty(v.n)
    for rows in size_classes(v.cluster):
        out[rows] = np.linalg.inv(v.stack(rows)).diagonal(axis1=1, axis2=2)
    return out


NONE_LEFT = 1e-10
"""Share of rows that coefficients leave over which is rounding."""
