"""Mean mi and standard deviation sdi of a single group of size ni."""

from __future__ import annotations

import numpy as np

from mvmeta.effects.bias import hedges_factor
from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi

ALL = "mi sdi ni"


@measure("MN", layout="mean", needs=ALL)
def mean(x: Values) -> YiVi:
    """Raw mean, in the units of the measurements.

    y = m, v = sd^2 / n.
    """
    return x.mi, x.sdi**2 / x.ni


@measure("SMN", layout="mean", needs=ALL)
def standardized_mean(x: Values) -> YiVi:
    """Mean in standard deviations.

    y = J(n-1) m / sd, v = 1/n + y^2 / (2 n).
    """
    y = x.mi / x.sdi
    if x.correct:
        y = hedges_factor(x.ni - 1) * y
    return y, 1 / x.ni + y**2 / (2 * x.ni)


@measure("MNLN", layout="mean", needs=ALL, back="exp", no_effect=None)
def log_mean(x: Values) -> YiVi:
    """Log mean, of ratio-scale measurements.

    y = log m, v = sd^2 / (n m^2).
    """
    return np.log(x.mi), x.sdi**2 / (x.ni * x.mi**2)


def _spread_correction(x: Values) -> FloatArray:
    correction = 1 / (2 * (x.ni - 1))
    return correction if x.correct else np.zeros_like(correction)


@measure("SDLN", layout="mean", needs="sdi ni", back="exp", no_effect=None)
def log_sd(x: Values) -> YiVi:
    """Log standard deviation.

    y = log sd + 1/(2 (n-1)), v = 1/(2 (n-1)) (Raudenbush & Bryk, 1987; Nakagawa et al., 2015).
    """
    return np.log(x.sdi) + _spread_correction(x), 1 / (2 * (x.ni - 1))


@measure("CVLN", layout="mean", needs=ALL, back="exp", no_effect=None)
def log_cv(x: Values) -> YiVi:
    """Log coefficient of variation.

    y = log(sd/m) + 1/(2 (n-1)), v = 1/(2 (n-1)) + sd^2 / (n m^2) (Nakagawa et al., 2015, eq. 27,
    mean and variance independent).
    """
    y = np.log(x.sdi / x.mi) + _spread_correction(x)
    return y, 1 / (2 * (x.ni - 1)) + x.sdi**2 / (x.ni * x.mi**2)
