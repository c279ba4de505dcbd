"""A known matrix up to its variance: phylogenies, pedigrees, relatedness."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Component, CovarianceStructure, matrix_root, register
from mvmeta.structures.checks import known_matrix


class Known(CovarianceStructure):
    """``G = sigma2 * R`` with R known.

    Parameters
    ----------
    correlation : ndarray, shape (q, q)
        R, symmetric positive semi-definite, rows in the order of `labels`.
    labels : sequence of str
        The q levels.
    kind : {"sigma2", "tau2"}
        Name under which the variance is reported.
    """

    code = "KNOWN"

    convex = True

    def __init__(self, correlation: Floats, labels: Sequence[str], kind: str = "sigma2") -> None:
        self.correlation = correlation
        self.labels = tuple(labels)
        self.q = len(self.labels)
        self.components = (Component(kind),)

    def matrix(self, x: Floats) -> Floats:
        return float(x[0]) * self.correlation

    def jacobian(self, x: Floats) -> Floats:
        return self.correlation[None]

    def starts(self, scale: float) -> list[Floats]:
        return [np.array([scale])]

    @cached_property
    def _root(self) -> Floats:
        return matrix_root(self.correlation)

    def root(self, theta: Floats) -> Floats:
        return float(np.sqrt(theta[0])) * self._root


@register("PROP")
class Proportional(Known):
    """``G = tau2 * R`` with a known R over the inner levels of a term.

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    correlation : ndarray, shape (q, q)
        R, symmetric positive semi-definite; its diagonal need not be 1.
    """

    def __init__(self, labels: Sequence[str], correlation: Floats) -> None:
        super().__init__(known_matrix(correlation, labels), labels, kind="tau2")


@register("PHYBM")
class BrownianMotion(Proportional):
    """``G = tau2 C``: traits that drift along the branches of a tree.

    Parameters
    ----------
    labels : sequence of str
        The species; their number is q.
    correlation : ndarray, shape (q, q)
        C, shared branch length from the root as a fraction of the height of the tree.
    """
