"""Transformations of effect sizes and their inverses, under metafor's names (`_` for `.`).

Every function takes numbers or arrays and returns an array of the broadcast shape (a numpy float
for a number); values outside the domain of a transformation give NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr, ndtri
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
    "iprobit",
    "irft",
    "isqrt",
    "logit",
    "logortord",
    "logortorr",
    "pft",
    "probit",
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
    """Fisher's z of the correlation xi, atanh xi (Fisher, 1921); infinite at -1 and 1.

    Parameters
    ----------
    xi : array_like
        Correlation, between -1 and 1.

    Returns
    -------
    ndarray
        Fisher's z, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rtoz([0.3, 0.5]).round(4)
    array([0.3095, 0.5493])
    """
    with np.errstate(divide="ignore"):
        return np.arctanh(_inside(_floats(xi), -1, 1))


def ztor(xi: ArrayLike) -> Array:
    """Inverse of Fisher's r-to-z: the correlation tanh xi.

    Parameters
    ----------
    xi : array_like
        Fisher's z.

    Returns
    -------
    ndarray
        Correlation, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor(0.5493).round(4).item()
    0.5
    """
    return np.tanh(_floats(xi))


def r2toz(xi: ArrayLike) -> Array:
    """Fisher's z of the root of the coefficient of determination xi, atanh sqrt(xi).

    Parameters
    ----------
    xi : array_like
        Coefficient of determination, between 0 and 1.

    Returns
    -------
    ndarray
        Fisher's z, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.r2toz(0.25).round(4).item()
    0.5493
    """
    with np.errstate(divide="ignore"):
        return np.arctanh(np.sqrt(_inside(_floats(xi), 0, 1)))


def ztor2(xi: ArrayLike) -> Array:
    """Inverse of `r2toz`, tanh(xi)^2.

    Parameters
    ----------
    xi : array_like
        Fisher's z of its root.

    Returns
    -------
    ndarray
        Coefficient of determination, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor2(0.5493).round(4).item()
    0.25
    """
    return np.tanh(_floats(xi)) ** 2


def logit(xi: ArrayLike) -> Array:
    """Log odds of the proportion xi, log(xi / (1-xi)); infinite at 0 and 1.

    Parameters
    ----------
    xi : array_like
        Proportion, between 0 and 1.

    Returns
    -------
    ndarray
        Log odds, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logit([0.25, 0.5]).round(4)
    array([-1.0986,  0.    ])
    """
    return _logit(_inside(_floats(xi), 0, 1))


def ilogit(xi: ArrayLike) -> Array:
    """Proportion of the log odds xi, 1 / (1 + exp(-xi)).

    Parameters
    ----------
    xi : array_like
        Log odds.

    Returns
    -------
    ndarray
        Proportion, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ilogit([-1, 0, 1]).round(4)
    array([0.2689, 0.5   , 0.7311])
    """
    return expit(_floats(xi))


def probit(xi: ArrayLike) -> Array:
    """Normal quantile of the proportion xi; infinite at 0 and 1."""
    return ndtri(_inside(_floats(xi), 0, 1))


def iprobit(xi: ArrayLike) -> Array:
    """Proportion of the probit xi, Phi(xi)."""
    return ndtr(_floats(xi))


def arcsin(xi: ArrayLike) -> Array:
    """Arcsine square root of the proportion xi, in radians.

    Parameters
    ----------
    xi : array_like
        Proportion, between 0 and 1.

    Returns
    -------
    ndarray
        Angle in radians, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.arcsin(0.3).round(4).item()
    0.5796
    """
    return np.arcsin(np.sqrt(_inside(_floats(xi), 0, 1)))


def iarcsin(xi: ArrayLike) -> Array:
    """Inverse of `arcsin`, sin(xi)^2; beyond its range [0, pi/2] the nearer of 0 and 1.

    Parameters
    ----------
    xi : array_like
        Angle in radians.

    Returns
    -------
    ndarray
        Proportion, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iarcsin(0.5796).round(4).item()
    0.3
    """
    return np.sin(np.clip(_floats(xi), 0, np.pi / 2)) ** 2


def pft(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Freeman-Tukey double arcsine of a proportion xi of ni (Freeman & Tukey, 1950), radians.

    Parameters
    ----------
    xi : array_like
        Proportion, between 0 and 1.
    ni : array_like
        Sample size.

    Returns
    -------
    ndarray
        Angle in radians, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.pft(0.1, 10).round(4).item()
    0.3734
    """
    p, n = _inside(_floats(xi), 0, 1), _floats(ni)
    events = p * n
    return (np.arcsin(np.sqrt(events / (n + 1))) + np.arcsin(np.sqrt((events + 1) / (n + 1)))) / 2


def ipft(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Inverse of `pft` for sample size ni (Miller, 1978).

    (1 - sign(cos t) sqrt(1 - (sin t + (sin t - 1/sin t) / n)^2)) / 2 with t = 2 xi; below the value
    of no events 0, above the value of nothing but events 1.

    Parameters
    ----------
    xi : array_like
        Double arcsine in radians.
    ni : array_like
        Sample size.

    Returns
    -------
    ndarray
        Proportion, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ipft(0.3217, 10).round(4).item()
    0.065
    """
    x, n = np.broadcast_arrays(_floats(xi), _floats(ni))
    lowest, highest = pft(0.0, n), pft(1.0, n)
    angle = 2 * np.clip(x, lowest, highest)
    sine = np.sin(angle)
    inner = sine + (sine - 1 / sine) / n
    p = (1 - np.sign(np.cos(angle)) * np.sqrt(np.maximum(1 - inner**2, 0.0))) / 2
    return np.where(x <= lowest, 0.0, np.where(x >= highest, 1.0, p))[()]


def ipft_hm(xi: ArrayLike, ni: ArrayLike) -> Array:
    """Inverse of `pft` at the harmonic mean of the sample sizes ni (Miller, 1978).

    Parameters
    ----------
    xi : array_like
        Double arcsine in radians.
    ni : array_like
        Sample sizes, whose harmonic mean is used; NaN are left out.

    Returns
    -------
    ndarray
        Proportion, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ipft_hm(0.4, [10, 20, 30]).round(4).item()
    0.1316
    """
    sizes = np.atleast_1d(_floats(ni))
    sizes = sizes[~np.isnan(sizes)]
    return ipft(xi, 1 / np.mean(1 / sizes))


def isqrt(xi: ArrayLike) -> Array:
    """Inverse of the square root, xi^2; 0 below 0.

    Parameters
    ----------
    xi : array_like
        Square root.

    Returns
    -------
    ndarray
        Square, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.isqrt(3).round(4).item()
    9.0
    """
    return np.maximum(_floats(xi), 0.0) ** 2


def irft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Freeman-Tukey transformation of an incidence rate xi over person-time ti.

    (sqrt(xi) + sqrt(xi + 1/ti)) / 2 (Freeman & Tukey, 1950).

    Parameters
    ----------
    xi : array_like
        Incidence rate, events per unit of person-time.
    ti : array_like
        Person-time.

    Returns
    -------
    ndarray
        Transformed rate, in the root of its unit, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.irft(0.05, 100).round(4).item()
    0.2343
    """
    rate = _inside(_floats(xi), 0, np.inf)
    return (np.sqrt(rate) + np.sqrt(rate + 1 / _floats(ti))) / 2


def iirft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Inverse of `irft` for person-time ti, (xi - 1/(4 ti xi))^2.

    Below the value of a rate of 0, 1/(2 sqrt ti), it is 0.

    Parameters
    ----------
    xi : array_like
        Transformed rate.
    ti : array_like
        Person-time.

    Returns
    -------
    ndarray
        Incidence rate, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iirft(0.23, 100).round(4).item()
    0.048
    """
    x, time = np.broadcast_arrays(_floats(xi), _floats(ti))
    lowest = 1 / (2 * np.sqrt(time))
    used = np.maximum(x, lowest)
    return np.where(x <= lowest, 0.0, (used - 1 / (4 * time * used)) ** 2)[()]


def ahw(xi: ArrayLike) -> Array:
    """Cube root transformation of the alpha xi, 1 - (1-xi)^(1/3) (Hakstian & Whalen, 1976).

    Parameters
    ----------
    xi : array_like
        Cronbach's alpha.

    Returns
    -------
    ndarray
        Transformed alpha, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ahw(0.9).round(4).item()
    0.5358
    """
    return 1 - np.cbrt(1 - _floats(xi))


def iahw(xi: ArrayLike) -> Array:
    """Inverse of `ahw`, 1 - (1-xi)^3.

    Parameters
    ----------
    xi : array_like
        Transformed alpha.

    Returns
    -------
    ndarray
        Cronbach's alpha, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iahw(0.5).round(4).item()
    0.875
    """
    return 1 - (1 - _floats(xi)) ** 3


def abt(xi: ArrayLike) -> Array:
    """Log transformation of the alpha xi, -log(1-xi) (Bonett, 2002); infinite at 1.

    Parameters
    ----------
    xi : array_like
        Cronbach's alpha, at most 1.

    Returns
    -------
    ndarray
        Transformed alpha, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.abt(0.9).round(4).item()
    2.3026
    """
    with np.errstate(divide="ignore"):
        return -np.log1p(-_inside(_floats(xi), -np.inf, 1))


def iabt(xi: ArrayLike) -> Array:
    """Inverse of `abt`, 1 - exp(-xi).

    Parameters
    ----------
    xi : array_like
        Transformed alpha.

    Returns
    -------
    ndarray
        Cronbach's alpha, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iabt(2.3).round(4).item()
    0.8997
    """
    return -np.expm1(-_floats(xi))


def _integral(function: Callable[[Any], Any], xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Expectation of a function of a normal variable with mean xi and variance tau2."""
    mean, sd = _floats(xi), np.sqrt(_floats(tau2))
    values = function(mean[..., None] + np.atleast_1d(sd)[..., None] * _NODES)
    return (values @ _NODE_WEIGHTS / _NODE_WEIGHTS.sum()).reshape(np.broadcast(mean, sd).shape)[()]


def exp_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of exp(theta) over true effects, theta normal with mean xi and variance tau2.

    exp(xi + tau2 / 2) exactly, over the whole line.

    Parameters
    ----------
    xi : array_like
        Mean of the true effects on the logarithmic scale.
    tau2 : array_like
        Variance of the true effects.

    Returns
    -------
    ndarray
        Mean on the scale of the exponential, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.exp_int(0.2, 0.1).round(4).item()
    1.284
    """
    return np.exp(_floats(xi) + _floats(tau2) / 2)


def ztor_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of tanh(theta) over true effects, theta normal with mean xi and variance tau2.

    Parameters
    ----------
    xi : array_like
        Mean of the true effects as Fisher's z.
    tau2 : array_like
        Variance of the true effects.

    Returns
    -------
    ndarray
        Mean correlation, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor_int(0.5, 0.1).round(4).item()
    0.43
    """
    return _integral(np.tanh, xi, tau2)


def ilogit_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of the inverse logit over true effects, normal with mean xi and variance tau2.

    Parameters
    ----------
    xi : array_like
        Mean of the true effects as log odds.
    tau2 : array_like
        Variance of the true effects.

    Returns
    -------
    ndarray
        Mean proportion, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ilogit_int(1, 0.5).round(4).item()
    0.7116
    """
    return _integral(expit, xi, tau2)


def dtou1(xi: ArrayLike) -> Array:
    """Cohen's U1 of the standardized mean difference xi, the share of non-overlap.

    (2 Phi(a/2) - 1) / Phi(a/2) with a the absolute value of xi (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou1(0.5).round(4).item()
    0.3297
    """
    half = ndtr(np.abs(_floats(xi)) / 2)
    return (2 * half - 1) / half


def dtou2(xi: ArrayLike) -> Array:
    """Cohen's U2 of the standardized mean difference xi, Phi(xi/2) (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou2(0.5).round(4).item()
    0.5987
    """
    return ndtr(_floats(xi) / 2)


def dtou3(xi: ArrayLike) -> Array:
    """Cohen's U3, the share of group 1 above the mean of group 2, Phi(xi) (Cohen, 1988).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtou3(0.5).round(4).item()
    0.6915
    """
    return ndtr(_floats(xi))


def dtocles(xi: ArrayLike) -> Array:
    """Probability of superiority (common language effect size), Phi(xi / sqrt 2).

    McGraw & Wong (1992).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Probability, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtocles(0.5).round(4).item()
    0.6382
    """
    return ndtr(_floats(xi) / np.sqrt(2))


def dtorpb(xi: ArrayLike, n1i: ArrayLike | None = None, n2i: ArrayLike | None = None) -> Array:
    """Point-biserial correlation of the standardized mean difference xi, xi / sqrt(xi^2 + h).

    h = (n1i+n2i-2) (1/n1i + 1/n2i), or 4 where the group sizes are not given.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.
    n1i : array_like, optional
        Size of group 1.
    n2i : array_like, optional
        Size of group 2.

    Returns
    -------
    ndarray
        Correlation, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtorpb(0.5).round(4).item()
    0.2425
    """
    d = _floats(xi)
    if n1i is None or n2i is None:
        return d / np.sqrt(d**2 + 4)
    n1, n2 = _floats(n1i), _floats(n2i)
    return d / np.sqrt(d**2 + (n1 + n2 - 2) * (1 / n1 + 1 / n2))


def dtobesd(xi: ArrayLike) -> Array:
    """Binomial effect size display of xi: the share of group 1 above the median, 1/2 + r/2.

    r = xi / sqrt(xi^2 + 4) (Rosenthal & Rubin, 1982).

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.

    Returns
    -------
    ndarray
        Share, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtobesd(0.5).round(4).item()
    0.6213
    """
    return 0.5 + dtorpb(xi) / 2


def dtomd(xi: ArrayLike, sd: ArrayLike) -> Array:
    """Mean difference of a standardized one, xi times the standard deviation sd.

    Parameters
    ----------
    xi : array_like
        Standardized mean difference.
    sd : array_like
        Standard deviation, in the unit of the outcome.

    Returns
    -------
    ndarray
        Mean difference, in the unit of `sd`, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.dtomd(0.5, 12).round(4).item()
    6.0
    """
    return _floats(xi) * _floats(sd)


def logortord(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk difference of the log odds ratio xi at the control group's risk pc.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group, between 0 and 1.

    Returns
    -------
    ndarray
        Risk difference, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logortord(-0.5, 0.3).round(4).item()
    -0.0937
    """
    return expit(_logit(_floats(pc)) + _floats(xi)) - _floats(pc)


def logortorr(xi: ArrayLike, pc: ArrayLike) -> Array:
    """Risk ratio of the log odds ratio xi at the control group's risk pc.

    Parameters
    ----------
    xi : array_like
        Log odds ratio.
    pc : array_like
        Risk in the control group, between 0 and 1.

    Returns
    -------
    ndarray
        Risk ratio, of the broadcast shape.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logortorr(-0.5, 0.3).round(4).item()
    0.6877
    """
    return expit(_logit(_floats(pc)) + _floats(xi)) / _floats(pc)
