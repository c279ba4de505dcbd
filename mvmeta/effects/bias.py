"""The small-sample correction of standardized means and mean differences."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.special import gammaln

from mvmeta.effects.values import FloatArray

# Gamma(x + 1/2) / (sqrt(x) Gamma(x)) in powers of 1/x (Tricomi & Erdelyi, 1951).
_SERIES = (1, -1 / 8, 1 / 128, 5 / 1024, -21 / 32768, -399 / 262144)
_LARGE = 100.0


def hedges_factor(df: FloatArray) -> FloatArray:
    """Exact factor that makes d unbiased, Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)) (Hedges, 1981).

    The logarithms of the two gammas lose a digit for every tenfold m; from m of about 200 on, their
    ratio is a series.

    Parameters
    ----------
    df : ndarray
        Degrees of freedom m of the standard deviation; the factor is NaN for m <= 1.
    """
    usable = np.where(df > 1, df, np.nan)
    x = (usable - 1) / 2
    gammas = np.exp(gammaln(x + 0.5) - gammaln(x)) / np.sqrt(x)
    ratio = np.where(x < _LARGE, gammas, polyval(1 / x, _SERIES))
    return np.asarray(ratio * np.sqrt(1 - 1 / usable))
