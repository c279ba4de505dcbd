"""Means and modes of true effects on their natural scale, normal on the transformed one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from mvmeta.transf.arrays import Array, floats

_NEWTON = 60
# The trapezoidal rule over the normal density converges exponentially, also where tau2 is large
# against the curvature of the function, which Gauss-Hermite does not.
_NODES = np.linspace(-10.0, 10.0, 801)
_NODE_WEIGHTS = np.exp(-(_NODES**2) / 2)


def _integral(function: Callable[[Any], Any], xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Expectation of a function of a normal variable with mean xi and variance tau2."""
    mean, sd = floats(xi), np.sqrt(floats(tau2))
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
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Mean on the scale of the exponential, of the broadcast shape.

    References
    ----------
    .. [1] Johnson NL, Kotz S, Balakrishnan N (1994). *Continuous Univariate Distributions*, vol. 1,
       2nd ed. Wiley.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.exp_int(0.2, 0.1).round(4).item()
    1.284
    """
    return np.exp(floats(xi) + floats(tau2) / 2)


def ztor_int(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mean of tanh(theta) over true effects, theta normal with mean xi and variance tau2.

    Parameters
    ----------
    xi : array_like
        Mean of the true effects as Fisher's z.
    tau2 : array_like
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Mean correlation, of the broadcast shape.

    References
    ----------
    .. [1] Hafdahl AR (2009). Improved Fisher z estimators for univariate random-effects
       meta-analysis of correlations. *British Journal of Mathematical and Statistical Psychology*
       62:233–261. doi:10.1348/000711008X281633

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
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Mean proportion, of the broadcast shape.

    References
    ----------
    .. [1] Aitchison J, Shen SM (1980). Logistic-normal distributions: some properties and uses.
       *Biometrika* 67:261–272. doi:10.1093/biomet/67.2.261

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ilogit_int(1, 0.5).round(4).item()
    0.7116
    """
    return _integral(expit, xi, tau2)


def exp_mode(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mode of exp(theta), theta normal with mean xi and variance tau2: exp(xi - tau2).

    Parameters
    ----------
    xi : array_like
        Mean of the true effects on the logarithmic scale.
    tau2 : array_like
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Mode on the scale of the exponential, of the broadcast shape.

    References
    ----------
    .. [1] Johnson NL, Kotz S, Balakrishnan N (1994). *Continuous Univariate Distributions*, vol. 1,
       2nd ed. Wiley.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.exp_mode(0.2, 0.1).round(4).item()
    1.1052
    """
    return np.exp(floats(xi) - floats(tau2))


def ztor_mode(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mode of tanh(theta), theta normal with mean xi and variance tau2: z = xi + 2 tau2 tanh z.

    Of several modes the highest; NaN where xi is 0 and two are equally high (tau2 above 1/2).

    Parameters
    ----------
    xi : array_like
        Mean of the true effects as Fisher's z.
    tau2 : array_like
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Modal correlation, of the broadcast shape.

    References
    ----------
    See :func:`ilogit_mode`: tanh(x) = 2 ilogit(2x) - 1.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ztor_mode(0.3, 0.1).round(4).item()
    0.3548
    """
    return np.tanh(_mode(floats(xi), 2 * floats(tau2), 1.0))


def ilogit_mode(xi: ArrayLike, tau2: ArrayLike) -> Array:
    """Mode of the inverse logit of theta, normal (xi, tau2): z = xi + tau2 tanh(z / 2).

    Of several modes the highest; NaN where xi is 0 and two are equally high (tau2 above 2).

    Parameters
    ----------
    xi : array_like
        Mean of the true effects as log odds.
    tau2 : array_like
        Variance of the true effects, in squared units of `xi`.

    Returns
    -------
    ndarray
        Modal proportion, of the broadcast shape.

    References
    ----------
    .. [1] Johnson NL, Kotz S, Balakrishnan N (1994). *Continuous Univariate Distributions*, vol. 1,
       2nd ed. Wiley.

    Examples
    --------
    >>> from mvmeta import transf
    >>> transf.ilogit_mode(-1.0, 0.5).round(4).item()
    0.217
    """
    return expit(_mode(floats(xi), floats(tau2), 0.5))


def _mode(mean: Any, pull: Any, rate: float) -> Array:
    """Solution z of z = mean + pull tanh(rate z) that is farthest on the side of the mean.

    Beyond it z - pull tanh(rate z) is convex, so that Newton's steps from there never pass it.
    """
    centre, most = np.abs(mean), pull
    z = centre + most
    for _ in range(_NEWTON):
        bent = np.tanh(rate * z)
        slope = 1 - most * rate * (1 - bent**2)
        z = z - (z - centre - most * bent) / np.where(slope > 0, slope, 1.0)
    z = np.where(mean == 0, np.where(most * rate > 1, np.nan, 0.0), np.copysign(z, mean))
    return np.asarray(z)[()]
