"""Standard deviations from what studies report instead: errors, intervals, tests, quartiles."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.appended import appended, check_output, included, wanting
from mvmeta.effects.checks import Problems
from mvmeta.effects.five_numbers import LEAST_N, deviation
from mvmeta.effects.inputs import as_frame, read_inputs, row_labels
from mvmeta.effects.levels import critical, proportion
from mvmeta.effects.values import Arrays, BoolArray, FloatArray
from mvmeta.errors import SpecificationError

SPREAD = ("min", "q1", "q3", "max")
SOURCES = (
    ("sei",),
    ("ci_lb", "ci_ub"),
    ("out", "tval"),
    ("out", "pval"),
    ("min", "max"),
    ("q1", "q3"),
)
"""What a standard deviation follows from, besides n."""


def conv_sd(  # noqa: PLR0913
    *,
    n: Any = None,
    n2: Any = None,
    sei: Any = None,
    ci_lb: Any = None,
    ci_ub: Any = None,
    out: Any = None,
    tval: Any = None,
    pval: Any = None,
    min: Any = None,
    q1: Any = None,
    q3: Any = None,
    max: Any = None,
    level: Any = 95,
    dist: str = "t",
    data: Any = None,
    include: Any = None,
    var_name: str = "sd",
    append: bool = True,
    replace: str = "ifna",
) -> pd.DataFrame:
    """Standard deviations from standard errors, intervals, tests, quartiles or ranges.

    Parameters
    ----------
    n : column name, array-like (k,) or number
        Sample sizes.
    n2 : column, optional
        Sample sizes of a second group, in the rows whose numbers are about the difference of two
        means; the standard deviation is then the one within the groups.
    sei : column, optional
        Standard errors of the mean (of a mean change, of the difference), in units of the
        measurements.
    ci_lb, ci_ub : column, optional
        Limits of its confidence interval, in units of the measurements.
    out : column, optional
        The mean, mean change or difference itself, in units of the measurements, for `tval` and
        `pval`.
    tval : column, optional
        Its t statistics.
    pval : column, optional
        Its two-sided p-values.
    min, q1, q3, max : column, optional
        Range, quartiles, or both, of a single group, in units of the measurements.
    level : column or number
        Level of the intervals, in percent (or as a proportion between 0.5 and 1).
    dist : {"t", "norm"}
        Whether intervals and p-values are by t, with n - 1 (n + n2 - 2) degrees of freedom, or
        normal.
    data : DataFrame, optional
        Where column names are looked up.
    include : array_like of bool or int, or column name, optional
        Rows to convert: booleans or positions; all unless said.
    var_name : str
        Name of the new column.
    append : bool
        Return the columns of `data` too.
    replace : {"ifna", "all"}
        Where `data` has this column: fill what is missing, or overwrite.

    Returns
    -------
    DataFrame
        With the standard deviations, in the units of the measurements, each from the first that
        its row has of: standard error, interval, t, p, quartiles and range.

    Raises
    ------
    SpecificationError, DataError
        For inputs that are not enough, unknown columns or different lengths.

    Warns
    -----
    MvmetaWarning
        Rows that give NaN: impossible numbers, or nothing a standard deviation follows from.

    Notes
    -----
    sd = se sqrt(n), and sd = se / sqrt(1/n + 1/n2) within two groups; se = (ci_ub - ci_lb) / (2 t)
    from an interval, se = out / t from a test (Cochrane Handbook, 6.5.2.2 and 6.5.2.3). Quartiles
    and ranges by Wan and colleagues (2014), eqs 16 and 9, both together by Shi and colleagues
    (2020): `conv_fivenum` has the means, too.

    References
    ----------
    .. [1] Higgins JPT, Thomas J, Chandler J, Cumpston M, Li T, Page MJ, Welch VA (eds) (2019).
       *Cochrane Handbook for Systematic Reviews of Interventions*, 2nd ed. Wiley.
    .. [2] Shi J, Luo D, Weng H, Zeng XT, Lin L, Chu H, Tong T (2020). Optimally estimating the
       sample standard deviation from the five-number summary. *Research Synthesis Methods*
       11:641–654. doi:10.1002/jrsm.1429
    .. [3] Wan X, Wang W, Liu J, Tong T (2014). Estimating the sample mean and standard deviation
       from the sample size, median, range and/or interquartile range. *BMC Medical Research
       Methodology* 14:135. doi:10.1186/1471-2288-14-135

    Examples
    --------
    >>> from mvmeta import conv_sd
    >>> conv_sd(n=[25], ci_lb=[30.0], ci_ub=[34.2]).round(2)
         sd
    0  5.09
    """
    check_output(replace, append, [var_name], 1)
    if dist not in ("t", "norm"):
        raise SpecificationError(f"dist= takes 't' or 'norm', got {dist!r}")
    given = {"n": n, "n2": n2, "sei": sei, "ci_lb": ci_lb, "ci_ub": ci_ub, "out": out}
    given |= {"tval": tval, "pval": pval, "min": min, "q1": q1, "q3": q3, "max": max}
    frame = as_frame(data, *given.values())
    x = read_inputs({k: v for k, v in given.items() if v is not None} | {"level": level}, frame)
    _check_given(x)
    rows = len(x["level"])
    use = wanting(frame, [var_name], included(include, frame, rows), replace)
    none = np.full(rows, np.nan)
    full = {name: x.get(name, none) for name in given}
    problems = _problems(full, use)
    usable = {k: np.where(problems.mask, np.nan, v) for k, v in full.items()}
    with np.errstate(all="ignore"):
        sd = _convert(usable | {"level": x["level"]}, dist)
    sd = np.where(np.isfinite(sd) & (sd > 0), sd, np.nan)
    problems.add(use & np.isnan(sd), "lacks what a standard deviation follows from")
    labels = row_labels(frame, rows)
    problems.warn("conv_sd", labels, "have no standard deviation (NaN)")
    return appended(
        frame,
        {var_name: sd},
        use & np.isfinite(sd),
        append=append,
        replace=replace,
        called="conv_sd",
    )


def _check_given(x: Arrays) -> None:
    if "n" not in x or not any(set(names) <= x.keys() for names in SOURCES):
        raise SpecificationError(
            "conv_sd needs n, and sei, ci_lb and ci_ub, out with tval or pval, min and max, or q1 "
            f"and q3; it got {', '.join(k for k in x if k != 'level') or 'nothing'}"
        )


def _problems(x: Arrays, use: BoolArray) -> Problems:
    found = Problems(len(use))
    found.add(use & np.isnan(x["n"]), "n is missing")
    for name in ("n", "n2"):
        found.add(use & (x[name] < 2), f"{name} is less than 2")
    found.add(use & (x["sei"] <= 0), "sei is not positive")
    found.add(use & (x["ci_lb"] >= x["ci_ub"]), "ci_lb is not below ci_ub")
    found.add(use & ((x["pval"] <= 0) | (x["pval"] > 1)), "pval is not in (0, 1]")
    for low, high in combinations(SPREAD, 2):
        found.add(use & (x[low] > x[high]), f"{low} is above {high}")
    return found


def _convert(x: Arrays, dist: str) -> FloatArray:
    """Standard deviation (k,) by the first source that a row has."""
    two = np.isfinite(x["n2"])
    per_sd = np.sqrt(1.0 / x["n"] + np.where(two, 1.0 / x["n2"], 0.0))
    df = x["n"] - 1.0 + np.where(two, x["n2"] - 1.0, 0.0)
    if dist == "norm":
        df = np.full_like(df, np.inf)
    half = critical(1.0 - proportion(x["level"]), df)
    errors = (
        x["sei"],
        (x["ci_ub"] - x["ci_lb"]) / (2.0 * half),
        np.abs(x["out"] / x["tval"]),
        np.abs(x["out"]) / critical(x["pval"], df),
    )
    # The estimators from ordered values were derived for single groups of five and more.
    alone = np.where(two | (x["n"] < LEAST_N), np.nan, deviation(x))
    sd = np.full(len(two), np.nan)
    for candidate in (*(error / per_sd for error in errors), alone):
        sd = np.where(np.isfinite(sd) | ~np.isfinite(candidate), sd, candidate)
    return sd
