"""Means and standard deviations from medians, quartiles and ranges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mvmeta.effects.appended import appended, check_output, included, wanting
from mvmeta.effects.checks import Problems
from mvmeta.effects.inputs import as_frame, read_inputs, row_labels
from mvmeta.effects.values import Arrays, BoolArray, FloatArray
from mvmeta.errors import SpecificationError

ORDER = ("min", "q1", "median", "q3", "max")
DISTRIBUTIONS = ("norm", "lnorm")
LEAST_N = 5
"""Smallest sample for which the estimators were derived."""


def conv_fivenum(  # noqa: PLR0913
    *,
    min: Any = None,
    q1: Any = None,
    median: Any = None,
    q3: Any = None,
    max: Any = None,
    n: Any = None,
    data: Any = None,
    include: Any = None,
    dist: str = "norm",
    transf: bool = True,
    test: bool = True,
    var_names: tuple[str, str] = ("mean", "sd"),
    append: bool = True,
    replace: str = "ifna",
) -> pd.DataFrame:
    """Mean and standard deviation from a five-number summary, or part of one.

    Parameters
    ----------
    min, q1, median, q3, max : column name, array-like (k,) or number
        What is reported in each row, in units of the measurements: min, median and max; q1, median
        and q3; or all five.
    n : column
        Sample sizes, at least 5.
    data : DataFrame, optional
        Where column names are looked up.
    include : array_like of bool or int, or column name, optional
        Rows to convert: booleans or positions; all unless said.
    dist : {"norm", "lnorm"}
        Distribution of the data.  Under "lnorm" the logarithms are converted.
    transf : bool
        Under "lnorm": return mean and standard deviation of the data, not of their logarithms.
    test : bool
        Under "norm": warn where a test finds the data skewed, so that the mean is doubtful.
    var_names : pair of str
        Names of the new columns.
    append : bool
        Return the columns of `data` too.
    replace : {"ifna", "all"}
        Where `data` has these columns: fill rows that lack one of the numbers, or overwrite.

    Returns
    -------
    DataFrame
        With the mean and the standard deviation of each row, in units of the measurements (of their
        logarithms under "lnorm" without `transf`).

    Raises
    ------
    SpecificationError, DataError
        For inputs that are not enough, unknown columns or different lengths.

    Warns
    -----
    MvmetaWarning
        Rows that give NaN (numbers out of order, n missing or below 5, nothing complete), and
        skewed rows.

    Notes
    -----
    Means by Luo, Wan, Liu and Tong (2018), eqs 7, 11 and 15; standard deviations by Wan, Wang, Liu
    and Tong (2014), eqs 9 and 16, and from all five numbers by Shi and colleagues (2020).  The
    tests are those of Shi, Luo, Wan, Liu and Tong (2023).  Log-normal: with m and s^2 of the
    logarithms, mean = exp(m + s^2 / 2), variance = (exp(s^2) - 1) exp(2 m + s^2).

    References
    ----------
    .. [1] Luo D, Wan X, Liu J, Tong T (2018). Optimally estimating the sample mean from the sample
       size, median, mid-range, and/or mid-quartile range. *Statistical Methods in Medical Research*
       27:1785–1805. doi:10.1177/0962280216669183
    .. [2] Shi J, Luo D, Wan X, Liu Y, Liu J, Bian Z, Tong T (2023). Detecting the skewness of data
       from the five-number summary and its application in meta-analysis. *Statistical Methods in
       Medical Research* 32:1338–1360.
    .. [3] Shi J, Luo D, Weng H, Zeng XT, Lin L, Chu H, Tong T (2020). Optimally estimating the
       sample standard deviation from the five-number summary. *Research Synthesis Methods*
       11:641–654. doi:10.1002/jrsm.1429
    .. [4] Wan X, Wang W, Liu J, Tong T (2014). Estimating the sample mean and standard deviation
       from the sample size, median, range and/or interquartile range. *BMC Medical Research
       Methodology* 14:135. doi:10.1186/1471-2288-14-135

    Examples
    --------
    >>> from mvmeta import conv_fivenum
    >>> conv_fivenum(q1=[8], median=[10], q3=[13], n=[60]).round(3)
         mean     sd
    0  10.353  3.798
    """
    check_output(replace, append, var_names, 2)
    if dist not in DISTRIBUTIONS:
        raise SpecificationError(f"dist= takes 'norm' or 'lnorm', got {dist!r}")
    given = dict(zip((*ORDER, "n"), (min, q1, median, q3, max, n), strict=True))
    frame = as_frame(data, *given.values())
    x = read_inputs({k: v for k, v in given.items() if v is not None}, frame)
    _check_given(x)
    rows = len(x["median"])
    labels = row_labels(frame, rows)
    use = wanting(frame, var_names, included(include, frame, rows), replace)
    five = {k: x.get(k, np.full(rows, np.nan)) for k in (*ORDER, "n")}
    problems = _problems(five, use, dist)
    usable = {k: np.where(problems.mask, np.nan, v) for k, v in five.items()}
    with np.errstate(all="ignore"):
        if dist == "lnorm":
            usable |= {k: np.log(usable[k]) for k in ORDER}
        mean, sd = _mean(usable), deviation(usable)
        skewed = _skewed(usable) if dist == "norm" else np.zeros(rows, dtype=bool)
        if dist == "lnorm" and transf:
            mean, sd = np.exp(mean + sd**2 / 2), np.sqrt(np.expm1(sd**2) * np.exp(2 * mean + sd**2))
    problems.add(use & (sd == 0), "shows no spread")
    mean, sd = (np.where(problems.mask, np.nan, x) for x in (mean, sd))
    problems.warn("conv_fivenum", labels, "have no mean and standard deviation (NaN)")
    if test:
        _warn_skewed(use & skewed, labels)
    columns = dict(zip(var_names, (mean, sd), strict=True))
    return appended(
        frame, columns, use & np.isfinite(sd), append=append, replace=replace, called="conv_fivenum"
    )


def _check_given(x: Arrays) -> None:
    quartiles, extremes = {"q1", "q3"} <= x.keys(), {"min", "max"} <= x.keys()
    if not {"median", "n"} <= x.keys() or not (quartiles or extremes):
        raise SpecificationError(
            "conv_fivenum needs n and median, with min and max, q1 and q3, or all four; it got "
            f"{', '.join(x) or 'nothing'}"
        )


def _problems(x: Arrays, use: BoolArray, dist: str) -> Problems:
    found = Problems(len(use))
    found.add(use & np.isnan(x["n"]), "n is missing")
    found.add(use & (x["n"] < LEAST_N), f"n is less than {LEAST_N}")
    found.add(use & np.isnan(x["median"]), "median is missing")
    found.add(use & ~(_has(x, "q1", "q3") | _has(x, "min", "max")), "has no pair around the median")
    for low, high in pairwise(ORDER):
        found.add(use & (x[low] > x[high]), f"{low} is above {high}")
    for low, high in (("min", "median"), ("median", "max")):
        found.add(use & (x[low] > x[high]), f"{low} is above {high}")
    if dist == "lnorm":
        for name in ORDER:
            found.add(use & (x[name] <= 0), f"{name} is not positive, as dist='lnorm' wants")
    return found


def _has(x: Arrays, *names: str) -> BoolArray:
    return np.all([np.isfinite(x[name]) for name in names], axis=0)


def _mean(x: Arrays) -> FloatArray:
    n, middle = x["n"], x["median"]
    range_, quartiles = (x["min"] + x["max"]) / 2.0, (x["q1"] + x["q3"]) / 2.0
    w = 4.0 / (4.0 + n**0.75)
    from_range = w * range_ + (1.0 - w) * middle
    w = 0.7 + 0.39 / n
    from_quartiles = w * quartiles + (1.0 - w) * middle
    w1, w2 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
    from_all = w1 * range_ + w2 * quartiles + (1.0 - w1 - w2) * middle
    return _first(from_all, from_quartiles, from_range)


def deviation(x: Arrays) -> FloatArray:
    """Standard deviation (k,) from all of min, q1, q3 and max, else from quartiles, else the range.

    Wan et al. (2014), eqs 9 and 16, and Shi et al. (2020).
    """
    n = x["n"]
    xi = 2.0 * stats.norm.ppf((n - 0.375) / (n + 0.25))
    eta = 2.0 * stats.norm.ppf((0.75 * n - 0.125) / (n + 0.25))
    from_range, from_quartiles = (x["max"] - x["min"]) / xi, (x["q3"] - x["q1"]) / eta
    w = 1.0 / (1.0 + 0.07 * n**0.6)
    from_all = w * from_range + (1.0 - w) * from_quartiles
    return _first(from_all, from_quartiles, from_range)


def _skewed(x: Arrays) -> BoolArray:
    """Whether the 5 % test for skewness rejects."""
    n, middle = x["n"], x["median"]
    by_range = np.abs(x["min"] + x["max"] - 2.0 * middle) / (x["max"] - x["min"])
    by_quartiles = np.abs(x["q1"] + x["q3"] - 2.0 * middle) / (x["q3"] - x["q1"])
    both = np.maximum(2.65 * np.log(0.6 * n) / np.sqrt(n) * by_range, by_quartiles)
    both = np.where(np.isnan(by_range) | np.isnan(by_quartiles), np.nan, both)
    excess = (
        both - (2.97 / np.sqrt(n) + 39.1 / n**3),
        by_quartiles - (2.66 / np.sqrt(n) - 5.92 / n**2),
        by_range - (1.01 / np.log(n + 9.0) + 2.43 / (n + 1.0)),
    )
    return np.asarray(_first(*excess) > 0)


def _first(*candidates: FloatArray) -> FloatArray:
    """The first of the candidates that is a number, row by row."""
    out = candidates[-1]
    for values in candidates[-2::-1]:
        out = np.where(np.isfinite(values), values, out)
    return out


def _warn_skewed(skewed: BoolArray, labels: list[Any]) -> None:
    found = Problems(len(skewed))
    found.add(skewed, "mean and sd of skewed data are doubtful; dist='lnorm' may suit")
    found.warn("conv_fivenum", labels, "look skewed")
