"""Likelihood-ratio tests of nested fits, refusing what cannot be compared."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.fit import Fit

SAME = 1e-10
"""Relative difference of y or V that counts as none."""
SAME_SPAN = 1e-8
"""Part of a column of X outside the span of another X, relative to it, that counts as none."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood-ratio test; unpacks to statistic, pvalue, df_diff as statsmodels' does.

    Attributes
    ----------
    statistic : float
        Twice the difference in log-likelihood, at least 0.
    pvalue : float
        By chi-square with `df_diff` df.
    df_diff : int
        Number of parameters the restricted model has less.
    pvalue_boundary : float
        Where the restricted model sets one variance to 0: by the mixture of chi-square with 0
        and 1 df in equal parts (Self & Liang 1987, J Am Stat Assoc 82:605); equal to `pvalue`
        where only fixed effects or correlations inside their range are restricted; NaN where
        the mixture is not known in closed form.
    """

    statistic: float
    pvalue: float
    df_diff: int
    pvalue_boundary: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.statistic, self.pvalue, self.df_diff))


def likelihood_ratio(full: Fit, restricted: Fit) -> LikelihoodRatio:
    """Test a fit against one nested in it.

    Parameters
    ----------
    full, restricted : Fit
        Of the same rows and V by the same criterion.

    Raises
    ------
    SpecificationError
        If the fits cannot be compared: other rows, other V, other criterion, REML with other
        fixed effects, user weights, or not fewer parameters.
    """
    _check(full, restricted)
    df = _n_parameters(full) - _n_parameters(restricted)
    if df <= 0:
        raise SpecificationError(
            "the restricted model must have fewer parameters: it has "
            f"{_n_parameters(restricted)}, the full one {_n_parameters(full)}"
        )
    reml = full.reml
    statistic = max(2.0 * (full.loglik[reml] - restricted.loglik[reml]), 0.0)
    pvalue = float(stats.chi2.sf(statistic, df))
    return LikelihoodRatio(statistic, pvalue, df, _boundary(full, restricted, statistic, pvalue))


def _n_parameters(fit: Fit) -> int:
    return fit.problem.p + int(fit.estimated.sum())


def _check(full: Fit, restricted: Fit) -> None:
    a, b = full.problem, restricted.problem
    if full.weights is not None or restricted.weights is not None:
        raise SpecificationError(
            "under user weights the coefficients do not maximise the likelihood: no ratio test"
        )
    if full.reml != restricted.reml:
        raise SpecificationError("one fit is REML, the other ML: fit both by the same criterion")
    if a.n != b.n or np.abs(a.y - b.y).max(initial=0.0) > SAME * np.abs(a.y).max(initial=0.0):
        raise SpecificationError(
            f"the fits have other data ({a.n} and {b.n} rows): rows may have been dropped for "
            "missing values in one of them; fit both to the same rows"
        )
    difference = abs(a.v.tosparse() - b.v.tosparse())
    if difference.nnz and difference.max() > SAME * a.v.variances.max():
        raise SpecificationError("the fits have another V: their likelihoods are not comparable")
    if full.reml and not _same_span(a.x, b.x):
        raise SpecificationError(
            "REML likelihoods of models with other fixed effects are not comparable; "
            "fit both with reml=False"
        )


def _same_span(a: Floats, b: Floats) -> bool:
    if a.shape != b.shape:
        return False
    q = np.linalg.qr(a)[0]
    rest = np.linalg.norm(b - q @ (q.T @ b), axis=0)
    return bool((rest <= SAME_SPAN * np.linalg.norm(b, axis=0)).all())


def _boundary(full: Fit, restricted: Fit, statistic: float, pvalue: float) -> float:
    extra = int(full.estimated.sum()) - int(restricted.estimated.sum())
    if extra == 0:
        return pvalue
    # variances that are equal to others are not at 0: all count
    variances = [int((f.problem.power[~f.problem.fixed] == 2).sum()) for f in (full, restricted)]
    if full.problem.p == restricted.problem.p and extra == 1 and variances[0] > variances[1]:
        return pvalue / 2 if statistic > 0 else 1.0
    if variances[0] == variances[1] and not restricted.boundary.any():
        return pvalue
    return np.nan
