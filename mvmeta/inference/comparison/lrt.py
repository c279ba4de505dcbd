"""Likelihood-ratio tests of nested fits, refusing what cannot be compared."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mvmeta.design.batched import BatchedProblem
from mvmeta.errors import SpecificationError
from mvmeta.inference.comparison.chibar import NoClosedFormError
from mvmeta.inference.comparison.comparable import Candidate, check_comparable, outside
from mvmeta.inference.comparison.restriction import null_distribution
from mvmeta.inference.fitted.fit import Fit

UNKNOWN = "not known in closed form: {}; use method='bootstrap'"


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood-ratio test; unpacks to statistic, pvalue, df_diff as statsmodels' does.

    Attributes
    ----------
    statistic : float
        Twice the difference in log-likelihood, without unit, at least 0.
    pvalue : float
        P-value by chi-square with `df_diff` df: too large where a variance is set to 0.
    df_diff : int
        Number of parameters the restricted model has less.
    pvalue_boundary : float
        P-value by the mixture of chi-squares that allows for the edge of the parameter space; equal
        to `pvalue` where nothing is set to a value on an edge; NaN where it is not known.
    reference : str
        The distribution behind `pvalue_boundary`, such as "0.5 chi2(0) + 0.5 chi2(1)"; why
        there is none where that is NaN.
    pvalue_bootstrap, bootstrap_error : float
        Share of simulated statistics at least as large, with ``method="bootstrap"``, and its Monte
        Carlo standard error; else NaN.
    n_replicates, n_failed : int
        Simulated statistics, and those left out because a refit did not converge.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> data = datasets.load("konstantopoulos2011")
    >>> nested = "district/school"
    >>> res = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups=nested).fit()
    >>> simple = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district").fit()
    >>> test = res.compare_lr_test(simple)
    >>> statistic, pvalue, df = test
    >>> round(statistic, 2), df, test.reference
    (48.52, 1, '0.5 chi2(0) + 0.5 chi2(1)')
    """

    statistic: float
    pvalue: float
    df_diff: int
    pvalue_boundary: float
    reference: str = ""
    pvalue_bootstrap: float = np.nan
    bootstrap_error: float = np.nan
    n_replicates: int = 0
    n_failed: int = 0

    def __iter__(self) -> Iterator[float]:
        return iter((self.statistic, self.pvalue, self.df_diff))


def likelihood_ratio(full: Candidate, restricted: Candidate) -> LikelihoodRatio:
    """Test a fit against one nested in it.

    Parameters
    ----------
    full, restricted : Candidate
        Of the same rows and V by the same criterion.

    Raises
    ------
    SpecificationError
        If the fits cannot be compared: other rows, y, V or criterion, REML with other fixed
        effects, user weights, fixed effects that are not nested, or not fewer parameters.

    Notes
    -----
    The mixtures are those of `restriction.null_distribution`.
    """
    check_comparable(full, restricted)
    _check_nested(full, restricted)
    df = _n_parameters(full.fit) - _n_parameters(restricted.fit)
    reml = full.fit.reml
    statistic = max(2.0 * (full.fit.loglik[reml] - restricted.fit.loglik[reml]), 0.0)
    pvalue = float(stats.chi2.sf(statistic, df))
    try:
        null = null_distribution(full.fit, restricted.fit, df)
    except NoClosedFormError as reason:
        return LikelihoodRatio(statistic, pvalue, df, np.nan, UNKNOWN.format(reason))
    return LikelihoodRatio(statistic, pvalue, df, null.sf(statistic), str(null))


def _n_parameters(fit: Fit) -> int:
    return fit.problem.p + int(fit.estimated.sum())


def _check_nested(full: Candidate, restricted: Candidate) -> None:
    df = _n_parameters(full.fit) - _n_parameters(restricted.fit)
    if df <= 0:
        raise SpecificationError(
            f"the restricted model must have fewer parameters: {restricted.name} has "
            f"{_n_parameters(restricted.fit)}, {full.name} has {_n_parameters(full.fit)}"
        )
    if any(isinstance(c.fit.problem, BatchedProblem) for c in (full, restricted)):
        return  # whether X is nested cannot be seen without rows
    extra = outside(full, restricted)
    if extra:
        raise SpecificationError(
            f"{restricted.name} is not nested in {full.name}: {', '.join(extra)} of the first is "
            "no combination of the fixed effects of the second; see mvmeta.compare()"
        )
