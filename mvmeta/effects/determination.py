"""Coefficients of determination r2i of regressions on mi predictors and a constant, ni people."""

from __future__ import annotations

import numpy as np
from scipy.stats import poisson

from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi, weighted_average

ALL = "r2i mi ni"
_NODES = np.arange(-80, 81)
_BLOCK = 10_000  # rows at a time, so that rows by nodes stay a few megabytes


@measure("R2", layout="determination", needs=ALL, vtypes="LS LS2 AV AV2")
def determination(x: Values) -> YiVi:
    """Coefficient of determination, predictors random.

    y = R2, v = 4 y (1-y)^2 / n (LS) or 4 y (1-y)^2 (n-m-1)^2 / ((n^2-1) (n+3)) (LS2), or the same
    at the size-weighted average of R2 (AV, AV2) (Kendall & Stuart, 1979, eqs 27.88 and 27.87;
    Olkin & Finn, 1995). Multivariate normal variables; undefined at 0.
    """

    def spread(y: FloatArray) -> FloatArray:
        return 4 * np.where(y > 0, y, np.nan) * (1 - y) ** 2

    sharper = (x.ni - x.mi - 1) ** 2 / ((x.ni**2 - 1) * (x.ni + 3))
    mean = weighted_average(x.r2i, x.ni)
    variance = x.by_vtype(
        LS=lambda: spread(x.r2i) / x.ni,
        LS2=lambda: spread(x.r2i) * sharper,
        AV=lambda: spread(mean) / x.ni,
        AV2=lambda: spread(mean) * sharper,
    )
    return x.r2i, variance


@measure(
    "ZR2", layout="determination", needs=ALL, back="ztor2", natural="Coefficient of determination"
)
def fisher_z_of_determination(x: Values) -> YiVi:
    """Fisher's z of the multiple correlation, predictors random.

    y = atanh sqrt(R2), v = 1/n (Olkin & Finn, 1995, whose z is twice this one).
    """
    return np.arctanh(np.sqrt(x.r2i)), 1 / x.ni


@measure("R2F", layout="determination", needs=ALL)
def fixed_determination(x: Values) -> YiVi:
    """Coefficient of determination, predictors fixed.

    y = R2; v is the variance of R2 when its F statistic has m and n-m-1 degrees of freedom and the
    noncentrality n y / (1-y): R2 is then a noncentral beta variable (Johnson, Kotz & Balakrishnan,
    1995, chapter 30). In large samples 4 y (1-y)^2 (1 - y/2) / n.
    """
    columns = np.stack([x.mi / 2, (x.ni - x.mi - 1) / 2, x.ni * x.r2i / (1 - x.r2i)])
    blocks = np.array_split(columns, range(_BLOCK, len(x.ni), _BLOCK), axis=1)
    return x.r2i, np.concatenate([_noncentral_beta_variance(*block) for block in blocks])


@measure(
    "ZR2F", layout="determination", needs=ALL, back="ztor2", natural="Coefficient of determination"
)
def fixed_fisher_z_of_determination(x: Values) -> YiVi:
    """Fisher's z of the multiple correlation, predictors fixed.

    y = atanh sqrt(R2), v = v(R2F) / (4 R2 (1-R2)^2) (delta method). Undefined at 0.
    """
    r2, variance = fixed_determination(x)
    return np.arctanh(np.sqrt(r2)), variance / (4 * r2 * (1 - r2) ** 2)


def _noncentral_beta_variance(
    a: FloatArray, b: FloatArray, noncentrality: FloatArray
) -> FloatArray:
    """Variance (k,) of a noncentral beta variable: beta(a + j, b), j Poisson with half its mean.

    Both parts of the variance, within j and between, are sums of positive terms. Where j spreads
    widely, every h-th of its values will do: the error of such a sum falls exponentially with the
    number of values per standard deviation, here at least 4.
    """
    mean = noncentrality[:, None] / 2
    step = np.maximum(1, np.sqrt(mean) // 4)
    j = np.floor(mean) + step * _NODES
    weight = np.where(j >= 0, poisson.pmf(j, mean), 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    first = a[:, None] + np.maximum(j, 0.0)
    total = first + b[:, None]
    center = first / total
    within = center * (1 - center) / (total + 1)
    between = (center - (weight * center).sum(axis=1, keepdims=True)) ** 2
    return np.asarray((weight * (within + between)).sum(axis=1))
