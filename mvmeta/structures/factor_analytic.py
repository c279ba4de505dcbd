"""One common factor behind all levels, and a specific variance for each (FA1)."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Component, CovarianceStructure, register
from mvmeta.structures.checks import unique_labels


@register("FA1")
class FactorAnalytic(CovarianceStructure):
    """``G = l l' + diag(psi)``: loadings l of a common factor and specific variances psi >= 0.

    Natural and working parameters are one: loadings (any sign; l and -l are the same G), then
    psi.  With 2q parameters it is identified for q >= 3; for q <= 3 UN says the same.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = unique_labels(labels)
        self.q = len(self.labels)
        self.components = (
            *(Component("loading", label, lower=-np.inf, power=1) for label in self.labels),
            *(Component("psi", label) for label in self.labels),
        )

    def matrix(self, x: Floats) -> Floats:
        loading, psi = np.split(np.asarray(x, dtype=float), 2)
        return np.outer(loading, loading) + np.diag(psi)

    def jacobian(self, x: Floats) -> Floats:
        loading, i = np.asarray(x[: self.q], dtype=float), np.arange(self.q)
        out = np.zeros((2 * self.q, self.q, self.q))
        out[i, i, :] = loading
        out[i, :, i] += loading
        out[self.q + i, i, i] = 1.0
        return out

    def hessian(self, x: Floats) -> Floats:
        i = np.arange(self.q)
        out = np.zeros((2 * self.q, 2 * self.q, self.q, self.q))
        out[i[:, None], i, i[:, None], i] += 1.0
        out[i[:, None], i, i, i[:, None]] += 1.0
        return out

    def starts(self, scale: float) -> list[Floats]:
        # Loadings of 0 are a stationary point; which levels oppose the others, or dominate the
        # factor, decides between local maxima.
        signs = [np.ones(self.q)]
        if self.q > 1:
            signs += [np.where(np.arange(self.q) == j, -1.0, 1.0) for j in range(self.q)]
            signs += [np.where(np.arange(self.q) == j, 1.4, 0.1) for j in range(self.q)]
        psi = np.full(self.q, scale / 2.0)
        return [np.concatenate([np.sqrt(scale / 2.0) * s, psi]) for s in signs]

    def like(self, g: Floats) -> list[Floats]:
        # the principal axes of g as factors, what they leave as specific variances
        values, vectors = np.linalg.eigh(g)
        out = []
        for j in (-1, -2):
            loading = vectors[:, j] * np.sqrt(max(values[j], 0.0))
            out.append(np.concatenate([loading, np.maximum(g.diagonal() - loading**2, 0.0)]))
        return out
