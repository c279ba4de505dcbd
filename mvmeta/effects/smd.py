"""Means and standard deviations of two independent groups."""

from __future__ import annotations

import numpy as np

from mvmeta.effects.bias import hedges_factor
from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi, weighted_average

ALL = "m1i m2i sd1i sd2i n1i n2i"
SPREAD = "sd1i sd2i n1i n2i"


def pooled_sd(x: Values) -> FloatArray:
    """Pooled standard deviation of two groups."""
    df1, df2 = x.n1i - 1, x.n2i - 1
    return np.sqrt((df1 * x.sd1i**2 + df2 * x.sd2i**2) / (df1 + df2))


@measure("MD", layout="groups", needs=ALL, vtypes="LS UB HO")
def md(x: Values) -> YiVi:
    """Raw mean difference, in the units of the measurements.

    y = m1 - m2; v = sd1^2 / n1 + sd2^2 / n2 (LS, which is also unbiased: UB) or, assuming equal
    variances, sp^2 (1/n1 + 1/n2) (HO). Borenstein (2009), eqs 12.5 and 12.3.
    """

    def separate() -> FloatArray:
        return x.sd1i**2 / x.n1i + x.sd2i**2 / x.n2i

    variance = x.by_vtype(
        LS=separate, UB=separate, HO=lambda: pooled_sd(x) ** 2 * (1 / x.n1i + 1 / x.n2i)
    )
    return x.m1i - x.m2i, variance


def _standardized(x: Values, d: FloatArray, df: FloatArray) -> YiVi:
    """Bias-corrected d and its variance under equal population variances."""
    factor = hedges_factor(df)
    g = factor * d if x.correct else d
    total = x.n1i + x.n2i
    exact = 1 / x.n1i + 1 / x.n2i
    variance = x.by_vtype(
        LS=lambda: exact + g**2 / (2 * total),
        LS2=lambda: (factor**2 if x.correct else 1) * (exact + d**2 / (2 * total)),
        UB=lambda: exact + (1 - (df - 2) / (df * factor**2)) * (factor * d) ** 2,
        AV=lambda: exact + weighted_average(g, total) ** 2 / (2 * total),
        H0=lambda: exact,
    )
    return g, variance


@measure("SMD", layout="d", needs="di n1i n2i", vtypes="LS LS2 UB AV H0", standardized=True)
def smd(x: Values) -> YiVi:
    """Standardized mean difference (Hedges' g), in pooled standard deviations.

    d = (m1 - m2) / sp, g = J d with J = Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)), m = n1 + n2 - 2
    (Hedges, 1981). v = 1/n1 + 1/n2 + g^2 / (2 (n1 + n2)) (LS; Hedges, 1982, eq. 8), J^2 times the
    same with d (LS2; Borenstein, 2009, eq. 12.17), unbiased 1/n1 + 1/n2 + (1 - (m-2)/(m J^2)) g^2
    (UB; Hedges, 1983, eq. 9), or LS at the size-weighted average of g (AV) or at 0 (H0).
    """
    return _standardized(x, x.di, x.n1i + x.n2i - 2)


@measure(
    "SMD1",
    layout="groups",
    needs="m1i m2i sd2i n1i n2i",
    vtypes="LS LS2 UB AV H0",
    standardized=True,
)
def smd1(x: Values) -> YiVi:
    """Mean difference in standard deviations of the second group (Glass' delta).

    d = (m1 - m2) / sd2, g = J(n2 - 1) d. v as for SMD with n2 in place of n1 + n2 and n2 - 1
    degrees of freedom (Hedges, 1981).
    """
    df = x.n2i - 1
    factor = hedges_factor(df)
    d = (x.m1i - x.m2i) / x.sd2i
    g = factor * d if x.correct else d
    exact = 1 / x.n1i + 1 / x.n2i
    variance = x.by_vtype(
        LS=lambda: exact + g**2 / (2 * x.n2i),
        LS2=lambda: (factor**2 if x.correct else 1) * (exact + d**2 / (2 * x.n2i)),
        UB=lambda: exact + (1 - (df - 2) / (df * factor**2)) * (factor * d) ** 2,
        AV=lambda: exact + weighted_average(g, x.n1i + x.n2i) ** 2 / (2 * x.n2i),
        H0=lambda: exact,
    )
    return g, variance


@measure("SMD1H", layout="groups", needs=ALL, standardized=True)
def smd1h(x: Values) -> YiVi:
    """Mean difference in standard deviations of the second group, unequal variances.

    d = (m1 - m2) / sd2, g = J(n2 - 1) d;
    v = sd1^2 / (sd2^2 n1) + 1/n2 + g^2 / (2 n2) (Bonett, 2008, 2009, in large samples).
    """
    d = (x.m1i - x.m2i) / x.sd2i
    g = hedges_factor(x.n2i - 1) * d if x.correct else d
    return g, x.sd1i**2 / (x.sd2i**2 * x.n1i) + 1 / x.n2i + g**2 / (2 * x.n2i)


@measure("SMDH", layout="groups", needs=ALL, standardized=True)
def smdh(x: Values) -> YiVi:
    """Mean difference in units of the root of the average variance, unequal variances.

    d = (m1 - m2) / s with s^2 = (sd1^2 + sd2^2) / 2, g = J d, J for n1 + n2 - 2; v is J^2 times
    g^2 (sd1^4/(n1-1) + sd2^4/(n2-1)) / (8 s^4) + (sd1^2/(n1-1) + sd2^2/(n2-1)) / s^2
    (Bonett, 2008, 2009: the variance of d at the estimate g).
    """
    df1, df2 = x.n1i - 1, x.n2i - 1
    average = (x.sd1i**2 + x.sd2i**2) / 2
    d = (x.m1i - x.m2i) / np.sqrt(average)
    factor = hedges_factor(df1 + df2) if x.correct else np.ones_like(d)
    g = factor * d
    scale = (x.sd1i**4 / df1 + x.sd2i**4 / df2) / (8 * average**2)
    means = (x.sd1i**2 / df1 + x.sd2i**2 / df2) / average
    return g, factor**2 * (g**2 * scale + means)


def _log_mean_variance(cv: FloatArray, n: FloatArray) -> FloatArray:
    """Variance of the log of a mean to second order (Lajeunesse, 2015)."""
    return cv**2 / n + cv**4 / (2 * n**2)


def _log_sd_variance(n: FloatArray) -> FloatArray:
    """Variance of the log of a standard deviation to second order (Senior et al., 2020)."""
    return n / (2 * (n - 1) ** 2)


@measure("ROM", layout="groups", needs=ALL, vtypes="LS LS2 HO AV AVHO", back="exp")
def rom(x: Values) -> YiVi:
    """Log ratio of means (log response ratio); both means of one sign.

    y = log(m1 / m2); v = sd1^2 / (n1 m1^2) + sd2^2 / (n2 m2^2) (LS; Hedges et al., 1999, eq. 1),
    plus sd1^4 / (2 n1^2 m1^4) + sd2^4 / (2 n2^2 m2^4) (LS2; Lajeunesse, 2015, eq. 9), with the
    pooled variance (HO), or with the size-weighted average of each group's coefficient of
    variation (AV) or of both groups' (AVHO).
    """
    cv1, cv2 = x.sd1i / np.abs(x.m1i), x.sd2i / np.abs(x.m2i)

    def averaged() -> FloatArray:
        return weighted_average(cv1, x.n1i) ** 2 / x.n1i + weighted_average(cv2, x.n2i) ** 2 / x.n2i

    def averaged_together() -> FloatArray:
        both = weighted_average(np.append(cv1, cv2), np.append(x.n1i, x.n2i))[0]
        return both**2 * (1 / x.n1i + 1 / x.n2i)

    variance = x.by_vtype(
        LS=lambda: cv1**2 / x.n1i + cv2**2 / x.n2i,
        LS2=lambda: _log_mean_variance(cv1, x.n1i) + _log_mean_variance(cv2, x.n2i),
        HO=lambda: pooled_sd(x) ** 2 * (1 / (x.n1i * x.m1i**2) + 1 / (x.n2i * x.m2i**2)),
        AV=averaged,
        AVHO=averaged_together,
    )
    return np.log(x.m1i / x.m2i), variance


def _spread_correction(x: Values) -> FloatArray:
    correction = 1 / (2 * (x.n1i - 1)) - 1 / (2 * (x.n2i - 1))
    return correction if x.correct else np.zeros_like(correction)


@measure("VR", layout="groups", needs=SPREAD, vtypes="LS LS2", back="exp")
def vr(x: Values) -> YiVi:
    """Log variability ratio.

    y = log(sd1 / sd2) + 1/(2 (n1-1)) - 1/(2 (n2-1)); v = 1/(2 (n1-1)) + 1/(2 (n2-1)) (LS; Nakagawa
    et al., 2015) or n1/(2 (n1-1)^2) + n2/(2 (n2-1)^2) (LS2; Senior et al., 2020, eq. 15).
    """
    variance = x.by_vtype(
        LS=lambda: 1 / (2 * (x.n1i - 1)) + 1 / (2 * (x.n2i - 1)),
        LS2=lambda: _log_sd_variance(x.n1i) + _log_sd_variance(x.n2i),
    )
    return np.log(x.sd1i / x.sd2i) + _spread_correction(x), variance


@measure("CVR", layout="groups", needs=ALL, vtypes="LS LS2", back="exp")
def cvr(x: Values) -> YiVi:
    """Log ratio of the coefficients of variation; both means of one sign.

    y = log((sd1/m1) / (sd2/m2)) + 1/(2 (n1-1)) - 1/(2 (n2-1)); v is that of VR plus that of ROM, LS
    (Nakagawa et al., 2015, eq. 12, means and variances independent) or LS2 (Senior et al., 2020,
    eq. 16).
    """
    ratio = np.log((x.sd1i / x.m1i) / (x.sd2i / x.m2i)) + _spread_correction(x)
    return ratio, vr(x)[1] + rom(x)[1]


# The d of a logistic variable is log(OR) sqrt(3) / pi; of a normal one about log(OR) / 1.65.
LOGISTIC = np.pi / np.sqrt(3)
NORMAL = 1.65


@measure("D2OR", "D2ORL", layout="d", needs="di n1i n2i", back="exp")
def d2orl(x: Values) -> YiVi:
    """Log odds ratio from a standardized mean difference, logistic responses.

    y = d pi / sqrt(3), v = (1/n1 + 1/n2 + d^2 / (2 (n1 + n2))) pi^2 / 3, d not bias-corrected
    (Chinn, 2000).
    """
    return _log_odds_from_d(x, LOGISTIC)


@measure("D2ORN", layout="d", needs="di n1i n2i", back="exp")
def d2orn(x: Values) -> YiVi:
    """Log odds ratio from a standardized mean difference, normal responses.

    y = 1.65 d, v = 1.65^2 (1/n1 + 1/n2 + d^2 / (2 (n1 + n2))), d not bias-corrected
    (Cox & Snell, 1989).
    """
    return _log_odds_from_d(x, NORMAL)


def _log_odds_from_d(x: Values, scale: float) -> YiVi:
    variance = 1 / x.n1i + 1 / x.n2i + x.di**2 / (2 * (x.n1i + x.n2i))
    return scale * x.di, scale**2 * variance
