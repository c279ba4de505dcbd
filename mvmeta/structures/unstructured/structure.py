"""The registered structure: what moves freely, and its forms where something is held."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import CovarianceStructure, register
from mvmeta.structures.unstructured.factors import TriangularFactor
from mvmeta.structures.unstructured.one_pin import OnePin
from mvmeta.structures.unstructured.orders import pivot_order, zero_preserving_order
from mvmeta.structures.unstructured.pairs import AnyCovariance
from mvmeta.structures.unstructured.roots import triangular_root
from mvmeta.structures.unstructured.zero_pattern import ZeroPattern

SEPARABLE_UP_TO = 2
"""Levels up to which G is positive semi-definite wherever each component is within its bounds."""


@register("UN")
class Unstructured(AnyCovariance):
    """``G_ij = rho_ij sqrt(tau2_i tau2_j)`` with a correlation for each pair of levels.

    Working parameters: the lower triangle of L in ``G = L L'``, row by row.  The correlations
    of a level without variance are reported as 0.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    _factor: TriangularFactor

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self._factor = TriangularFactor(self.q)

    def to_working(self, theta: Floats) -> Floats:
        """Working parameters of natural `theta`.

        Raises
        ------
        SpecificationError
            If the correlations are not those of any set of variables.
        """
        theta = self.check(theta)
        sd, r = self.standardised(theta)
        factor = sd[:, None] * triangular_root(r)
        return np.asarray(factor[self._factor.row, self._factor.column])

    def starts(self, scale: float) -> list[Floats]:
        # Variances of 1 %, not 0: at 0 every derivative with respect to L vanishes.
        axes = [np.where(np.arange(self.q) == j, 1.0, 0.1) for j in range(self.q)]
        diagonals = [np.ones(self.q), *(axes if self.q > 1 else [])]
        at = (self._factor.row, self._factor.column)
        return [np.sqrt(scale) * np.diag(d)[at] for d in diagonals]

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
        return ZeroPattern(self.labels, everything, np.ones(self.q, dtype=bool), order)

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
            return OnePin(self.labels, at, float(values[at])) if inside else None
        present = np.isnan(tau2)
        column, row = np.triu_indices(self.q, 1)
        matters = present[row] & present[column]
        if (tau2[~present] != 0).any() or (rho[matters & ~np.isnan(rho)] != 0).any():
            return None
        linked = np.zeros((self.q, self.q), dtype=bool)
        linked[row, column] = linked[column, row] = matters & np.isnan(rho)
        order = zero_preserving_order(linked)
        return None if order is None else ZeroPattern(self.labels, linked, present, order)
