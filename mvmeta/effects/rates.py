"""Event counts over person-time, of two groups (x1i, t1i, x2i, t2i) or one (xi, ti)."""

from __future__ import annotations

import numpy as np

from mvmeta.effects.registry import measure
from mvmeta.effects.values import Values, YiVi

TWO = "x1i t1i x2i t2i"
ONE = "xi ti"


@measure("IRR", layout="rates", needs=TWO, back="exp")
def log_rate_ratio(x: Values) -> YiVi:
    """Log incidence rate ratio.

    y = log((x1/t1) / (x2/t2)), v = 1/x1 + 1/x2 (Rothman et al., 2008).
    """
    return np.log(x.x1i / x.t1i) - np.log(x.x2i / x.t2i), 1 / x.x1i + 1 / x.x2i


@measure("IRD", layout="rates", needs=TWO)
def rate_difference(x: Values) -> YiVi:
    """Incidence rate difference, in events per unit of person-time.

    y = x1/t1 - x2/t2, v = x1/t1^2 + x2/t2^2 (Rothman et al., 2008).
    """
    return x.x1i / x.t1i - x.x2i / x.t2i, x.x1i / x.t1i**2 + x.x2i / x.t2i**2


@measure("IRSD", layout="rates", needs=TWO, add=0.0)
def root_rate_difference(x: Values) -> YiVi:
    """Difference of square root transformed incidence rates.

    y = sqrt(x1/t1) - sqrt(x2/t2), v = 1/(4 t1) + 1/(4 t2) (Rothman et al., 2008).
    """
    y = np.sqrt(x.x1i / x.t1i) - np.sqrt(x.x2i / x.t2i)
    return y, 1 / (4 * x.t1i) + 1 / (4 * x.t2i)


@measure("IR", layout="rate", needs=ONE, no_effect=None)
def rate(x: Values) -> YiVi:
    """Incidence rate, in events per unit of person-time.

    y = x/t, v = x/t^2 (Rothman et al., 2008).
    """
    return x.xi / x.ti, x.xi / x.ti**2


@measure("IRLN", layout="rate", needs=ONE, back="exp", no_effect=None)
def log_rate(x: Values) -> YiVi:
    """Log incidence rate.

    y = log(x/t), v = 1/x (Rothman et al., 2008).
    """
    return np.log(x.xi / x.ti), 1 / x.xi


@measure(
    "IRS", layout="rate", needs=ONE, add=0.0, back="isqrt", natural="Incidence rate", no_effect=None
)
def root_rate(x: Values) -> YiVi:
    """Square root transformed incidence rate.

    y = sqrt(x/t), v = 1/(4 t) (Rothman et al., 2008).
    """
    return np.sqrt(x.xi / x.ti), 1 / (4 * x.ti)


@measure("IRFT", layout="rate", needs=ONE, add=0.0, no_effect=None)
def freeman_tukey_rate(x: Values) -> YiVi:
    """Freeman-Tukey transformed incidence rate.

    y = (sqrt(x/t) + sqrt((x+1)/t)) / 2, v = 1/(4 t) (Freeman & Tukey, 1950).
    """
    return (np.sqrt(x.xi / x.ti) + np.sqrt((x.xi + 1) / x.ti)) / 2, 1 / (4 * x.ti)
