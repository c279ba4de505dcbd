"""What the sampling error of an effect is made of, by measure: the errors of its arms.

An effect that compares two arms inherits the errors of both, and effects that share an arm share
its error.  To first order the error of an arm has two independent parts: that of its *location* (a
mean, a risk, a rate), and that of its *spread* (the logarithm of a standard deviation), where the
measure depends on it.  Each function here gives the standard deviations of these parts in the
effect, with the sign with which they enter; their squares add up to the large-sample variance of
`escalc`.

Covariances follow by adding up what two effects have in common (Gleser & Olkin 2009, in The
Handbook of Research Synthesis and Meta-Analysis, ch. 19; Lajeunesse 2011, Ecology 92:2049, for the
ratio of means; Wei & Higgins 2013, Stat Med 32:1191, for several outcomes): locations of outcomes
that correlate r in people have errors that correlate r, spreads have errors that correlate r^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mvmeta.effects.bias import hedges_factor
from mvmeta.effects.registry import MEASURES
from mvmeta.effects.smd import LOGISTIC, NORMAL
from mvmeta.effects.values import FloatArray, Values
from mvmeta.errors import SpecificationError


@dataclass(frozen=True)
class ErrorParts:
    """Standard deviations of the parts of k sampling errors, signed; 0 where there is no part.

    Attributes
    ----------
    location, spread : pair of ndarray, each (k,)
        Of the first and the second arm; effects of one group have no second.
    pooled : ndarray, shape (k,), or None
        For measures in units of a pooled standard deviation: the derivative by its logarithm.
    """

    location: tuple[FloatArray, FloatArray]
    spread: tuple[FloatArray, FloatArray]
    pooled: FloatArray | None = None


PartsFunction = Callable[[Values], ErrorParts]
PARTS: dict[str, PartsFunction] = {}


def find_parts(code: str) -> PartsFunction:
    """The function of a measure.

    Raises
    ------
    SpecificationError
        For a measure that is not a function of independent arms.
    """
    if code not in PARTS:
        raise SpecificationError(
            f"the errors of measure {code!r} are not known arm by arm; they are for "
            f"{', '.join(PARTS)}. Use vcalc with a correlation, or rcalc for correlations"
        )
    return PARTS[code]


def error_parts(*codes: str) -> Callable[[PartsFunction], PartsFunction]:
    """Register a function under the codes of its measures."""

    def register(function: PartsFunction) -> PartsFunction:
        PARTS.update(dict.fromkeys(codes, function))
        return function

    return register


def _difference(first: FloatArray, second: FloatArray) -> ErrorParts:
    """Two locations, the second one subtracted."""
    nothing = np.zeros_like(first)
    return ErrorParts((first, -second), (nothing, nothing))


def _single(location: FloatArray, spread: FloatArray | None = None) -> ErrorParts:
    """One arm."""
    nothing = np.zeros_like(location)
    return ErrorParts((location, nothing), (nothing if spread is None else spread, nothing))


def _scaled(parts: ErrorParts, factor: FloatArray) -> ErrorParts:
    """The locations of two arms in other units."""
    first, second = parts.location
    return _difference(first * factor, -second * factor)


def _estimate(code: str, x: Values) -> FloatArray:
    return MEASURES[code].function(x)[0]


@error_parts("MD")
def mean_difference(x: Values) -> ErrorParts:
    """SD / sqrt(n) of each mean (Gleser & Olkin 2009; Wei & Higgins 2013)."""
    return _difference(x.sd1i / np.sqrt(x.n1i), x.sd2i / np.sqrt(x.n2i))


def _in_pooled_units(x: Values, effect: FloatArray, unit: float) -> ErrorParts:
    """Locations 1 / sqrt(n), and the pooled SD, to whose error each arm adds by its size."""
    total = x.n1i + x.n2i
    parts = _difference(unit / np.sqrt(x.n1i), unit / np.sqrt(x.n2i))
    spread = tuple(-effect * np.sqrt(n / 2) / total for n in (x.n1i, x.n2i))
    return ErrorParts(parts.location, (spread[0], spread[1]), -effect)


@error_parts("SMD")
def standardized_mean_difference(x: Values) -> ErrorParts:
    """1 / sqrt(n) of each mean; the pooled log SD has variance 1 / (2 (n1 + n2)), times g^2.

    Effects that share a control then have the covariance ``1 / n0 + g_i g_j n0 / (2 N_i N_j)``,
    N_i the size of a pair of arms; with the SD pooled over all N people of the study it is
    ``1 / n0 + g_i g_j / (2 N)``.  That of two endpoints is
    ``r (1/n1 + 1/n2) + r^2 g_i g_j / (2 N)`` (Gleser & Olkin 2009).
    """
    return _in_pooled_units(x, _estimate("SMD", x), 1.0)


@error_parts("D2OR", "D2ORL")
def logistic_log_odds(x: Values) -> ErrorParts:
    """Those of a d without bias correction, times pi / sqrt(3)."""
    return _in_pooled_units(x, LOGISTIC * x.di, LOGISTIC)


@error_parts("D2ORN")
def normal_log_odds(x: Values) -> ErrorParts:
    """Those of a d without bias correction, times 1.65."""
    return _in_pooled_units(x, NORMAL * x.di, NORMAL)


@error_parts("SMD1")
def glass_delta(x: Values) -> ErrorParts:
    """1 / sqrt(n) of each mean; the log SD of the second group, 1 / (2 n2), times g^2.

    Effects that share that group: ``1 / n2 + g_i g_j / (2 n2)`` (Gleser & Olkin 2009).
    """
    g = _estimate("SMD1", x)
    parts = _difference(1 / np.sqrt(x.n1i), 1 / np.sqrt(x.n2i))
    return ErrorParts(parts.location, (np.zeros_like(g), -g / np.sqrt(2 * x.n2i)))


@error_parts("SMD1H")
def glass_delta_unequal(x: Values) -> ErrorParts:
    """As SMD1, the first mean with a standard deviation of its own (Bonett 2008)."""
    g = _estimate("SMD1H", x)
    parts = _difference(x.sd1i / (x.sd2i * np.sqrt(x.n1i)), 1 / np.sqrt(x.n2i))
    return ErrorParts(parts.location, (np.zeros_like(g), -g / np.sqrt(2 * x.n2i)))


@error_parts("SMDH")
def average_sd_difference(x: Values) -> ErrorParts:
    """Means and log SDs as Bonett (2008) has them in the variance: with n - 1, and J."""
    df1, df2 = x.n1i - 1, x.n2i - 1
    average = (x.sd1i**2 + x.sd2i**2) / 2
    factor = hedges_factor(df1 + df2) if x.correct else np.ones_like(df1)
    g = factor * (x.m1i - x.m2i) / np.sqrt(average)
    parts = _difference(
        factor * x.sd1i / np.sqrt(average * df1), factor * x.sd2i / np.sqrt(average * df2)
    )
    spread = tuple(
        -factor * g * sd**2 / (average * np.sqrt(8 * df))
        for sd, df in ((x.sd1i, df1), (x.sd2i, df2))
    )
    return ErrorParts(parts.location, (spread[0], spread[1]))


@error_parts("ROM")
def log_ratio_of_means(x: Values) -> ErrorParts:
    """SD / (m sqrt(n)) of each mean (Lajeunesse 2011)."""
    return _difference(x.sd1i / (x.m1i * np.sqrt(x.n1i)), x.sd2i / (x.m2i * np.sqrt(x.n2i)))


@error_parts("VR")
def log_variability_ratio(x: Values) -> ErrorParts:
    """1 / sqrt(2 (n - 1)) of each log SD (Nakagawa et al. 2015)."""
    first, second = 1 / np.sqrt(2 * (x.n1i - 1)), 1 / np.sqrt(2 * (x.n2i - 1))
    nothing = np.zeros_like(first)
    return ErrorParts((nothing, nothing), (first, -second))


@error_parts("CVR")
def log_cv_ratio(x: Values) -> ErrorParts:
    """Those of VR, and those of ROM with the other sign (Nakagawa et al. 2015)."""
    means, spreads = log_ratio_of_means(x).location, log_variability_ratio(x).spread
    return ErrorParts((-means[0], -means[1]), spreads)


@error_parts("OR")
def log_odds_ratio(x: Values) -> ErrorParts:
    """sqrt(1/a + 1/b) of each logit (Gleser & Olkin 2009; Wei & Higgins 2013)."""
    return _difference(np.sqrt(1 / x.ai + 1 / x.bi), np.sqrt(1 / x.ci + 1 / x.di))


@error_parts("RR")
def log_risk_ratio(x: Values) -> ErrorParts:
    """sqrt(1/a - 1/n) of each log risk (Gleser & Olkin 2009; Wei & Higgins 2013)."""
    return _difference(np.sqrt(1 / x.ai - 1 / x.n1i), np.sqrt(1 / x.ci - 1 / x.n2i))


@error_parts("RD")
def risk_difference(x: Values) -> ErrorParts:
    """sqrt(p (1 - p) / n) of each risk (Gleser & Olkin 2009; Wei & Higgins 2013)."""
    return _difference(
        np.sqrt(x.ai * (x.n1i - x.ai) / x.n1i**3), np.sqrt(x.ci * (x.n2i - x.ci) / x.n2i**3)
    )


@error_parts("AS")
def arcsine_difference(x: Values) -> ErrorParts:
    """1 / (2 sqrt(n)) of each arcsine root (Gleser & Olkin 2009)."""
    return _difference(0.5 / np.sqrt(x.n1i), 0.5 / np.sqrt(x.n2i))


@error_parts("PBIT")
def probit_difference(x: Values) -> ErrorParts:
    """sqrt(2 pi p (1 - p) / n) exp(z^2 / 2) of each probit z."""

    def probit(p: FloatArray, n: FloatArray) -> FloatArray:
        return np.sqrt(2 * np.pi * p * (1 - p) / n) * np.exp(norm.ppf(p) ** 2 / 2)

    return _difference(probit(x.ai / x.n1i, x.n1i), probit(x.ci / x.n2i, x.n2i))


@error_parts("OR2D", "OR2DL")
def logistic_difference(x: Values) -> ErrorParts:
    """Those of OR, times sqrt(3) / pi."""
    first, second = log_odds_ratio(x).location
    return _difference(first / LOGISTIC, -second / LOGISTIC)


@error_parts("OR2DN")
def normal_difference(x: Values) -> ErrorParts:
    """Those of OR, over 1.65."""
    first, second = log_odds_ratio(x).location
    return _difference(first / NORMAL, -second / NORMAL)


@error_parts("PETO")
def peto(x: Values) -> ErrorParts:
    """1 / sqrt(k n) of each risk, k = m1 m2 / (N (N - 1)), m events and non-events of N people.

    One-step estimates suppose that there is no effect: ``y = (a / n1 - c / n2) / k``, k the
    variance p (1 - p) of an event at the risk of both groups, and ``1/V = (1/n1 + 1/n2) / k``.
    """
    total, events = x.n1i + x.n2i, x.ai + x.ci
    k = events * (total - events) / (total * (total - 1))
    return _difference(1 / np.sqrt(k * x.n1i), 1 / np.sqrt(k * x.n2i))


@error_parts("YUQ")
def yule_q(x: Values) -> ErrorParts:
    """Those of OR, times (1 - y^2) / 2."""
    return _scaled(log_odds_ratio(x), (1 - _estimate("YUQ", x) ** 2) / 2)


@error_parts("YUY")
def yule_y(x: Values) -> ErrorParts:
    """Those of OR, times (1 - y^2) / 4."""
    return _scaled(log_odds_ratio(x), (1 - _estimate("YUY", x) ** 2) / 4)


@error_parts("IRR")
def log_rate_ratio(x: Values) -> ErrorParts:
    """1 / sqrt(events) of each log rate."""
    return _difference(1 / np.sqrt(x.x1i), 1 / np.sqrt(x.x2i))


@error_parts("IRD")
def rate_difference(x: Values) -> ErrorParts:
    """sqrt(events) / time of each rate."""
    return _difference(np.sqrt(x.x1i) / x.t1i, np.sqrt(x.x2i) / x.t2i)


@error_parts("IRSD")
def root_rate_difference(x: Values) -> ErrorParts:
    """1 / (2 sqrt(time)) of each root."""
    return _difference(0.5 / np.sqrt(x.t1i), 0.5 / np.sqrt(x.t2i))


@error_parts("MC")
def mean_change(x: Values) -> ErrorParts:
    """SD of the changes / sqrt(n)."""
    variance = x.sd1i**2 + x.sd2i**2 - 2 * x.ri * x.sd1i * x.sd2i
    return _single(np.sqrt(variance / x.ni))


@error_parts("SMCC")
def standardized_mean_change(x: Values) -> ErrorParts:
    """1 / sqrt(n), and g / sqrt(2 n) of the log SD of the changes."""
    return _single(1 / np.sqrt(x.ni), -_estimate("SMCC", x) / np.sqrt(2 * x.ni))


@error_parts("SMCR")
def change_by_raw_sd(x: Values) -> ErrorParts:
    """sqrt(2 (1 - r) / n), and g / sqrt(2 n) of the log SD of the first measurement."""
    g = _estimate("SMCR", x)
    return _single(np.sqrt(2 * (1 - x.ri) / x.ni), -g / np.sqrt(2 * x.ni))


@error_parts("SMCRP")
def change_by_pooled_sd(x: Values) -> ErrorParts:
    """sqrt(2 (1 - r) / n), and g sqrt((1 + r^2) / (4 n)) of the log of the average variance."""
    g = _estimate("SMCRP", x)
    spread = -g * np.sqrt((1 + x.ri**2) / (4 * x.ni))
    return _single(np.sqrt(2 * (1 - x.ri) / x.ni), spread)


@error_parts("ROMC")
def log_ratio_of_paired_means(x: Values) -> ErrorParts:
    """sqrt((cv1^2 + cv2^2 - 2 r cv1 cv2) / n), the error of m1 with the sign of the means."""
    cv1, cv2 = x.sd1i / x.m1i, x.sd2i / x.m2i
    return _single(np.sign(x.m1i) * np.sqrt((cv1**2 + cv2**2 - 2 * x.ri * cv1 * cv2) / x.ni))


@error_parts("VRC")
def log_ratio_of_paired_sds(x: Values) -> ErrorParts:
    """sqrt((1 - r^2) / (n - 1)) of the log ratio of the SDs."""
    spread = np.sqrt((1 - x.ri**2) / (x.ni - 1))
    return _single(np.zeros_like(spread), spread)


@error_parts("CVRC")
def log_ratio_of_paired_cvs(x: Values) -> ErrorParts:
    """Those of VRC, and those of ROMC with the other sign."""
    means, spreads = log_ratio_of_paired_means(x).location, log_ratio_of_paired_sds(x).spread
    return _single(-means[0], spreads[0])


@error_parts("PR")
def proportion(x: Values) -> ErrorParts:
    """sqrt(p (1 - p) / n)."""
    return _single(np.sqrt(x.xi * x.mi / x.ni**3))


@error_parts("PLN")
def log_proportion(x: Values) -> ErrorParts:
    """sqrt(1/x - 1/n)."""
    return _single(np.sqrt(1 / x.xi - 1 / x.ni))


@error_parts("PLO")
def logit_proportion(x: Values) -> ErrorParts:
    """sqrt(1/x + 1/m)."""
    return _single(np.sqrt(1 / x.xi + 1 / x.mi))


@error_parts("PAS")
def arcsine_proportion(x: Values) -> ErrorParts:
    """1 / (2 sqrt(n))."""
    return _single(0.5 / np.sqrt(x.ni))


@error_parts("MN")
def mean(x: Values) -> ErrorParts:
    """SD / sqrt(n)."""
    return _single(x.sdi / np.sqrt(x.ni))


@error_parts("SMN")
def standardized_mean(x: Values) -> ErrorParts:
    """1 / sqrt(n), and y / sqrt(2 n) of the log SD."""
    return _single(1 / np.sqrt(x.ni), -_estimate("SMN", x) / np.sqrt(2 * x.ni))


@error_parts("MNLN")
def log_mean(x: Values) -> ErrorParts:
    """SD / (m sqrt(n))."""
    return _single(x.sdi / (x.mi * np.sqrt(x.ni)))


@error_parts("SDLN")
def log_sd(x: Values) -> ErrorParts:
    """1 / sqrt(2 (n - 1)) of the log SD."""
    spread = 1 / np.sqrt(2 * (x.ni - 1))
    return _single(np.zeros_like(spread), spread)


@error_parts("CVLN")
def log_cv(x: Values) -> ErrorParts:
    """Those of SDLN, and those of MNLN with the other sign."""
    return _single(-x.sdi / (x.mi * np.sqrt(x.ni)), 1 / np.sqrt(2 * (x.ni - 1)))


@error_parts("IR")
def rate(x: Values) -> ErrorParts:
    """sqrt(events) / time."""
    return _single(np.sqrt(x.xi) / x.ti)


@error_parts("IRLN")
def log_rate(x: Values) -> ErrorParts:
    """1 / sqrt(events)."""
    return _single(1 / np.sqrt(x.xi))


@error_parts("IRS")
def root_rate(x: Values) -> ErrorParts:
    """1 / (2 sqrt(time))."""
    return _single(0.5 / np.sqrt(x.ti))
