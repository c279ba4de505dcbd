"""Whether a fit lacks a random intercept: the likelihood ratio with it and without."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mvmeta._typing import Ints
from mvmeta.design.layout import recode
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.select import build_backend
from mvmeta.structures import Identity


@dataclass(frozen=True, eq=False)
class AddedIntercept:
    """A fit with one more random intercept, and the test of its variance.

    Attributes
    ----------
    fit : Fit
        With the intercept as its last term.
    sigma2 : float
        Its variance.
    statistic : float
        Twice the difference in log-likelihood, at least 0.
    pvalue : float
        By the mixture of chi-square with 0 and 1 df in equal parts, as a variance of 0 is on
        the boundary (Self & Liang 1987, J Am Stat Assoc 82:605).
    """

    fit: Fit
    sigma2: float
    statistic: float
    pvalue: float


def separates_rows(term: RandomTerm) -> bool:
    """Whether a term gives every row an effect of its own.

    Its variance is then what effects differ by beyond sampling error and all that they share.
    """
    n = len(term.level)
    if term.z is not None:
        return term.n_levels == n
    cell = term.level if term.inner is None else term.level * term.q + term.inner
    return recode(cell)[1] == n


def add_intercept(fit: Fit, loglik: float, codes: Ints, name: str) -> AddedIntercept:
    """Fit again with a random intercept for each of some groups.

    Parameters
    ----------
    fit : Fit
    loglik : float
        Of the fit by its criterion, at its generalized least squares estimates.
    codes : ndarray of int, shape (n,)
        Group 0..J-1 of each row.
    name : str
        Of the new term.

    Raises
    ------
    ConvergenceError, CovarianceError
        If the larger model cannot be fitted.
    """
    labels = range(int(codes.max()) + 1)
    term = RandomTerm(name, codes, labels, Identity(("",), "sigma2"))
    problem = replace(fit.problem, terms=(*fit.problem.terms, term))
    larger, optimum = estimate(build_backend(problem), reml=fit.reml)
    statistic = max(2.0 * (optimum.evaluation.loglik - loglik), 0.0)
    pvalue = 0.5 * float(stats.chi2.sf(statistic, 1)) if statistic > 0 else 1.0
    return AddedIntercept(larger, float(np.atleast_1d(larger.theta)[-1]), statistic, pvalue)
