"""Any covariance matrix (UN), as the square of a free triangular factor."""

from collections.abc import Sequence
from functools import cached_property
from itertools import permutations

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import Chart, CovarianceStructure, register
from mvmeta.structures.correlation import LinearCorrelation
from mvmeta.structures.scaled import ScaledCorrelation

SEPARABLE_UP_TO = 2
"""Levels up to which G is positive semi-definite wherever each component is within its bounds."""
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
        sd, r = self._scaled(theta)
        factor = sd[:, None] * triangular_root(r)
        return np.asarray(factor[self._factor.row, self._factor.column])

    def _scaled(self, theta: Floats) -> tuple[Floats, Floats]:
        """Standard deviations (q,) and correlations (q, q), 0 for levels without variance."""
        sd, r = np.sqrt(theta[: self.q]), self.correlation.matrix(theta[self.q :])
        absent = sd == 0
        r = np.where(absent[:, None] | absent, 0.0, r)
        np.fill_diagonal(r, 1.0)
        return sd, r

    def to_natural(self, x: Floats) -> Floats:
        g = self.working.matrix(np.asarray(x, dtype=float))
        tau2 = np.diag(g).copy()
        sd = np.sqrt(tau2)
        column, row = np.triu_indices(self.q, 1)
        product = sd[row] * sd[column]
        rho = np.divide(g[row, column], product, out=np.zeros_like(product), where=product > 0)
        return np.concatenate([tau2, np.clip(rho, -1.0, 1.0)])

    def units(self) -> Floats:
        return np.ones(len(self.working.lower))

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
        """Return UN with what is pinned at 0 left out of L, or with one pin at any value.

        Returns
        -------
        CovarianceStructure or None
            None if several are pinned and not all at 0, or if there is no order of the levels
            in which L has the zeros of G (for q <= 3 there always is).
        """
        tau2, rho = values[: self.q], values[self.q :]
        pins = np.flatnonzero(~np.isnan(values))
        if len(pins) == 1 and values[pins[0]] != 0 and self.q > SEPARABLE_UP_TO:
            at = int(pins[0])
            inside = self.lower[at] <= values[at] <= self.upper[at]
            return _OnePin(self.labels, at, float(values[at])) if inside else None
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


class _OnePin(Unstructured):
    """`Unstructured` with one variance or correlation held, by a first row or two of L.

    With its level first, a variance is the square of one entry of L.  With its two levels first,
    a correlation r is that of rows (a, 0) and t (r, sqrt(1 - r^2)) of L, with a, t >= 0: if only
    one of them changed its sign, r would.

    Parameters
    ----------
    labels : sequence of str
        The levels.
    component : int
        Which is held.
    value : float
        At what.
    order : ndarray of int, shape (q,), optional
        Order of the levels in L, the one or two of the component first.
    """

    def __init__(
        self, labels: Sequence[str], component: int, value: float, order: Ints | None = None
    ) -> None:
        super().__init__(labels)
        q = self.q
        self._component, self._value = component, value
        column, row = np.triu_indices(q, 1)
        pair = component - q
        self._first = [component] if pair < 0 else [int(column[pair]), int(row[pair])]
        self._order = _starting_with(self._first, q) if order is None else order
        base, patterns = np.zeros((q, q)), []
        self._entries: list[tuple[int, int]] = []
        for position, level in enumerate(self._order.tolist()):
            if level == component:
                base[level, 0] = np.sqrt(value)
                continue
            if pair >= 0 and position == 1:
                patterns.append(np.zeros((q, q)))
                patterns[-1][level, :2] = value, np.sqrt(1.0 - value**2)
                self._entries.append((level, -1))
                continue
            for k in range(position + 1):
                patterns.append(np.zeros((q, q)))
                patterns[-1][level, k] = 1.0
                self._entries.append((level, k))
        self._rows = LinearFactor(base, np.array(patterns))
        if pair >= 0:
            self._rows.lower[:2] = 0.0

    @property
    def working(self) -> Chart:
        return self._rows

    def root(self, theta: Floats) -> Floats:
        return self._rows.factor(self.to_working(theta))

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        order = pivot_order(self.matrix(theta), self._first)
        if (order == self._order).all():
            return None
        return _OnePin(self.labels, self._component, self._value, order)

    def to_working(self, theta: Floats) -> Floats:
        theta = self.check(theta)
        (sd, r), order = self._scaled(theta), self._order
        for a, b in permutations(self._first, 2):  # a pair that is held has its correlation
            if sd[a] == 0:
                r[a] = r[:, a] = self._value * r[b]
                r[a, a] = 1.0
        factor = np.zeros((self.q, self.q))
        factor[order] = triangular_root(r[np.ix_(order, order)])
        factor *= sd[:, None]
        return np.array([sd[i] if k < 0 else factor[i, k] for i, k in self._entries])

    def starts(self, scale: float) -> list[Floats]:
        axes = [np.where(np.arange(self.q) == j, 1.0, 0.01) for j in range(self.q)]
        uncorrelated = np.zeros(len(self.components) - self.q)
        out = []
        for variances in [np.ones(self.q), *axes]:
            theta = np.concatenate([scale * variances, uncorrelated])
            theta[self._component] = self._value
            out.append(self.to_working(theta))
        return out


def pivot_order(g: Floats, first: Sequence[int] = ()) -> Ints:
    """Order of the rows of a positive semi-definite g (q, q) with the largest pivots first.

    Rows `first` stay in front of all others.
    """
    rest, order = g.copy(), _starting_with(first, len(g))
    for k in range(len(g)):
        best = k if k < len(first) else k + int(np.argmax(rest[order[k:], order[k:]]))
        order[[k, best]] = order[[best, k]]
        pivot = order[k]
        if rest[pivot, pivot] <= 0:
            break
        rest = rest - np.outer(rest[:, pivot], rest[pivot]) / rest[pivot, pivot]
    return order


def _starting_with(first: Sequence[int], q: int) -> Ints:
    return np.array([*first, *(k for k in range(q) if k not in first)], dtype=np.intp)


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
