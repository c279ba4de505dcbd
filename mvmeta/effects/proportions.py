"""Proportions of single groups: xi events, mi others, ni = xi + mi."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi, weighted_average

COUNTS = "xi mi ni"


@measure("PR", layout="proportion", needs=COUNTS, vtypes="LS UB AV", no_effect=None)
def proportion(x: Values) -> YiVi:
    """Raw proportion.

    y = x/n, v = p (1-p) / n (LS), / (n-1) (UB, unbiased), or LS at the size-weighted average (AV).
    """
    p = x.xi / x.ni

    def averaged() -> FloatArray:
        mean = weighted_average(p, x.ni)
        return mean * (1 - mean) / x.ni

    spread = p * (1 - p)
    return p, x.by_vtype(LS=lambda: spread / x.ni, UB=lambda: spread / (x.ni - 1), AV=averaged)


@measure("PLN", layout="proportion", needs=COUNTS, vtypes="LS AV", back="exp", no_effect=None)
def log_proportion(x: Values) -> YiVi:
    """Log proportion.

    y = log(x/n), v = 1/x - 1/n (LS), or at the size-weighted average proportion (AV).
    """
    p = x.xi / x.ni
    variance = x.by_vtype(
        LS=lambda: 1 / x.xi - 1 / x.ni,
        AV=lambda: 1 / (weighted_average(p, x.ni) * x.ni) - 1 / x.ni,
    )
    return np.log(p), variance


@measure(
    "PLO",
    layout="proportion",
    needs=COUNTS,
    vtypes="LS AV",
    back="ilogit",
    natural="Proportion",
    no_effect=None,
)
def logit_proportion(x: Values) -> YiVi:
    """Log odds (logit transformed proportion).

    y = log(x/m), v = 1/x + 1/m (LS), or at the size-weighted average proportion (AV).
    """

    def averaged() -> FloatArray:
        mean = weighted_average(x.xi / x.ni, x.ni)
        return 1 / (mean * x.ni) + 1 / ((1 - mean) * x.ni)

    variance = x.by_vtype(LS=lambda: 1 / x.xi + 1 / x.mi, AV=averaged)
    return np.log(x.xi / x.mi), variance


@measure(
    "PRZ", layout="proportion", needs=COUNTS, back="iprobit", natural="Proportion", no_effect=None
)
def probit_proportion(x: Values) -> YiVi:
    """Probit transformed proportion, in standard deviations of a normal variable that is cut.

    y = Phi^-1(p), v = p (1-p) / (n phi(y)^2) (delta method; Sánchez-Meca et al., 2003).
    """
    p = x.xi / x.ni
    y = norm.ppf(p)
    return y, p * (1 - p) / (x.ni * norm.pdf(y) ** 2)


@measure(
    "PAS",
    layout="proportion",
    needs=COUNTS,
    add=0.0,
    back="iarcsin",
    natural="Proportion",
    no_effect=None,
)
def arcsine_proportion(x: Values) -> YiVi:
    """Arcsine square root transformed proportion, in radians.

    y = asin(sqrt(x/n)), v = 1/(4 n).
    """
    return np.arcsin(np.sqrt(x.xi / x.ni)), 1 / (4 * x.ni)


@measure("PFT", layout="proportion", needs=COUNTS, add=0.0, no_effect=None)
def freeman_tukey_proportion(x: Values) -> YiVi:
    """Freeman-Tukey double arcsine transformed proportion, in radians.

    y = (asin(sqrt(x/(n+1))) + asin(sqrt((x+1)/(n+1)))) / 2, v = 1/(4 n + 2)
    (Freeman & Tukey, 1950).
    """
    lower = np.arcsin(np.sqrt(x.xi / (x.ni + 1)))
    upper = np.arcsin(np.sqrt((x.xi + 1) / (x.ni + 1)))
    return (lower + upper) / 2, 1 / (4 * x.ni + 2)
