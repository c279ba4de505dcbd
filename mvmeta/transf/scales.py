"""Scales on which estimates are nearer to normal, or their variances nearer to constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri
from scipy.special import logit as _logit

from mvmeta.transf.arrays import Array, floats, inside


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

    References
    ----------
    .. [1] Fisher RA (1921). On the “probable error” of a coefficient of correlation deduced from a
       small sample. *Metron* 1:1–32.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.rtoz([0.3, 0.5]).round(4)
    array([0.3095, 0.5493])
    """
    with np.errstate(divide="ignore"):
        return np.arctanh(inside(floats(xi), -1, 1))


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

    References
    ----------
    See :func:`rtoz`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor(0.5493).round(4).item()
    0.5
    """
    return np.tanh(floats(xi))


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

    References
    ----------
    .. [1] Olkin I, Finn JD (1995). Correlations redux. *Psychological Bulletin* 118:155–164.
       doi:10.1037/0033-2909.118.1.155

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.r2toz(0.25).round(4).item()
    0.5493
    """
    with np.errstate(divide="ignore"):
        return np.arctanh(np.sqrt(inside(floats(xi), 0, 1)))


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

    References
    ----------
    See :func:`r2toz`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor2(0.5493).round(4).item()
    0.25
    """
    return np.tanh(floats(xi)) ** 2


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

    References
    ----------
    .. [1] Agresti A (2002). *Categorical Data Analysis*, 2nd ed. Wiley.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.logit([0.25, 0.5]).round(4)
    array([-1.0986,  0.    ])
    """
    return _logit(inside(floats(xi), 0, 1))


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

    References
    ----------
    See :func:`logit`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ilogit([-1, 0, 1]).round(4)
    array([0.2689, 0.5   , 0.7311])
    """
    return expit(floats(xi))


def probit(xi: ArrayLike) -> Array:
    """Normal quantile of the proportion xi; infinite at 0 and 1.

    Parameters
    ----------
    xi : array_like
        Proportion.

    Returns
    -------
    ndarray
        Probit, in standard deviations, of the broadcast shape.

    References
    ----------
    .. [1] Agresti A (2002). *Categorical Data Analysis*, 2nd ed. Wiley.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.probit(0.3).round(4).item()
    -0.5244
    """
    return ndtri(inside(floats(xi), 0, 1))


def iprobit(xi: ArrayLike) -> Array:
    """Proportion of the probit xi, Phi(xi).

    Parameters
    ----------
    xi : array_like
        Probit.

    Returns
    -------
    ndarray
        Proportion, of the broadcast shape.

    References
    ----------
    See :func:`probit`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iprobit(-0.5244).round(4).item()
    0.3
    """
    return ndtr(floats(xi))


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

    References
    ----------
    .. [1] Rücker G, Schwarzer G, Carpenter J, Olkin I (2009). Why add anything to nothing? The
       arcsine difference as a measure of treatment effect in meta-analysis with zero cells.
       *Statistics in Medicine* 28:721–738. doi:10.1002/sim.3511

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.arcsin(0.3).round(4).item()
    0.5796
    """
    return np.arcsin(np.sqrt(inside(floats(xi), 0, 1)))


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

    References
    ----------
    See :func:`arcsin`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iarcsin(0.5796).round(4).item()
    0.3
    """
    return np.sin(np.clip(floats(xi), 0, np.pi / 2)) ** 2


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

    References
    ----------
    .. [1] Freeman MF, Tukey JW (1950). Transformations related to the angular and the square root.
       *Annals of Mathematical Statistics* 21:607–611. doi:10.1214/aoms/1177729756

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.pft(0.1, 10).round(4).item()
    0.3734
    """
    p, n = inside(floats(xi), 0, 1), floats(ni)
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

    References
    ----------
    .. [1] Miller JJ (1978). The inverse of the Freeman-Tukey double arcsine transformation.
       *American Statistician* 32:138. doi:10.1080/00031305.1978.10479283

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ipft(0.3217, 10).round(4).item()
    0.065
    """
    x, n = np.broadcast_arrays(floats(xi), floats(ni))
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

    References
    ----------
    .. [1] Miller JJ (1978). The inverse of the Freeman-Tukey double arcsine transformation.
       *American Statistician* 32:138. doi:10.1080/00031305.1978.10479283

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ipft_hm(0.4, [10, 20, 30]).round(4).item()
    0.1316
    """
    sizes = np.atleast_1d(floats(ni))
    sizes = sizes[~np.isnan(sizes)]
    return ipft(xi, 1 / np.mean(1 / sizes))


def isqrt(xi: ArrayLike) -> Array:
    """Inverse of the square root, xi^2; 0 below 0.

    Parameters
    ----------
    xi : array_like
        Square root of a number, in any unit.

    Returns
    -------
    ndarray
        Square, in squared units of `xi`, of the broadcast shape.

    References
    ----------
    .. [1] Rothman KJ, Greenland S, Lash TL (2008). *Modern Epidemiology*, 3rd ed. Lippincott
       Williams & Wilkins.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.isqrt(3).round(4).item()
    9.0
    """
    return np.maximum(floats(xi), 0.0) ** 2


def irft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Freeman-Tukey transformation of an incidence rate xi over person-time ti.

    (sqrt(xi) + sqrt(xi + 1/ti)) / 2 (Freeman & Tukey, 1950).

    Parameters
    ----------
    xi : array_like
        Incidence rate, events per unit of person-time.
    ti : array_like
        Person-time, in the unit per which the rate counts events.

    Returns
    -------
    ndarray
        Transformed rate, in the root of the unit of the rate, of the broadcast shape.

    References
    ----------
    .. [1] Freeman MF, Tukey JW (1950). Transformations related to the angular and the square root.
       *Annals of Mathematical Statistics* 21:607–611. doi:10.1214/aoms/1177729756

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.irft(0.05, 100).round(4).item()
    0.2343
    """
    rate = inside(floats(xi), 0, np.inf)
    return (np.sqrt(rate) + np.sqrt(rate + 1 / floats(ti))) / 2


def iirft(xi: ArrayLike, ti: ArrayLike) -> Array:
    """Inverse of `irft` for person-time ti, (xi - 1/(4 ti xi))^2.

    Below the value of a rate of 0, 1/(2 sqrt ti), it is 0.

    Parameters
    ----------
    xi : array_like
        Transformed rate, in the root of the unit of the rate.
    ti : array_like
        Person-time, in the unit per which the rate counts events.

    Returns
    -------
    ndarray
        Incidence rate, events per unit of person-time, of the broadcast shape.

    References
    ----------
    See :func:`irft`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iirft(0.23, 100).round(4).item()
    0.048
    """
    x, time = np.broadcast_arrays(floats(xi), floats(ti))
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
        Transformed alpha, without unit: 0 at 0, 1 at 1, of the broadcast shape.

    References
    ----------
    .. [1] Hakstian AR, Whalen TE (1976). A k-sample significance test for independent alpha
       coefficients. *Psychometrika* 41:219–231. doi:10.1007/BF02291840

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ahw(0.9).round(4).item()
    0.5358
    """
    return 1 - np.cbrt(1 - floats(xi))


def iahw(xi: ArrayLike) -> Array:
    """Inverse of `ahw`, 1 - (1-xi)^3.

    Parameters
    ----------
    xi : array_like
        Transformed alpha, without unit, as `ahw` gives it.

    Returns
    -------
    ndarray
        Cronbach's alpha, of the broadcast shape.

    References
    ----------
    See :func:`ahw`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iahw(0.5).round(4).item()
    0.875
    """
    return 1 - (1 - floats(xi)) ** 3


def abt(xi: ArrayLike) -> Array:
    """Log transformation of the alpha xi, -log(1-xi) (Bonett, 2002); infinite at 1.

    Parameters
    ----------
    xi : array_like
        Cronbach's alpha, at most 1.

    Returns
    -------
    ndarray
        Transformed alpha, without unit: 0 at 0, infinite at 1, of the broadcast shape.

    References
    ----------
    .. [1] Bonett DG (2002). Sample size requirements for testing and estimating coefficient alpha.
       *Journal of Educational and Behavioral Statistics* 27:335–340. doi:10.3102/10769986027004335

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.abt(0.9).round(4).item()
    2.3026
    """
    with np.errstate(divide="ignore"):
        return -np.log1p(-inside(floats(xi), -np.inf, 1))


def iabt(xi: ArrayLike) -> Array:
    """Inverse of `abt`, 1 - exp(-xi).

    Parameters
    ----------
    xi : array_like
        Transformed alpha, without unit, as `abt` gives it.

    Returns
    -------
    ndarray
        Cronbach's alpha, of the broadcast shape.

    References
    ----------
    See :func:`abt`.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.iabt(2.3).round(4).item()
    0.8997
    """
    return -np.expm1(-floats(xi))
