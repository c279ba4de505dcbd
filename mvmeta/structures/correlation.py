"""Correlation matrices as functions of parameters, and the linear ones among them."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Chart

BETWEEN = np.array([0.0, 0.03, 0.15, 0.3, 0.5, 0.7, 0.85, 0.97, 1.0])
"""Shares of the range of a correlation at which to look for maxima: closer near its ends."""


class Correlation(Chart):
    """A correlation matrix R (q, q) as a function of m parameters; its own natural chart.

    Attributes
    ----------
    q : int
        Order of R.
    kind : str
        Name under which its parameters are reported.
    levels : tuple of str
        One entry per parameter, as `Component.level`.
    """

    q: int
    kind: str = "rho"
    levels: tuple[str, ...]

    @property
    def working(self) -> Chart:
        """The optimiser's chart for R."""
        return self

    def to_working(self, rho: Floats) -> Floats:
        """Working parameters of natural `rho` (m,)."""
        return rho

    def to_natural(self, r: Floats) -> Floats:
        """Natural parameters of working `r` (m,)."""
        return r

    def separable(self) -> "Correlation":
        """Return the same R with a working chart that moves one parameter each."""
        return self

    def sweep(self) -> tuple[Floats, Floats]:
        """Values of a single working parameter at which to look for maxima, and its kinks."""
        low, high = float(self.working.lower[0]), float(self.working.upper[0])
        return low + (high - low) * BETWEEN, np.empty(0)

    @abstractmethod
    def starts(self) -> list[Floats]:
        """Working start values (m,), the main one first."""


class LinearCorrelation(Correlation):
    """``R = R0 + sum_m rho_m B_m``: free correlations in given places.

    Parameters
    ----------
    base : ndarray, shape (q, q)
        R0, R at rho = 0.
    patterns : ndarray, shape (m, q, q)
        The symmetric B_m.
    levels : sequence of str
        Names of the m parameters.
    lower, upper : float
        Common closed bounds.
    """

    def __init__(
        self,
        base: Floats,
        patterns: Floats,
        levels: Sequence[str] = ("",),
        lower: float = -1.0,
        upper: float = 1.0,
    ) -> None:
        self.q, self.levels = len(base), tuple(levels)
        self.base, self.patterns = base, patterns
        self.lower, self.upper = np.full(len(patterns), lower), np.full(len(patterns), upper)

    def matrix(self, x: Floats) -> Floats:
        return np.asarray(self.base + np.tensordot(x, self.patterns, axes=1))

    def jacobian(self, x: Floats) -> Floats:
        return self.patterns

    def starts(self) -> list[Floats]:
        return [np.zeros(len(self.patterns))]


class LinearComponents(Chart):
    """``G = sum_j x_j K_j`` with x >= 0: variance components.

    Parameters
    ----------
    kernels : ndarray, shape (J, q, q)
        The symmetric positive semi-definite K_j.
    """

    def __init__(self, kernels: Floats) -> None:
        self.kernels = kernels
        self.lower, self.upper = np.zeros(len(kernels)), np.full(len(kernels), np.inf)

    def matrix(self, x: Floats) -> Floats:
        return np.asarray(np.tensordot(x, self.kernels, axes=1))

    def jacobian(self, x: Floats) -> Floats:
        return self.kernels
