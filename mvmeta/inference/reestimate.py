"""Leave out rows or groups and estimate everything again, components included."""

from dataclasses import dataclass, replace

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.fit import Fit
from mvmeta.inference.fit_rows import fit_rows
from mvmeta.inference.projection import Projection
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.progress import track


@dataclass(frozen=True, eq=False)
class Reestimated:
    """Fits without each of J groups; NaN where a coefficient cannot be estimated without it.

    Attributes
    ----------
    shift : ndarray, shape (J, p)
        beta - beta_(S).
    se : ndarray, shape (J, p)
        Standard errors of beta_(S).
    theta : ndarray, shape (J, n_components)
        Components without the group.
    covratio : ndarray, shape (J,)
        Determinant of the covariance of beta_(S) relative to that of beta.
    cooks_distance : ndarray, shape (J,)
        ``shift' inv(cov_beta) shift``, not divided by p.
    dfbetas : ndarray, shape (J, p)
        `shift` in standard errors of the full data at the components of the reduced fit.
    studentized : ndarray, shape (n,)
        ``(y_i - x_i beta_(S)) / sqrt(M_ii + x_i cov_(S) x_i')`` at those components, as metafor
        has it: the covariance of y_i with beta_(S) is left out.
    """

    shift: Floats
    se: Floats
    theta: Floats
    covratio: Floats
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
    se, covratio = np.full((count, p), np.nan), np.full(count, np.nan)
    theta = np.full((count, len(fit.theta)), np.nan)
    studentized = np.full(n, np.nan)
    for g in track(range(count), "left out"):
        out, keep = np.flatnonzero(code == g), np.flatnonzero(code != g)
        reduced = fit_rows(fit, keep)
        if reduced is None:
            continue
        shift[g], theta[g] = fit.beta - reduced.beta, reduced.theta
        se[g] = np.sqrt(np.diag(reduced.cov_beta))
        covratio[g] = np.linalg.det(np.linalg.solve(fit.cov_beta, reduced.cov_beta))
        at = _at(fit, backend, reduced.theta)
        dfbetas[g] = shift[g] / np.sqrt(np.diag(at.cov_beta))
        x = fit.problem.x[out]
        variance = at.marginal_diagonal[out] + np.einsum("rp,pq,rq->r", x, reduced.cov_beta, x)
        studentized[out] = (fit.problem.y[out] - x @ reduced.beta) / np.sqrt(variance)
    cooks = np.einsum("jp,jp->j", shift, np.linalg.solve(fit.cov_beta, shift.T).T)
    return Reestimated(shift, se, theta, covratio, cooks, dfbetas, studentized)


def _at(fit: Fit, backend: MarginalCovariance, theta: Floats) -> Fit:
    """The full data with the covariance of the fixed effects at other components."""
    problem = fit.problem
    gs = [t.structure.matrix(x) for t, x in zip(problem.terms, problem.split(theta), strict=True)]
    factor = backend.factorize(gs)
    at = Projection(problem.x, factor.solve)
    half = np.linalg.solve(at.r, at.c)
    cov = np.asarray(np.linalg.solve(at.r, half.T), dtype=float)
    return replace(fit, theta=theta, factor=factor, cov_beta=cov)
