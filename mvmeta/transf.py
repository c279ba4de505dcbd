"""Transformations of effect sizes and their inverses, under metafor's names (`_` for `.`).

Every function takes numbers or arrays and returns an array of the broadcast shape (a numpy float
for a number); values outside the domain of a transformation give NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr
from scipy.special import logit as _logit

__all__ = [
    "abt",
    "ahw",
    "arcsin",
    "dtobesd",
    "dtocles",
    "dtomd",
    "dtorpb",
    "dtou1",
    "dtou2",
    "dtou3",
    "exp_int",
    "iabt",
    "iahw",
    "iarcsin",
    "iirft",
    "ilogit",
    "ilogit_int",
    "ipft",
    "ipft_hm",
    "irft",
    "isqrt",
    "logit",
    "logortord",
    "logortorr",
    "pft",
    "r2toz",
    "rtoz",
    "ztor",
    "ztor2",
    "ztor_int",
]

Array = NDArray[np.float64]
# The trapezoidal rule over the normal density converges exponentially, also where tau2 is large
# against the curvature of the function, which Gauss-Hermite does not.
_NODES = np.linspace(-10.0, 10.0, 801)
_NODE_WEIGHTS = np.exp(-(_NODES**2) / 2)


def _floats(x: ArrayLike) -> Any:
    return np.asarray(x, dtype=np.float64)


def _inside(x: Array, low: float, high: float) -> Any:
    """Values in [low, high], NaN elsewhere."""
    return np.where((x >= low) & (x <= high), x, np.nan)[()]


def rtoz(xi: ArrayLike) -> Array:
    """Fisher's z of the correlation xi, atanh xi (Fisher, 1921); infinite at -1 and 1."""
    with np.errstate(divide="ignore"):
        return np.arctanh(_inside(_floats(xi), -1, 1))


def ztor(xi: ArrayLike) -> Array:
    """Inverse of Fisher's r-to-z: the correlation tanh xi."""
    return np.tanh(_floats(xi))


def r2toz(xi: ArrayLike) -> Array:
    """Fisher's z of the root of the coefficient of determination xi, atanh sqrt(xi)."""
    with np.errstate(divide="ignore"):
        return np.arctanh(np.sqrt(_inside(_floats(xi), 0, 1)))


def ztor2(xi: ArrayLike) -> Array:
    """Inverse of `r2toz`, tanh(xi)^2."""
    return np.tanh(_floats(xi)) ** 2


def logit(xi: ArrayLike) -> Array:
    """Log odds of the proportion xi, log(xi / (1-xi)); infinite at 0 and 1."""
    return _logit(_inside(_floats(xi), 0, 1))


def ilogit(xi: ArrayLike) -> Array:
    """Proportion of the log odds xi, 1 / (1 + exp(-xi))."""
    return expit(_floats(xi))


def arcsin(xi: ArrayLike) -> Array:
    """Arcsine square root of the proportion xi, in radians."""
    return np.arcsin(np.sqrt(_inside(_floats(xi), 0, 1)))


def iarcsin(xi: ArrayLike) -> Array:
    """Inverse of `arcsin`, sin(xi)^2; beyond its range [0, pi/2] the nearer of 0 and 1."""
    return np.sin(np.clip(_floats(xi), 0, np.pi / 2)) ** 2


def pft(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Freeman-Tukey double arcsine of a proportion xi of ni (Freeman & Tukey, 1950), radians."""
    p, n = _inside(_floats(xi), 0, 1), _floats(ni)
    events = p * n
    return (np.arcsin(np.sqrt(events / (n + 1))) + np.arcsin(np.sqrt((events + 1) / (n + 1)))) / 2


def ipft(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Inverse of `pft` for sample size ni (Miller, 1978).

    (1 - sign(cos t) sqrt(1 - (sin t + (sin t - 1/sin t) / n)^2)) / 2 with t = 2 xi; below the value
    of no events 0, above the value of nothing but events 1.
    """
    x, n = np.broadcast_arrays(_floats(xi), _floats(ni))
    lowest, highest = pft(0.0, n), pft(1.0, n)
    angle = 2 * np.clip(x, lowest, highest)
    sine = np.sin(angle)
    inner = sine + (sine - 1 / sine) / n
    p = (1 - np.sign(np.cos(angle)) * np.sqrt(np.maximum(1 - inner**2, 0.0))) / 2
    return np.where(x <= lowest, 0.0, np.where(x >= highest, 1.0, p))[()]


def ipft_hm(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Inverse of `pft` at the harmonic mean of the sample sizes ni (Miller, 1978)."""
    sizes = np.atleast_1d(_floats(ni))
    sizes = sizes[~np.isnan(sizes)]
    return ipft(xi, 1 / np.mean(1 / sizes))


def isqrt(xi: ArrayLike) -> Array:
    """Inverse of the square root, xi^2; 0 below 0."""
    return np.maximum(_floats(xi), 0.0) ** 2


def irft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Freeman-Tukey transformation of an incidence rate xi over person-time ti.

    (sqrt(xi) + sqrt(xi + 1/ti)) / 2 (Freeman & Tukey, 1950).
    """
    rate = _inside(_floats(xi), 0, np.inf)
    return (np.sqrt(rate) + np.sqrt(rate + 1 / _floats(ti))) / 2


def iirft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Inverse of `irft` for person-time ti, (xi - 1/(4 ti xi))^2.

    Below the value of a rate of 0, 1/(2 sqrt ti), it is 0.
    """
    x, time = np.broadcast_arrays(_floats(xi), _floats(ti))
    lowest = 1 / (2 * np.sqrt(time))
    used = np.maximum(x, lowest)
    return np.where(x <= lowest, 0.0, (used - 1 / (4 * time * used)) ** 2)[()]


def ahw(xi: ArrayLike) -> Array:
    """Cube root transformation of the alpha xi, 1 - (1-xi)^(1/3) (Hakstian & Whalen, 1976)."""
    return 1 - np.cbrt(1 - _floats(xi))


def iahw(xi: ArrayLike) -> Array:
    """Inverse of `ahw`, 1 - (1-xi)^3."""
    return 1 - (1 - _floats(xi)) ** 3


def abt(xi: ArrayLike) -> Array:
    """Log transformation of the alpha xi, -log(1-xi) (Bonett, 2002); infinite at 1."""
    with np.errstate(divide="ignore"):
        return -np.log1p(-_inside(_floats(xi), -np.inf, 1))


def iabt(xi: ArrayLike) -> Array:
    """Inverse of `abt`, 1 - exp(-xi)."""
    return -np.expm1(-_floats(xi))


def _integral(function: Callable[[Any], Any], xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Expectation of a function of a normal variable with mean xi and variance tau2."""
    mean, sd = _floats(xi), np.sqrt(_floats(tau2))
    values = function(mean[..., None] + np.atleast_1d(sd)[..., None] * _NODES)
    return (values @ _NODE_WEIGHTS / _NODE_WEIGHTS.sum()).reshape(np.broadcast(mean, sd).shape)[()]


def exp_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of exp(theta) over true effects, theta normal with mean xi and variance tau2.

    exp(xi + tau2 / 2) exactly, over the whole line.
    """
    return np.exp(_floats(xi) + _floats(tau2) / 2)


def ztor_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of tanh(theta) over true effects, theta normal with mean xi and variance tau2."""
    return _integral(np.tanh, xi, tau2)


def ilogit_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of the inverse logit over true effects, normal with mean xi and variance tau2."""
    return _integral(expit, xi, tau2)


def dtou1(xi: ArrayLike) -> Array:
    """Cohen's U1 of the standardized mean difference xi, the share of non-overlap.

    (2 Phi(a/2) - 1) / Phi(a/2) with a the absolute value of xi (Cohen, 1988).
    """
    half = ndtr(np.abs(_floats(xi)) / 2)
    return (2 * half - 1) / half


def dtou2(xi: ArrayLike) -> Array:
    """Cohen's U2 of the standardized mean difference xi, Phi(xi/2) (Cohen, 1988)."""
    return ndtr(_floats(xi) / 2)


def dtou3(xi: ArrayLike) -> Array:
    """Cohen's U3, the share of group 1 above the mean of group 2, Phi(xi) (Cohen, 1988)."""
    return ndtr(_floats(xi))


def dtocles(xi: ArrayLike) -> Array:
    """Probability of superiority (common language effect size), Phi(xi / sqrt 2).

    McGraw & Wong (1992).
    """
    return ndtr(_floats(xi) / np.sqrt(2))


def dtorpb(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Point-biserial correlation of the standardized mean difference xi, xi / sqrt(xi^2 + h).

    h = (n1i+n2i-2) (1/n1i + 1/n2i), or 4 where the group sizes are not given.
    """
    d = _floats(xi)
    if n1i is None or n2i is None:
        return d / np.sqrt(d**2 + 4)
    n1, n2 = _floats(n1i), _floats(n2i)
    return d / np.sqrt(d**2 + (n1 + n2 - 2) * (1 / n1 + 1 / n2))


def dtobesd(xi: ArrayLike) -> Array:
    """Binomial effect size display of xi: the share of group 1 above the median, 1/2 + r/2.

    r = xi / sqrt(xi^2 + 4) (Rosenthal & Rubin, 1982).
    """
    return 0.5 + dtorpb(xi) / 2


def dtomd(xi: ArrayLike, sd: ArrayLike) -> Array:
    """Mean difference of a standardized one, xi times the standard deviation sd."""
    return _floats(xi) * _floats(sd)


def logortord(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk difference of the log odds ratio xi at the control group's risk pc."""
    return expit(_logit(_floats(pc)) + _floats(xi)) - _floats(pc)


def logortorr(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk ratio of the log odds ratio xi at the control group's risk pc."""
    return expit(_logit(_floats(pc)) + _floats(xi)) / _floats(pc)
