"""One variance for each level and one correlation for each pair of levels."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Chart
from mvmeta.structures.correlation import LinearCorrelation
from mvmeta.structures.scaled import ScaledCorrelation
from mvmeta.structures.unstructured.factors import LinearFactor, TriangularFactor


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


class AnyCovariance(ScaledCorrelation):
    """``G_ij = rho_ij sqrt(tau2_i tau2_j)``, moving in a factor L of ``G = L L'``.

    What is free in L, `_factor`, is for subclasses to say.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    code = "UN"
    convex = True
    _factor: TriangularFactor | LinearFactor

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, PairCorrelations(tuple(labels)), heteroscedastic=True)

    @property
    def working(self) -> Chart:
        return self._factor

    def standardised(self, theta: Floats) -> tuple[Floats, Floats]:
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

    def like(self, g: Floats) -> list[Floats]:
        sd = np.sqrt(g.diagonal())
        r = g / np.outer(sd, sd)
        np.fill_diagonal(r, 1.0)
        column, row = np.triu_indices(self.q, 1)
        return [self.to_working(np.concatenate([sd**2, np.clip(r[row, column], -1.0, 1.0)]))]

    def root(self, theta: Floats) -> Floats:
        return self._factor.factor(self.to_working(theta))
