"""The dense algebra of a low-rank part: W = inv(I + K G), and what is made of it.

``M = M0 + Z G Z'`` with N0 = inv(M0) and K = Z'N0 Z has

    inv(M) = N0 - N0 Z H Z' N0,   H = G W,   Z'inv(M) = W Z'N0,   Z'inv(M) Z = W K,

(Woodbury).  The traces need H at the entries of ``S_i = Z'N0 K_i N0 Z``, products with these,
which are sparse, and for directions D of G itself the rows D W and D W K.  Where G is diagonal
everything comes from one symmetric inverse, in half the operations.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, sparse

from mvmeta._typing import Floats
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.marginal.linking import Matrix, dense

LEAST_RESPONSE = 1e-3
"""Least g K_cc for which W K is taken from I - W, three digits of which are lost there."""


@dataclass(frozen=True, eq=False)
class Turned:
    """A direction D of G in the columns `at`: `product` is D."""

    at: slice
    product: Matrix


@dataclass(frozen=True, eq=False)
class Traces:
    """Traces of products with inv(M) that involve the low-rank part.

    Attributes
    ----------
    outer : ndarray, shape (J,)
        tr(N K_j) for directions of G.
    outer_pairs : ndarray, shape (J, J)
        tr(N K_j N K_l) for two of them.
    inner_pairs : ndarray, shape (I, I)
        tr(H S_i H S_k) for directions of M0.
    mixed_pairs : ndarray, shape (I, J)
        tr(N K_i N K_j) for one of each.
    """

    outer: Floats
    outer_pairs: Floats
    inner_pairs: Floats
    mixed_pairs: Floats


class LowRank(ABC):
    """W at one G.

    Attributes
    ----------
    logdet : float
        log|I + K G|.
    """

    logdet: float

    @abstractmethod
    def weigh(self, x: Floats) -> Floats:
        """``W x`` for x (Q, k)."""

    @abstractmethod
    def lift(self, x: Floats) -> Floats:
        """``G x`` for x (Q, k)."""

    @property
    @abstractmethod
    def h(self) -> Floats:
        """H = G W, symmetric (Q, Q)."""

    @property
    @abstractmethod
    def wk(self) -> Floats:
        """W K = Z'inv(M) Z, symmetric (Q, Q)."""

    @abstractmethod
    def traces(self, outer: Sequence[Turned], inner: Sequence[Matrix]) -> Traces:
        """Traces for directions D of G and matrices S_i of directions of M0."""


class GeneralLowRank(LowRank):
    """Any G, singular or indefinite, by an LU factorisation.

    Parameters
    ----------
    k : Matrix, shape (Q, Q)
    parts : sequence of (slice, Matrix)
        G in blocks along the diagonal.

    Raises
    ------
    NotPositiveDefiniteError
        If |I + K G| is not positive.
    """

    def __init__(self, k: Matrix, parts: Sequence[tuple[slice, Matrix]]) -> None:
        self._k, self._parts = k, parts
        width = k.shape[0]
        inner = np.empty((width, width), order="F")
        for at, g in parts:
            inner[:, at] = dense(k[:, at] @ g)
        inner[np.diag_indices(width)] += 1.0
        lu, pivots, info = linalg.lapack.dgetrf(inner, overwrite_a=1)
        diagonal = np.diag(lu)
        swaps = int((pivots != np.arange(len(pivots))).sum()) + int((diagonal < 0).sum())
        if info != 0 or swaps % 2 or not np.isfinite(diagonal).all():
            raise NotPositiveDefiniteError
        self.logdet = float(np.log(np.abs(diagonal)).sum())
        size = int(linalg.lapack.dgetri_lwork(width)[0])
        self._w = linalg.lapack.dgetri(lu, pivots, lwork=size, overwrite_lu=1)[0]

    def weigh(self, x: Floats) -> Floats:
        return np.asarray(self._w @ x)

    def lift(self, x: Floats) -> Floats:
        out = np.empty_like(x)
        for at, g in self._parts:
            out[at] = g @ x[at]
        return out

    @cached_property
    def h(self) -> Floats:
        h = self.lift(self._w)
        return np.asarray((h + h.T) / 2)

    @cached_property
    def wk(self) -> Floats:
        # not K - KHK, whose terms cancel where G is far above M0
        wk = _right(self._w, self._k)
        return np.asarray((wk + wk.T) / 2)

    def traces(self, outer: Sequence[Turned], inner: Sequence[Matrix]) -> Traces:
        dw = [np.asarray(d.product @ self._w[d.at]) for d in outer]
        dwk = [_right(x, self._k) for x in dw]
        outer_pairs = np.zeros((len(outer), len(outer)))
        for j, one in enumerate(outer):
            for i, two in enumerate(outer[: j + 1]):
                value = _paired(dwk[j][:, two.at], dwk[i][:, one.at])
                outer_pairs[j, i] = outer_pairs[i, j] = value
        sh = [np.asarray(s @ self.h) for s in inner]
        ws = [_right(self._w, s) for s in inner] if outer else []
        mixed = [[float(np.vdot(x[d.at], y)) for d, y in zip(outer, dw, strict=True)] for x in ws]
        return Traces(
            np.array([np.trace(x[:, d.at]) for d, x in zip(outer, dwk, strict=True)]),
            outer_pairs,
            _symmetric_pairs(sh),
            np.array(mixed).reshape(len(inner), len(outer)),
        )


class DiagonalLowRank(LowRank):
    """G = diag(g) with g > 0: one symmetric inverse of ``E = I + g^1/2 K g^1/2``.

    Parameters
    ----------
    k : Matrix, shape (Q, Q)
    g : ndarray, shape (Q,)

    Raises
    ------
    NotPositiveDefiniteError
        If E is not positive definite.
    """

    def __init__(self, k: Matrix, g: Floats) -> None:
        self._k, self._g = k, g
        root = np.sqrt(g)
        e = dense(k) * root
        e *= root[:, None]
        e[np.diag_indices(len(g))] += 1.0
        # E is symmetric, and its transpose is in the order LAPACK works in
        factor, info = linalg.lapack.dpotrf(e.T, lower=1, overwrite_a=1, clean=0)
        diagonal = np.diag(factor)
        if info != 0 or not np.isfinite(diagonal).all():
            raise NotPositiveDefiniteError
        self.logdet = 2.0 * float(np.log(diagonal).sum())
        inverse, _ = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        self._e = _mirror(inverse.T)
        self._root = root

    def weigh(self, x: Floats) -> Floats:
        return np.asarray((self._e @ (self._root[:, None] * x)) / self._root[:, None])

    def lift(self, x: Floats) -> Floats:
        return self._g[:, None] * x

    @cached_property
    def h(self) -> Floats:
        out = self._e * self._root
        out *= self._root[:, None]
        return np.asarray(out)

    @cached_property
    def wk(self) -> Floats:
        if (self._g * self._k.diagonal()).min() > LEAST_RESPONSE:
            out = -self._e / self._root
            out[np.diag_indices(len(out))] += 1.0 / self._root
            out /= self._root[:, None]
            return np.asarray(out)
        half = _right(self._e * self._root, self._k)  # (E g^1/2 K) is g^1/2 W K
        half /= self._root[:, None]
        return np.asarray((half + half.T) / 2)

    def traces(self, outer: Sequence[Turned], inner: Sequence[Matrix]) -> Traces:
        d = np.zeros((len(outer), len(self._g)))
        for row, o in zip(d, outer, strict=True):
            row[o.at] = o.product.diagonal()
        wk = self.wk
        sh = [np.asarray(s @ self.h) for s in inner]
        # tr(D W S W') = sum_c d_c (H S H)_cc / g_c^2
        hsh = np.array([np.einsum("bc,bc->c", x, self.h) for x in sh])
        return Traces(
            d @ wk.diagonal(),
            _diagonal_pairs(wk, d, outer),
            _symmetric_pairs(sh),
            hsh.reshape(len(inner), len(self._g)) / self._g**2 @ d.T,
        )


def _diagonal_pairs(wk: Floats, d: Floats, outer: Sequence[Turned]) -> Floats:
    """``sum_cb d_c wk_cb^2 d_b`` for all pairs of directions."""
    out = np.zeros((len(outer), len(outer)))
    step = max(1, ROWS_OF_SQUARES // len(wk))
    for i in range(0, len(wk), step):
        rows = slice(i, i + step)
        out += d[:, rows] @ (wk[rows] ** 2 @ d.T)
    return out


ROWS_OF_SQUARES = 2**17
"""Entries squared at a time."""


def _mirror(lower: Floats) -> Floats:
    """Copy the triangle dpotri wrote into the other one, in place; `lower` is C-ordered."""
    # of the transpose LAPACK's lower triangle is the upper one
    for i in range(0, len(lower), MIRROR_BLOCK):
        rows = slice(i, i + MIRROR_BLOCK)
        block = lower[rows, rows]
        block[:] = np.triu(block) + np.triu(block, 1).T
        lower[i + MIRROR_BLOCK :, rows] = lower[rows, i + MIRROR_BLOCK :].T
    return lower


MIRROR_BLOCK = 64
"""Rows and columns transposed at a time: what a cache holds of both."""


def _right(x: Floats, s: Matrix) -> Floats:
    """``x s`` for a symmetric s."""
    if isinstance(s, sparse.csr_array):
        return np.asarray((s @ x.T).T)
    return np.asarray(x @ s)


def _paired(x: Floats, y: Floats) -> float:
    """tr(x y)."""
    return float(np.einsum("ab,ba->", x, y))


def _symmetric_pairs(sh: Sequence[Floats]) -> Floats:
    """tr(S_i H S_k H) from the products S_i H."""
    out = np.zeros((len(sh), len(sh)))
    for i, x in enumerate(sh):
        for k, y in enumerate(sh[: i + 1]):
            out[i, k] = out[k, i] = _paired(x, y)
    return out
