"""The contract of a backend: plan once for a problem, factor M(theta) many times.

``M = V + sum_t Z_t (I (x) G_t) Z_t'``.  A backend sees the matrices G_t and directions in
which they move, never parameters or criteria; what it returns adds up over independent
clusters of rows, so that chunks, threads and batches are all the same sum.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.problem import MetaProblem


@dataclass(frozen=True)
class Direction:
    """A symmetric matrix dG (q, q) in the space of one term: K = Z_t (I (x) dG) Z_t'."""

    term: int
    matrix: Floats


class PairSums(ABC):
    """Symmetric matrices (a, a) for all pairs of directions, formed only if they are asked for."""

    @abstractmethod
    def matrices(self) -> Floats:
        """All of them, shape (J, J, a, a)."""

    @abstractmethod
    def weighted(self, weights: Floats) -> Floats:
        """The sum of the entries of each times symmetric `weights` (a, a), shape (J, J)."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Additive statistics of ``A`` (n, a) under M, with J directions K_j and E extra ones.

    Writing N for the inverse of M:

    Attributes
    ----------
    logdet : float
        log|M|.
    gram : ndarray, shape (a, a)
        A'N A.
    trace : ndarray, shape (J,)
        tr(N K_j).
    slope : ndarray, shape (J, a, a)
        A'N K_j N A.
    trace_pairs : ndarray, shape (J, J)
        tr(N K_j N K_l).
    slope_pairs : ndarray, shape (J, J, a, a), or PairSums
        The symmetric part A'N (K_j N K_l + K_l N K_j) N A / 2, all that any formula uses;
        None where it was not asked for.
    extra_trace, extra_slope : ndarray, shape (E,) and (E, a, a)
        As `trace` and `slope` for the extra directions (second derivatives of G).
    """

    logdet: float
    gram: Floats
    trace: Floats
    slope: Floats
    trace_pairs: Floats
    slope_pairs: Floats | PairSums | None
    extra_trace: Floats
    extra_slope: Floats

    def require_pairs(self) -> Floats:
        """`slope_pairs`, which must have been asked for, as matrices."""
        if self.slope_pairs is None:
            raise ValueError("these sums were made with pairs=False")
        return _matrices(self.slope_pairs)

    def weighted_pairs(self, weights: Floats) -> Floats:
        """`slope_pairs` times symmetric `weights` (a, a), summed over their entries: (J, J)."""
        if isinstance(self.slope_pairs, PairSums):
            return self.slope_pairs.weighted(weights)
        return weighted_entries(self.require_pairs(), weights)

    @classmethod
    def zero(cls, a: int, n_directions: int, n_extra: int) -> "Sums":
        """The neutral element of `+`."""
        j, e = n_directions, n_extra
        return cls(
            0.0,
            np.zeros((a, a)),
            np.zeros(j),
            np.zeros((j, a, a)),
            np.zeros((j, j)),
            np.zeros((j, j, a, a)),
            np.zeros(e),
            np.zeros((e, a, a)),
        )

    def __sub__(self, other: "Sums") -> "Sums":
        return self + other.scaled(-1.0)

    def scaled(self, factor: float) -> "Sums":
        """All of them times a number."""
        pairs = None if self.slope_pairs is None else factor * _matrices(self.slope_pairs)
        return Sums(
            factor * self.logdet,
            factor * self.gram,
            factor * self.trace,
            factor * self.slope,
            factor * self.trace_pairs,
            pairs,
            factor * self.extra_trace,
            factor * self.extra_slope,
        )

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.logdet + other.logdet,
            self.gram + other.gram,
            self.trace + other.trace,
            self.slope + other.slope,
            self.trace_pairs + other.trace_pairs,
            _add(self.slope_pairs, other.slope_pairs),
            self.extra_trace + other.extra_trace,
            self.extra_slope + other.extra_slope,
        )


def weighted_entries(matrices: Floats, weights: Floats) -> Floats:
    """Sums of the entries of `matrices` (..., a, a) times `weights` (a, a)."""
    return np.asarray(matrices.reshape(*matrices.shape[:-2], weights.size) @ weights.ravel())


def _matrices(pairs: Floats | PairSums) -> Floats:
    return pairs.matrices() if isinstance(pairs, PairSums) else pairs


def _add(left: Floats | PairSums | None, right: Floats | PairSums | None) -> Floats | None:
    return None if left is None or right is None else _matrices(left) + _matrices(right)


@dataclass(frozen=True, eq=False)
class Arranged:
    """A matrix A (n, a) in the order a backend works in, made once and used at every theta."""

    data: Floats


RowsOf = Callable[[Ints | slice], Floats]
"""Rows (m, a) of a matrix at given positions (m,), or all of them."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Ordinary least squares of y on X = Q R with Q'Q = I.

    Attributes
    ----------
    r : ndarray, shape (p, p)
        Upper triangular.
    coefficients : ndarray, shape (p,)
        Of Q: Q'y.
    residual_ss : float
        e'e for e = y - Q Q'y.
    columns : ndarray, shape (n, p + 1), or Arranged
        [Q e], as `MarginalFactor.sums` of the same backend takes it.
    """

    r: Floats
    coefficients: Floats
    residual_ss: float
    columns: "Floats | Arranged"


UNIT_COLUMNS = 64
"""Columns of the identity that are solved for at a time."""


class NotPositiveDefiniteError(ArithmeticError):
    """M is not positive definite at this point; the optimiser steps back from it."""


class MarginalFactor(ABC):
    """M at one theta, factored.  Blocks of rows never seen by a verb are never formed."""

    @abstractmethod
    def sums(
        self,
        a: "Floats | Arranged",
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        """Additive statistics of A (n, a), as it is or as the plan arranged it; see `Sums`.

        With ``pairs=False`` the matrices `slope_pairs` may be left out (None): they take most
        of the time and matter little in large data sets.
        """

    @abstractmethod
    def solve(self, b: Floats) -> Floats:
        """Return ``inv(M) @ b`` for b (n, k)."""

    @abstractmethod
    def level_gram(self, term: int) -> Floats:
        """Diagonal blocks of Z_t' inv(M) Z_t, one per level, shape (L, q, q)."""

    @abstractmethod
    def inverse_diagonal(self) -> Floats:
        """diag(inv(M)), shape (n,)."""

    def inverse_blocks(self, rows: Ints, n: int) -> Floats:
        """Blocks of inv(M) (n, n) for b groups of m rows each, shape (b, m, m).

        Parameters
        ----------
        rows : ndarray of int, shape (b, m)
            Positions of the rows of each group; no row is in two groups.
        n : int
            Rows of the problem.
        """
        count, m = rows.shape
        if m == 1:
            return self.inverse_diagonal()[rows][:, :, None]
        out = np.empty((count, m, m))
        step = max(1, UNIT_COLUMNS // m)
        for i in range(0, count, step):
            some = rows[i : i + step].ravel()
            unit = np.zeros((n, len(some)))
            unit[some, np.arange(len(some))] = 1.0
            solved = self.solve(unit)[some].reshape(-1, m, len(some) // m, m)
            out[i : i + step] = solved[np.arange(len(solved)), :, np.arange(len(solved))]
        return out


class MarginalCovariance(ABC):
    """The symbolic part: what depends on the layout of a problem and not on theta."""

    name: str
    problem: MetaProblem
    least_squares: LeastSquares | None = None
    """Brought along by a backend that does not hold the rows it would be computed from."""

    def arrange(self, a: Floats) -> Arranged:
        """A (n, a) in the order in which `MarginalFactor.sums` works."""
        return Arranged(a)

    def with_response(self, y: Floats) -> Self:
        """The same plan for other observations y (n,), on which no plan depends."""
        other = copy(self)
        other.problem, other.least_squares = replace(self.problem, y=y), None
        return other

    def with_design(self, x: Floats) -> Self:
        """The same plan for another design X (n, p), on which no plan depends."""
        other = copy(self)
        other.problem, other.least_squares = replace(self.problem, x=x), None
        return other

    def arrange_rows(self, rows_of: RowsOf) -> Arranged:
        """The same for a matrix A whose rows are computed when they are asked for."""
        return self.arrange(rows_of(slice(None)))

    @abstractmethod
    def factorize(self, gs: Sequence[Floats]) -> MarginalFactor:
        """Factor M for the matrices G_t (q_t, q_t), one per term.

        Raises
        ------
        NotPositiveDefiniteError
            If M is not positive definite.
        """


def multiply(problem: MetaProblem, gs: Sequence[Floats], b: Floats) -> Floats:
    """Return ``M @ b`` for b (n, k) without forming M."""
    out = problem.v.multiply(b)
    for term, g in zip(problem.terms, gs, strict=True):
        out = out + term.lift(np.einsum("qr,lrk->lqk", g, term.project(b)))
    return out


def diagonal(problem: MetaProblem, gs: Sequence[Floats]) -> Floats:
    """diag(M), shape (n,)."""
    out = problem.v.variances.copy()
    for term, g in zip(problem.terms, gs, strict=True):
        out += term.marginal_variance(g)
    return out
