"""Uncorrelated effects: one common variance (ID) or one per level (DIAG)."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Component, CovarianceStructure, register

SMALL = 1e-3
"""Variances, relative to that of one level, from which the others start on its axis."""


@register("ID")
class Identity(CovarianceStructure):
    """``G = tau2 * I``; with q = 1 the variance sigma2 of a random intercept.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    kind : {"tau2", "sigma2"}
        Name under which the variance is reported.
    """

    convex = True

    def __init__(self, labels: Sequence[str] = ("",), kind: str = "tau2") -> None:
        self.labels = tuple(labels)
        self.q = len(self.labels)
        self.components = (Component(kind),)
        self._unit = np.eye(self.q)
        self._unit.flags.writeable = False

    def matrix(self, x: Floats) -> Floats:
        return float(x[0]) * self._unit

    def jacobian(self, x: Floats) -> Floats:
        return self._unit[None]

    def starts(self, scale: float) -> list[Floats]:
        return [np.array([scale])]


@register("DIAG")
class Diagonal(CovarianceStructure):
    """``G = diag(tau2_1, ..., tau2_q)``.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    """

    convex = True

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.q = len(self.labels)
        self.components = tuple(Component("tau2", level) for level in self.labels)

    def matrix(self, x: Floats) -> Floats:
        return np.diag(np.asarray(x, dtype=float))

    def jacobian(self, x: Floats) -> Floats:
        out = np.zeros((self.q, self.q, self.q))
        index = np.arange(self.q)
        out[index, index, index] = 1.0
        return out

    def like(self, g: Floats) -> list[Floats]:
        return [g.diagonal().copy()]

    def starts(self, scale: float) -> list[Floats]:
        axes = np.where(np.eye(self.q) > 0, 1.0, SMALL)
        return [scale * x for x in (np.ones(self.q), *(axes if self.q > 1 else []))]
