"""Any covariance matrix (UN), as the square of a free triangular factor."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import Chart, CovarianceStructure, register
from mvmeta.structures.correlation import LinearCorrelation
from mvmeta.structures.scaled import ScaledCorrelation

INDEFINITE = -1e-8
"""Smallest eigenvalue a correlation matrix given in decimals may have from their rounding."""


class PairCorrelations(LinearCorrelation):
    """One correlation for each pair of levels: (2, 1), (3, 1), ..., (q, 1), (3, 2), ...

    Parameters
    ----------
    labels : tuple of str
        The levels.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        q = len(labels)
        column, row = np.triu_indices(q, 1)
        m = np.arange(len(row))
        patterns = np.zeros((len(row), q, q))
        patterns[m, row, column] = patterns[m, column, row] = 1.0
        levels = [f"{labels[i]}~{labels[j]}" for i, j in zip(row, column, strict=True)]
        super().__init__(np.eye(q), patterns, levels)


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


@register("UN")
class Unstructured(ScaledCorrelation):
    """``G_ij = rho_ij sqrt(tau2_i tau2_j)`` with a correlation for each pair of levels.

    Working parameters: the lower triangle of L in ``G = L L'``, row by row.  The correlations
    of a level without variance are reported as 0.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    convex = True

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, PairCorrelations(tuple(labels)), heteroscedastic=True)
        self._factor = TriangularFactor(self.q)

    @property
    def working(self) -> Chart:
        return self._factor

    def to_working(self, theta: Floats) -> Floats:
        """Working parameters of natural `theta`.

        Raises
        ------
        SpecificationError
            If the correlations are not those of any set of variables.
        """
        theta = self.check(theta)
        sd, r = np.sqrt(theta[: self.q]), self.correlation.matrix(theta[self.q :])
        factor = sd[:, None] * triangular_root(r)
        return np.asarray(factor[self._factor.row, self._factor.column])

    def to_natural(self, x: Floats) -> Floats:
        g = self._factor.matrix(np.asarray(x, dtype=float))
        tau2 = np.diag(g).copy()
        sd = np.sqrt(tau2)
        column, row = np.triu_indices(self.q, 1)
        product = sd[row] * sd[column]
        rho = np.divide(g[row, column], product, out=np.zeros_like(product), where=product > 0)
        return np.concatenate([tau2, np.clip(rho, -1.0, 1.0)])

    def units(self) -> Floats:
        return np.ones(len(self._factor.lower))

    def starts(self, scale: float) -> list[Floats]:
        # Variances of 1 %, not 0: at 0 every derivative with respect to L vanishes.
        axes = [np.where(np.arange(self.q) == j, 1.0, 0.1) for j in range(self.q)]
        diagonals = [np.ones(self.q), *(axes if self.q > 1 else [])]
        at = (self._factor.row, self._factor.column)
        return [np.sqrt(scale) * np.diag(d)[at] for d in diagonals]

    def like(self, g: Floats) -> list[Floats]:
        sd = np.sqrt(g.diagonal())
        r = g / np.outer(sd, sd)
        np.fill_diagonal(r, 1.0)
        column, row = np.triu_indices(self.q, 1)
        return [self.to_working(np.concatenate([sd**2, np.clip(r[row, column], -1.0, 1.0)]))]

    def root(self, theta: Floats) -> Floats:
        return self._factor.factor(self.to_working(theta))

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        """Return UN with the levels of L in an order that has its large pivots first.

        Where a pivot of L is near 0 but its column is not, that column can be turned into
        later ones at hardly any change of G, along a circle.  With pivots in falling order the
        column of a small pivot is small.

        Returns
        -------
        CovarianceStructure or None
            None if the levels are in such an order already.
        """
        order = pivot_order(self.matrix(theta))
        if (order == np.arange(self.q)).all():
            return None
        everything = ~np.eye(self.q, dtype=bool)
        return _ZeroPattern(self.labels, everything, np.ones(self.q, dtype=bool), order)

    def restricted(self, values: Floats) -> CovarianceStructure | None:
        """Return UN with the variances and correlations that are pinned at 0 left out of L.

        Returns
        -------
        CovarianceStructure or None
            None if anything is pinned elsewhere than at 0, or if there is no order of the
            levels in which L has the zeros of G (for q <= 3 there always is).
        """
        tau2, rho = values[: self.q], values[self.q :]
        present = np.isnan(tau2)
        column, row = np.triu_indices(self.q, 1)
        matters = present[row] & present[column]
        if (tau2[~present] != 0).any() or (rho[matters & ~np.isnan(rho)] != 0).any():
            return None
        linked = np.zeros((self.q, self.q), dtype=bool)
        linked[row, column] = linked[column, row] = matters & np.isnan(rho)
        order = zero_preserving_order(linked)
        return None if order is None else _ZeroPattern(self.labels, linked, present, order)


class _ZeroPattern(Unstructured):
    """`Unstructured` with zeros in given places of G.

    Parameters
    ----------
    labels : sequence of str
        The levels.
    linked : ndarray of bool, shape (q, q)
        Pairs of levels that may be correlated.
    present : ndarray of bool, shape (q,)
        Levels that have a variance.
    order : ndarray of int, shape (q,)
        Order of the levels in which L has the zeros of G; column k of L belongs to order[k].
    """

    def __init__(self, labels: Sequence[str], linked: Bools, present: Bools, order: Ints) -> None:
        super().__init__(labels)
        self._order = order
        position = np.argsort(order)
        support = linked | np.diag(present)
        self._factor = TriangularFactor(
            self.q, support[:, order] & (np.arange(self.q) <= position[:, None])
        )

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        del theta  # the order of the levels is what keeps the zeros
        return None

    def to_working(self, theta: Floats) -> Floats:
        theta = self.check(theta)
        order = self._order
        r = self.correlation.matrix(theta[self.q :])[np.ix_(order, order)]
        factor = np.zeros((self.q, self.q))
        factor[order] = semidefinite_cholesky(r)
        factor *= np.sqrt(theta[: self.q])[:, None]
        return np.asarray(factor[self._factor.row, self._factor.column])

    def starts(self, scale: float) -> list[Floats]:
        diagonal = self._order[self._factor.column] == self._factor.row
        levels = self._factor.row
        axes = [np.where(levels == j, 1.0, 0.1) for j in np.unique(levels)]
        sizes = [np.ones(len(levels)), *(axes if len(axes) > 1 else [])]
        return [np.sqrt(scale) * np.where(diagonal, size, 0.0) for size in sizes]


def pivot_order(g: Floats) -> Ints:
    """Order of the rows of a positive semi-definite g (q, q) with the largest pivots first."""
    rest, order = g.copy(), np.arange(len(g))
    for k in range(len(g)):
        best = k + int(np.argmax(rest[order[k:], order[k:]]))
        order[[k, best]] = order[[best, k]]
        pivot = order[k]
        if rest[pivot, pivot] <= 0:
            break
        rest = rest - np.outer(rest[:, pivot], rest[pivot]) / rest[pivot, pivot]
    return order


def zero_preserving_order(linked: Bools) -> Ints | None:
    """Order of levels in which a Cholesky factor has the zeros of the matrix, if there is one.

    Taking out a level links, through products of its column of L, all later levels it is
    linked to; so those must be linked already.  Such an order exists if and only if the links
    form a chordal graph (Rose 1970, J. Math. Anal. Appl. 32:597), and picking any level that
    qualifies, again and again, finds one.

    Parameters
    ----------
    linked : ndarray of bool, shape (q, q)
        Symmetric, False on the diagonal.

    Returns
    -------
    ndarray of int, shape (q,), or None
        None if four or more levels are linked in a ring without short cuts.
    """
    order: list[int] = []
    left = np.ones(len(linked), dtype=bool)
    while left.any():
        fits = [int(k) for k in np.flatnonzero(left) if _is_clique(linked, linked[k] & left)]
        if not fits:
            return None
        order.append(fits[0])
        left[fits[0]] = False
    return np.array(order, dtype=np.intp)


def _is_clique(linked: Bools, members: Bools) -> bool:
    among = linked[np.ix_(members, members)]
    return bool(among.sum() == len(among) * (len(among) - 1))


def semidefinite_cholesky(r: Floats) -> Floats:
    """Lower triangular L (q, q) with L L' = r, column k zero where its pivot is.

    Unlike `triangular_root` it keeps zeros where the Cholesky factor of a definite matrix has
    them, at the price of half the digits where a pivot is zero but for rounding.

    Parameters
    ----------
    r : ndarray, shape (q, q)
        A correlation matrix.

    Raises
    ------
    SpecificationError
        If r has a negative eigenvalue.
    """
    rest, factor = r.copy(), np.zeros_like(r)
    for k in range(len(r)):
        pivot, column = max(float(rest[k, k]), 0.0), rest[k:, k]
        bound = pivot * np.clip(np.diag(rest)[k:], 0.0, None)
        if rest[k, k] < INDEFINITE or (column**2 > bound - INDEFINITE).any():
            raise _indefinite(float(np.linalg.eigvalsh(r)[0]))
        if pivot > 0:
            limit = np.sqrt(bound)
            factor[k:, k] = np.clip(column, -limit, limit) / np.sqrt(pivot)
            rest -= np.outer(factor[:, k], factor[:, k])
    return factor


def _indefinite(size: float) -> SpecificationError:
    return SpecificationError(
        "the correlations rho do not form a positive semi-definite matrix (smallest "
        f"eigenvalue {size:.3g}): no variables are correlated like this; give smaller ones"
    )


def triangular_root(r: Floats) -> Floats:
    """Lower triangular L (q, q) with L L' = r for a correlation matrix r, singular or not.

    The root V sqrt(lambda) of the eigendecomposition of r is made triangular by a QR
    decomposition of its transpose, which needs no pivots and hence no positive eigenvalues.

    Raises
    ------
    SpecificationError
        If r has a negative eigenvalue.
    """
    values, vectors = np.linalg.eigh(r)
    if values[0] < INDEFINITE:
        raise _indefinite(values[0])
    rounding = len(r) * np.finfo(float).eps * values[-1]
    half = vectors * np.sqrt(np.where(values > rounding, values, 0.0))
    factor = np.asarray(np.linalg.qr(half.T, mode="r")).T
    return np.asarray(factor * np.where(np.diag(factor) < 0, -1.0, 1.0))
