"""Fits of many outcomes in one go, for layouts that `marginal.many` can represent."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.inference.many.outcomes import Columns, ManyFits, ManySpec
from mvmeta.likelihood.many import (
    ManyEvaluation,
    ManyObjective,
    full_loglik,
    many_cholesky,
    many_evaluation,
)
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.marginal.many import GROUP, ROW, ManyPlan, ManyRows, many_plan, many_sums
from mvmeta.optimize.many import maximize_many
from mvmeta.optimize.starts import SMALL_START
from mvmeta.optimize.status import Status

ROUNDING = 1e-10
"""Relative difference of log-likelihoods that is rounding."""
PERFECT = 1e-20
"""Residual variance, relative to y and V, that is rounding of a perfect fit."""
RANK_TOLERANCE = 1e-6
"""Smallest pivot of Q'Q over the rows that are left, Q'Q = I with all rows: below it the solver
of single fits judges whether a coefficient is still determined."""


class Together:
    """The batched route for one design."""

    def __init__(self, spec: ManySpec, plan: ManyPlan, r: Floats) -> None:
        self._spec, self._plan = spec, plan
        self._r_inverse = np.linalg.inv(r) if len(r) else r
        fixed = spec.problem.fixed
        self._free = np.array([t is not None and not fixed[t] for t in plan.terms])
        self._objective = ManyObjective(plan, spec.reml, self._free)
        theta = np.array([float(c.values[0]) if c is not None else 0.0 for c in self._pins()])
        self._pinned = theta

    def _pins(self) -> Iterator[Any]:
        for t in self._plan.terms:
            pinned = t is not None and self._spec.problem.fixed[t]
            yield self._spec.problem.terms[t].structure if pinned and t is not None else None

    @classmethod
    def of(cls, spec: ManySpec) -> "Together | None":
        """None where the layout is not one for the batch."""
        if spec.weights is not None or not spec.problem.p:
            return None
        q, r = orthonormal_basis(spec.problem.x)
        plan = many_plan(spec.problem, q)
        return None if plan is None else cls(spec, plan, r)

    def fit(self, columns: Columns, out: ManyFits, at: Ints) -> Bools:
        """Fit outcomes `at` (b,) of `out`; returns which of them (b,) are done."""
        scaled = _Scaled.of(columns, self._plan)
        good = np.flatnonzero(scaled.usable)
        if not len(good):
            return scaled.usable
        part = scaled.take(good)
        base = self._pinned[:, None] / part.scale
        optimum = maximize_many(
            self._objective,
            part.y,
            part.v,
            base,
            _starts(int(self._free.sum())),
            maxiter=self._spec.maxiter,
            tol=self._spec.tol,
        )
        out.n_evaluations[at[good]] = optimum.n_evaluations
        nothing = self._without_effects(part)
        certain = optimum.certain & ~self._lower(optimum.at, nothing)
        keep = np.flatnonzero(certain)
        if not len(keep):
            return np.zeros(len(at), dtype=bool)
        base[self._free] = optimum.x
        rows = at[good[keep]]
        self._store(out, rows, part.take(keep), base[:, keep], optimum.at.take(certain))
        out.qe[rows] = nothing.rss[keep]
        done = np.zeros(len(at), dtype=bool)
        done[good[keep]] = True
        return done

    def _store(
        self, out: ManyFits, at: Ints, part: "_Scaled", theta: Floats, found: ManyEvaluation
    ) -> None:
        problem, n = self._spec.problem, part.n
        for kind in (ROW, GROUP):
            t = self._plan.terms[kind]
            if t is not None:
                pinned = problem.fixed[t]
                out.theta[t, at] = self._pinned[kind] if pinned else theta[kind] * part.scale
                out.boundary[t, at] = self._free[kind] & (theta[kind] <= 0)
        root = np.sqrt(part.scale)
        out.beta[:, at] = self._r_inverse @ (part.ols + root * found.beta)
        half = np.einsum("ab,bcm->acm", self._r_inverse, found.cov_beta)
        out.cov_beta[..., at] = part.scale * np.einsum("abm,cb->acm", half, self._r_inverse)
        reml, p = self._spec.reml, problem.p
        constant = (n - p if reml else n) * np.log(part.scale) - (part.log_xx if reml else 0.0)
        out.loglik[at] = full_loglik(found, n, p, reml) - constant / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            out.rss[at] = np.where(n > p, found.rss / (n - p), np.nan)
        out.batched[at] = True
        out.status[at] = Status.INTERIOR if self._free.any() else Status.NOTHING_TO_ESTIMATE
        out.status[at[out.boundary[:, at].any(axis=0)]] = Status.BOUNDARY

    def _without_effects(self, part: "_Scaled") -> ManyEvaluation:
        """The likelihood under V alone, whose residual sum of squares is QE."""
        nothing, zero = np.zeros(2, dtype=bool), np.zeros(part.y.shape[1])
        rows = ManyRows(self._plan, self._plan.pairs, part.y, part.v, zero, False)
        return many_evaluation(many_sums(rows, zero, nothing), self._spec.reml)

    def _lower(self, found: ManyEvaluation, nothing: ManyEvaluation) -> Bools:
        """Where the maximum found is below the likelihood without any effects: not the highest."""
        if self._pinned.any():
            return np.zeros(len(found.loglik), dtype=bool)
        return np.asarray(nothing.loglik > found.loglik + ROUNDING * np.abs(found.loglik))


def _starts(free: int) -> Floats:
    """Starts (S, J): those of `optimize.maximize`."""
    main, small = np.ones(free), np.full(free, SMALL_START)
    if free == 0:
        return main[None]
    mixed = [np.where(np.arange(free) == j, 1.0, SMALL_START) for j in range(free)]
    return np.array([main, *(mixed if free > 1 else []), small])


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Outcomes in units of their own residual variance.

    Attributes
    ----------
    y, v : ndarray, shape (n, b)
        Least-squares residuals and variances; 0 and inf where missing.
    scale : ndarray, shape (b,)
    ols : ndarray, shape (p, b)
        Least-squares coefficients of the orthonormal columns.
    n : ndarray, shape (b,)
        Rows without missing values.
    log_xx : ndarray, shape (b,)
        log|Q'Q| over these.
    usable : ndarray of bool, shape (b,)
        The batch can do it.
    """

    y: Floats
    v: Floats
    scale: Floats
    ols: Floats
    n: Floats
    log_xx: Floats
    usable: Bools

    @classmethod
    def of(cls, columns: Columns, plan: ManyPlan) -> "_Scaled":
        """Scale the outcomes given, turned as the plan says."""
        y, v, b = columns.y, columns.v, columns.y.shape[1]
        if v is None:
            v = np.repeat(plan.variances[:, None], b, axis=1)
        gone = np.isnan(y)
        p = plan.x.shape[1]
        usable = ((v > 0) | gone).all(axis=0)
        n = y.shape[0] - gone.sum(axis=0).astype(float)
        log_xx = np.zeros(b)
        if plan.turn is not None:  # a missing row is missing in all rows that it is mixed into
            usable &= ~gone.any(axis=0)
            y, gone = plan.turn @ np.where(gone, 0.0, y), np.zeros_like(gone)
        if gone.any():
            y, v = np.where(gone, 0.0, y), np.where(gone, np.inf, v)
            ols, log_xx, determined = _least_squares(plan, y, ~gone)
            usable &= determined & (n >= p)
            y = np.where(gone, 0.0, y - plan.x @ np.where(usable, ols, 0.0))
        else:
            ols = plan.x.T @ y
            y = y - plan.x @ ols
        residual = np.einsum("nb,nb->b", y, y) / np.maximum(n - p, 1)
        mean = np.where(gone, 0.0, v).sum(axis=0) / np.maximum(n, 1)
        square = np.einsum("pb,pb->b", ols, ols) / np.maximum(n, 1)
        usable = usable & (residual > PERFECT * np.maximum(mean, square)) & np.isfinite(residual)
        scale = np.where(usable, residual, 1.0)
        with np.errstate(invalid="ignore"):
            return cls(y / np.sqrt(scale), v / scale, scale, ols, n, log_xx, usable)

    def take(self, which: Ints) -> "_Scaled":
        """Some of the outcomes."""
        return _Scaled(**{f.name: getattr(self, f.name)[..., which] for f in fields(self)})


def _least_squares(plan: ManyPlan, y: Floats, there: Bools) -> tuple[Floats, Floats, Bools]:
    """Coefficients (p, b) over the rows that are `there` (n, b), log|Q'Q|, and where they exist."""
    p, b = plan.x.shape[1], y.shape[1]
    root = many_cholesky((plan.pairs @ there.astype(float)).reshape(p, p, b))
    pivot = root[range(p), range(p)]
    with np.errstate(invalid="ignore", divide="ignore"):
        determined: Bools = np.asarray((np.nan_to_num(pivot) > RANK_TOLERANCE).all(axis=0))
        log_xx = 2 * np.log(np.where(pivot > 0, pivot, 1.0)).sum(axis=0)
        return _cholesky_solve(root, plan.x.T @ y), log_xx, determined


def _cholesky_solve(root: Floats, b: Floats) -> Floats:
    """Solve L L'x = b for L (p, p, m) and b (p, m)."""
    x = b.copy()
    p = len(root)
    for j in range(p):
        x[j] = (x[j] - np.einsum("km,km->m", root[j, :j], x[:j])) / root[j, j]
    for j in reversed(range(p)):
        x[j] = (x[j] - np.einsum("km,km->m", root[j + 1 :, j], x[j + 1 :])) / root[j, j]
    return x
