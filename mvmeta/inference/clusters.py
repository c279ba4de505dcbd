"""Row clusters of a fit, class by class of equal size, with what a sandwich needs of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode, size_classes
from mvmeta.errors import SpecificationError
from mvmeta.inference.fit import Fit
from mvmeta.likelihood.orthonormal import orthonormal_basis

Adjustment = Literal["none", "CR2", "CR3"]

NO_VARIANCE_TOLERANCE = 1e-10
"""Eigenvalue of a cluster's residual covariance, relative to M's, that counts as zero."""


@dataclass(frozen=True, eq=False)
class ClusterScores:
    """Estimating functions T_j'e_j of J clusters and their working covariance, in Q = X / R.

    ``T_j = A_j' W_j Q_j`` with A_j the small-sample adjustment, W = inv(M) or the user's.

    Attributes
    ----------
    r : ndarray, shape (p, p)
        X = Q R.
    bread : ndarray, shape (p, p)
        inv(Q'W Q).
    sandwich : ndarray, shape (p, p)
        bread Q'W M W Q bread: working covariance of the coefficients of Q.
    scores : ndarray, shape (J, p)
        T_j'e_j.
    own : ndarray, shape (J, p, p)
        T_j'M_j T_j.
    left, right : ndarray, shape (J, p, p)
        Q_j'T_j and Q_j'W_j M_j T_j.
    """

    r: Floats
    bread: Floats
    sandwich: Floats
    scores: Floats
    own: Floats
    left: Floats
    right: Floats


@dataclass(frozen=True, eq=False)
class _Block:
    """A class of b clusters of m rows: positions, M_j, W_j and Q_j."""

    index: Ints
    rows: Ints
    m: Floats
    w: Floats
    q: Floats


def plain_scores(fit: Fit, groups: Ints) -> tuple[Floats, Floats]:
    """Unadjusted scores (J, p) in the units of X, and inv(X'W X): all that CR0 needs."""
    code, count = recode(groups)
    q, r = orthonormal_basis(fit.problem.x)
    wq = fit.factor.solve(q) if fit.weights is None else np.asarray(fit.weights @ q)
    scores = np.zeros((count, fit.problem.p))
    np.add.at(scores, code, wq * fit.resid[:, None])
    bread = np.linalg.solve(r, np.linalg.inv(q.T @ wq))
    return scores, bread


def cluster_scores(fit: Fit, groups: Ints, adjustment: Adjustment) -> ClusterScores:
    """Scores of every cluster under the working model that M is as fitted.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
    adjustment : {"none", "CR2", "CR3"}

    Raises
    ------
    SpecificationError
        If rows of different groups are correlated under M (or tied by user weights); if a group
        determines a coefficient by itself and CR3 is asked for.
    """
    _check_independent(fit, groups)
    code, count = recode(groups)
    q, r = orthonormal_basis(fit.problem.x)
    blocks = list(_blocks(fit, code, q))
    gram = sum((np.einsum("bmp,bmn,bnq->pq", b.q, b.w, b.q, optimize=True) for b in blocks), 0.0)
    bread = np.linalg.inv(gram)
    wq = [b.w.transpose(0, 2, 1) @ b.q for b in blocks]
    middle = [
        np.einsum("bmp,bmn,bnq->pq", a, b.m, a, optimize=True)
        for a, b in zip(wq, blocks, strict=True)
    ]
    sandwich = bread @ sum(middle, np.zeros_like(bread)) @ bread.T
    p = fit.problem.p
    scores = np.zeros((count, p))
    own, left, right = (np.zeros((count, p, p)) for _ in range(3))
    for b in blocks:
        t = _adjusted(b, bread, sandwich, adjustment)
        flip = t.transpose(0, 2, 1)
        scores[b.index] = np.einsum("bpm,bm->bp", flip, fit.resid[b.rows])
        own[b.index] = flip @ b.m @ t
        left[b.index] = b.q.transpose(0, 2, 1) @ t
        right[b.index] = b.q.transpose(0, 2, 1) @ b.w @ b.m @ t
    return ClusterScores(r, bread, sandwich, scores, own, left, right)


def _blocks(fit: Fit, code: Ints, q: Floats) -> Iterator[_Block]:
    for rows in size_classes(code):
        m = marginal_stack(fit, rows)
        w = _inverse(m) if fit.weights is None else _weight_stack(fit.weights, rows)
        yield _Block(code[rows[:, 0]], rows, m, w, q[rows])


def marginal_stack(fit: Fit, rows: Ints) -> Floats:
    """Dense blocks (b, m, m) of M for disjoint groups of rows (b, m)."""
    m = fit.problem.v.stack(rows)
    for term, g in zip(fit.problem.terms, fit.gs, strict=True):
        m = m + term.stack(rows, g)
    return m


def _inverse(a: Floats) -> Floats:
    return np.asarray(np.linalg.inv(a), dtype=float)


def _weight_stack(weights: sparse.csr_array, rows: Ints) -> Floats:
    return np.stack([weights[index][:, index].toarray() for index in rows])


def _adjusted(b: _Block, bread: Floats, sandwich: Floats, adjustment: Adjustment) -> Floats:
    """T_j = A_j' W_j Q_j, shape (b, m, p)."""
    wq = b.w @ b.q
    if adjustment == "none":
        return wq
    fitted = b.q @ bread @ b.q.transpose(0, 2, 1)
    hat = fitted @ b.w
    if adjustment == "CR3":
        return _solve_leverage(np.eye(hat.shape[1]) - hat, wq)
    flip = hat @ b.m
    covariance = b.m - flip - flip.transpose(0, 2, 1) + b.q @ sandwich @ b.q.transpose(0, 2, 1)
    upper = np.linalg.cholesky(b.m).transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(upper @ covariance @ upper.transpose(0, 2, 1))
    top = np.linalg.norm(b.m, ord=2, axis=(1, 2))[:, None] ** 2
    keep = values > NO_VARIANCE_TOLERANCE * top
    power = np.where(keep, 1.0 / np.sqrt(np.where(keep, values, 1.0)), 0.0)
    root = (vectors * power[:, None, :]) @ vectors.transpose(0, 2, 1)
    return upper.transpose(0, 2, 1) @ root @ upper @ wq


def _solve_leverage(left: Floats, wq: Floats) -> Floats:
    if (np.linalg.svd(left, compute_uv=False)[:, -1] < NO_VARIANCE_TOLERANCE).any():
        raise SpecificationError(
            "CR3 leaves every group out in turn, but one of them determines a coefficient by "
            "itself; use CR2, or merge that group's level of the moderator with another"
        )
    return np.asarray(np.linalg.solve(left.transpose(0, 2, 1), wq), dtype=float)


def _check_independent(fit: Fit, groups: Ints) -> None:
    if not is_nested(fit.problem.cluster, groups):
        raise SpecificationError(
            "rows of different groups are correlated under the fitted model, which the "
            "adjustments CR2 and CR3 and Satterthwaite df cannot handle; take coarser groups (the "
            "outermost independent clusters), or CR0, CR1, CR1p or CR1S with df='cluster'"
        )
    if fit.weights is not None:
        entries = fit.weights.tocoo()
        if (groups[entries.row] != groups[entries.col]).any():
            raise SpecificationError(
                "the user weights tie rows of different groups; only CR0, CR1, CR1p and CR1S with "
                "df='cluster' or df='residual' are defined then"
            )
