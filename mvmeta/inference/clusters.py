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
from mvmeta.inference.moments import Moments
from mvmeta.likelihood.orthonormal import orthonormal_basis

Adjustment = Literal["none", "CR2", "CR3"]

NO_VARIANCE_TOLERANCE = 1e-10
"""Eigenvalue of a residual covariance, relative to the trace of the cluster's M, taken for zero."""

DETERMINED = (
    "CR3 leaves every group out in turn, but one of them determines a coefficient by itself; use "
    "CR2 (or CR1 where groups are correlated under the model), or merge that group's level of the "
    "moderator with another"
)
"""What CR3 says where a coefficient cannot be estimated without a group."""


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


class ClusterMoments(Moments):
    """Moments of the sandwich of independent clusters, in time linear in their number.

    ``Cov(x_j, x_k) = delta_jk own_j + f_j kernel f_k'`` with f_j = [left_j right_j]: that of
    y_j, less what the estimated coefficients take away and share.
    """

    def __init__(self, scores: ClusterScores) -> None:
        super().__init__(scores.r)
        self._s = scores
        zero = np.zeros_like(scores.bread)
        self._kernel = np.block([[scores.sandwich, -scores.bread], [-scores.bread.T, zero]])

    def mean(self) -> Floats:
        own, f = self._contributions(np.eye(len(self.r)))
        shared = np.einsum("jsc,cd,jtd->st", f, self._kernel, f, optimize=True)
        return own.sum(axis=0) + shared

    def spread(self, rows: Floats) -> Floats:
        own, f = self._contributions(rows)
        count, q, width = f.shape
        k = self._kernel
        d = own.reshape(count, q * q)
        e = (f @ k @ f.transpose(0, 2, 1)).reshape(count, q * q)
        cross = d.T @ e
        diagonal = (d.T @ d + cross + cross.T).reshape(q, q, q, q)
        # sum_j f_sj' f_uj for all pairs: the two sums over clusters come apart
        flat = f.reshape(count, q * width)
        g = (flat.T @ flat).reshape(q, width, q, width).transpose(0, 2, 1, 3)
        turned = k @ g @ k.T
        size = width * width
        pairs = g.reshape(q * q, size) @ turned.reshape(q * q, size).T
        return diagonal + pairs.reshape(q, q, q, q).transpose(0, 2, 1, 3)

    def _contributions(self, rows: Floats) -> tuple[Floats, Floats]:
        """Own covariances (J, q, q) and loadings (J, q, 2p) of the contributions to `rows`."""
        s = self._s
        c = s.bread.T @ rows.T
        own = np.einsum("ps,jpr,rt->jst", c, s.own, c, optimize=True)
        loadings = [np.einsum("jpr,rs->jsp", side, c) for side in (s.left, s.right)]
        return own, np.concatenate(loadings, axis=2)


@dataclass(frozen=True, eq=False)
class _Block:
    """A class of b clusters of m rows: positions, M_j, W_j and Q_j."""

    index: Ints
    rows: Ints
    m: Floats
    w: Floats
    q: Floats


def cluster_scores(fit: Fit, groups: Ints, adjustment: Adjustment) -> ClusterScores:
    """Scores of independent clusters (`are_independent`) under the working model, M as fitted.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
    adjustment : {"none", "CR2", "CR3"}

    Raises
    ------
    SpecificationError
        If a group determines a coefficient by itself and CR3 is asked for.
    """
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
    top = np.trace(b.m, axis1=1, axis2=2)[:, None] ** 2
    keep = values > NO_VARIANCE_TOLERANCE * top
    power = np.where(keep, 1.0 / np.sqrt(np.where(keep, values, 1.0)), 0.0)
    root = (vectors * power[:, None, :]) @ vectors.transpose(0, 2, 1)
    return upper.transpose(0, 2, 1) @ root @ upper @ wq


def _solve_leverage(left: Floats, wq: Floats) -> Floats:
    if (np.linalg.svd(left, compute_uv=False)[:, -1] < NO_VARIANCE_TOLERANCE).any():
        raise SpecificationError(DETERMINED)
    return np.asarray(np.linalg.solve(left.transpose(0, 2, 1), wq), dtype=float)


def are_independent(fit: Fit, groups: Ints) -> bool:
    """Whether rows of different groups (n,) are independent under M, and not tied by weights."""
    if not is_nested(fit.problem.cluster, groups):
        return False
    if fit.weights is None:
        return True
    entries = fit.weights.tocoo()
    return bool((groups[entries.row] == groups[entries.col]).all())
