"""An orthonormal basis of the columns of X.

X'NX of a raw polynomial or of columns in different units loses digits that no later step can
give back (six of them for year and year squared); on an orthonormal basis nothing is lost, and
the term 1/2 log|X'X| of the REML likelihood is 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mvmeta._typing import Floats, Ints

DIRECT_UP_TO = 100_000
"""Rows up to which Householder QR is used; it is exact to rounding whatever X is."""
ORTHONORMAL = 1e-11
"""Largest |Q'Q - I| taken for orthonormal; sums over 1e7 rows round by 1e-12."""
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
    x : ndarray, shape (n, p)
    steps : tuple of ndarray, each (p, p)
        Upper triangular; Q is x times all of them.
    r : ndarray, shape (p, p)
        Upper triangular.
    """

    x: Floats
    steps: tuple[Floats, ...]
    r: Floats

    def columns(self, rows: Ints | slice, out: Floats | None = None) -> Floats:
        """Q' at some rows (m,), shape (p, m)."""
        q = _take(self.x, rows).T
        for step in self.steps:
            q = np.matmul(step.T, q, out=out if step is self.steps[-1] else None)
        return q


def basis(x: Floats) -> Basis:
    """The basis of the columns of X (n, p), which have full rank.

    Above `DIRECT_UP_TO` rows by CholeskyQR2 (Yamamoto et al. 2015, Electron Trans Numer Anal
    44:306), two passes over X and nothing of its size in memory, unless X is too
    ill-conditioned for it.
    """
    found = _cholesky_qr2(x) if len(x) > DIRECT_UP_TO else None
    if found is not None:
        return found
    q, r = np.linalg.qr(x)
    return Basis(q, (), r)


def orthonormal_basis(x: Floats) -> tuple[Floats, Floats]:
    """Q (n, p) and R (p, p) of `basis`."""
    found = basis(x)
    return np.ascontiguousarray(found.columns(slice(None)).T), found.r


def _cholesky_qr2(x: Floats) -> Basis | None:
    unit = np.eye(x.shape[1])
    try:
        first = linalg.cholesky(x.T @ x)
        once = linalg.solve_triangular(first, unit)
        gram = np.zeros_like(unit)
        for part in _parts(len(x)):
            q = x[part] @ once
            gram += q.T @ q
        gap = np.abs(gram - unit).max(initial=0.0)
        if gap < ORTHONORMAL:
            return Basis(x, (once,), first)
        if gap > NEARLY_ORTHONORMAL:
            return None
        second = linalg.cholesky(gram)
    except linalg.LinAlgError:
        return None
    return Basis(x, (once, linalg.solve_triangular(second, unit)), second @ first)


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
        # X'y carried over to Q: its rounding moves y' = y - Qc within the columns of Q only
        coefficients = x.T @ y if self._basis.steps else self._basis.x.T @ y
        for step in self._basis.steps:
            coefficients = step.T @ coefficients
        self.coefficients = coefficients

    def rows(self, rows: Ints | slice) -> Floats:
        """Rows of [Q e], e = y - Q Q'y: y itself would cancel where it is far from 0."""
        y, p = _take(self._y, rows), len(self.coefficients)
        out = np.empty((p + 1, len(y)))
        out[:p] = self._basis.columns(rows, out[:p])
        np.subtract(y, self.coefficients @ out[:p], out=out[p])
        return out.T

    @cached_property
    def residual_ss(self) -> float:
        """The sum of squares e'e."""
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
