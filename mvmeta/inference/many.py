"""One design, many outcomes: fits of every column of Y, batched where the layout allows it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import MvmetaError
from mvmeta.inference.estimate import estimate
from mvmeta.inference.fit import Fit
from mvmeta.inference.heterogeneity import heterogeneity_test
from mvmeta.inference.scaling import knapp_hartung_factor
from mvmeta.likelihood.batch import (
    BatchEvaluation,
    BatchObjective,
    batch_cholesky,
    batch_evaluation,
    full_loglik,
)
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.batch import GROUP, ROW, BatchPlan, BatchRows, batch_plan, batch_sums
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.batch import maximize_batch
from mvmeta.optimize.maximize import SMALL_START, Optimum
from mvmeta.optimize.newton import DECREMENT
from mvmeta.optimize.status import Status

BLOCK = 2**14
"""Outcomes climbed at a time: their copies in scaled units are all the memory that is added."""
PERFECT = 1e-20
"""Residual variance, relative to y and V, that is rounding of a perfect fit."""
RANK_TOLERANCE = 1e-6
"""Smallest pivot of Q'Q over the rows that are left, Q'Q = I with all rows: below it the scalar
solver judges whether a coefficient is still determined."""
DETERMINED = 1e-10
"""Smallest singular value of those rows of Q from which on it is."""


class NotFitted(Enum):
    """Why there is no fit of an outcome."""

    TOO_FEW_ROWS = "not fitted: fewer rows without missing values than coefficients"
    RANK_DEFICIENT = "not fitted: the rows without missing values leave a coefficient undetermined"
    MISSING = "not fitted: values are missing, and missing='skip'"
    FAILED = "not fitted: the solver raised an error, see `errors`"

    @property
    def converged(self) -> bool:
        """False: there is no maximum."""
        return False


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits of m outcomes; NaN where there is none.

    Attributes
    ----------
    beta : ndarray, shape (p, m)
    cov_beta : ndarray, shape (p, p, m)
    theta : ndarray, shape (n_components, m)
        Natural components in reporting order.
    boundary : ndarray of bool, shape (n_components, m)
    loglik : ndarray, shape (m,)
        Under the criterion of the fit.
    rss : ndarray, shape (m,)
        r'N r over n - p: the Knapp-Hartung factor; NaN where n = p.
    qe : ndarray, shape (m,)
        Residual heterogeneity; NaN where V is singular.
    nobs : ndarray of int, shape (m,)
        Rows without missing values.
    n_evaluations : ndarray of int, shape (m,)
    status : ndarray of object, shape (m,)
        `Status` or `NotFitted`.
    batched : ndarray of bool, shape (m,)
        Fitted in the batch; the others by the solver of single fits.
    errors : dict
        Outcome -> message, where the solver raised one.
    """

    beta: Floats
    cov_beta: Floats
    theta: Floats
    boundary: Bools
    loglik: Floats
    rss: Floats
    qe: Floats
    nobs: Ints
    n_evaluations: Ints
    status: np.ndarray
    batched: Bools
    errors: dict[int, str]

    @classmethod
    def blank(cls, p: int, components: int, m: int) -> "ManyFits":
        """Room for m outcomes."""

        def none(*shape: int) -> Floats:
            return np.full(shape, np.nan)

        return cls(
            beta=none(p, m),
            cov_beta=none(p, p, m),
            theta=none(components, m),
            boundary=np.zeros((components, m), dtype=bool),
            loglik=none(m),
            rss=none(m),
            qe=none(m),
            nobs=np.zeros(m, dtype=np.intp),
            n_evaluations=np.zeros(m, dtype=np.intp),
            status=np.empty(m, dtype=object),
            batched=np.zeros(m, dtype=bool),
            errors={},
        )


@dataclass(frozen=True, eq=False)
class ManySpec:
    """What all outcomes share.

    Attributes
    ----------
    problem : MetaProblem
        Its y does not matter.
    reml : bool
    weights : sparse array, shape (n, n), optional
        User weights for the fixed effects.
    maxiter, tol
        See `optimize.maximize.maximize`.
    """

    problem: MetaProblem
    reml: bool = True
    weights: sparse.csr_array | None = None
    maxiter: int = 200
    tol: float = DECREMENT


def fit_many(
    spec: ManySpec,
    y: Floats,
    variances: Floats | None = None,
    *,
    n_jobs: int = 1,
    report: Callable[[int], None] | None = None,
) -> ManyFits:
    """Fit every column of y.

    Parameters
    ----------
    spec : ManySpec
    y : ndarray, shape (n, m)
        Rows that are NaN are left out of the fit of that outcome.
    variances : ndarray, shape (n,) or (n, m), optional
        Sampling variances instead of those of the problem, whose correlations are kept.
    n_jobs : int
        Processes for the outcomes that are fitted one by one.
    report : callable, optional
        Called with the number of outcomes done since the last call.

    Notes
    -----
    Batched where V is diagonal and positive and the random terms are at most one with a level
    per row and one that groups rows, without user weights; and then all outcomes but those at
    which the batch is not certain to have found the maximum.
    """
    out = ManyFits.blank(spec.problem.p, len(spec.problem.components), y.shape[1])
    batch = _Batch.of(spec)
    left = []
    for start in range(0, y.shape[1], BLOCK):
        at = np.arange(start, min(start + BLOCK, y.shape[1]))
        columns = _columns(y, variances, at)
        out.nobs[at] = (~np.isnan(columns.y)).sum(axis=0)
        done = np.zeros(len(at), dtype=bool)
        if batch is not None:
            done = batch.fit(columns, out, at)
        left.append(at[~done])
        if report is not None and done.any():
            report(int(done.sum()))
    _one_by_one(spec, y, variances, np.concatenate([*left, []]).astype(np.intp), out, n_jobs, report)
    return out


@dataclass(frozen=True, eq=False)
class _Columns:
    """Some outcomes: y (n, b) with NaN where y or its variance is missing, v (n, b) or None."""

    y: Floats
    v: Floats | None


def _columns(y: Floats, variances: Floats | None, at: Ints) -> _Columns:
    part = y[:, at].astype(float)
    if variances is None:
        return _Columns(part, None)
    v = variances[:, at] if variances.ndim == 2 else np.repeat(variances[:, None], len(at), axis=1)
    part[np.isnan(v)] = np.nan
    return _Columns(part, v)


class _Batch:
    """The batched route for one design."""

    def __init__(self, spec: ManySpec, plan: BatchPlan, r: Floats) -> None:
        self._spec, self._plan = spec, plan
        self._r_inverse = np.linalg.inv(r) if len(r) else r
        fixed = spec.problem.fixed
        self._free = np.array([t is not None and not fixed[t] for t in plan.terms])
        self._objective = BatchObjective(plan, spec.reml, self._free)
        theta = np.array([float(c.values[0]) if c is not None else 0.0 for c in self._pins()])
        self._pinned = theta

    def _pins(self) -> Iterator[Any]:
        for t in self._plan.terms:
            pinned = t is not None and self._spec.problem.fixed[t]
            yield self._spec.problem.terms[t].structure if pinned and t is not None else None

    @classmethod
    def of(cls, spec: ManySpec) -> "_Batch | None":
        """None where the layout is not one for the batch."""
        if spec.weights is not None or not spec.problem.p:
            return None
        q, r = orthonormal_basis(spec.problem.x)
        plan = batch_plan(spec.problem, q)
        return None if plan is None else cls(spec, plan, r)

    def fit(self, columns: _Columns, out: ManyFits, at: Ints) -> Bools:
        """Fit outcomes `at` (b,) of `out`; returns which of them (b,) are done."""
        scaled = _Scaled.of(columns, self._plan, self._spec.problem.v.variances)
        good = np.flatnonzero(scaled.usable)
        if not len(good):
            return scaled.usable
        part = scaled.take(good)
        base = self._pinned[:, None] / part.scale
        optimum = maximize_batch(
            self._objective,
            part.y,
            part.v,
            base,
            _starts(int(self._free.sum())),
            maxiter=self._spec.maxiter,
            tol=self._spec.tol,
        )
        keep = np.flatnonzero(optimum.certain)
        base[self._free] = optimum.x
        self._store(out, at[good[keep]], part.take(keep), base[:, keep], optimum.at.take(keep))
        out.n_evaluations[at[good]] = optimum.n_evaluations
        done = np.zeros(len(at), dtype=bool)
        done[good[keep]] = True
        return done

    def _store(
        self, out: ManyFits, at: Ints, part: "_Scaled", theta: Floats, found: BatchEvaluation
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
        out.qe[at] = self._qe(part)
        out.batched[at] = True
        edge = out.boundary[:, at].any(axis=0)
        name = np.where(edge, Status.BOUNDARY, Status.INTERIOR)
        out.status[at] = name if self._free.any() else Status.NOTHING_TO_ESTIMATE

    def _qe(self, part: "_Scaled") -> Floats:
        """Weighted residual sum of squares under V alone."""
        nothing, zero = np.zeros(2, dtype=bool), np.zeros(part.y.shape[1])
        rows = BatchRows(self._plan, self._plan.pairs, part.y, part.v, zero, False)
        return batch_evaluation(batch_sums(rows, zero, nothing), False).rss


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
    def of(cls, columns: _Columns, plan: BatchPlan, variances: Floats) -> "_Scaled":
        """Scale the outcomes given; `variances` (n,) where they bring none."""
        y = columns.y
        v = np.repeat(variances[:, None], y.shape[1], axis=1) if columns.v is None else columns.v
        gone = np.isnan(y)
        p, b = plan.x.shape[1], y.shape[1]
        positive = (v > 0) | gone
        usable = positive.all(axis=0)
        n = y.shape[0] - gone.sum(axis=0).astype(float)
        log_xx = np.zeros(b)
        if gone.any():
            y, v = np.where(gone, 0.0, y), np.where(gone, np.inf, v)
            gram = (plan.pairs @ (~gone).astype(float)).reshape(p, p, b)
            root = batch_cholesky(gram)
            pivot = root[range(p), range(p)]
            with np.errstate(invalid="ignore", divide="ignore"):
                usable &= (np.nan_to_num(pivot) > RANK_TOLERANCE).all(axis=0) & (n >= p)
                log_xx = 2 * np.log(np.where(pivot > 0, pivot, 1.0)).sum(axis=0)
                ols = _cholesky_solve(root, plan.x.T @ y)
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
        one = (self.scale, self.n, self.log_xx, self.usable)
        scale, n, log_xx, usable = (a[which] for a in one)
        return _Scaled(
            self.y[:, which], self.v[:, which], scale, self.ols[:, which], n, log_xx, usable
        )


def _cholesky_solve(root: Floats, b: Floats) -> Floats:
    """Solve L L'x = b for L (p, p, m) and b (p, m)."""
    x = b.copy()
    p = len(root)
    for j in range(p):
        x[j] = (x[j] - np.einsum("km,km->m", root[j, :j], x[:j])) / root[j, j]
    for j in reversed(range(p)):
        x[j] = (x[j] - np.einsum("km,km->m", root[j + 1 :, j], x[j + 1 :])) / root[j, j]
    return x


# -- one by one ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Single:
    """What is kept of one fit; `status` alone where there is none."""

    status: Status | NotFitted
    error: str = ""
    fit: tuple[Any, ...] = ()


def _one_by_one(  # noqa: PLR0913
    spec: ManySpec,
    y: Floats,
    variances: Floats | None,
    which: Ints,
    out: ManyFits,
    n_jobs: int,
    report: Callable[[int], None] | None,
) -> None:
    pieces = np.array_split(which, max(1, min(n_jobs * PIECES, len(which)))) if len(which) else []
    parts = [(spec, _columns(y, variances, piece)) for piece in pieces]
    for piece, found in zip(pieces, run_jobs(_fit_columns, parts, n_jobs), strict=True):
        for at, single in zip(piece.tolist(), found, strict=True):
            _store_single(out, at, single)
        if report is not None:
            report(len(piece))


PIECES = 8
"""Pieces of work per process: enough to share them evenly, few enough to send."""


def run_jobs(work: Callable[..., Any], parts: Sequence[tuple[Any, ...]], n_jobs: int) -> Iterator[Any]:
    """``work(*part)`` for every part in order, in `n_jobs` fresh processes if more than one.

    Processes are spawned, not forked: threads of the caller (of BLAS, of a notebook) would not
    survive a fork.  A script that asks for them therefore needs ``if __name__ == "__main__":``.
    """
    if n_jobs <= 1 or len(parts) <= 1:
        yield from (work(*part) for part in parts)
        return
    with ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, *zip(*parts, strict=True))


def _fit_columns(spec: ManySpec, columns: _Columns) -> list[_Single]:
    """Fit columns one by one; plans are shared by outcomes with the same V and rows."""
    plans: dict[bytes, tuple[MetaProblem, MarginalCovariance]] = {}
    q = orthonormal_basis(spec.problem.x)[0]
    out = []
    for c in range(columns.y.shape[1]):
        y = columns.y[:, c]
        rows = np.flatnonzero(~np.isnan(y))
        refusal = _refusal(q, rows)
        if refusal is not None:
            out.append(_Single(refusal))
            continue
        key = rows.tobytes()
        if columns.v is not None:
            key = rows.tobytes() + columns.v[rows, c].tobytes()
        if key not in plans:
            plans = {key: _plan_of(spec.problem, rows, columns, c)}
        out.append(_fit_single(spec, *plans[key], y[rows], rows))
    return out


def _refusal(q: Floats, rows: Ints) -> NotFitted | None:
    n, p = len(rows), q.shape[1]
    if n < max(p, 1):
        return NotFitted.TOO_FEW_ROWS
    if n < len(q) and p and np.linalg.svd(q[rows], compute_uv=False)[-1] < DETERMINED:
        return NotFitted.RANK_DEFICIENT
    return None


def _plan_of(
    problem: MetaProblem, rows: Ints, columns: _Columns, c: int
) -> tuple[MetaProblem, MarginalCovariance]:
    if columns.v is not None:
        v = np.where(np.isnan(columns.v[:, c]), 1.0, columns.v[:, c])
        problem = replace(problem, v=rescaled(problem.v, v))
    if len(rows) < problem.n:
        problem = problem.take(rows)
    return problem, build_backend(problem)


def rescaled(v: SamplingCovariance, variances: Floats) -> SamplingCovariance:
    """V with other variances (n,) and the same correlations."""
    if v.covariances is None:
        return SamplingCovariance(variances)
    known = v.variances > 0
    ratio = np.where(known, np.sqrt(variances / np.where(known, v.variances, 1.0)), 0.0)
    scale = sparse.diags_array(ratio)
    return SamplingCovariance(variances, (scale @ v.covariances @ scale).tocsr())


def _fit_single(
    spec: ManySpec, problem: MetaProblem, plan: MarginalCovariance, y: Floats, rows: Ints
) -> _Single:
    weights = spec.weights
    if weights is not None and len(rows) < weights.shape[0]:
        weights = weights[rows][:, rows]
    try:
        fit, optimum = estimate(
            plan.with_response(y),
            reml=spec.reml,
            weights=weights,
            maxiter=spec.maxiter,
            tol=spec.tol,
        )
    except MvmetaError as error:
        return _Single(NotFitted.FAILED, str(error))
    return _Single(optimum.status, fit=_numbers(fit, optimum))


def _numbers(fit: Fit, optimum: Optimum) -> tuple[Any, ...]:
    """In the order of the first seven fields of `ManyFits`, and the number of evaluations."""
    qe, scale = heterogeneity_test(fit).statistic, knapp_hartung_factor(fit)
    found = (fit.beta, fit.cov_beta, fit.theta, fit.boundary, fit.loglik[fit.reml], scale, qe)
    return (*found, optimum.n_evaluations)


def _store_single(out: ManyFits, at: int, single: _Single) -> None:
    out.status[at] = single.status
    if single.error:
        out.errors[at] = single.error
    if not single.fit:
        return
    names = ("beta", "cov_beta", "theta", "boundary", "loglik", "rss", "qe")
    for name, value in zip(names, single.fit, strict=False):
        getattr(out, name)[..., at] = value
    out.n_evaluations[at] += single.fit[-1]
