"""Correlations that fade with the distance in time: AR, HAR (positions), CAR (times)."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.base import Chart, register
from mvmeta.structures.correlation import Correlation
from mvmeta.structures.scaled import ScaledCorrelation

WHOLE = 1e-12
"""Relative distance from a whole number below which a ratio of gaps is that number."""


class PowerCorrelation(Correlation):
    """``R_ij = rho^e_ij`` for given exponents.

    The first derivative at rho = 0 is infinite for exponents below 1, the second for those
    below 2 other than 1; 0 is put there so that arrays stay finite.  A chart whose bounds
    include 0 must have none of these exponents to be differentiable there.

    Parameters
    ----------
    exponents : ndarray, shape (q, q)
        Symmetric, non-negative, zero on the diagonal; whole numbers if `lower` is negative.
    lower : float
        Lower end of the range of rho; the upper one is 1.
    """

    levels = ("",)

    def __init__(self, exponents: Floats, lower: float) -> None:
        self.q, self.exponents = len(exponents), exponents
        self.lower, self.upper = np.array([lower]), np.array([1.0])

    def matrix(self, x: Floats) -> Floats:
        return np.asarray(x[0] ** self.exponents)

    def jacobian(self, x: Floats) -> Floats:
        e = self.exponents
        return _term(e, float(x[0]), e - 1.0)[None]

    def hessian(self, x: Floats) -> Floats:
        e = self.exponents
        return _term(e * (e - 1.0), float(x[0]), e - 2.0)[None, None]

    def starts(self) -> list[Floats]:
        return [np.array([0.5]), np.array([-0.5])]


def _term(coefficient: Floats, x: float, exponent: Floats) -> Floats:
    """``coefficient * x^exponent``, 0 where the coefficient is 0 or x^exponent infinite."""
    use = (coefficient != 0) & ((exponent >= 0) | (x != 0))
    return np.where(use, coefficient, 0.0) * x ** np.where(use, exponent, 1.0)


class GapCorrelation(PowerCorrelation):
    """``R_ij = rho^d_ij``, rho in [0, 1], for gaps d in time that need not be whole numbers.

    The working parameter is ``u = rho^(1/h)``, so that ``R_ij = u^(h d_ij)``.  Derivatives at
    u = 0 are finite if no exponent is below 2 except 0 and 1.  So h d_min = 1 (u is the
    correlation over the shortest gap) where no other gap is shorter than twice that one, as
    with whole times, and h d_min = 2 otherwise.

    Parameters
    ----------
    gaps : ndarray, shape (q, q)
        d.
    """

    def __init__(self, gaps: Floats) -> None:
        super().__init__(gaps, 0.0)
        self._positive = gaps[gaps > 0]
        shortest = float(self._positive.min()) if self._positive.size else 1.0
        ratio = gaps / shortest
        whole = np.rint(ratio)
        ratio = np.where(np.abs(ratio - whole) <= WHOLE * whole, whole, ratio)
        between = bool(((ratio > 1) & (ratio < 2)).any())
        factor = 2.0 if between else 1.0
        self.h = factor / shortest
        self._working = PowerCorrelation(factor * ratio, 0.0)

    @property
    def working(self) -> Chart:
        return self._working

    def to_working(self, rho: Floats) -> Floats:
        return np.asarray(rho ** (1.0 / self.h))

    def to_natural(self, r: Floats) -> Floats:
        return np.asarray(r**self.h)

    def sweep(self) -> tuple[Floats, Floats]:
        # correlations of 1/2 over short and long gaps, and hardly any or nearly full ones
        gaps = self._positive if self._positive.size else np.ones(1)
        at = [(gap, 0.5) for gap in np.quantile(gaps, [0.0, 0.25, 0.5, 1.0])]
        at += [(gaps.min(), 0.1), (gaps.max(), 0.8), (gaps.max(), 0.95)]
        return np.unique([level ** (1.0 / (self.h * gap)) for gap, level in at]), np.empty(0)

    def starts(self) -> list[Floats]:
        gaps = self._positive if self._positive.size else np.ones(1)
        at = [(np.median(gaps), 0.5), (gaps.min(), 0.1), (gaps.max(), 0.9)]
        return [np.array([level ** (1.0 / (self.h * gap))]) for gap, level in at]


def _lags(q: int) -> Floats:
    position = np.arange(q, dtype=float)
    return np.abs(position[:, None] - position)


@register("AR")
class Autoregressive(ScaledCorrelation):
    """``G_ij = tau2 rho^|i-j|``, i and j the positions of the levels, rho in [-1, 1].

    Parameters
    ----------
    labels : sequence of str
        Inner levels in their order; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, PowerCorrelation(_lags(len(labels)), -1.0))


@register("HAR")
class HeterogeneousAutoregressive(ScaledCorrelation):
    """``G_ij = sqrt(tau2_i tau2_j) rho^|i-j|``, one variance for each level.

    Parameters
    ----------
    labels : sequence of str
        Inner levels in their order; their number is q.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        correlation = PowerCorrelation(_lags(len(labels)), -1.0)
        super().__init__(labels, correlation, heteroscedastic=True)


@register("CAR")
class ContinuousAutoregressive(ScaledCorrelation):
    """``G_ij = tau2 rho^|t_i - t_j|`` for times t, rho in [0, 1].

    Parameters
    ----------
    labels : sequence of str
        Inner levels; their number is q.
    times : ndarray, shape (q,)
        The time of each level.

    Raises
    ------
    SpecificationError
        If `times` are not q finite numbers.
    """

    def __init__(self, labels: Sequence[str], times: Floats) -> None:
        self.times = np.asarray(times, dtype=float)
        if self.times.shape != (len(labels),) or not np.isfinite(self.times).all():
            raise SpecificationError(
                f"struct='CAR' needs one finite time for each of its {len(labels)} inner levels; "
                "make the inner variable numeric and drop rows without a time"
            )
        gaps = np.abs(self.times[:, None] - self.times)
        super().__init__(labels, GapCorrelation(gaps))
