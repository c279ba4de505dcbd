"""An orthonormal basis of the columns of X.

X'NX of a raw polynomial or of columns in different units loses digits that no later step can
give back (six of them for year and year squared); on an orthonormal basis nothing is lost, and
the term 1/2 log|X'X| of the REML likelihood is 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mvmeta._typing import Floats, Ints

DIRECT_UP_TO = 100_000
"""Rows up to which Householder QR is used; it is exact to rounding whatever X is."""
NEARLY_ORTHONORMAL = 0.1
"""Largest |Q1'Q1 - I| after one step at which the second one is certain to make it rounding."""
CHUNK_ROWS = 2**14
"""Rows worked on at a time: they stay in a core's cache."""
CANCELS = 1e-6
"""Share of y'y below which e'e is not computed as the difference of two sums of squares."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Q and R with X = Q R and Q'Q = I; rows of Q are computed when they are asked for.

    Attributes
    ----------
    rows : callable
        Rows of Q at given positions.
    r : ndarray, shape (p, p)
        Upper triangular.
    """

    rows: Callable[[Ints | slice], Floats]
    r: Floats


def basis(x: Floats) -> Basis:
    """The basis of the columns of X (n, p), which have full rank.

    Above `DIRECT_UP_TO` rows by CholeskyQR2 (Yamamoto et al. 2015, Electron Trans Numer Anal
    44:306), two passes over X and nothing of its size in memory, unless X is too
    ill-conditioned for it.
    """
    if len(x) > DIRECT_UP_TO:
        found = _cholesky_qr2(x)
        if found is not None:
            return found
    q, r = np.linalg.qr(x)
    return Basis(lambda rows: _take(q, rows), r)


def orthonormal_basis(x: Floats) -> tuple[Floats, Floats]:
    """Q (n, p) and R (p, p) of `basis`."""
    found = basis(x)
    return found.rows(slice(None)), found.r


def _cholesky_qr2(x: Floats) -> Basis | None:
    unit = np.eye(x.shape[1])
    try:
        first = linalg.cholesky(x.T @ x)
        once = linalg.solve_triangular(first, unit)
        gram = sum(q.T @ q for q in (x[part] @ once for part in _parts(len(x))))
        if np.abs(gram - unit).max(initial=0.0) > NEARLY_ORTHONORMAL:
            return None
        second = linalg.cholesky(gram)
    except linalg.LinAlgError:
        return None
    twice = linalg.solve_triangular(second, unit)
    return Basis(lambda rows: (_take(x, rows) @ once) @ twice, second @ first)


class Regression:
    """Ordinary least squares of y on X, with rows computed when they are asked for.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Full column rank.
    y : ndarray, shape (n,)

    Attributes
    ----------
    r : ndarray, shape (p, p)
        Of the `basis` of X.
    coefficients : ndarray, shape (p,)
        Q'y.
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        self._basis, self._y = basis(x), y
        self.r = self._basis.r
        self.coefficients = np.zeros(x.shape[1])
        for part in _parts(len(x)):
            self.coefficients += self._basis.rows(part).T @ y[part]

    def rows(self, rows: Ints | slice) -> Floats:
        """Rows of [Q e], e = y - Q Q'y: y itself would cancel where it is far from 0."""
        q = self._basis.rows(rows)
        residual = _take(self._y, rows) - q @ self.coefficients
        return np.column_stack([q, residual])

    @cached_property
    def residual_ss(self) -> float:
        """e'e."""
        total = float(self._y @ self._y)
        rest = total - float(self.coefficients @ self.coefficients)
        if rest > CANCELS * total:
            return rest
        return sum(float(e @ e) for e in (self.rows(p)[:, -1] for p in _parts(len(self._y))))


def _parts(n: int) -> Iterator[slice]:
    for start in range(0, n, CHUNK_ROWS):
        yield slice(start, start + CHUNK_ROWS)


def _take(values: Floats, rows: Ints | slice) -> Floats:
    return values[rows] if isinstance(rows, slice) else values.take(rows, axis=0)
