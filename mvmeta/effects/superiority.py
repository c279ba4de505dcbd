"""The probability of superiority: how often a member of one group lies above one of the other.

Also known as common language effect size (McGraw & Wong, 1992), area under the ROC curve and
concordance: P(X1 > X2) + P(X1 = X2) / 2, the Mann-Whitney U over n1 n2.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi

EVEN = 0.5
"""Neither group above the other."""


@measure(
    "CLES", "AUC", layout="superiority", needs="ai n1i n2i", vtypes="LS LS2 H0", no_effect=EVEN
)
def superiority(x: Values) -> YiVi:
    """Probability that a member of group 1 lies above one of group 2, ties counting half.

    y = a, as reported, or U / (n1 n2); v = a (1-a) (2 N - 1 - 3 (N-1) / ((2-a) (1+a))) / D with
    N = (n1+n2) / 2 and D = (n1-1) (n2-1) (LS; Newcombe, 2006, method 4, with D from Cho et al.,
    2019), (a (1-a) - m/4 + (n1-1) (a/(2-a) - a^2) + (n2-1) (2 a^2/(1+a) - a^2)) / D (LS2; Hanley &
    McNeil, 1982, eqs 1 and 2, with D and the share m of tied pairs from Cho et al., 2019), or
    (n1+n2+1) / (12 n1 n2) for groups that do not differ (H0; Mann & Whitney, 1947). LS and LS2 are
    undefined at 0 and 1.
    """
    a, product = x.ai, (x.n1i - 1) * (x.n2i - 1)
    ties = np.nan_to_num(x.arrays.get("mi", np.zeros_like(a)))

    def averaged() -> FloatArray:
        mean = (x.n1i + x.n2i) / 2
        spread = a * (1 - a) * (2 * mean - 1 - 3 * (mean - 1) / ((2 - a) * (1 + a)))
        return _positive(spread / product)

    def by_group() -> FloatArray:
        first, second = a / (2 - a) - a**2, 2 * a**2 / (1 + a) - a**2
        spread = a * (1 - a) - ties / 4 + (x.n1i - 1) * first + (x.n2i - 1) * second
        return _positive(spread / product)

    variance = x.by_vtype(
        LS=averaged, LS2=by_group, H0=lambda: (x.n1i + x.n2i + 1) / (12 * x.n1i * x.n2i)
    )
    return a, variance


def _positive(variance: FloatArray) -> FloatArray:
    """A variance estimated as 0 is none: all of one group above all of the other."""
    return np.where(variance > 0, variance, np.nan)


def _normal(z: FloatArray, variance: FloatArray) -> YiVi:
    """Normal probability of z, and its variance from that of z by the delta method."""
    return ndtr(z), norm.pdf(z) ** 2 * variance


@measure("CLESN", "AUCN", layout="binormal", needs="di n1i n2i", vtypes="LS HO", no_effect=EVEN)
def normal_superiority(x: Values) -> YiVi:
    """Probability that a member of group 1 lies above one of group 2, both normal.

    y = Phi(z) with z = (m1 - m2) / s and s^2 = sd1^2 + sd2^2 (McGraw & Wong, 1992);
    v = phi(z)^2 ((sd1^2/f1 + sd2^2/f2) / s^2 + z^2 (sd1^4/f1 + sd2^4/f2) / (2 s^4)), f = n - 1 (LS;
    Goddard & Hinberg, 1990, eqs 3 and 4). With equal variances (HO, and rows without means and
    standard deviations) z = d / sqrt(2), v = phi(z)^2 ((1/f1 + 1/f2) / 2 + z^2 / (2 (f1 + f2))).
    d is not bias-corrected.
    """
    f1, f2 = x.n1i - 1, x.n2i - 1
    s2 = x.sd1i**2 + x.sd2i**2
    z = (x.m1i - x.m2i) / np.sqrt(s2)
    scale = (x.sd1i**4 / f1 + x.sd2i**4 / f2) / (2 * s2**2)
    y, v = _normal(z, (x.sd1i**2 / f1 + x.sd2i**2 / f2) / s2 + z**2 * scale)
    z = x.di / np.sqrt(2)
    pooled_y, pooled_v = _normal(z, (1 / f1 + 1 / f2) / 2 + z**2 / (2 * (f1 + f2)))
    pooled = (x.vtype == "HO") | np.isnan(y)
    return np.where(pooled, pooled_y, y), np.where(pooled, pooled_v, v)


@measure("CLESCN", "AUCCN", layout="standardized change", needs="di ni", no_effect=EVEN)
def paired_superiority(x: Values) -> YiVi:
    """Probability that the first of two paired measurements lies above the second, both normal.

    y = Phi(d) with d the mean change in standard deviations of the changes (McGraw & Wong, 1992,
    for correlated samples), v = phi(d)^2 (1/f + d^2 / (2 f)), f = n - 1 (delta method). d is not
    bias-corrected.
    """
    df = x.ni - 1
    return _normal(x.di, 1 / df + x.di**2 / (2 * df))
