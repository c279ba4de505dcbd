"""Wald tests and intervals of the fixed effects."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import special, stats

from mvmeta._typing import Floats, Ints
from mvmeta.errors import SpecificationError, warn
from mvmeta.inference.coefficients.degrees import DegreesOfFreedom

LARGE_ALPHA = 0.8
"""From here on `alpha` is taken for the coverage that it is 1 minus."""

SINGULAR_TOLERANCE = 1e-13
"""Eigenvalue of a correlation matrix of estimates that is rounding error."""


@dataclass(frozen=True, eq=False)
class Basis:
    """What every test and interval of the fixed effects starts from.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
        Covariance of `beta`: model-based, scaled, adjusted or robust.
    df : DegreesOfFreedom
    """

    beta: Floats
    cov: Floats
    df: DegreesOfFreedom


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Estimates of m linear combinations, each tested by itself.

    Attributes
    ----------
    estimate, se : ndarray, shape (m,)
        ``rows @ beta`` and its standard error.
    statistic, pvalue : ndarray, shape (m,)
        (estimate - rhs) / se and its two-sided p-value.
    df : ndarray, shape (m,)
        Infinite under z.
    """

    estimate: Floats
    se: Floats
    statistic: Floats
    pvalue: Floats
    df: Floats

    def interval(self, alpha: float = 0.05) -> tuple[Floats, Floats]:
        """Lower and upper limits (m,) of the 1 - alpha confidence interval."""
        half = critical_value(self.df, alpha) * self.se
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True)
class WaldTest:
    """A joint test of m linear combinations.

    Attributes
    ----------
    statistic : float
        Chi-square, or F.
    df : int
        m.
    df_denom : float
        Degrees of freedom of the denominator of F; NaN for the chi-square test.
    pvalue : float
        P-value; NaN where the rule of df allows no test (`df_denom` 0 or NaN), or where the
        covariance of the combinations is singular, as in a perfect fit whose covariance is scaled
        by its residuals, or for more combinations than a robust covariance of few clusters has
        rank; the statistic is NaN as well then.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> bcg = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat + year", bcg, variance="vi", groups="trial")
    >>> test = model.fit().moderators_test()
    >>> round(test.statistic, 2), test.df, round(test.pvalue, 4)
    (12.2, 2, 0.0022)
    """

    statistic: float
    df: int
    df_denom: float
    pvalue: float


def critical_value(df: Floats | float, alpha: float) -> Floats:
    """Two-sided 1 - alpha/2 quantile of t with `df` degrees of freedom, normal where infinite.

    Raises
    ------
    SpecificationError
        If `alpha` is not between 0 and 1.
    """
    check_alpha(alpha)
    df = np.asarray(df, dtype=float)
    # stats.t.isf has this formula, and takes ten times as long to get to it
    finite = -special.stdtrit(np.where(df > 0, df, np.nan), alpha / 2.0)
    return np.asarray(np.where(np.isinf(df), -special.ndtri(alpha / 2.0), finite))


def check_alpha(alpha: object) -> None:
    """Raise a SpecificationError unless `alpha`, 1 - coverage, is between 0 and 1.

    Warns where it looks like the coverage itself.
    """
    if not (isinstance(alpha, Real) and 0.0 < float(alpha) < 1.0):
        raise SpecificationError(
            f"alpha={alpha!r}: it is 1 - coverage and lies between 0 and 1, 0.05 for 95% intervals"
        )
    if float(alpha) >= LARGE_ALPHA:
        warn(
            f"alpha={float(alpha):g} asks for intervals that cover {100 * (1 - float(alpha)):g}%: "
            "it is 1 - coverage, 0.05 for 95% intervals"
        )


def contrasts(basis: Basis, rows: Floats, rhs: Floats | float = 0.0) -> Contrasts:
    """Test each of the linear combinations ``rows @ beta = rhs`` by itself.

    Parameters
    ----------
    basis : Basis
    rows : ndarray, shape (m, p)
    rhs : ndarray, shape (m,), or float

    Raises
    ------
    SpecificationError
        If `rows` does not have one column per coefficient.
    """
    rows = _check_rows(basis, rows)
    estimate = rows @ basis.beta
    se = np.sqrt(np.einsum("mp,pq,mq->m", rows, basis.cov, rows))
    df = np.full(len(rows), np.inf) if basis.df.normal else basis.df.contrasts(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A robust variance of 0 is none: the statistic, the df and with them the interval are NaN.
        statistic = np.where(se > 0, (estimate - rhs) / se, np.nan)
    df = np.where(se > 0, df, np.nan)
    pvalue = np.asarray(2.0 * stats.t.sf(np.abs(statistic), df))
    return Contrasts(estimate, se, np.asarray(statistic), pvalue, df)


def coefficients(basis: Basis) -> Contrasts:
    """Test every coefficient against 0."""
    return contrasts(basis, np.eye(len(basis.beta)))


def wald_test(basis: Basis, rows: Floats, rhs: Floats | float = 0.0) -> WaldTest:
    """Test ``rows @ beta = rhs`` jointly: chi-square with m df, or F with m and the df's df.

    Parameters
    ----------
    basis : Basis
    rows : ndarray, shape (m, p)
        Linearly independent.
    rhs : ndarray, shape (m,), or float

    Raises
    ------
    SpecificationError
        If `rows` does not have one column per coefficient or is rank deficient.
    """
    rows = _check_rows(basis, rows)
    m = len(rows)
    check_independent(rows, basis.cov)
    cov = rows @ basis.cov @ rows.T
    if _is_singular(cov):
        return WaldTest(np.nan, m, np.nan if basis.df.normal else basis.df.joint(rows), np.nan)
    gap = rows @ basis.beta - rhs
    statistic = float(gap @ np.linalg.solve(cov, gap))
    if basis.df.normal:
        return WaldTest(statistic, m, np.nan, float(stats.chi2.sf(statistic, m)))
    f, denominator = basis.df.scale(rows) * statistic / m, basis.df.joint(rows)
    return WaldTest(f, m, denominator, f_pvalue(f, m, denominator))


def check_independent(rows: Floats, cov: Floats) -> None:
    """Refuse no hypotheses, or ones of which some follow from others.

    Parameters
    ----------
    rows : ndarray, shape (m, p)
    cov : ndarray, shape (p, p)
        Of the coefficients, whose units must decide nothing: rank is judged on rows times
        standard errors.

    Raises
    ------
    SpecificationError
    """
    m, se = len(rows), np.sqrt(np.diag(cov))
    if m == 0 or np.linalg.matrix_rank(rows * np.where(se == 0, 1.0, se)) < m:
        raise SpecificationError(
            "there is no hypothesis to test"
            if m == 0
            else f"the {m} hypotheses are linearly dependent; leave out those that follow from "
            "others"
        )


def _is_singular(cov: Floats) -> bool:
    """Whether a covariance (m, m) is singular but for rounding, whatever the units."""
    se = np.sqrt(np.abs(np.diag(cov)))
    if (se == 0).any():
        return True
    values = np.linalg.eigvalsh(cov / np.outer(se, se))
    return bool(values[0] < SINGULAR_TOLERANCE)


def f_pvalue(f: float, df: int, df_denom: float) -> float:
    """Upper tail of F; the chi-square limit where `df_denom` is infinite."""
    if np.isinf(df_denom):
        return float(stats.chi2.sf(f * df, df))
    return float(stats.f.sf(f, df, df_denom))


def omnibus_rows(x: Floats) -> Ints:
    """Coefficients of the test of moderators: all but the intercept.

    All of them where x (n, p) has no column of ones or nothing else.
    """
    intercept = (x == 1.0).all(axis=0)
    if not intercept.any() or x.shape[1] == 1:
        return np.arange(x.shape[1])
    return np.delete(np.arange(x.shape[1]), int(np.argmax(intercept)))


def _check_rows(basis: Basis, rows: Floats) -> Floats:
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != len(basis.beta):
        raise SpecificationError(
            f"a hypothesis needs one weight per coefficient ({len(basis.beta)}), "
            f"got rows of shape {rows.shape}"
        )
    return rows
