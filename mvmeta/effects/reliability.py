"""Cronbach's alpha, Hardy-Weinberg equilibrium, and estimates that are ready made."""

from __future__ import annotations

import numpy as np

from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi

ALPHA = "ai mi ni"


def _log_scale_variance(x: Values) -> FloatArray:
    return 2 * x.mi / ((x.mi - 1) * (x.ni - 2))


@measure("ARAW", layout="alpha", needs=ALPHA, no_effect=None)
def alpha(x: Values) -> YiVi:
    """Raw coefficient alpha.

    y = alpha, v = 2 m (1-alpha)^2 / ((m-1) (n-2)), m items (Bonett, 2002, 2010).
    """
    return x.ai, _log_scale_variance(x) * (1 - x.ai) ** 2


@measure(
    "AHW", layout="alpha", needs=ALPHA, back="iahw", natural="Coefficient alpha", no_effect=None
)
def alpha_cube_root(x: Values) -> YiVi:
    """Cube root transformed coefficient alpha.

    y = 1 - (1-alpha)^(1/3), v = 18 m (n-1) (1-alpha)^(2/3) / ((m-1) (9n-11)^2)
    (Hakstian & Whalen, 1976).
    """
    root = np.cbrt(1 - x.ai)
    return 1 - root, 18 * x.mi * (x.ni - 1) * root**2 / ((x.mi - 1) * (9 * x.ni - 11) ** 2)


@measure(
    "ABT", layout="alpha", needs=ALPHA, back="iabt", natural="Coefficient alpha", no_effect=None
)
def alpha_log(x: Values) -> YiVi:
    """Log transformed coefficient alpha.

    y = -log(1-alpha), v = 2 m / ((m-1) (n-2)) (Bonett, 2002).
    """
    return -np.log(1 - x.ai), _log_scale_variance(x)


@measure("REH", layout="genotypes", needs="ai bi ci", back="exp")
def excess_heterozygosity(x: Values) -> YiVi:
    """Log relative excess heterozygosity.

    y = log(b / (2 sqrt(a c))), v = 1/(4 a) + 1/b + 1/(4 c) (Ziegler et al., 2011).
    """
    y = np.log(x.bi / (2 * np.sqrt(x.ai * x.ci)))
    return y, 1 / (4 * x.ai) + 1 / x.bi + 1 / (4 * x.ci)


@measure("GEN", layout="ready", needs="yi vi")
def ready_made(x: Values) -> YiVi:
    """Estimate, ready made, with its variance (or standard error sei)."""
    return x.yi, x.vi


@measure("HR", layout="ready", needs="yi vi", back="exp")
def log_hazard_ratio(x: Values) -> YiVi:
    """Log hazard ratio, ready made.

    y, v as given: from a Cox model, or (O-E) / V with v = 1/V of a log-rank test (Parmar et al.,
    1998).
    """
    return x.yi, x.vi


@measure("HD", layout="ready", needs="yi vi")
def hazard_difference(x: Values) -> YiVi:
    """Hazard difference, in events per unit of person-time, ready made."""
    return x.yi, x.vi
