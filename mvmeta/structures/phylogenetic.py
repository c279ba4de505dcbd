"""Species on a tree that follow it in part (PHYPL) or under a pull to an optimum (PHYOU)."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Chart, CovarianceStructure, register
from mvmeta.structures.checks import known_matrix
from mvmeta.structures.correlation import Correlation, LinearComponents, LinearCorrelation
from mvmeta.structures.decay import ExponentialProfile, RangeWeight, range_sweep
from mvmeta.structures.scaled import ScaledCorrelation, StraightRange


class ShrunkCorrelation(LinearCorrelation):
    """``R = (1 - lambda) diag(C) + lambda C``, lambda in [0, 1]."""

    kind = "lambda"

    def __init__(self, correlation: Floats) -> None:
        own = np.diag(np.diag(correlation))
        super().__init__(own, (correlation - own)[None], lower=0.0)


@register("PHYPL")
class PagelLambda(ScaledCorrelation):
    """``G = tau2 ((1 - lambda) diag(C) + lambda C)`` (Pagel 1999), lambda in [0, 1].

    The working parameters are the two variances it mixes, ``G = a diag(C) + c C`` with
    ``a = tau2 (1 - lambda)`` and ``c = tau2 lambda``, in which G is linear.

    Parameters
    ----------
    labels : sequence of str
        The species; their number is q.
    correlation : ndarray, shape (q, q)
        C, shared branch length from the root as a fraction of the height of the tree.
    """

    convex = True

    def __init__(self, labels: Sequence[str], correlation: Floats) -> None:
        c = known_matrix(correlation, labels)
        super().__init__(labels, ShrunkCorrelation(c))
        self._linear = LinearComponents(np.stack([np.diag(np.diag(c)), c]))

    @property
    def working(self) -> Chart:
        return self._linear

    def to_working(self, theta: Floats) -> Floats:
        tau2, lam = self.check(theta)
        return np.array([tau2 * (1.0 - lam), tau2 * lam])

    def to_natural(self, x: Floats) -> Floats:
        a, c = np.asarray(x, dtype=float)
        return np.array([a + c, c / (a + c) if a + c > 0 else 0.0])

    def units(self) -> Floats:
        return np.array([2.0, 2.0])

    def starts(self, scale: float) -> list[Floats]:
        return [scale * np.array(x) for x in ([1.0, 1.0], [1.0, 0.01], [0.01, 1.0])]


class DecayRate(Correlation):
    """``R_ij = exp(-alpha d_ij)``, alpha >= 0; works in `RangeWeight` of the range 1 / alpha."""

    kind = "alpha"
    levels = ("",)

    def __init__(self, distance: Floats) -> None:
        self.q, self.distance = len(distance), distance
        self.lower, self.upper = np.zeros(1), np.full(1, np.inf)
        self._working = RangeWeight(distance, ExponentialProfile())

    @property
    def working(self) -> Chart:
        return self._working

    def matrix(self, x: Floats) -> Floats:
        # Not d * alpha, which is 0 times infinity on the diagonal at the upper end.
        alpha, d = float(x[0]), self.distance
        exponent = np.multiply(d, alpha, out=np.zeros_like(d), where=d > 0)
        return np.exp(-exponent)

    def jacobian(self, x: Floats) -> Floats:
        return (-self.distance * self.matrix(x))[None]

    def hessian(self, x: Floats) -> Floats:
        return (self.distance**2 * self.matrix(x))[None, None]

    def to_working(self, rho: Floats) -> Floats:
        return np.asarray(1.0 / (1.0 + self._working.median * rho))

    def to_natural(self, r: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray((1.0 - r) / r / self._working.median)

    def sweep(self) -> tuple[Floats, Floats]:
        positive = self.distance[self.distance > 0]
        if not positive.size:
            return np.array([0.5]), np.empty(0)
        return range_sweep(self._working, np.unique(positive)), np.empty(0)

    def starts(self) -> list[Floats]:
        return [np.array([w]) for w in (0.5, 0.1, 0.9)]


@register("PHYOU")
class OrnsteinUhlenbeck(ScaledCorrelation):
    """``G_ij = tau2 exp(-alpha d_ij)``: drift with a pull of strength alpha to an optimum.

    ``d_ij = 2 (1 - C_ij)`` is the path between two species through the tree in units of its
    height (Hansen 1997, the stationary process on a tree whose tips are of the same age).
    alpha = 0 makes all species alike, a large alpha makes them independent.

    Parameters
    ----------
    labels : sequence of str
        The species; their number is q.
    correlation : ndarray, shape (q, q)
        C, shared branch length from the root as a fraction of the height of the tree; its
        diagonal is 1.
    """

    def __init__(self, labels: Sequence[str], correlation: Floats) -> None:
        c = known_matrix(correlation, labels, unit_diagonal=True)
        distance = np.clip(2.0 * (1.0 - c), 0.0, None)
        np.fill_diagonal(distance, 0.0)
        super().__init__(labels, DecayRate(distance))

    def straightened(self, theta: Floats) -> CovarianceStructure:
        del theta  # a ridge of variance and rate is straight everywhere
        return StraightRange(self.labels, self.correlation)
