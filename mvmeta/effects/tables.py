"""2x2 tables from what studies report of them: margins and an odds ratio, phi or chi-square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.appended import appended, check_output, included, wanting
from mvmeta.effects.checks import Problems
from mvmeta.effects.inputs import as_frame, read_inputs, row_labels
from mvmeta.effects.values import Arrays, BoolArray, FloatArray
from mvmeta.errors import SpecificationError

STATISTICS = ("ori", "ri", "x2i")
MARGINS = ("ni", "n1i", "n2i")
ROUNDING = 1e-6
"""How far outside its range a cell may come out, in counts, before the numbers contradict
each other."""


def conv_2x2(  # noqa: PLR0913
    *,
    ori: Any = None,
    ri: Any = None,
    x2i: Any = None,
    ni: Any = None,
    n1i: Any = None,
    n2i: Any = None,
    correct: Any = True,
    data: Any = None,
    include: Any = None,
    var_names: tuple[str, str, str, str] = ("ai", "bi", "ci", "di"),
    append: bool = True,
    replace: str = "ifna",
) -> pd.DataFrame:
    """Cells of 2x2 tables from their margins and one measure of association.

    The table crosses two dichotomies: ai + bi = n1i, ai + ci = n2i, ai + bi + ci + di = ni.

    Parameters
    ----------
    ori : column name, array-like (k,) or number, optional
        Odds ratios.
    ri : column, optional
        Phi coefficients, the correlations of the two dichotomies.
    x2i : column, optional
        Chi-square statistics of independence; a negative sign marks a negative association.
    ni, n1i, n2i : column
        Total, and the two marginal counts: of the first row, and of the first column.
    correct : bool or column of bool
        Whether `x2i` was computed with Yates' continuity correction.
    data : DataFrame, optional
        Where column names are looked up.
    include : array_like of bool or int, or column name, optional
        Rows to convert: booleans or positions; all unless said.
    var_names : four str
        Names of the new columns.
    append : bool
        Return the columns of `data` too.
    replace : {"ifna", "all"}
        Where `data` has these columns: fill rows that lack one of the numbers, or overwrite.

    Returns
    -------
    DataFrame
        Cells as counts without unit, rounded to whole numbers; they add up to the margins.

    Raises
    ------
    SpecificationError, DataError
        For inputs that are not enough, unknown columns or different lengths.

    Warns
    -----
    MvmetaWarning
        Rows that give NaN: margins that contradict each other, or an association that no table
        with these margins has.

    Notes
    -----
    ai = ni p11; with p1 = n1i / ni and p2 = n2i / ni,
    p11 = p1 p2 + phi sqrt(p1 (1 - p1) p2 (1 - p2)).
    Chi-square: phi = sqrt(x2 / n), and with the correction
    ``x2 = n (|ad - bc| - n / 2)^2 / (n1 (n - n1) n2 (n - n2))``.  Odds ratio: p11 is the root of
    (or - 1) p11^2 - (1 + (p1 + p2) (or - 1)) p11 + or p1 p2 = 0 within its range (Bonett 2007).

    References
    ----------
    .. [1] Bonett DG (2007). Transforming odds ratios into correlations for meta-analytic research.
       *American Psychologist* 62:254–255. doi:10.1037/0003-066X.62.3.254

    Examples
    --------
    >>> from mvmeta import conv_2x2
    >>> conv_2x2(ori=[2.25], ni=[40], n1i=[20], n2i=[20])
         ai   bi   ci    di
    0  12.0  8.0  8.0  12.0
    """
    check_output(replace, append, var_names, 4)
    given = {"ori": ori, "ri": ri, "x2i": x2i, "ni": ni, "n1i": n1i, "n2i": n2i}
    frame = as_frame(data, *given.values())
    x = read_inputs({k: v for k, v in given.items() if v is not None} | {"correct": correct}, frame)
    _check_given(x)
    rows = len(x["ni"])
    use = wanting(frame, var_names, included(include, frame, rows), replace)
    problems = _problems(x, use)
    with np.errstate(all="ignore"):
        first = _first_cell(x)
        low = np.maximum(0.0, x["n1i"] + x["n2i"] - x["ni"])
        high = np.minimum(x["n1i"], x["n2i"])
        problems.add(use & np.isnan(first), "has no odds ratio, phi or chi-square")
        outside = (first < low - ROUNDING) | (first > high + ROUNDING)
        problems.add(use & outside, "no table with these margins has this association")
        a = np.where(problems.mask, np.nan, np.round(np.clip(first, low, high)))
    cells = (a, x["n1i"] - a, x["n2i"] - a, x["ni"] - x["n1i"] - x["n2i"] + a)
    labels = row_labels(frame, rows)
    problems.warn("conv_2x2", labels, "have no table (NaN)")
    columns = dict(zip(var_names, cells, strict=True))
    return appended(
        frame, columns, use & np.isfinite(a), append=append, replace=replace, called="conv_2x2"
    )


def _check_given(x: Arrays) -> None:
    if not set(MARGINS) <= x.keys() or not set(STATISTICS) & x.keys():
        raise SpecificationError(
            "conv_2x2 needs ni, n1i and n2i, and one or more of ori, ri and x2i; it got "
            f"{', '.join(k for k in (*STATISTICS, *MARGINS) if k in x) or 'nothing'}"
        )


def _problems(x: Arrays, use: BoolArray) -> Problems:
    found = Problems(len(use))
    for name in MARGINS:
        found.add(use & np.isnan(x[name]), f"{name} is missing")
        found.add(use & (x[name] < 0), f"{name} is negative")
    for name in ("n1i", "n2i"):
        found.add(use & (x[name] > x["ni"]), f"{name} is above ni")
    if "ori" in x:
        found.add(use & (x["ori"] < 0), "ori is negative")
    if "ri" in x:
        found.add(use & (np.abs(x["ri"]) > 1), "ri is not between -1 and 1")
    return found


def _first_cell(x: Arrays) -> FloatArray:
    """Expected count ai (k,) by the first statistic that a row has; NaN without."""
    n = x["ni"]
    p1, p2 = x["n1i"] / n, x["n2i"] / n
    spread = np.sqrt(p1 * (1.0 - p1) * p2 * (1.0 - p2))
    none = np.full(len(n), np.nan)
    if "x2i" in x:
        chi2 = np.abs(x["x2i"])
        # n^2 |p11 - p1 p2| = |ad - bc|, from which Yates takes n / 2
        size = np.sqrt(chi2 / n) * spread
        size = np.where(x["correct"] > 0, size + 0.5 / n, size)
        none = n * (p1 * p2 + np.sign(x["x2i"]) * size)
    if "ri" in x:
        none = np.where(np.isnan(x["ri"]), none, n * (p1 * p2 + x["ri"] * spread))
    if "ori" in x:
        none = np.where(np.isnan(x["ori"]), none, n * _by_odds_ratio(x["ori"], p1, p2))
    return none


def _by_odds_ratio(ratio: FloatArray, p1: FloatArray, p2: FloatArray) -> FloatArray:
    """p11 (k,): the root of the quadratic that is a probability."""
    excess = ratio - 1.0
    b = 1.0 + (p1 + p2) * excess
    root = np.sqrt(b**2 - 4.0 * excess * ratio * p1 * p2)
    # this form of the smaller root does not cancel as the ratio tends to 1
    smaller = 2.0 * ratio * p1 * p2 / (b + root)
    at_zero, at_infinity = np.maximum(0.0, p1 + p2 - 1.0), np.minimum(p1, p2)
    return np.where(ratio == 0, at_zero, np.where(np.isinf(ratio), at_infinity, smaller))
