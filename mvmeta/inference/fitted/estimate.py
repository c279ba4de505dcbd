"""From a problem to its fit: maximise, then estimate the fixed effects at the maximum."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import ConvergenceError, CovarianceError, DataError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.weighted import weighted_fixed_effects
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import MarginalCovariance, NotPositiveDefiniteError, multiply
from mvmeta.optimize.maximize import Optimum, maximize
from mvmeta.optimize.newton import DECREMENT, Iteration


def estimate(  # noqa: PLR0913  (the options of `MetaMixedLM.fit` that concern the optimum)
    backend: MarginalCovariance,
    *,
    reml: bool = True,
    weights: sparse.csr_array | None = None,
    start: Floats | None = None,
    maxiter: int = 200,
    tol: float = DECREMENT,
    report: Callable[[Iteration], None] | None = None,
    row_labels: Any = None,
    make: type[Fit] = Fit,
) -> tuple[Fit, Optimum]:
    """Fit a problem.

    Parameters
    ----------
    backend : MarginalCovariance
        Holds the problem; see `marginal.select.build_backend`.
    reml : bool
    weights : sparse array, shape (n, n), optional
        User weights W for the fixed effects; the components maximise the criterion as ever.
    start : ndarray, shape (n_components,), optional
        Natural components to start from.
    maxiter, tol, report
        See `optimize.maximize.maximize`.
    row_labels : sequence, optional
        Names of the n rows in errors; their positions unless said.
    make : type
        Of the fit.

    Raises
    ------
    CovarianceError
        If M is singular whatever the components are, or wherever the optimiser may start: V is
        singular and no random effect can mend it.
    DataError
        If y and V are in a unit in which squares of variances leave the range of numbers.
    ConvergenceError
        If the likelihood is not finite anywhere.
    """
    problem = backend.problem
    _check_unit(problem)
    labels = range(problem.n) if row_labels is None else row_labels
    # not left to the factorisation: rounding decides whether that of a singular M fails
    if len(problem.inseparable):
        raise singular_marginal(problem.inseparable, labels, bool(problem.terms))
    objective = Objective(backend, reml)
    try:
        optimum = maximize(objective, start=start, maxiter=maxiter, tol=tol, report=report)
    except NotPositiveDefiniteError as err:
        raise singular_marginal(problem.zero_variances, labels, bool(problem.terms)) from err
    if not np.isfinite(optimum.evaluation.loglik):
        raise ConvergenceError("the log-likelihood is not finite; check y and V for extreme values")
    theta = optimum.theta
    gs = [t.structure.matrix(x) for t, x in zip(problem.terms, problem.split(theta), strict=True)]
    factor = backend.factorize(gs)
    beta, cov = optimum.evaluation.beta, optimum.evaluation.cov_beta
    loglik = dict(optimum.evaluation.logliks)
    if weights is not None:
        at = weighted_fixed_effects(
            problem.x, problem.y, weights, lambda b: multiply(problem, gs, b)
        )
        # the likelihood at estimates that do not maximise it: only r'inv(M)r changes
        r, gls = problem.y - problem.x @ at.beta, problem.y - problem.x @ beta
        gap = float(r @ factor.solve(r[:, None])[:, 0] - gls @ factor.solve(gls[:, None])[:, 0])
        loglik = {k: v - gap / 2 for k, v in loglik.items()}
        beta, cov = at.beta, at.cov
    fit = make(problem, reml, theta, optimum.boundary, factor, beta, cov, loglik, weights)
    return fit, optimum


UNIT = 1e40
"""Largest size of y or of standard errors, and the inverse of the smallest: the information about
a variance is of the size of their fourth power, or its inverse, and has squares of its own."""


def _check_unit(problem: MetaProblem) -> None:
    with np.errstate(over="ignore"):
        size = float(np.sqrt(max(problem.mean_square, problem.mean_variance)))
    if size > UNIT or 0 < size < 1 / UNIT:
        raise DataError(
            f"y and its standard errors are of the size {size:.0e}: the arithmetic of a fit needs "
            f"them between {1 / UNIT:.0e} and {UNIT:.0e}; look for wrong values, or use another "
            "unit"
        )


def singular_marginal(zero: Ints, labels: Any, has_terms: bool) -> CovarianceError:
    """The error for an M that is singular.

    Parameters
    ----------
    zero : ndarray of int
        Positions of the rows to name, those whose variance is 0.
    labels : sequence or dict
        Their names, by position.
    has_terms : bool
        Whether the model has random terms.
    """
    if len(zero):
        rows = ", ".join(str(labels[i]) for i in zero[:6]) + (" ..." if len(zero) > 6 else "")
        mend = (
            "no random effect reaches all of these rows separately"
            if has_terms
            else "the model has no random effects"
        )
        return CovarianceError(
            f"the marginal covariance M is singular: {len(zero)} sampling "
            f"{'variance is' if len(zero) == 1 else 'variances are'} 0 "
            f"({'row' if len(zero) == 1 else 'rows'} {rows}) and {mend}; "
            "add an estimate-level random effect or give variances > 0"
        )
    return CovarianceError(
        "the marginal covariance M = V + Z G Z' is not positive definite; V may be singular: "
        "check its correlations"
    )
