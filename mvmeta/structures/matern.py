"""The Matern correlation function of any smoothness, differentiable at distance zero."""

from math import exp, gamma, lgamma, log

import numpy as np
from scipy.special import kve

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.structures.decay import Profile

ROUGHEST, SMOOTHEST = 0.1, 50.0
"""Range of nu: rougher ones are white noise but in name, smoother ones Gaussian."""

SMALL = 1e-8
"""Argument below which leading terms of a series are exact or differences lose their digits."""

TINY = 1e-50
"""Argument below which products of powers and Bessel functions may overflow."""


VANISHED = 700.0
"""Argument from which on f is 0 in double precision, as is exp(-t)."""


class MaternProfile(Profile):
    """``2^(1-nu) / Gamma(nu) t^nu K_nu(t)`` with ``t = sqrt(2 nu) d / rho``.

    The factor sqrt(2 nu) makes ranges of different smoothness comparable (Rasmussen &
    Williams 2006, eq. 4.14): nu = 1/2 is exp(-d/rho), nu -> inf is exp(-d^2 / (2 rho^2)).
    Derivatives follow from ``d/dt t^a K_a(t) = -t^a K_{a-1}(t)``.

    Near zero f is a series in t^2 and t^(2 nu) (and logarithms for whole nu), so the power of
    s = t^power is chosen such that the second derivative in s exists: 2 for nu > 2, 2 nu for
    nu <= 1/2 and nu/2 between.

    Parameters
    ----------
    smoothness : float
        nu, in [0.1, 50].

    Raises
    ------
    SpecificationError
        If `smoothness` is outside that range.
    """

    def __init__(self, smoothness: float) -> None:
        if not ROUGHEST <= smoothness <= SMOOTHEST:
            raise SpecificationError(
                f"smoothness = {smoothness:g}: the Matern correlation takes one from {ROUGHEST:g} "
                f"to {SMOOTHEST:g}; beyond that use struct='SPGAU'"
            )
        nu = self.smoothness = float(smoothness)
        self.scale = float(np.sqrt(2.0 * nu))
        self._constant = exp((1.0 - nu) * log(2.0) - lgamma(nu))
        # f = 1 + slope s + bend s^exponent + ... near s = 0; `near` is where that is used.
        if nu > 2:
            self.power, self._near = 2.0, TINY**2
            self._series = (-0.25 / (nu - 1.0), 1.0 / (32.0 * (nu - 1.0) * (nu - 2.0)), 2.0)
        elif nu > 0.5:
            self.power, self._near = nu / 2.0, TINY ** (nu / 2.0)
            self._series = (0.0, -0.25 if nu == 2 else 0.0, 2.0)
        else:
            self.power, self._near = 2.0 * nu, SMALL
            slope = -gamma(1.0 - nu) / (gamma(1.0 + nu) * 4.0**nu)
            self._series = (slope, 0.25 / (1.0 - nu), 1.0 / nu)

    def evaluate(self, s: Floats) -> tuple[Floats, Floats, Floats]:
        nu, p, c = self.smoothness, self.power, self._constant
        near = s < self._near
        t = np.where(near, 1.0, s) ** (1.0 / p)
        g1, g2 = _power_bessel(nu - 1.0, t), _power_bessel(nu - 2.0, t)
        value = c * _power_bessel(nu, t)
        first = -c / p * t ** (2.0 - p) * g1
        second = -c / p**2 * t ** (2.0 - 2.0 * p) * ((2.0 - p) * g1 - t**2 * g2)
        slope, bend, e = self._series
        s = np.where(near, s, 0.0)
        return (
            np.where(near, 1.0 + slope * s + bend * s**e, value),
            np.where(near, slope + bend * e * s ** (e - 1.0), first),
            np.where(near, bend * e * (e - 1.0) * s ** (e - 2.0), second),
        )


def _power_bessel(a: float, t: Floats) -> Floats:
    """``t^a K_a(t)`` for t > 0."""
    t = np.minimum(t, VANISHED)
    if a <= 1:
        return np.asarray(t**a * kve(a, t) * np.exp(-t))
    # Below, K overflows for large a, and the leading terms of the series (DLMF 10.30.2) do.
    small = t < (1e-3 if a > 3 else SMALL)
    u = np.where(small, 1.0, t)
    series = 1.0 - t**2 / (4.0 * (a - 1.0))
    if a > 3:
        series = series + t**4 / (32.0 * (a - 1.0) * (a - 2.0))
    limit = 2.0 ** (a - 1.0) * gamma(a)
    return np.where(small, limit * series, u**a * kve(a, u) * np.exp(-u))
