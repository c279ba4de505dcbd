"""Leave out rows or groups and estimate everything again, components included."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import grouped_order, is_nested, recode
from mvmeta.errors import CovarianceError, SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.fit_rows import fit_rows, full_rank
from mvmeta.inference.fitted.projection import Projection
from mvmeta.inference.fitted.stacks import marginal_stack
from mvmeta.likelihood.absorbed import AbsorbedObjective, FactorsOfAll
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.likelihood.remaining import RemainingObjective, WholeObjective
from mvmeta.marginal.base import MarginalCovariance, NotPositiveDefiniteError, diagonal
from mvmeta.optimize.climb import QUICK_ABOVE
from mvmeta.optimize.newton import FLAT, Box, ascend
from mvmeta.optimize.starts import box_of
from mvmeta.progress import track

Evaluate = Callable[[Floats], Evaluation]

PRECISE = 1e-12
"""Newton decrement at which estimates are off by 1e-6 standard errors."""
MOST_EVALUATIONS = 12
"""After which leaving out a group is no small change."""
MOST_COLUMNS = 64
"""Rows with a column of their own beyond which a data set of the others costs less."""
NEAR = 1e-3
"""Distance from a bound, in natural units, at which a curved chart is left to others."""


@dataclass(frozen=True, eq=False)
class Reestimated:
    """Fits without each of J groups; NaN where a coefficient cannot be estimated without it.

    Attributes
    ----------
    shift : ndarray, shape (J, p)
        beta - beta_(S).
    se : ndarray, shape (J, p)
        Standard errors of beta_(S).
    cov_beta : ndarray, shape (J, p, p)
        Covariance of beta_(S).
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
    cov_beta: Floats
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
    cov_beta, covratio = np.full((count, p, p), np.nan), np.full(count, np.nan)
    theta = np.full((count, len(fit.theta)), np.nan)
    studentized = np.full(n, np.nan)
    order, size = grouped_order(code, count)
    end = np.cumsum(size)
    refit = _refitter(fit, backend, code)
    for g in track(range(count), "left out"):
        out = order[end[g] - size[g] : end[g]]
        found = refit(out)
        if found is None:
            continue
        shift[g], theta[g] = fit.beta - found.beta, found.theta
        cov_beta[g] = found.cov_beta
        covratio[g] = np.linalg.det(np.linalg.solve(fit.cov_beta, found.cov_beta))
        dfbetas[g] = shift[g] / np.sqrt(np.diag(found.cov_beta_of_all))
        x = fit.problem.x[out]
        variance = found.marginal + np.einsum("rp,pq,rq->r", x, found.cov_beta, x)
        studentized[out] = (fit.problem.y[out] - x @ found.beta) / np.sqrt(variance)
    cooks = np.einsum("jp,jp->j", shift, np.linalg.solve(fit.cov_beta, shift.T).T)
    se = np.sqrt(np.diagonal(cov_beta, axis1=1, axis2=2))
    return Reestimated(shift, se, cov_beta, theta, covratio, cooks, dfbetas, studentized)


def chi_squares(fit: Fit, groups: Ints, without: Reestimated) -> Floats:
    """Chi-square (J,) of the deleted residuals of each group, jointly; NaN without a fit.

    ``e' inv(M_SS + X_S cov_(S) X_S') e`` with e = y_S - X_S beta_(S), all at the components
    estimated without the group S; M_SS is that of metafor, as in `Reestimated.studentized`.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
    without : Reestimated
        Fits of the same model without each of these groups.
    """
    code, count = recode(groups)
    order, size = grouped_order(code, count)
    end = np.cumsum(size)
    out = np.full(count, np.nan)
    terms = fit.problem.terms
    for g in np.flatnonzero(np.isfinite(without.theta).all(axis=1)).tolist():
        rows = order[end[g] - size[g] : end[g]]
        pieces = zip(terms, fit.problem.split(without.theta[g]), strict=True)
        gs = [t.structure.matrix(piece) for t, piece in pieces]
        x = fit.problem.x[rows]
        e = fit.problem.y[rows] - x @ (fit.beta - without.shift[g])
        v = marginal_stack(fit, rows[None], gs)[0] + x @ without.cov_beta[g] @ x.T
        out[g] = e @ np.linalg.solve(v, e)
    return out


@dataclass(frozen=True, eq=False)
class _Refit:
    """A fit without m rows.

    With the covariance of beta of all rows at the same theta, and the diagonal (m,) of M for the
    rows left out.
    """

    theta: Floats
    beta: Floats
    cov_beta: Floats
    cov_beta_of_all: Floats
    marginal: Floats


def _refitter(fit: Fit, backend: MarginalCovariance, code: Ints) -> Callable[[Ints], _Refit | None]:
    """What fits without some rows: a few steps on sums or the factor of all rows, if possible."""
    anew = partial(_anew, fit, backend)
    problem = fit.problem
    bent = any(
        t.structure.working.hessian(x) is not None
        for t, x in zip(
            problem.terms, problem.split_working(problem.to_working(fit.theta)), strict=True
        )
    )
    if bent and fit.boundary.any():
        return anew
    without: Callable[[Ints], _Without | None]
    if is_nested(problem.cluster, code):
        without = WholeObjective(backend, fit.reml).without
    elif fit.reml:
        without = partial(_absorbed, FactorsOfAll(backend))
    else:
        return anew
    few = _FewSteps(fit, without, box_of(Objective(backend, fit.reml)), bent)
    return lambda out: few(out) or anew(out)


_Without = RemainingObjective | AbsorbedObjective


def _absorbed(factors: FactorsOfAll, out: Ints) -> AbsorbedObjective | None:
    """None where the rows are too many for a column each, or determine a coefficient."""
    x = factors.backend.problem.x
    if len(out) > MOST_COLUMNS or not full_rank(np.delete(x, out, axis=0)):
        return None
    return AbsorbedObjective(factors, out)


class _FewSteps:
    """Fits without some rows, by a few steps from the full fit.

    Where one group of many is left out the maximum moves by little.  In large data the information
    that remains at the components of the full fit serves for all steps: every further evaluation
    asks for value and gradient only.  What does not converge at once is left to a fit anew.

    Parameters
    ----------
    fit : Fit
    without : callable
        Rows -> objective without them, or None.
    box : Box
        Of the full problem.
    bent : bool
        Whether M is curved in the working parameters: their bounds are then left to others.
    """

    def __init__(
        self, fit: Fit, without: Callable[[Ints], _Without | None], box: Box, bent: bool
    ) -> None:
        self._problem, self._without = fit.problem, without
        self._start = fit.problem.to_working(fit.theta)
        self._box, self._bent = box, bent

    def __call__(self, out: Ints) -> _Refit | None:
        """Leave out rows; None where that is not settled in a few steps."""
        if len(out) == self._problem.n:
            return None
        try:
            objective = self._without(out)
            if objective is None:
                return None
            evaluate: Evaluate = objective.working
            if self._problem.n > QUICK_ABOVE:
                evaluate = partial(_chord, objective, objective.working(self._start))
            found = ascend(
                evaluate,
                self._start,
                self._box,
                maxiter=MOST_EVALUATIONS,
                tol=PRECISE,
                polish=False,
            )
        except (NotPositiveDefiniteError, CovarianceError):
            return None
        x, box = found.at.x, self._box
        edge = ((x <= box.lower + NEAR * box.unit) | (x >= box.upper)).any()
        if not found.done or found.local.smallest < FLAT or (self._bent and edge):
            return None
        problem = objective.left_out
        theta = problem.to_natural(x)
        gs = [
            t.structure.matrix(w) for t, w in zip(problem.terms, problem.split(theta), strict=True)
        ]
        return _Refit(
            theta,
            found.at.beta,
            found.at.cov_beta,
            objective.cov_beta_of_all,
            diagonal(problem, gs),
        )


def _chord(objective: Objective, first: Evaluation, x: Floats) -> Evaluation:
    """Value and gradient at `x`, with the information at the first point."""
    if np.array_equal(x, first.x):
        return first
    return replace(
        objective.working(x, quick=True),
        average=first.average,
        expected=first.expected,
        curvature=first.curvature,
    )


def _anew(fit: Fit, backend: MarginalCovariance, out: Ints) -> _Refit | None:
    """A data set of its own, and a fit that climbs from the components of the full one."""
    problem = fit.problem
    reduced = fit_rows(fit, np.delete(np.arange(problem.n), out))
    if reduced is None:
        return None
    theta = reduced.theta
    gs = [t.structure.matrix(x) for t, x in zip(problem.terms, problem.split(theta), strict=True)]
    at = Projection(problem.x, backend.factorize(gs).solve)
    half = np.linalg.solve(at.r, at.c)
    cov = np.asarray(np.linalg.solve(at.r, half.T), dtype=float)
    return _Refit(theta, reduced.beta, reduced.cov_beta, cov, diagonal(problem.take(out), gs))
