"""One group measured twice, or matched pairs: means and standard deviations, or paired tables."""

from __future__ import annotations

import numpy as np

from mvmeta.effects.bias import hedges_factor
from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi

ALL = "m1i m2i sd1i sd2i ri ni"
CELLS = "ai bi ci di"


def _change_variance(x: Values) -> FloatArray:
    """Variance of the difference of the two measurements."""
    return x.sd1i**2 + x.sd2i**2 - 2 * x.ri * x.sd1i * x.sd2i


@measure("MC", layout="change score", needs=ALL)
def mean_change(x: Values) -> YiVi:
    """Raw mean change, in the units of the measurements.

    y = m1 - m2, v = (sd1^2 + sd2^2 - 2 r sd1 sd2) / n.
    """
    return x.m1i - x.m2i, _change_variance(x) / x.ni


@measure("SMCC", layout="standardized change", needs="di ni", vtypes="LS LS2", standardized=True)
def change_by_change_sd(x: Values) -> YiVi:
    """Mean change in standard deviations of the change scores.

    d = (m1 - m2) / sd_change, or t / sqrt(n) of the paired t-test, g = J(n-1) d;
    v = 1/n + g^2 / (2 n) (LS), or J^2 times the same with d (LS2) (Gibbons et al., 1993).
    """
    factor = hedges_factor(x.ni - 1) if x.correct else np.ones_like(x.di)
    g = factor * x.di
    variance = x.by_vtype(
        LS=lambda: 1 / x.ni + g**2 / (2 * x.ni),
        LS2=lambda: factor**2 * (1 / x.ni + x.di**2 / (2 * x.ni)),
    )
    return g, variance


@measure("SMCR", layout="change", needs="m1i m2i sd1i ri ni", vtypes="LS LS2", standardized=True)
def change_by_raw_sd(x: Values) -> YiVi:
    """Mean change in standard deviations of the first measurement.

    d = (m1 - m2) / sd1, g = J(n-1) d; v = 2 (1-r) / n + g^2 / (2 n) (LS), or J^2 times the same
    with d (LS2) (Becker, 1988).
    """
    d = (x.m1i - x.m2i) / x.sd1i
    factor = hedges_factor(x.ni - 1) if x.correct else np.ones_like(d)
    g = factor * d
    variance = x.by_vtype(
        LS=lambda: 2 * (1 - x.ri) / x.ni + g**2 / (2 * x.ni),
        LS2=lambda: factor**2 * (2 * (1 - x.ri) / x.ni + d**2 / (2 * x.ni)),
    )
    return g, variance


@measure("SMCRH", layout="change", needs=ALL, standardized=True)
def change_by_raw_sd_unequal(x: Values) -> YiVi:
    """Mean change in standard deviations of the first measurement, unequal variances.

    g = J (m1 - m2) / sd1, J for n - 1; v = J^2 (var_change / (sd1^2 (n-1)) + g^2 / (2 (n-1)))
    (Bonett, 2008: the variance of d at the estimate g).
    """
    d = (x.m1i - x.m2i) / x.sd1i
    factor = hedges_factor(x.ni - 1) if x.correct else np.ones_like(d)
    g = factor * d
    return g, factor**2 * (_change_variance(x) / x.sd1i**2 + g**2 / 2) / (x.ni - 1)


def _pooled(x: Values) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean change over the root of the average variance, that variance, and the correction J.

    The average variance of two correlated samples has about 2 (n-1) / (1 + r^2) degrees of freedom
    (Cousineau, 2020).
    """
    average = (x.sd1i**2 + x.sd2i**2) / 2
    d = (x.m1i - x.m2i) / np.sqrt(average)
    factor = hedges_factor(2 * (x.ni - 1) / (1 + x.ri**2)) if x.correct else np.ones_like(d)
    return d, average, factor


@measure("SMCRP", layout="change", needs=ALL, vtypes="LS LS2", standardized=True)
def change_by_pooled_sd(x: Values) -> YiVi:
    """Mean change in units of the root of the average variance, equal variances.

    d = (m1 - m2) / s with s^2 = (sd1^2 + sd2^2) / 2, g = J d, J for 2 (n-1) / (1 + r^2);
    v = 2 (1-r) / n + g^2 (1 + r^2) / (4 n) (LS), or J^2 times the same with d (LS2) (Cousineau,
    2020, in large samples).
    """
    d, _, factor = _pooled(x)
    g = factor * d
    means, scale = 2 * (1 - x.ri) / x.ni, (1 + x.ri**2) / (4 * x.ni)
    variance = x.by_vtype(
        LS=lambda: means + g**2 * scale, LS2=lambda: factor**2 * (means + d**2 * scale)
    )
    return g, variance


@measure("SMCRPH", layout="change", needs=ALL, standardized=True)
def change_by_pooled_sd_unequal(x: Values) -> YiVi:
    """Mean change in units of the root of the average variance, unequal variances.

    g = J d as for SMCRP; v is J^2 times
    g^2 (sd1^4 + sd2^4 + 2 r^2 sd1^2 sd2^2) / (8 s^4 (n-1)) + var_change / (s^2 (n-1))
    (Bonett, 2008: the variance of d at the estimate g).
    """
    d, average, factor = _pooled(x)
    g = factor * d
    fourth = x.sd1i**4 + x.sd2i**4 + 2 * (x.ri * x.sd1i * x.sd2i) ** 2
    means = _change_variance(x) / average
    return g, factor**2 * (g**2 * fourth / (8 * average**2) + means) / (x.ni - 1)


def _means_ratio_variance(x: Values) -> FloatArray:
    cv1, cv2 = x.sd1i / x.m1i, x.sd2i / x.m2i
    return (cv1**2 + cv2**2 - 2 * x.ri * cv1 * cv2) / x.ni


@measure("ROMC", layout="change", needs=ALL, back="exp")
def log_ratio_of_paired_means(x: Values) -> YiVi:
    """Log ratio of two dependent means; both of one sign.

    y = log(m1/m2), v = (cv1^2 + cv2^2 - 2 r cv1 cv2) / n with cv = sd/m (Lajeunesse, 2011).
    """
    return np.log(x.m1i / x.m2i), _means_ratio_variance(x)


@measure("VRC", layout="change", needs="sd1i sd2i ri ni", back="exp")
def log_ratio_of_paired_sds(x: Values) -> YiVi:
    """Log ratio of two dependent standard deviations.

    y = log(sd1/sd2), v = (1 - r^2) / (n-1) (Nakagawa et al., 2015, for dependent samples).
    """
    return np.log(x.sd1i / x.sd2i), (1 - x.ri**2) / (x.ni - 1)


@measure("CVRC", layout="change", needs=ALL, back="exp")
def log_ratio_of_paired_cvs(x: Values) -> YiVi:
    """Log ratio of two dependent coefficients of variation; both means of one sign.

    y = log((sd1/m1) / (sd2/m2)), v = (1 - r^2) / (n-1) plus that of ROMC (Nakagawa et al., 2015,
    for dependent samples).
    """
    y = np.log((x.sd1i / x.m1i) / (x.sd2i / x.m2i))
    return y, (1 - x.ri**2) / (x.ni - 1) + _means_ratio_variance(x)


@measure("MPRD", layout="paired", needs=CELLS)
def paired_risk_difference(x: Values) -> YiVi:
    """Marginal risk difference of matched pairs, in proportions.

    y = (b - c) / n, v = (b + c) / n^2 - (b - c)^2 / n^3 (Newcombe, 1998; May & Johnson, 1997).
    """
    difference = (x.bi - x.ci) / x.ni
    return difference, (x.bi + x.ci) / x.ni**2 - difference**2 / x.ni


@measure("MPRR", layout="paired", needs=CELLS, back="exp")
def paired_log_risk_ratio(x: Values) -> YiVi:
    """Marginal log risk ratio of matched pairs.

    y = log((a+b) / (a+c)), v = (b + c) / ((a+b) (a+c)) (Zou, 2007).
    """
    first, second = x.ai + x.bi, x.ai + x.ci
    return np.log(first / second), (x.bi + x.ci) / (first * second)


@measure("MPOR", layout="paired", needs=CELLS, back="exp")
def paired_log_odds_ratio(x: Values) -> YiVi:
    """Marginal log odds ratio of matched pairs.

    y = log((a+b)/(c+d)) - log((a+c)/(b+d)); v is the sum of the reciprocals of these four margins
    less 2 n (a d - b c) / ((a+b) (c+d) (a+c) (b+d)) (Becker & Balagtas, 1993).
    """
    p1, q1, p2, q2 = x.ai + x.bi, x.ci + x.di, x.ai + x.ci, x.bi + x.di
    covariance = x.ni * (x.ai * x.di - x.bi * x.ci) / (p1 * q1 * p2 * q2)
    return np.log(p1 / q1) - np.log(p2 / q2), 1 / p1 + 1 / q1 + 1 / p2 + 1 / q2 - 2 * covariance


@measure("MPORC", layout="paired", needs=CELLS, back="exp")
def conditional_log_odds_ratio(x: Values) -> YiVi:
    """Conditional log odds ratio of matched pairs.

    y = log(b/c), v = 1/b + 1/c (Curtin et al., 2002; Zou, 2007).
    """
    return np.log(x.bi / x.ci), 1 / x.bi + 1 / x.ci


@measure("MPPETO", layout="paired", needs=CELLS, back="exp")
def conditional_peto(x: Values) -> YiVi:
    """Conditional log odds ratio of matched pairs by Peto's method.

    y = 2 (b - c) / (b + c), v = 4 / (b + c) (Curtin et al., 2002; Zou, 2007).
    """
    discordant = x.bi + x.ci
    return 2 * (x.bi - x.ci) / discordant, 4 / discordant


@measure("MPORM", layout="margins", needs="ai bi ci di ri", back="exp")
def log_odds_ratio_of_margins(x: Values) -> YiVi:
    """Marginal log odds ratio of matched pairs, from the two margins and their correlation.

    y = log(a d / (b c)) with a, b (c, d) the events and non-events under the first (second)
    treatment, v = 1/a + 1/b + 1/c + 1/d - 2 n r / sqrt(a b c d), r the phi coefficient of the
    paired table (Becker & Balagtas, 1993).
    """
    root = np.sqrt(x.ai * x.bi) * np.sqrt(x.ci * x.di)
    reciprocals = 1 / x.ai + 1 / x.bi + 1 / x.ci + 1 / x.di
    y = np.log(x.ai / x.bi) - np.log(x.ci / x.di)
    return y, reciprocals - 2 * x.ri * np.sqrt((x.ai + x.bi) * (x.ci + x.di)) / root
