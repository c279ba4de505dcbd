"""The small-sample correction of standardized means and mean differences."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from mvmeta.effects.values import FloatArray


def hedges_factor(df: FloatArray) -> FloatArray:
    """Exact factor that makes d unbiased, Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2)) (Hedges, 1981).

    Parameters
    ----------
    df : ndarray
        Degrees of freedom m of the standard deviation; the factor is NaN for m <= 1.
    """
    usable = np.where(df > 1, df, np.nan)
    return np.exp(gammaln(usable / 2) - np.log(np.sqrt(usable / 2)) - gammaln((usable - 1) / 2))
