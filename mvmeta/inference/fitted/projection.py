"""The residual projection P of a covariance: what is left of it once X is swept out."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mvmeta._typing import Floats
from mvmeta.inference.fitted.fit import residuals
from mvmeta.likelihood.orthonormal import orthonormal_basis


class Projection:
    """``P = N - N X inv(X'N X) X'N`` for N the inverse of a covariance, never formed.

    Works on an orthonormal basis Q of the columns of X: P depends on their span only, and
    X'N X of a raw polynomial or of columns in different units may be too ill-conditioned.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Full column rank.
    solve : callable
        ``b (n, k) -> N b``.
    """

    def __init__(self, x: Floats, solve: Callable[[Floats], Floats]) -> None:
        self._solve = solve
        self.q, self.r = orthonormal_basis(x)
        self.nq = solve(self.q)
        gram = self.q.T @ self.nq
        self.c = np.asarray(np.linalg.inv((gram + gram.T) / 2.0), dtype=float)

    @classmethod
    def among(cls, q: Floats, c: Floats, solve: Callable[[Floats], Floats]) -> "Projection":
        """That of all rows, seen from some of them, which hold whole clusters.

        Parameters
        ----------
        q : ndarray, shape (n, p)
            These rows of the basis of all rows.
        c : ndarray, shape (p, p)
            inv(Q'N Q) of all rows.
        solve : callable
            ``b (n, k) -> N b`` on these rows.
        """
        out = cls.__new__(cls)
        out._solve, out.q, out.r, out.c = solve, q, np.eye(len(c)), c
        out.nq = solve(q)
        return out

    def quadratic(self, y: Floats) -> float:
        """``y'P y`` for y (n,): the weighted residual sum of squares."""
        # Residuals first: y'N y - y'N X b would cancel where y is far from 0.
        residual = y - self.q @ (self.c @ (self.nq.T @ y))
        residual = residual - self.q @ (self.c @ (self.nq.T @ residual))
        residual = residuals(y, y - residual)
        return float(residual @ self._solve(residual[:, None])[:, 0])

    @cached_property
    def removed_diagonal(self) -> Floats:
        """diag(N - P), shape (n,)."""
        return np.einsum("np,pq,nq->n", self.nq, self.c, self.nq, optimize=True)

    @cached_property
    def leverage(self) -> Floats:
        """Diagonal of the hat matrix X inv(X'N X) X'N, shape (n,)."""
        return np.einsum("np,pq,nq->n", self.q, self.c, self.nq, optimize=True)

    @cached_property
    def fitted_variance(self) -> Floats:
        """Diagonal of X inv(X'N X) X', shape (n,)."""
        return np.einsum("np,pq,nq->n", self.q, self.c, self.q, optimize=True)
