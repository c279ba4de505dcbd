"""Levels of intervals and p-values, and the statistics that belong to them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mvmeta.effects.values import FloatArray
from mvmeta.errors import SpecificationError


def proportion(level: FloatArray) -> FloatArray:
    """Levels in percent, or as proportions between 0.5 and 1, as proportions.

    Raises
    ------
    SpecificationError
        If a level is neither.
    """
    share = np.where(level >= 1.0, level / 100.0, level)
    if not ((share > 0.5) & (share < 1.0)).all():
        raise SpecificationError("level= is in percent, above 50 and below 100 (or a proportion)")
    return share


def critical(p: FloatArray, df: FloatArray) -> FloatArray:
    """What a t statistic exceeds in size with probability p (k,); a normal one for infinite df."""
    usable = np.where(df >= 1.0, df, np.nan)
    return np.where(np.isinf(df), stats.norm.isf(p / 2.0), stats.t.isf(p / 2.0, usable))
