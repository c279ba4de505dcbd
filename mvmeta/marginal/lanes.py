"""Small dense algebra on many matrices at once, the matrices side by side in the last axis.

A stack of g matrices (i, j) is held as an array (i, j, g).  Every operation is then a short
Python loop over i and j around long loops over adjacent numbers: for matrices of a few rows
several times faster than one LAPACK call each.
"""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.marginal.base import NotPositiveDefiniteError

TALL = 16
"""Rows per matrix of a stack from which one product each beats long loops over few matrices."""


def cholesky(stack: Floats) -> Floats:
    """Lower triangular L (r, r, g) with L L' = stack.

    Parameters
    ----------
    stack : ndarray, shape (r, r, g)
        Only the lower triangle is read.

    Raises
    ------
    NotPositiveDefiniteError
        If one of them is not positive definite, or not finite.
    """
    out = np.zeros_like(stack)
    for j in range(len(stack)):
        column = stack[j:, j].copy()
        if j:
            column -= np.einsum("ikg,kg->ig", out[j:, :j], out[j, :j])
        if not (column[0] > 0).all() or not np.isfinite(column[0]).all():
            raise NotPositiveDefiniteError
        root = np.sqrt(column[0])
        out[j, j] = root
        out[j + 1 :, j] = column[1:] / root
    return out


def forward(lower: Floats, b: Floats) -> Floats:
    """``inv(L) b`` for L (r, r, g) and b (r, k, g)."""
    out = np.empty_like(b)
    for i in range(len(lower)):
        row = b[i] - np.einsum("jg,jkg->kg", lower[i, :i], out[:i]) if i else b[i]
        np.divide(row, lower[i, i], out=out[i])
    return out


def backward(lower: Floats, b: Floats) -> Floats:
    """``inv(L') b`` for L (r, r, g) and b (r, k, g)."""
    out = np.empty_like(b)
    r = len(lower)
    for i in range(r - 1, -1, -1):
        row = b[i]
        if i < r - 1:
            row = row - np.einsum("jg,jkg->kg", lower[i + 1 :, i], out[i + 1 :])
        np.divide(row, lower[i, i], out=out[i])
    return out


def _tall(stack: Floats) -> bool:
    return stack.shape[0] >= TALL * stack.shape[2]


def gram(left: Floats, right: Floats) -> Floats:
    """``left' right`` of each pair: (r, p, g), (r, s, g) -> (p, s, g)."""
    out = np.empty((left.shape[1], right.shape[1], left.shape[2]))
    if _tall(left):
        for k in range(left.shape[2]):
            out[:, :, k] = np.dot(left[:, :, k].T, right[:, :, k])
        return out
    for p in range(left.shape[1]):
        np.einsum("kg,ksg->sg", left[:, p], right, out=out[p])
    return out


def total(left: Floats, right: Floats) -> Floats:
    """``left' right`` summed over rows and matrices: (r, p, g), (r, s, g) -> (p, s)."""
    if _tall(left):
        return np.asarray(gram(left, right).sum(axis=2))
    return np.asarray(np.matmul(left, right.transpose(0, 2, 1)).sum(axis=0))


def orthonormal(x: Floats) -> tuple[Floats, Floats]:
    """``x = Q R`` with orthonormal columns of Q, by the modified Gram-Schmidt process.

    A column that depends on those before it, to rounding, is 0 in Q and has no row in R.

    Parameters
    ----------
    x : ndarray, shape (m, q, g)

    Returns
    -------
    q : ndarray, shape (m, q, g)
    r : ndarray, shape (q, q, g)
        Upper triangular.
    """
    out, r = x.copy(), np.zeros((x.shape[1], x.shape[1], x.shape[2]))
    least = DEPENDENT * np.sqrt(np.einsum("iqg,iqg->qg", x, x))
    for j in range(x.shape[1]):
        norm = np.sqrt(np.einsum("ig,ig->g", out[:, j], out[:, j]))
        norm[norm <= least[j]] = 0.0
        r[j, j] = norm
        out[:, j] *= np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
        if j + 1 < x.shape[1]:
            r[j, j + 1 :] = gram(out[:, j : j + 1], out[:, j + 1 :])[0]
            out[:, j + 1 :] -= out[:, j, None] * r[j, j + 1 :]
    return out, r


def product(left: Floats, right: Floats) -> Floats:
    """``left right`` of each pair: (m, q, g), (q, k, g) -> (m, k, g)."""
    out = np.empty((left.shape[0], right.shape[1], left.shape[2]))
    if _tall(left):
        for k in range(left.shape[2]):
            out[:, :, k] = np.dot(left[:, :, k], right[:, :, k])
        return out
    for k in range(right.shape[1]):
        np.einsum("iqg,qg->ig", left, right[:, k], out=out[:, k])
    return out


DEPENDENT = 64 * np.finfo(float).eps
"""Length of what is left of a column, relative to the column, that is rounding error."""


class Reflections:
    """Householder's triangular form of g matrices: ``x = Q R`` with the first q columns of Q.

    A column that depends on those before it, to rounding, leaves an exact zero on the diagonal
    of R: with a covariance of 1e8 between its effects, rounding errors would count.

    Parameters
    ----------
    x : ndarray, shape (m, q, g)
        With m >= q.

    Attributes
    ----------
    r : ndarray, shape (q, q, g)
        Upper triangular.
    """

    def __init__(self, x: Floats) -> None:
        work = x.copy()
        q = x.shape[1]
        least = DEPENDENT * np.sqrt(np.einsum("iqg,iqg->qg", x, x))
        self._vectors: list[Floats] = []
        for j in range(q):
            v = work[j:, j].copy()
            norm = np.sqrt(np.einsum("ig,ig->g", v, v))
            dependent = norm <= least[j]
            v[:, dependent] = norm[dependent] = 0.0
            v[0] += np.where(v[0] < 0, -norm, norm)
            length = np.sqrt(np.einsum("ig,ig->g", v, v))
            v /= np.where(length > 0, length, 1.0)
            self._vectors.append(v)
            _reflect(v, work[j:, j:])
            work[j, j, dependent] = 0.0
            work[j + 1 :, j] = 0.0
        self.r = work[:q]

    def transposed(self, b: Floats) -> Floats:
        """``Q' b`` for b (m, k, g), all m rows of it."""
        out = b.copy()
        for j, v in enumerate(self._vectors):
            _reflect(v, out[j:])
        return out

    def times(self, b: Floats) -> Floats:
        """``Q b`` for b (m, k, g)."""
        out = b.copy()
        for j in range(len(self._vectors) - 1, -1, -1):
            _reflect(self._vectors[j], out[j:])
        return out


def _reflect(v: Floats, b: Floats) -> None:
    """Replace b (m, k, g) by ``(I - 2 v v') b`` for unit vectors v (m, g), in place."""
    along = 2.0 * gram(v[:, None], b)[0]
    b -= v[:, None] * along
