"""2x2 tables of two independent groups: events ai, ci and non-events bi, di."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from mvmeta.effects.registry import measure
from mvmeta.effects.smd import LOGISTIC, NORMAL
from mvmeta.effects.values import FloatArray, Values, YiVi, weighted_average

CELLS = "ai bi ci di"


@measure("OR", layout="table", needs=CELLS, back="exp")
def log_odds_ratio(x: Values) -> YiVi:
    """Log odds ratio.

    y = log(a d / (b c)), v = 1/a + 1/b + 1/c + 1/d (Woolf; Fleiss & Berlin, 2009).
    """
    y = np.log(x.ai / x.bi) - np.log(x.ci / x.di)
    return y, 1 / x.ai + 1 / x.bi + 1 / x.ci + 1 / x.di


@measure("RR", layout="table", needs=CELLS, back="exp")
def log_risk_ratio(x: Values) -> YiVi:
    """Log risk ratio.

    y = log((a/n1) / (c/n2)), v = 1/a - 1/n1 + 1/c - 1/n2 (Fleiss & Berlin, 2009).
    """
    y = np.log(x.ai / x.n1i) - np.log(x.ci / x.n2i)
    return y, 1 / x.ai - 1 / x.n1i + 1 / x.ci - 1 / x.n2i


@measure("RD", layout="table", needs=CELLS, vtypes="LS UB AV")
def risk_difference(x: Values) -> YiVi:
    """Risk difference, in proportions.

    y = p1 - p2, v = p1 (1-p1)/n1 + p2 (1-p2)/n2 (LS), with n - 1 (UB, unbiased), or at the
    size-weighted average risks (AV) (Fleiss & Berlin, 2009).
    """
    p1, p2 = x.ai / x.n1i, x.ci / x.n2i

    def averaged() -> FloatArray:
        a1, a2 = weighted_average(p1, x.n1i), weighted_average(p2, x.n2i)
        return a1 * (1 - a1) / x.n1i + a2 * (1 - a2) / x.n2i

    variance = x.by_vtype(
        LS=lambda: p1 * (1 - p1) / x.n1i + p2 * (1 - p2) / x.n2i,
        UB=lambda: p1 * (1 - p1) / (x.n1i - 1) + p2 * (1 - p2) / (x.n2i - 1),
        AV=averaged,
    )
    return p1 - p2, variance


@measure("PETO", layout="table", needs=CELLS, back="exp")
def peto(x: Values) -> YiVi:
    """Log odds ratio by Peto's one-step method.

    y = (a - E) / H, v = 1 / H with E = n1 (a+c) / N and the hypergeometric variance
    H = n1 n2 (a+c) (b+d) / (N^2 (N-1)) (Yusuf et al., 1985).
    """
    total = x.n1i + x.n2i
    events, others = x.ai + x.ci, x.bi + x.di
    spread = x.n1i * x.n2i * events * others / (total**2 * (total - 1))
    return (x.ai - x.n1i * events / total) / spread, 1 / spread


@measure("AS", layout="table", needs=CELLS, add=0.0)
def arcsine_difference(x: Values) -> YiVi:
    """Difference of arcsine square root transformed risks, in radians (half of Cohen's h).

    y = asin(sqrt p1) - asin(sqrt p2), v = 1/(4 n1) + 1/(4 n2) (Rücker et al., 2009).
    """
    y = np.arcsin(np.sqrt(x.ai / x.n1i)) - np.arcsin(np.sqrt(x.ci / x.n2i))
    return y, 1 / (4 * x.n1i) + 1 / (4 * x.n2i)


@measure("PBIT", layout="table", needs=CELLS)
def probit_difference(x: Values) -> YiVi:
    """Difference of probit transformed risks, a standardized mean difference.

    y = z1 - z2 with z = Phi^-1(p), v = sum of 2 pi p (1-p) exp(z^2) / n (Sánchez-Meca et al.,
    2003).
    """
    p1, p2 = x.ai / x.n1i, x.ci / x.n2i
    z1, z2 = norm.ppf(p1), norm.ppf(p2)
    spread1 = 2 * np.pi * p1 * (1 - p1) * np.exp(z1**2) / x.n1i
    spread2 = 2 * np.pi * p2 * (1 - p2) * np.exp(z2**2) / x.n2i
    return z1 - z2, spread1 + spread2


@measure("OR2D", "OR2DL", layout="table", needs=CELLS)
def or2dl(x: Values) -> YiVi:
    """Standardized mean difference from the odds ratio, logistic responses.

    y = log(OR) sqrt(3) / pi, v = v(log OR) 3 / pi^2 (Chinn, 2000; Hasselblad & Hedges, 1995).
    """
    y, v = log_odds_ratio(x)
    return y / LOGISTIC, v / LOGISTIC**2


@measure("OR2DN", layout="table", needs=CELLS)
def or2dn(x: Values) -> YiVi:
    """Standardized mean difference from the odds ratio, normal responses.

    y = log(OR) / 1.65, v = v(log OR) / 1.65^2 (Cox & Snell, 1989).
    """
    y, v = log_odds_ratio(x)
    return y / NORMAL, v / NORMAL**2
