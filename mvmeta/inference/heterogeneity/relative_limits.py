"""Intervals of heterogeneity relative to the mean effect, from those of the two."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.inference.heterogeneity.explained import RelativeHeterogeneity


def relative_limits(
    mean: tuple[float, float, float], variance: Floats, lower: Floats, upper: Floats
) -> tuple[RelativeHeterogeneity, RelativeHeterogeneity]:
    """Lower and upper limits of CVH and M of T variances.

    Parameters
    ----------
    mean : (float, float, float)
        Mean effect, and the limits of its interval.
    variance, lower, upper : ndarray, shape (T,)
        Variances and the limits of their intervals.

    Notes
    -----
    CVH and M are increasing functions of log(sd) - log|mean|.  A limit of the difference of two
    independent estimates is as far from it as the limits of the two that lie on that side, squared
    and added (MOVER: Zou & Donner 2008, Stat Med 27:1693; of functions of a normal mean and
    standard deviation Donner & Zou 2012, Stat Methods Med Res 21:347).  Where the interval of the
    mean holds 0, CVH has no upper limit, and M that of 1.
    """
    estimate, low, high = mean
    size = np.sort(np.abs([low, high]))
    with np.errstate(divide="ignore"):
        middle, nearest, farthest = np.log(
            [abs(estimate), 0.0 if low <= 0.0 <= high else size[0], size[1]]
        ).tolist()
        sd, sd_low, sd_high = (np.log(v) / 2.0 for v in (variance, lower, upper))
    below = [_lower(*s, middle, farthest) for s in zip(sd, sd_low, strict=True)]
    above = [_upper(*s, middle, nearest) for s in zip(sd, sd_high, strict=True)]
    return _measures(np.array(below, dtype=float)), _measures(np.array(above, dtype=float))


def _lower(sd: float, sd_low: float, mean: float, mean_high: float) -> float:
    """Of sd - mean, both logarithms; by its limit where the mean is 0, 0 being -inf here."""
    if sd_low == -np.inf:
        return -np.inf
    if mean == -np.inf:
        return sd - mean_high
    return float(sd - mean - np.hypot(sd - sd_low, mean_high - mean))


def _upper(sd: float, sd_high: float, mean: float, mean_low: float) -> float:
    """Of sd - mean, both logarithms; by its limit where the variance is 0."""
    if mean_low == -np.inf:
        return np.inf
    if sd == -np.inf:
        return sd_high - mean
    return float(sd - mean + np.hypot(sd_high - sd, mean - mean_low))


def _measures(log_cvh: Floats) -> RelativeHeterogeneity:
    with np.errstate(over="ignore"):
        m1, m2 = (1.0 / (1.0 + np.exp(-power * log_cvh)) for power in (1.0, 2.0))
        return RelativeHeterogeneity(np.exp(log_cvh), m1, m2)
