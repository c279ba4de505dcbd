"""UN with zeros in given places, or with the levels of its factor in another order."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.structures.unstructured.factors import TriangularFactor
from mvmeta.structures.unstructured.pairs import AnyCovariance
from mvmeta.structures.unstructured.roots import semidefinite_cholesky


class ZeroPattern(AnyCovariance):
    """UN with zeros in given places of G.

    The order of the levels is what keeps the zeros, so it is not changed by `straightened`.

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

    _factor: TriangularFactor

    def __init__(self, labels: Sequence[str], linked: Bools, present: Bools, order: Ints) -> None:
        super().__init__(labels)
        self._order = order
        position = np.argsort(order)
        support = linked | np.diag(present)
        self._factor = TriangularFactor(
            self.q, support[:, order] & (np.arange(self.q) <= position[:, None])
        )

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
