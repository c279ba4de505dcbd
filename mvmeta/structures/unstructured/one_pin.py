"""UN with one variance or correlation held."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.structures.base import CovarianceStructure
from mvmeta.structures.unstructured.factors import LinearFactor
from mvmeta.structures.unstructured.orders import pivot_order, starting_with
from mvmeta.structures.unstructured.pairs import AnyCovariance
from mvmeta.structures.unstructured.roots import triangular_root


class OnePin(AnyCovariance):
    """UN with one variance or correlation held, by a first row or two of L.

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
        self._order = starting_with(self._first, q) if order is None else order
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
        self._factor = LinearFactor(base, np.array(patterns))
        if pair >= 0:
            self._factor.lower[:2] = 0.0

    def straightened(self, theta: Floats) -> CovarianceStructure | None:
        order = pivot_order(self.matrix(theta), self._first)
        if (order == self._order).all():
            return None
        return OnePin(self.labels, self._component, self._value, order)

    def to_working(self, theta: Floats) -> Floats:
        theta = self.check(theta)
        (sd, r), order = self.standardised(theta), self._order
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
