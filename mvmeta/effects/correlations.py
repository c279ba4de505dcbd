"""Association of two variables: correlations, 2x2 tables, or groups on a continuous scale."""

from __future__ import annotations

import numpy as np
from scipy.special import hyp2f1
from scipy.stats import norm

from mvmeta.effects.ratios import log_odds_ratio
from mvmeta.effects.registry import measure
from mvmeta.effects.values import FloatArray, Values, YiVi, weighted_average

CELLS = "ai bi ci di"
SERIES_FROM, SERIES_TERMS = 20.0, 100
"""The 100th term at z = 1 and c = 20 is below 1e-20."""


def _large_sample(x: Values, r: FloatArray, df: FloatArray) -> YiVi:
    """A correlation with (1 - r^2)^2 / df, at r itself or at the size-weighted average."""
    variance = x.by_vtype(
        LS=lambda: (1 - r**2) ** 2 / df,
        AV=lambda: (1 - weighted_average(r, x.ni) ** 2) ** 2 / df,
        H0=lambda: 1 / df,
        UB=lambda: r**2 - 1 + (x.ni - 3) / (x.ni - 2) * _one_minus_rho2(x),
    )
    return r, variance


def _one_minus_rho2(x: Values) -> FloatArray:
    return (1 - x.ri**2) * _hypergeometric(1.0, x.ni / 2, 1 - x.ri**2)


def _hypergeometric(a: float, c: FloatArray, z: FloatArray) -> FloatArray:
    """F(a, a; c; z) for a of at most 1 and z up to 1.

    scipy has no value near z = 1 where c is large; there the series needs few terms.
    """
    large = c >= SERIES_FROM
    series, term = np.ones_like(z), np.ones_like(z)
    for k in range(SERIES_TERMS):
        term = term * (a + k) ** 2 / ((c + k) * (k + 1)) * z
        series = series + term
    return np.where(large, series, hyp2f1(a, a, np.where(large, 1.0, c), np.where(large, 0.0, z)))


@measure("COR", layout="correlation", needs="ri ni", vtypes="LS AV H0")
def correlation(x: Values) -> YiVi:
    """Raw correlation coefficient.

    y = r, v = (1-r^2)^2 / (n-1) (LS; Borenstein, 2009, eq. 12.27), or at the size-weighted
    average of r (AV) or at 0 (H0).
    """
    return _large_sample(x, x.ri, x.ni - 1)


@measure("UCOR", layout="correlation", needs="ri ni", vtypes="LS UB AV")
def unbiased_correlation(x: Values) -> YiVi:
    """Unbiased correlation coefficient.

    y = r F(1/2, 1/2; (n-2)/2; 1-r^2) (Olkin & Pratt, 1958, eq. 2.3); v = (1-y^2)^2 / (n-1) (LS),
    at the size-weighted average of y (AV), or unbiased,
    y^2 - 1 + (n-3)/(n-2) (1-r^2) F(1, 1; n/2; 1-r^2) (UB; Hedges, 1989, exact).
    """
    y = x.ri * _hypergeometric(0.5, (x.ni - 2) / 2, 1 - x.ri**2) if x.correct else x.ri
    return _large_sample(x, y, x.ni - 1)


@measure(
    "ZCOR", layout="correlation", needs="ri ni", back="ztor", natural="Correlation coefficient"
)
def fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed correlation coefficient.

    y = atanh r, v = 1/(n-3) (Fisher, 1921).
    """
    return np.arctanh(x.ri), _reciprocal(x.ni - 3)


def _reciprocal(df: FloatArray) -> FloatArray:
    """1 / df, NaN where no degrees of freedom are left."""
    return 1 / np.where(df > 0, df, np.nan)


@measure("PCOR", layout="regression", needs="ri ni mi", vtypes="LS AV")
def partial_correlation(x: Values) -> YiVi:
    """Partial correlation coefficient, of one of m predictors.

    y = t / sqrt(t^2 + n - m - 1), v = (1-y^2)^2 / (n - m - 1) (LS), or at the size-weighted average
    of y (AV) (Aloe & Thompson, 2013).
    """
    return _large_sample(x, x.ri, x.ni - x.mi - 1)


@measure(
    "ZPCOR",
    layout="regression",
    needs="ri ni mi",
    back="ztor",
    natural="Partial correlation coefficient",
)
def partial_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed partial correlation coefficient, of one of m predictors.

    y = atanh r, v = 1/(n - m - 2): n - 3 less the m - 1 variables held constant (Fisher, 1924).
    metafor 3.8 has n - m - 1, which for m = 1 is not the 1/(n-3) of a plain correlation.
    """
    return np.arctanh(x.ri), _reciprocal(x.ni - x.mi - 2)


@measure("SPCOR", layout="semipartial", needs="ri ni r2i", vtypes="LS AV")
def semipartial_correlation(x: Values) -> YiVi:
    """Semi-partial correlation coefficient, of one of m predictors.

    y = t sqrt(1-R2) / sqrt(n - m - 1); v = (R2^2 - 2 R2 + Q + 1 - Q^2) / n with Q = R2 - y^2, the
    fit without the predictor (LS; Aloe & Becker, 2012), or at the size-weighted average of y (AV).
    """

    def variance(r: FloatArray) -> FloatArray:
        without = x.r2i - r**2
        spread = x.r2i**2 - 2 * x.r2i + without + 1 - without**2
        return np.where(without >= 0, spread / x.ni, np.nan)

    averaged = weighted_average(x.ri, x.ni)
    return x.ri, x.by_vtype(LS=lambda: variance(x.ri), AV=lambda: variance(averaged))


@measure(
    "ZSPCOR",
    layout="semipartial",
    needs="ri ni r2i",
    vtypes="LS AV",
    back="ztor",
    natural="Semi-partial correlation coefficient",
)
def semipartial_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed semi-partial correlation coefficient.

    y = atanh r, v = v(SPCOR) / (1-r^2)^2 (delta method).
    """
    return _fisher(*semipartial_correlation(x))


def _fisher(r: FloatArray, variance: FloatArray) -> YiVi:
    """Fisher's z of a correlation and its variance by the delta method."""
    return np.arctanh(r), variance / (1 - r**2) ** 2


@measure("PHI", layout="table", needs=CELLS, vtypes="CS ST", add=0.0)
def phi(x: Values) -> YiVi:
    """Phi coefficient, the correlation of two dichotomous variables.

    y = (a d - b c) / sqrt of the product of the four margins. v by the delta method for fixed
    rows, n1 and n2 (ST), or for a multinomial table (CS, the default) (Fleiss & Berlin, 2009).
    """
    n = x.n1i + x.n2i
    w1, w2 = x.n1i / n, x.n2i / n
    c1, c2 = (x.ai + x.ci) / n, (x.bi + x.di) / n
    r = (x.ai * x.di - x.bi * x.ci) / n**2 / np.sqrt(w1 * w2 * c1 * c2)

    def stratified() -> FloatArray:
        p1, p2 = x.ai / x.n1i, x.ci / x.n2i
        slope, bend = np.sqrt(w1 * w2 / (c1 * c2)), r * (c2 - c1) / (2 * c1 * c2)
        first = (slope - bend * w1) ** 2 * p1 * (1 - p1) / x.n1i
        return first + (slope + bend * w2) ** 2 * p2 * (1 - p2) / x.n2i

    def cross_sectional() -> FloatArray:
        rows, columns = w1 - w2, c1 - c2
        skew = r * (1 + r**2 / 2) * rows * columns / np.sqrt(w1 * w2 * c1 * c2)
        return (1 - r**2 + skew - 0.75 * r**2 * (rows**2 / (w1 * w2) + columns**2 / (c1 * c2))) / n

    return r, x.by_vtype(ST=stratified, CS=cross_sectional)


@measure(
    "ZPHI",
    layout="table",
    needs=CELLS,
    vtypes="CS ST",
    add=0.0,
    back="ztor",
    natural="Phi coefficient",
)
def phi_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed phi coefficient.

    y = atanh r, v = v(PHI) / (1-r^2)^2 (delta method).
    """
    return _fisher(*phi(x))


@measure("YUQ", layout="table", needs=CELLS)
def yule_q(x: Values) -> YiVi:
    """Yule's Q.

    y = (OR - 1) / (OR + 1), v = (1-y^2)^2 / 4 v(log OR) (Yule, 1912).
    """
    log_or, variance = log_odds_ratio(x)
    y = np.tanh(log_or / 2)
    return y, (1 - y**2) ** 2 / 4 * variance


@measure("YUY", layout="table", needs=CELLS)
def yule_y(x: Values) -> YiVi:
    """Yule's Y.

    y = (sqrt(OR) - 1) / (sqrt(OR) + 1), v = (1-y^2)^2 / 16 v(log OR) (Yule, 1912).
    """
    log_or, variance = log_odds_ratio(x)
    y = np.tanh(log_or / 4)
    return y, (1 - y**2) ** 2 / 16 * variance


def _point_biserial(x: Values) -> FloatArray:
    df = x.n1i + x.n2i - 2
    return x.di / np.sqrt(x.di**2 + df / x.n1i + df / x.n2i)


@measure("RPB", layout="d", needs="di n1i n2i", vtypes="ST CS")
def point_biserial(x: Values) -> YiVi:
    """Point-biserial correlation of a dichotomous and a continuous variable.

    y = d / sqrt(d^2 + h) with h = (n1+n2-2) (1/n1 + 1/n2); with p = n1/N, q = n2/N:
    v = h^2 / (h + d^2)^3 (1/n1 + 1/n2 + d^2 / (2N)) for fixed group sizes (ST, the default), or
    (1-y^2)^2 (1 - 1.5 y^2 + y^2 / (4 p q)) / N for random ones (CS; Tate, 1954).
    """
    r = _point_biserial(x)
    n = x.n1i + x.n2i
    h = (n - 2) * (1 / x.n1i + 1 / x.n2i)

    def stratified() -> FloatArray:
        return h**2 / (h + x.di**2) ** 3 * (1 / x.n1i + 1 / x.n2i + x.di**2 / (2 * n))

    def cross_sectional() -> FloatArray:
        four_pq = 4 * x.n1i * x.n2i / n**2
        return (1 - r**2) ** 2 * (1 - 1.5 * r**2 + r**2 / four_pq) / n

    return r, x.by_vtype(ST=stratified, CS=cross_sectional)


@measure(
    "ZPB",
    layout="d",
    needs="di n1i n2i",
    vtypes="ST CS",
    back="ztor",
    natural="Point-biserial correlation",
)
def point_biserial_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed point-biserial correlation.

    y = atanh r, v = v(RPB) / (1-r^2)^2 (delta method).
    """
    return _fisher(*point_biserial(x))


@measure("RBIS", layout="d", needs="di n1i n2i")
def biserial(x: Values) -> YiVi:
    """Biserial correlation, of a dichotomized normal and a continuous variable.

    y = r_pb sqrt(p q) / f with f the normal density at z = Phi^-1(q), p = n1/N, q = 1 - p;
    v = (p q / f^2 - (3/2 + (1 - p z/f) (1 + q z/f)) y^2 + y^4) / (N-1) (Soper, 1914;
    Jacobs & Viechtbauer, 2017).
    """
    n = x.n1i + x.n2i
    p, q = x.n1i / n, x.n2i / n
    z = norm.ppf(q)
    f = norm.pdf(z)
    r = np.sqrt(p * q) / f * _point_biserial(x)
    middle = 1.5 + (1 - p * z / f) * (1 + q * z / f)
    variance = (p * q / f**2 - middle * r**2 + r**4) / (n - 1)
    return r, variance


@measure("ZBIS", layout="d", needs="di n1i n2i", back="ztor", natural="Biserial correlation")
def biserial_fisher_z(x: Values) -> YiVi:
    """Fisher's r-to-z transformed biserial correlation.

    y = atanh r, v = v(RBIS) / (1-r^2)^2 (delta method). Undefined where r, which is no product of
    moments, comes out at 1 or beyond.
    """
    return _fisher(*biserial(x))
