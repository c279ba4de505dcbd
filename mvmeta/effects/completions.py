"""How the inputs of a formula follow from what studies report in their place.

Every function fills missing inputs in, in place, and returns the rows that contradict themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import ndtri

from mvmeta.effects.values import Arrays, Flags, FloatArray

ROUNDING = 1e-8
"""How far totals may be off, relatively, before they contradict their parts."""


def nothing(_: Arrays) -> Flags:
    """Every input has to be given."""
    return []


def _fill(arrays: Arrays, name: str, source: Callable[[], FloatArray]) -> None:
    """Fill the missing values of an input in; do nothing where the source lacks an input."""
    try:
        values = source()
    except KeyError:
        return
    current = arrays.get(name)
    arrays[name] = values if current is None else np.where(np.isnan(current), values, current)


def _complement(arrays: Arrays, event: str, other: str, total: str) -> Flags:
    """Two of events, non-events and total give the third."""
    flags: Flags = []
    if {event, other, total} <= arrays.keys():
        off = np.abs(arrays[event] + arrays[other] - arrays[total])
        flags.append((off > ROUNDING * np.abs(arrays[total]), f"{event} + {other} is not {total}"))
    _fill(arrays, other, lambda: arrays[total] - arrays[event])
    if other in arrays and total in arrays:
        above = (arrays[other] < 0) & (arrays[event] > arrays[total])
        flags.append((above, f"{event} exceeds {total}"))
    _fill(arrays, total, lambda: arrays[event] + arrays[other])
    return flags


def complete_table(a: Arrays) -> Flags:
    """Cells and row totals of a 2x2 table."""
    return _complement(a, "ai", "bi", "n1i") + _complement(a, "ci", "di", "n2i")


def complete_margins(a: Arrays) -> Flags:
    """Margins of a paired table, and its phi coefficient from the share with both events."""
    flags = complete_table(a)
    if not {"ai", "bi", "ci", "di"} <= a.keys():
        return flags
    n, other = a["n1i"], a["n2i"]
    flags.append((np.abs(n - other) > ROUNDING * n, "ai + bi is not ci + di"))
    p1, p2 = a["ai"] / n, a["ci"] / n
    spread = np.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    _fill(a, "ri", lambda: (a["pi"] - p1 * p2) / spread)
    if "ri" in a:
        both = a["ri"] * spread + p1 * p2
        outside = (both < np.maximum(0, p1 + p2 - 1) - ROUNDING) | (
            both > np.minimum(p1, p2) + ROUNDING
        )
        flags.append((outside, "no paired table with these margins has this correlation"))
    return flags


def complete_proportion(a: Arrays) -> Flags:
    """Events, non-events and size of one group."""
    return _complement(a, "xi", "mi", "ni")


def complete_paired(a: Arrays) -> Flags:
    """Number of pairs."""
    _fill(a, "ni", lambda: a["ai"] + a["bi"] + a["ci"] + a["di"])
    return []


def _t_from_p(p: FloatArray, df: FloatArray) -> FloatArray:
    """T statistic of a two-sided p-value that carries the sign of the effect."""
    return np.sign(p) * stats.t.isf(np.abs(p) / 2, df)


def _complete_t(a: Arrays, df: Callable[[], FloatArray]) -> None:
    _fill(a, "ti", lambda: np.sign(a["fi"]) * np.sqrt(np.abs(a["fi"])))
    _fill(a, "ti", lambda: _t_from_p(a["pi"], df()))


def _t_from_r(r: FloatArray, df: FloatArray) -> FloatArray:
    return r * np.sqrt(df / (1 - r**2))


def _prefer(arrays: Arrays, name: str, source: Callable[[], FloatArray]) -> None:
    """Let what follows from a source come before the input as it was reported."""
    reported = arrays.pop(name, None)
    _fill(arrays, name, source)
    if reported is not None:
        _fill(arrays, name, lambda: reported)


def _cohens_d(a: Arrays) -> FloatArray:
    df1, df2 = a["n1i"] - 1, a["n2i"] - 1
    pooled = (df1 * a["sd1i"] ** 2 + df2 * a["sd2i"] ** 2) / (df1 + df2)
    return (a["m1i"] - a["m2i"]) / np.sqrt(pooled)


def complete_d(a: Arrays) -> Flags:
    """Cohen's d: from means and standard deviations first, then d, r, t, F and p."""
    _prefer(a, "di", lambda: _cohens_d(a))
    _prefer(a, "ti", lambda: _t_from_r(a["ri"], a["n1i"] + a["n2i"] - 2))
    _complete_t(a, lambda: a["n1i"] + a["n2i"] - 2)
    _fill(a, "di", lambda: a["ti"] * np.sqrt(1 / a["n1i"] + 1 / a["n2i"]))
    return []


def complete_binormal(a: Arrays) -> Flags:
    """Cohen's d of two normal samples, from their area under the curve too."""
    flags = complete_d(a)
    _fill(a, "di", lambda: np.sqrt(2) * ndtri(a["ai"]))
    none = np.full_like(a["n1i"], np.nan) if "n1i" in a else np.array([])
    for name in ("m1i", "m2i", "sd1i", "sd2i"):
        a.setdefault(name, none)
    return flags


def _change_over_its_sd(a: Arrays) -> FloatArray:
    variance = a["sd1i"] ** 2 + a["sd2i"] ** 2 - 2 * a["ri"] * a["sd1i"] * a["sd2i"]
    return (a["m1i"] - a["m2i"]) / np.sqrt(variance)


def complete_change_score(a: Arrays) -> Flags:
    """Nothing follows; a reported SD of the changes excludes a correlation."""
    if {"sd2i", "ri"} <= a.keys():
        return [((a["sd2i"] == 0) & (a["ri"] != 0), "sd2i is 0 but ri is not")]
    return []


def complete_change(a: Arrays) -> Flags:
    """Standardized change: from means and standard deviations first, then d, t, F and p."""
    flags = complete_change_score(a)
    _prefer(a, "di", lambda: _change_over_its_sd(a))
    _complete_t(a, lambda: a["ni"] - 1)
    _fill(a, "di", lambda: a["ti"] / np.sqrt(a["ni"]))
    return flags


def complete_superiority(a: Arrays) -> Flags:
    """No tie is counted twice: half of the tied pairs are part of ai, half of 1 - ai."""
    if {"ai", "mi"} <= a.keys():
        room = 2 * np.minimum(a["ai"], 1 - a["ai"])
        return [(a["mi"] > room + ROUNDING, "mi is more than ai leaves for ties")]
    return []


def complete_correlation(a: Arrays) -> Flags:
    """Correlation from t, F and p."""
    _complete_t(a, lambda: a["ni"] - 2)
    _fill(a, "ri", lambda: a["ti"] / np.sqrt(a["ti"] ** 2 + a["ni"] - 2))
    return []


def _residual_df(a: Arrays) -> FloatArray:
    """Degrees of freedom of a regression on mi predictors and a constant."""
    return np.asarray(a["ni"] - a["mi"] - 1)


def _too_small(a: Arrays) -> Flags:
    return [(_residual_df(a) <= 0, "ni is not above mi + 1")] if {"ni", "mi"} <= a.keys() else []


def complete_regression(a: Arrays) -> Flags:
    """Partial correlation from t, F and p of a predictor."""
    _complete_t(a, lambda: _residual_df(a))
    _fill(a, "ri", lambda: a["ti"] / np.sqrt(a["ti"] ** 2 + _residual_df(a)))
    return _too_small(a)


def complete_semipartial(a: Arrays) -> Flags:
    """Semi-partial correlation from R2 and t, F and p of a predictor."""
    _complete_t(a, lambda: _residual_df(a))
    _fill(a, "ri", lambda: a["ti"] * np.sqrt((1 - a["r2i"]) / _residual_df(a)))
    return _too_small(a)


def complete_determination(a: Arrays) -> Flags:
    """R2 from F and p of all predictors together."""
    _fill(a, "fi", lambda: np.asarray(stats.f.isf(a["pi"], a["mi"], _residual_df(a))))
    _fill(a, "r2i", lambda: a["mi"] * a["fi"] / (a["mi"] * a["fi"] + _residual_df(a)))
    return _too_small(a)


def complete_alpha(a: Arrays) -> Flags:
    """Nothing follows; the variance needs three people."""
    return [(a["ni"] < 3, "ni is less than 3")] if "ni" in a else []


def complete_ready(a: Arrays) -> Flags:
    """Variance from standard error."""
    _fill(a, "vi", lambda: a["sei"] ** 2)
    return []
