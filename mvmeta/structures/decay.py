"""Correlations that decay with distance, ``R_ij = f(d_ij / rho)`` with a range rho."""

from abc import ABC, abstractmethod

import numpy as np

from mvmeta._typing import Floats
from mvmeta.structures.base import Chart
from mvmeta.structures.correlation import Correlation

VANISHING = 1e-60
"""Working range taken as 0: below it powers of 1/w overflow and R has its limit anyway."""

CLOSE = 96
"""Ranges up to which a correlation that ends at its range is tried at each distance."""


class Profile(ABC):
    """The shape f of a correlation function, in terms of ``s = (scale d / rho)^power``.

    The power is the one that makes f smooth and, where possible, not flat at s = 0.

    Attributes
    ----------
    power : float
        Exponent that makes s of d / rho.
    scale : float
        Factor of d / rho.
    tail : float
        Limit of s f(s) for large s: 0 unless f decays like tail / s.
    compact : bool
        Whether f is 0 from s = 1 on, where a derivative jumps.
    kinked : bool
        Whether the first derivative does.
    """

    power: float = 1.0
    scale: float = 1.0
    tail: float = 0.0
    compact: bool = False
    kinked: bool = False

    @abstractmethod
    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        """f, its first and its second derivative at s >= 0 (any shape)."""


class ExponentialProfile(Profile):
    """``exp(-(d/rho)^power)``: exponential for power 1, Gaussian for power 2."""

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        f = np.exp(-s)
        return f, -f, f


class RationalProfile(Profile):
    """``1 / (1 + (d/rho)^2)``, the rational quadratic."""

    power = 2.0
    tail = 1.0

    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        f = 1.0 / (1.0 + s)
        return f, -(f**2), 2.0 * f**3


class LinearProfile(Profile):
    """``1 - d/rho`` up to rho, then 0; at d = rho the slope jumps, and 0 is given."""

    compact = True
    kinked = True

    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        near = s < 1
        return np.where(near, 1.0 - s, 0.0), np.where(near, -1.0, 0.0), np.zeros_like(s)


class SphericalProfile(Profile):
    """``1 - 1.5 d/rho + 0.5 (d/rho)^3`` up to rho, then 0; at d = rho the curvature jumps."""

    compact = True

    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        near = s < 1
        t = np.where(near, s, 1.0)
        f = 1.0 - 1.5 * t + 0.5 * t**3
        return f, 1.5 * (t**2 - 1.0), np.where(near, 3.0 * t, 0.0)


class RangeWeight(Chart):
    """R as a function of ``w = rho^p / (rho^p + m^p)`` in [0, 1], m the median distance.

    With p the power of the profile, ``s = k (1 - w) / w`` for ``k = (scale d / m)^p``.  Both
    ends are limits that are reached: w = 0 is rho = 0, R the identity, and w = 1 is
    rho = inf, R the matrix of ones, where R has a non-zero derivative.

    Parameters
    ----------
    distance : ndarray, shape (q, q)
        d.
    profile : Profile
        f.
    """

    def __init__(self, distance: Floats, profile: Profile) -> None:
        positive = distance[distance > 0]
        self.profile = profile
        self.median = float(np.median(positive)) if positive.size else 1.0
        self.k = (profile.scale * distance / self.median) ** profile.power
        self.lower, self.upper = np.zeros(1), np.ones(1)

    def weight(self, rho: Floats) -> Floats:
        """W of the range `rho`; 1 for infinity."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / (1.0 + (self.median / rho) ** self.profile.power))

    def range(self, w: Floats) -> Floats:
        """Return the range rho of `w`; infinity for 1."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.median * (w / (1.0 - w)) ** (1.0 / self.profile.power))

    def matrix(self, x: Floats) -> Floats:
        w = float(x[0])
        if w < VANISHING:
            return np.asarray(self.k == 0, dtype=float)
        return self.profile.evaluate(self.k * (1.0 - w) / w)[0]

    def jacobian(self, x: Floats) -> Floats:
        w = float(x[0])
        if w < VANISHING:
            return (self.profile.tail * self._inverse_k())[None]
        _, first, _ = self.profile.evaluate(self.k * (1.0 - w) / w)
        return np.asarray(-first * self.k / w**2)[None]

    def hessian(self, x: Floats) -> Floats:
        w, k = float(x[0]), self.k
        if w < VANISHING:
            inverse = self._inverse_k()
            return (-2.0 * self.profile.tail * (1.0 - k) * inverse**2)[None, None]
        _, first, second = self.profile.evaluate(k * (1.0 - w) / w)
        return np.asarray(second * (k / w**2) ** 2 + first * 2.0 * k / w**3)[None, None]

    def _inverse_k(self) -> Floats:
        return np.divide(1.0, self.k, out=np.zeros_like(self.k), where=self.k > 0)


def range_sweep(chart: RangeWeight, distances: Floats) -> Floats:
    """W of ranges to look at: the smallest of the `distances` (rising), then ever fewer.

    A single pair of close sites can make a maximum of its own, at a range of its distance; of
    ranges many pairs respond to a few suffice.
    """
    rank = np.minimum(2 ** np.arange(len(distances).bit_length() + 1), len(distances)) - 1
    beyond = np.array([1.4, 3.0, 15.0]) * distances[-1]
    ranges = np.concatenate([distances[0] / np.array([20.0, 2.0]), distances[rank], beyond])
    return np.unique(chart.weight(ranges))


class RangeCorrelation(Correlation):
    """``R_ij = f(d_ij / rho)``, rho >= 0.

    Parameters
    ----------
    distance : ndarray, shape (q, q)
        Symmetric, non-negative, zero on the diagonal.
    profile : Profile
        f.
    quantiles : tuple of float
        Quantiles of the positive distances taken as start values of rho, the main one first;
        2 stands for twice the largest distance.
    """

    levels = ("",)

    def __init__(
        self,
        distance: Floats,
        profile: Profile,
        quantiles: tuple[float, ...] = (0.25, 0.02, 0.1, 2.0),
    ) -> None:
        self.q, self.distance = len(distance), distance
        self.profile, self.quantiles = profile, quantiles
        self.lower, self.upper = np.zeros(1), np.full(1, np.inf)
        self._working = RangeWeight(distance, profile)

    @property
    def working(self) -> Chart:
        return self._working

    def _ratio(self, rho: float) -> Floats:
        return np.asarray((self.profile.scale * self.distance / rho) ** self.profile.power)

    def _vanishing(self, rho: float) -> bool:
        return rho < VANISHING * self._working.median

    def matrix(self, x: Floats) -> Floats:
        rho = float(x[0])
        if self._vanishing(rho):
            return np.asarray(self.distance == 0, dtype=float)
        return self.profile.evaluate(self._ratio(rho))[0]

    def jacobian(self, x: Floats) -> Floats:
        rho, p = float(x[0]), self.profile.power
        if self._vanishing(rho):
            return np.zeros((1, self.q, self.q))
        s = self._ratio(rho)
        _, first, _ = self.profile.evaluate(s)
        return np.asarray(-first * p * s / rho)[None]

    def hessian(self, x: Floats) -> Floats:
        rho, p = float(x[0]), self.profile.power
        if self._vanishing(rho):
            d = self.distance
            inverse = np.divide(1.0, d, out=np.zeros_like(d), where=d > 0)
            return (2.0 * self.profile.tail * inverse**2)[None, None]
        s = self._ratio(rho)
        _, first, second = self.profile.evaluate(s)
        out = second * (p * s / rho) ** 2 + first * p * (p + 1.0) * s / rho / rho
        return np.asarray(out)[None, None]

    def to_working(self, rho: Floats) -> Floats:
        return self._working.weight(rho)

    def to_natural(self, r: Floats) -> Floats:
        return self._working.range(r)

    def sweep(self) -> tuple[Floats, Floats]:
        distances = np.unique(self.distance[self.distance > 0])
        if not distances.size:
            return np.array([0.5]), np.empty(0)
        chart = self._working
        if not self.profile.compact:
            return range_sweep(chart, distances), np.empty(0)
        kinks = chart.weight(distances) if self.profile.kinked else np.empty(0)
        evenly = np.quantile(distances, np.linspace(0.0, 1.0, CLOSE), method="nearest")
        return np.union1d(chart.weight(evenly), range_sweep(chart, distances)), kinks

    def starts(self) -> list[Floats]:
        positive = self.distance[self.distance > 0]
        if not positive.size:
            return [np.array([0.5])]
        # Off the kinks, and beyond the smallest distance, below which R does not change.
        stretch = 1.1 if self.profile.compact else 1.0
        ranges = [
            np.quantile(positive, x) if x <= 1 else x * positive.max() for x in self.quantiles
        ]
        return [self._working.weight(np.array([stretch * rho])) for rho in ranges]
