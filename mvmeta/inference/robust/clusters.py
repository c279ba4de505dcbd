"""Row clusters of a fit, class by class of equal size, with what a sandwich needs of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode, size_classes
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.stacks import marginal_stack
from mvmeta.inference.robust.moments import Moments
from mvmeta.likelihood.orthonormal import orthonormal_basis

Adjustment = Literal["none", "CR2", "CR3"]

NO_VARIANCE_TOLERANCE = 1e-10
"""Eigenvalue of a residual covariance, relative to the trace of the cluster's M, taken for zero."""

MOST_ENTRIES = 2_000_000
"""Entries of blocks of M that are made at a time: 16 MB for each matrix."""

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


@dataclass(frozen=True, eq=False)
class MomentSums:
    """Sums over clusters j, with own_j and f_j as in `ClusterMoments`, shared_j = f_j kernel f_j'.

    Attributes
    ----------
    mean : ndarray, shape (q, q)
        Of own_j + shared_j.
    diagonal : ndarray, shape (q, q, q, q)
        Of own_j (x) own_j + own_j (x) shared_j + shared_j (x) own_j.
    loadings : ndarray, shape (q, q, 2p, 2p)
        Of f_sj' f_uj.
    """

    mean: Floats
    diagonal: Floats
    loadings: Floats

    def __add__(self, other: "MomentSums") -> "MomentSums":
        return MomentSums(
            self.mean + other.mean,
            self.diagonal + other.diagonal,
            self.loadings + other.loadings,
        )

    def spread(self, kernel: Floats) -> Floats:
        """`Moments.spread`, shape (q, q, q, q)."""
        g, q = self.loadings, len(self.mean)
        # sum_j f_sj' f_uj for all pairs: the two sums over clusters come apart
        turned = kernel @ g @ kernel.T
        size = kernel.size
        pairs = g.reshape(q * q, size) @ turned.reshape(q * q, size).T
        return np.asarray(self.diagonal + pairs.reshape(q, q, q, q).transpose(0, 2, 1, 3))


class ClusterMoments(Moments):
    """Moments of the sandwich of independent clusters, in time linear in their number.

    ``Cov(x_j, x_k) = delta_jk own_j + f_j kernel f_k'`` with f_j = [left_j right_j]: that of
    y_j, less what the estimated coefficients take away and share.
    """

    def __init__(self, scores: ClusterScores) -> None:
        super().__init__(scores.r)
        self._s = scores
        self._kernel = kernel(scores)

    def mean(self) -> Floats:
        s = self._s
        both = ([0, 1], [0, 1])
        cross = np.tensordot(s.left, s.bread @ s.right, both)
        shared = np.tensordot(s.left, s.sandwich @ s.left, both) - cross - cross.T
        return np.asarray(s.bread @ (s.own.sum(axis=0) + shared) @ s.bread.T)

    def of_each(self, rows: Floats) -> Floats:
        step = max(1, MOST_ENTRIES // self._s.left[..., 0].size)
        chunks = [self._of_each(rows[i : i + step]) for i in range(0, len(rows), step)]
        return np.concatenate(chunks) if chunks else np.zeros(0)

    def _of_each(self, rows: Floats) -> Floats:
        s, c = self._s, self._s.bread.T @ rows.T
        count, p, _ = s.own.shape
        pairs = (c[:, None, :] * c[None, :, :]).reshape(p * p, -1)
        own = s.own.reshape(count, p * p) @ pairs
        out = (own**2).sum(axis=0)
        for m in range(c.shape[1]):
            f = np.column_stack([s.left @ c[:, m], s.right @ c[:, m]])
            g = f.T @ f
            half = self._kernel @ g
            out[m] += 2.0 * own[:, m] @ np.einsum("jc,jc->j", f @ self._kernel, f)
            out[m] += np.einsum("ij,ij->", g, half @ self._kernel.T)
        return np.asarray(out)

    def spread(self, rows: Floats) -> Floats:
        return self.sums(rows).spread(self._kernel)

    def sums(self, rows: Floats) -> "MomentSums":
        """What the moments of `rows` (q, p) are made of, a sum over clusters."""
        own, f = self._contributions(rows)
        count, q, width = f.shape
        shared = f @ self._kernel @ f.transpose(0, 2, 1)
        d, e = own.reshape(count, q * q), shared.reshape(count, q * q)
        cross = d.T @ e
        flat = f.reshape(count, q * width)
        return MomentSums(
            own.sum(axis=0) + shared.sum(axis=0),
            (d.T @ d + cross + cross.T).reshape(q, q, q, q),
            (flat.T @ flat).reshape(q, width, q, width).transpose(0, 2, 1, 3),
        )

    def _contributions(self, rows: Floats) -> tuple[Floats, Floats]:
        """Own covariances (J, q, q) and loadings (J, q, 2p) of the contributions to `rows`."""
        s = self._s
        c = s.bread.T @ rows.T
        own = np.einsum("ps,jpr,rt->jst", c, s.own, c, optimize=True)
        loadings = [np.einsum("jpr,rs->jsp", side, c) for side in (s.left, s.right)]
        return own, np.concatenate(loadings, axis=2)


def kernel(at: "ClusterScores | Bread") -> Floats:
    """The kernel (2p, 2p) of `ClusterMoments`."""
    zero = np.zeros_like(at.bread)
    return np.block([[at.sandwich, -at.bread], [-at.bread.T, zero]])


@dataclass(frozen=True, eq=False)
class Bread:
    """What all clusters share, seen from n rows.

    Attributes
    ----------
    q, wq : ndarray, shape (n, p)
        Q and W Q, of these rows.
    r, bread, sandwich : ndarray, shape (p, p)
        As in `ClusterScores`, of all rows.
    """

    q: Floats
    wq: Floats
    r: Floats
    bread: Floats
    sandwich: Floats

    @classmethod
    def of(cls, fit: Fit) -> "Bread":
        """That of all rows of a fit."""
        q, r = orthonormal_basis(fit.problem.x)
        weigh = fit.factor.solve if fit.weights is None else fit.weights.__matmul__
        wq = np.asarray(weigh(q))
        bread = np.asarray(np.linalg.inv(q.T @ wq))
        mwq = q if fit.weights is None else fit.multiply(wq)
        return cls(q, wq, r, bread, bread @ (wq.T @ mwq) @ bread.T)


def cluster_scores(
    fit: Fit, groups: Ints, adjustment: Adjustment, at: Bread | None = None
) -> ClusterScores:
    """Scores of independent clusters (`are_independent`) under the working model, M as fitted.

    Parameters
    ----------
    fit : Fit
    groups : ndarray of int, shape (n,)
    adjustment : {"none", "CR2", "CR3"}
    at : Bread, optional
        Where the rows of the fit are some of those its estimates come from.

    Raises
    ------
    SpecificationError
        If a group determines a coefficient by itself and CR3 is asked for.
    """
    code, count = recode(groups)
    at = at or Bread.of(fit)
    if fit.weights is None and adjustment != "CR2":
        return _by_grams(fit, at, code, count, adjustment)
    return _by_blocks(fit, at, code, count, adjustment)


def _by_grams(fit: Fit, at: Bread, code: Ints, count: int, adjustment: Adjustment) -> ClusterScores:
    """Generalized least squares without CR2: T_j = W_j Q_j K_j needs no block of M.

    All that is asked of a cluster is G_j = Q_j'W_j Q_j, as W_j M_j W_j = W_j.
    """
    order = np.argsort(code, kind="stable")
    start = np.searchsorted(code[order], np.arange(count))
    q, wq = at.q[order], at.wq[order]
    columns = [np.add.reduceat(c[:, None] * wq, start, axis=0) for c in q.T]
    gram = np.stack(columns, axis=1) if columns else np.zeros((count, 0, 0))
    scores = np.add.reduceat(wq * fit.resid[order, None], start, axis=0)
    if adjustment == "CR3":
        k = _unleveraged(at.bread, gram)
        scores = np.einsum("jqp,jq->jp", k, scores)
        left = gram @ k
        own = k.transpose(0, 2, 1) @ left
    else:
        left = own = gram
    return ClusterScores(at.r, at.bread, at.sandwich, scores, own, left, left)


def _by_blocks(
    fit: Fit, at: Bread, code: Ints, count: int, adjustment: Adjustment
) -> ClusterScores:
    """The general case: T_j from the block of M of every cluster, as many at a time as fit."""
    p, resid = fit.problem.p, fit.resid
    scores = np.zeros((count, p))
    own, left, right = (np.zeros((count, p, p)) for _ in range(3))
    for rows in chunks(code):
        index = code[rows[:, 0]]
        m, q, wq = marginal_stack(fit, rows), at.q[rows], at.wq[rows]
        t = wq
        if adjustment == "CR3":
            t = wq @ _unleveraged(at.bread, q.transpose(0, 2, 1) @ wq)
        elif adjustment == "CR2":
            t = _bias_reduced(at, m, q, wq, fit.weights is None)
        flip, mt = t.transpose(0, 2, 1), m @ t
        scores[index] = np.einsum("bpm,bm->bp", flip, resid[rows])
        own[index] = flip @ mt
        left[index] = q.transpose(0, 2, 1) @ t
        right[index] = wq.transpose(0, 2, 1) @ mt
    return ClusterScores(at.r, at.bread, at.sandwich, scores, own, left, right)


def chunks(code: Ints) -> Iterator[Ints]:
    """Rows (b, m) of clusters of one size, no more than fill MOST_ENTRIES."""
    for rows in size_classes(code):
        step = max(1, MOST_ENTRIES // rows.shape[1] ** 2)
        yield from (rows[i : i + step] for i in range(0, len(rows), step))


def _bias_reduced(at: Bread, m: Floats, q: Floats, wq: Floats, gls: bool) -> Floats:
    """T_j = A_j'W_j Q_j (b, m, p) with A_j the CR2 adjustment for M_j as working model."""
    covariance = m - q @ at.bread @ q.transpose(0, 2, 1)
    if not gls:
        flip = q @ at.bread @ wq.transpose(0, 2, 1) @ m
        covariance = m - flip - flip.transpose(0, 2, 1)
        covariance += q @ at.sandwich @ q.transpose(0, 2, 1)
    upper = np.linalg.cholesky(m).transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(upper @ covariance @ upper.transpose(0, 2, 1))
    top = np.trace(m, axis1=1, axis2=2)[:, None] ** 2
    keep = values > NO_VARIANCE_TOLERANCE * top
    power = np.where(keep, 1.0 / np.sqrt(np.where(keep, values, 1.0)), 0.0)
    turned = vectors.transpose(0, 2, 1) @ (upper @ wq)
    return upper.transpose(0, 2, 1) @ (vectors @ (power[:, :, None] * turned))


def _unleveraged(bread: Floats, gram: Floats) -> Floats:
    """K_j (J, p, p) with ``inv(I - H_jj)' W_j Q_j = W_j Q_j K_j``: CR3 leaves cluster j out."""
    left = np.eye(len(bread)) - bread.T @ gram
    try:
        inverse = np.asarray(np.linalg.inv(left), dtype=float)
    except np.linalg.LinAlgError:
        raise SpecificationError(DETERMINED) from None
    if (np.abs(inverse) > 1.0 / NO_VARIANCE_TOLERANCE).any():
        raise SpecificationError(DETERMINED)
    return inverse


def are_independent(fit: Fit, groups: Ints) -> bool:
    """Whether rows of different groups (n,) are independent under M, and not tied by weights."""
    if not is_nested(fit.problem.cluster, groups):
        return False
    if fit.weights is None:
        return True
    entries = fit.weights.tocoo()
    return bool((groups[entries.row] == groups[entries.col]).all())
