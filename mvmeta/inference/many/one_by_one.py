"""Fits of many outcomes by the solver of single fits, in one process or several."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import MvmetaError
from mvmeta.inference.coefficients.scaling import knapp_hartung_factor
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.heterogeneity.q_and_i2 import heterogeneity_test
from mvmeta.inference.many.outcomes import (
    Columns,
    ManyFits,
    ManySpec,
    NotFitted,
    columns_of,
    rescaled,
)
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.marginal.base import MarginalCovariance
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import Optimum
from mvmeta.optimize.status import Status

DETERMINED = 1e-10
"""Smallest singular value of the rows of Q that are left from which on a coefficient is
determined."""
PIECES = 8
"""Pieces of work per process: enough to share them evenly, few enough to send."""


@dataclass(frozen=True, eq=False)
class _Single:
    """What is kept of one fit; `status` alone where there is none."""

    status: Status | NotFitted
    error: str = ""
    fit: tuple[Any, ...] = ()


def fit_one_by_one(
    spec: ManySpec,
    y: Floats,
    variances: Floats | None,
    which: Ints,
    out: ManyFits,
    *,
    n_jobs: int = 1,
) -> Iterator[int]:
    """Fit the outcomes `which` of y (n, m) into `out`; yields how many more are done.

    Plans are shared by outcomes that have the same V and the same rows.
    """
    pieces = np.array_split(which, max(1, min(n_jobs * PIECES, len(which)))) if len(which) else []
    parts = [(spec, columns_of(y, variances, piece)) for piece in pieces]
    for piece, found in zip(pieces, run_jobs(_fit_columns, parts, n_jobs), strict=True):
        for at, single in zip(piece.tolist(), found, strict=True):
            _store_single(out, at, single)
        yield len(piece)


def run_jobs(
    work: Callable[..., Any], parts: Sequence[tuple[Any, ...]], n_jobs: int
) -> Iterator[Any]:
    """``work(*part)`` for every part in order, in `n_jobs` fresh processes if more than one.

    Processes are spawned, not forked: threads of the caller (of BLAS, of a notebook) would not
    survive a fork.  A script that asks for them therefore needs ``if __name__ == "__main__":``.
    """
    if n_jobs <= 1 or len(parts) <= 1:
        yield from (work(*part) for part in parts)
        return
    with ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, *zip(*parts, strict=True))


def _fit_columns(spec: ManySpec, columns: Columns) -> list[_Single]:
    """Fit columns one by one; plans are shared by outcomes with the same V and rows."""
    plans: dict[bytes, MarginalCovariance] = {}
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
            plans = {key: _plan_of(spec, rows, columns, c)}
        out.append(_fit_single(spec, plans[key], y[rows], rows))
    return out


def _refusal(q: Floats, rows: Ints) -> NotFitted | None:
    n, p = len(rows), q.shape[1]
    if n < max(p, 1):
        return NotFitted.TOO_FEW_ROWS
    if n < len(q) and p and np.linalg.svd(q[rows], compute_uv=False)[-1] < DETERMINED:
        return NotFitted.RANK_DEFICIENT
    return None


def _plan_of(spec: ManySpec, rows: Ints, columns: Columns, c: int) -> MarginalCovariance:
    problem = spec.problem
    if columns.v is not None:
        v = np.where(np.isnan(columns.v[:, c]), 1.0, columns.v[:, c])
        problem = replace(problem, v=rescaled(problem.v, v))
    if len(rows) < problem.n:
        problem = problem.take(rows)
        if spec.pins is not None:
            problem, _ = spec.pins(problem)
    return build_backend(problem)


def _fit_single(spec: ManySpec, plan: MarginalCovariance, y: Floats, rows: Ints) -> _Single:
    weights = spec.weights
    if weights is not None and len(rows) < weights.shape[0]:
        weights = weights[rows][:, rows]
    try:
        fit, optimum = estimate(
            plan.with_response(y),
            reml=spec.reml,
            weights=weights,
            start=spec.start,
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
