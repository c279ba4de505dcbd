"""Compound symmetry: the same correlation between any two levels (CS, HCS)."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Chart, register
from mvmeta.structures.correlation import LinearComponents, LinearCorrelation
from mvmeta.structures.scaled import ScaledCorrelation


class Exchangeable(LinearCorrelation):
    """``R_ij = rho`` off the diagonal, rho in [-1/(q-1), 1].

    Parameters
    ----------
    q : int
        Order of R; with q = 1 there is nothing to correlate and rho is without effect.
    """

    def __init__(self, q: int) -> None:
        lower = -1.0 / (q - 1) if q > 1 else -1.0
        super().__init__(np.eye(q), (np.ones((q, q)) - np.eye(q))[None], lower=lower)

    def starts(self) -> list[Floats]:
        return [np.array([0.0]), np.array([0.8])]


@register("CS")
class CompoundSymmetry(ScaledCorrelation):
    """``G = tau2 ((1 - rho) I + rho J)`` with J the matrix of ones.

    The working parameters are two non-negative variance components,
    ``G = a (I - J/q) + c J/q`` with ``a = tau2 (1 - rho)`` and ``c = tau2 (1 + (q - 1) rho)``:
    the eigenvalues of G.  G is linear in them and rho reaches both ends of [-1/(q-1), 1].

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    convex = True

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, Exchangeable(len(labels)))
        mean = np.full((self.q, self.q), 1.0 / self.q)
        self._linear = LinearComponents(np.stack([np.eye(self.q) - mean, mean]))

    @property
    def working(self) -> Chart:
        return self._linear

    def to_working(self, theta: Floats) -> Floats:
        tau2, rho = self.check(theta)
        return np.array([tau2 * (1.0 - rho), max(tau2 * (1.0 + (self.q - 1) * rho), 0.0)])

    def to_natural(self, x: Floats) -> Floats:
        a, c = np.asarray(x, dtype=float)
        if self.q == 1:
            return np.array([c, 0.0])
        total = c + (self.q - 1) * a
        rho = max((c - a) / total, self.correlation.lower[0]) if total > 0 else 0.0
        return np.array([total / self.q, rho])

    def units(self) -> Floats:
        return np.array([2.0, 2.0])

    def starts(self, scale: float) -> list[Floats]:
        return [scale * np.array(x) for x in ([1.0, 1.0], [1.0, 0.01], [0.01, 1.0])]

    def root(self, theta: Floats) -> Floats:
        a, c = self.to_working(theta)
        return self._linear.matrix(np.sqrt([a, c]))


@register("HCS")
class HeterogeneousCompoundSymmetry(ScaledCorrelation):
    """``G_ij = rho sqrt(tau2_i tau2_j)``, one variance for each level.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, Exchangeable(len(labels)), heteroscedastic=True)
