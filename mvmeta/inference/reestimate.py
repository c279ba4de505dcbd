"""Leave out rows or groups and estimate everything again, components included."""

from dataclasses import dataclass, replace

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import ConvergenceError, CovarianceError, SpecificationError
from mvmeta.inference.estimate import estimate
from mvmeta.inference.fit import Fit
from mvmeta.inference.projection import Projection
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.select import build_backend

RANK_TOLERANCE = 1e-10
"""Relative size of the smallest diagonal entry of R below which X has lost a column's rank."""


@dataclass(frozen=True, eq=False)
class Reestimated:
    """Fits without each of J groups; NaN where a coefficient cannot be estimated without it.

    Attributes
    ----------
    shift : ndarray, shape (J, p)
        beta - beta_(S).
    theta : ndarray, shape (J, n_components)
        Components without the group.
    cooks_distance : ndarray, shape (J,)
        ``shift' inv(cov_beta) shift``, not divided by p.
    dfbetas : ndarray, shape (J, p)
        `shift` in standard errors of the full data at the components of the reduced fit.
    studentized : ndarray, shape (n,)
        ``(y_i - x_i beta_(S)) / sqrt(M_ii + x_i cov_(S) x_i')`` at those components, as metafor
        has it: the covariance of y_i with beta_(S) is left out.
    """

    shift: Floats
    theta: Floats
    cooks_distance: Floats
    dfbetas: Floats
    studentized: Floats


def reestimate(fit: Fit, backend: MarginalCovariance, groups: Ints) -> Reestimated:
    """Fit again without each group in turn, starting from the full fit.

    Parameters
    ----------
    fit : Fit
    backend : MarginalCovariance
        Of the full problem.
    groups : ndarray of int, shape (n,)

    Raises
    ------
    SpecificationError
        Under user weights.
    """
    if fit.weights is not None:
        raise SpecificationError("deletion diagnostics need generalized least squares, not weights")
    code, count = recode(groups)
    n, p = fit.problem.n, fit.problem.p
    shift, dfbetas = np.full((count, p), np.nan), np.full((count, p), np.nan)
    theta = np.full((count, len(fit.theta)), np.nan)
    studentized = np.full(n, np.nan)
    for g in range(count):
        out, keep = np.flatnonzero(code == g), np.flatnonzero(code != g)
        reduced = _without(fit, keep)
        if reduced is None:
            continue
        shift[g], theta[g] = fit.beta - reduced.beta, reduced.theta
        at = _at(fit, backend, reduced.theta)
        dfbetas[g] = shift[g] / np.sqrt(np.diag(at.cov_beta))
        x = fit.problem.x[out]
        variance = at.marginal_diagonal[out] + np.einsum("rp,pq,rq->r", x, reduced.cov_beta, x)
        studentized[out] = (fit.problem.y[out] - x @ reduced.beta) / np.sqrt(variance)
    cooks = np.einsum("jp,jp->j", shift, np.linalg.solve(fit.cov_beta, shift.T).T)
    return Reestimated(shift, theta, cooks, dfbetas, studentized)


def _without(fit: Fit, keep: Ints) -> Fit | None:
    """The fit to the rows `keep`; None where it does not exist."""
    x = fit.problem.x[keep]
    if len(keep) < x.shape[1] or not _full_rank(x):
        return None
    try:
        backend = build_backend(fit.problem.take(keep))
        return estimate(backend, reml=fit.reml, start=fit.theta)[0]
    except (ConvergenceError, CovarianceError):
        return None


def _full_rank(x: Floats) -> bool:
    length = np.linalg.norm(x, axis=0)
    if not length.all():
        return False
    return bool(np.abs(np.diag(np.linalg.qr(x / length)[1])).min(initial=1.0) > RANK_TOLERANCE)


def _at(fit: Fit, backend: MarginalCovariance, theta: Floats) -> Fit:
    """The full data with the covariance of the fixed effects at other components."""
    problem = fit.problem
    gs = [t.structure.matrix(x) for t, x in zip(problem.terms, problem.split(theta), strict=True)]
    factor = backend.factorize(gs)
    at = Projection(problem.x, factor.solve)
    half = np.linalg.solve(at.r, at.c)
    cov = np.asarray(np.linalg.solve(at.r, half.T), dtype=float)
    return replace(fit, theta=theta, factor=factor, cov_beta=cov)
