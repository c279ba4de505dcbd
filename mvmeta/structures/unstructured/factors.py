"""G as the square of a factor that the coordinates are entries of, or a linear function of."""

from functools import cached_property

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.structures.base import Chart


class TriangularFactor(Chart):
    """``G = L L'`` with x entries of L, by default its lower triangle row by row.

    Zero variances and singular matrices are ordinary points.  A column of L may change its
    sign without changing G, so there is no constraint to run into.

    Parameters
    ----------
    q : int
        Order of G.
    support : ndarray of bool, shape (q, q), optional
        The entries of L that are free; the others are 0.
    """

    def __init__(self, q: int, support: Bools | None = None) -> None:
        self.q = q
        self.row, self.column = np.nonzero(np.tri(q) if support is None else support)
        self.lower = np.full(len(self.row), -np.inf)
        self.upper = np.full(len(self.row), np.inf)

    def factor(self, x: Floats) -> Floats:
        """L (q, q) of `x`."""
        out = np.zeros((self.q, self.q))
        out[self.row, self.column] = x
        return out

    def matrix(self, x: Floats) -> Floats:
        factor = self.factor(x)
        return np.asarray(factor @ factor.T)

    def jacobian(self, x: Floats) -> Floats:
        columns = self.factor(x).T[self.column]
        p = np.arange(len(self.row))
        out = np.zeros((len(p), self.q, self.q))
        out[p, self.row, :] = columns
        out[p, :, self.row] += columns
        return out

    def hessian(self, x: Floats) -> Floats:
        return self._second

    @cached_property
    def _second(self) -> Floats:
        n = len(self.row)
        a, b = np.nonzero(self.column[:, None] == self.column)
        i, j = self.row[a], self.row[b]
        out = np.zeros((n, n, self.q, self.q))
        out[a, b, i, j] += 1.0
        out[a, b, j, i] += 1.0
        return out


class LinearFactor(Chart):
    """``G = L L'`` with ``L = base + sum_p x_p patterns_p``.

    Parameters
    ----------
    base : ndarray, shape (q, q)
    patterns : ndarray, shape (J, q, q)
    """

    def __init__(self, base: Floats, patterns: Floats) -> None:
        self._base, self._patterns = base, patterns
        self.lower = np.full(len(patterns), -np.inf)
        self.upper = np.full(len(patterns), np.inf)

    def factor(self, x: Floats) -> Floats:
        """L (q, q) of `x`."""
        return self._base + np.tensordot(x, self._patterns, axes=1)

    def matrix(self, x: Floats) -> Floats:
        factor = self.factor(x)
        return np.asarray(factor @ factor.T)

    def jacobian(self, x: Floats) -> Floats:
        half = self._patterns @ self.factor(x).T
        return np.asarray(half + half.swapaxes(1, 2))

    def hessian(self, x: Floats) -> Floats:
        return self._second

    @cached_property
    def _second(self) -> Floats:
        half = np.einsum("pik,rjk->prij", self._patterns, self._patterns)
        return half + half.swapaxes(2, 3)
