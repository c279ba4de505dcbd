"""One design, many outcomes: fits of every column of Y, together where the layout allows it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.inference.many.one_by_one import fit_one_by_one
from mvmeta.inference.many.outcomes import ManyFits, ManySpec, columns_of, rescaled
from mvmeta.inference.many.together import Together

BLOCK = 2**14
"""Outcomes climbed at a time: their copies in scaled units are all the memory that is added."""


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
    Batched where the random terms are at most one with a level per row and one that groups
    rows, without user weights, if V is diagonal and positive, or is shared and positive definite
    with blocks within the groups and no rows are missing; and then all outcomes but those at which
    the batch is not certain to have found the maximum.
    """
    if variances is not None and variances.ndim == 1 and not np.isnan(variances).any():
        shared = rescaled(spec.problem.v, variances)
        spec, variances = replace(spec, problem=replace(spec.problem, v=shared)), None
    out = ManyFits.blank(spec.problem.p, len(spec.problem.components), y.shape[1])
    turned = not spec.problem.v.is_diagonal
    batch = None if turned and variances is not None else Together.of(spec)
    left = []
    for start in range(0, y.shape[1], BLOCK):
        at = np.arange(start, min(start + BLOCK, y.shape[1]))
        columns = columns_of(y, variances, at)
        out.nobs[at] = (~np.isnan(columns.y)).sum(axis=0)
        if batch is None:
            left.append(at)
            continue
        if spec.pins is not None:
            columns.y[:, _with_own_pins(spec.problem, columns.y)] = np.nan  # not for the batch
        done = batch.fit(columns, out, at)
        left.append(at[~done])
        if report is not None:
            report(int(done.sum()))
    rest = np.concatenate([*left, []]).astype(np.intp)
    for more in fit_one_by_one(spec, y, variances, rest, out, n_jobs=n_jobs):
        if report is not None:
            report(more)
    return out


def _with_own_pins(problem: MetaProblem, y: Floats) -> Bools:
    """Outcomes (b,) whose rows do not tell a variance of the batch's terms that all rows tell."""
    there = ~np.isnan(y)
    nobs = there.sum(axis=0)
    short = nobs < len(y)
    out = short & (nobs == problem.p)
    if not short.any():
        return out
    for term in problem.terms:
        levels = sparse.csr_array(
            (np.ones(len(y)), (term.level, np.arange(len(y)))), shape=(term.n_levels, len(y))
        )
        out |= short & ((levels @ there.astype(float) > 0).sum(axis=0) == 1)
    return np.asarray(out)
