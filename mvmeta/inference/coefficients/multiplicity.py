"""P-values and intervals of several comparisons at once."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import check_alpha, critical_value

SIMULTANEOUS = ("tukey", "scheffe", "bonferroni", "sidak")
"""Adjustments that also make intervals that hold together."""

METHODS = ("none", *SIMULTANEOUS, "holm", "holm-sidak", "bh", "by")
"""What `adjust=` takes."""

CODES = {
    "b": "bonferroni",
    "s": "sidak",
    "h": "holm",
    "hs": "holm-sidak",
    "fdr_bh": "bh",
    "fdr_by": "by",
}
"""The same under the names of statsmodels' `multipletests`."""

LARGE_DF = 1e5
"""Df from which on the studentized range is that of normal variables, as scipy has it."""


@dataclass(frozen=True)
class Family:
    """Comparisons that are judged together.

    Attributes
    ----------
    means : int
        Number of means they compare: for "tukey".
    rank : int
        Number of linearly independent comparisons among them: for "scheffe".
    """

    means: int
    rank: int


def method_of(adjust: object) -> str:
    """The name in `METHODS` of an adjustment.

    Raises
    ------
    SpecificationError
        For an unknown one; lists what exists.
    """
    name = CODES.get(adjust, adjust) if isinstance(adjust, str) else adjust
    if name not in METHODS:
        raise SpecificationError(
            f"unknown adjust={adjust!r}; takes one of {', '.join(map(repr, METHODS))}"
        )
    return str(name)


def adjusted(statistic: Floats, df: Floats, method: str, family: Family) -> Floats:
    """Two-sided p-values (m,) of t (or z) statistics, adjusted for their number.

    Parameters
    ----------
    statistic, df : ndarray, shape (m,)
        NaN where there is no comparison: it does not count.
    method : str
        "none"; "tukey" (studentized range, exact for all pairs of equally precise independent
        means, else slightly conservative: Tukey-Kramer); "scheffe" (any comparisons at all);
        "bonferroni"; "sidak"; "holm" (1979); "holm-sidak", Holm's steps with Sidak's bound; "bh"
        and "by" (false discovery rate, Benjamini & Hochberg 1995, Benjamini & Yekutieli 2001).
    family : Family

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    SpecificationError
        For an unknown method.
    """
    method = method_of(method)
    out = np.full(len(statistic), np.nan)
    at = np.isfinite(statistic)
    t, nu = np.abs(statistic[at]), df[at]
    if method == "tukey":
        out[at] = _range_sf(np.sqrt(2.0) * t, family.means, nu)
    elif method == "scheffe":
        out[at] = _f_sf(t**2 / family.rank, family.rank, nu)
    else:
        out[at] = _of_pvalues(np.asarray(2.0 * stats.t.sf(t, nu)), method)
    return out


def critical(df: Floats, alpha: float, method: str, family: Family, count: int) -> Floats:
    """Factors (m,) of the standard errors that make intervals.

    They hold together for the methods in `SIMULTANEOUS`, and each for itself otherwise.

    Parameters
    ----------
    df : ndarray, shape (m,)
    alpha : float
        1 - coverage.
    method : str
    family : Family
    count : int
        Number of comparisons.

    Raises
    ------
    SpecificationError
        For an unknown method or alpha.
    """
    method = method_of(method)
    check_alpha(alpha)
    count = max(count, 1)
    if method == "bonferroni":
        return critical_value(df, alpha / count)
    if method == "sidak":
        return critical_value(df, 1.0 - (1.0 - alpha) ** (1.0 / count))
    if method == "scheffe":
        quantile = stats.chi2.isf(alpha, family.rank) / family.rank
        finite = np.where(np.isinf(df), 1.0, df)
        f = np.where(np.isinf(df), quantile, stats.f.isf(alpha, family.rank, finite))
        return np.asarray(np.sqrt(family.rank * f))
    if method == "tukey":
        return _range_isf(alpha, family.means, df) / np.sqrt(2.0)
    return critical_value(df, alpha)


def _of_pvalues(p: Floats, method: str) -> Floats:
    m = len(p)
    if method == "none":
        return p
    if method == "bonferroni":
        return np.minimum(m * p, 1.0)
    if method == "sidak":
        return np.asarray(-np.expm1(m * np.log1p(-p)))
    order = np.argsort(p)
    rank = np.arange(1, m + 1)
    if method == "holm":
        stepped = np.maximum.accumulate(p[order] * (m + 1 - rank))
    elif method == "holm-sidak":
        stepped = np.maximum.accumulate(-np.expm1((m + 1 - rank) * np.log1p(-p[order])))
    else:
        penalty = float((1.0 / rank).sum()) if method == "by" else 1.0
        raised = p[order] * (m * penalty / rank)
        stepped = np.minimum.accumulate(raised[::-1])[::-1]
    out = np.empty(m)
    out[order] = np.minimum(stepped, 1.0)
    return out


def _f_sf(f: Floats, rank: int, df: Floats) -> Floats:
    normal: Bools = np.isinf(df)
    finite = stats.f.sf(f, rank, np.where(normal, 1.0, df))
    return np.where(normal, stats.chi2.sf(rank * f, rank), finite)


def _range_sf(q: Floats, means: int, df: Floats) -> Floats:
    nu = np.minimum(df, LARGE_DF)
    return np.asarray(np.clip(stats.studentized_range.sf(q, means, nu), 0.0, 1.0))


def _range_isf(alpha: float, means: int, df: Floats) -> Floats:
    """Upper quantiles (m,), each different df once: they take a search each."""
    nu = np.minimum(df, LARGE_DF)
    values, of = np.unique(nu[~np.isnan(nu)], return_inverse=True)
    out = np.full(len(nu), np.nan)
    out[~np.isnan(nu)] = np.asarray(
        [stats.studentized_range.isf(alpha, means, v) for v in values], dtype=float
    )[of]
    return out
