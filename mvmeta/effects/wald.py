"""Estimates and sampling variances from confidence intervals, test statistics and p-values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.appended import appended, check_output, included, wanting
from mvmeta.effects.checks import Problems
from mvmeta.effects.inputs import as_frame, read_inputs, row_labels
from mvmeta.effects.levels import critical, proportion
from mvmeta.effects.values import Arrays, BoolArray, FloatArray
from mvmeta.errors import SpecificationError

INPUTS = ("out", "ci_lb", "ci_ub", "zval", "pval", "n")

OFF_CENTRE = 0.1
"""Distance of the estimate from the middle of its interval, relative to the half width, above
which `check` warns: the interval is no Wald-type one on this scale."""


def conv_wald(  # noqa: PLR0913
    *,
    out: Any = None,
    ci_lb: Any = None,
    ci_ub: Any = None,
    zval: Any = None,
    pval: Any = None,
    n: Any = None,
    data: Any = None,
    include: Any = None,
    level: Any = 95,
    transf: Callable[[FloatArray], FloatArray] | None = None,
    check: bool = True,
    var_names: tuple[str, str] = ("yi", "vi"),
    append: bool = True,
    replace: str = "ifna",
) -> pd.DataFrame:
    """Estimates and sampling variances from Wald-type intervals and tests.

    Parameters
    ----------
    out : column name, array-like (k,) or number, optional
        The estimates on the scale of the report (`transf` says what leads from it to that of the
        result); the middle of the interval unless given.
    ci_lb, ci_ub : column, optional
        Limits of the confidence interval, on the scale of the report.
    zval : column, optional
        Test statistics, without unit: estimate / standard error.
    pval : column, optional
        Two-sided p-values; together with `out`, whose sign counts.
    n : column, optional
        Sample sizes where intervals and tests are by t with n - 1 degrees of freedom; normal
        unless given.  Pass degrees of freedom plus 1 for another number.
    data : DataFrame, optional
        Where column names are looked up.
    include : array_like of bool or int, or column name, optional
        Rows to convert: booleans or positions; all unless said.
    level : column or number
        Level of the intervals, in percent (or as a proportion between 0.5 and 1).
    transf : callable, optional
        Applied to `out`, `ci_lb` and `ci_ub` before the conversion, such as ``numpy.log`` for
        ratios.
    check : bool
        Warn where the estimate is not near the middle of its interval.
    var_names : pair of str
        Names of the new columns.
    append : bool
        Return the columns of `data` too.
    replace : {"ifna", "all"}
        Where `data` has these columns: fill rows that lack one of the numbers, or overwrite.

    Returns
    -------
    DataFrame
        yi, in units of the estimates as `transf` leaves them (log odds ratios, where it is
        ``numpy.log`` of odds ratios), and vi, in their squares: ``((ci_ub - ci_lb) / (2 q))^2``,
        else ``(out / zval)^2``, else the same with the statistic that `pval` belongs to; the first
        that is possible in a row.

    Raises
    ------
    SpecificationError, DataError
        For inputs that are not enough, unknown columns or different lengths.

    Warns
    -----
    MvmetaWarning
        Rows that give NaN, and (`check`) intervals that are not symmetric.

    References
    ----------
    .. [1] Higgins JPT, Thomas J, Chandler J, Cumpston M, Li T, Page MJ, Welch VA (eds) (2019).
       *Cochrane Handbook for Systematic Reviews of Interventions*, 2nd ed. Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from mvmeta import conv_wald
    >>> conv_wald(out=[0.5], ci_lb=[0.25], ci_ub=[1.0], transf=np.log).round(4)
           yi      vi
    0 -0.6931  0.1251
    """
    check_output(replace, append, var_names, 2)
    if transf is not None and not callable(transf):
        raise SpecificationError(f"transf= takes a function such as numpy.log, got {transf!r}")
    given = {"out": out, "ci_lb": ci_lb, "ci_ub": ci_ub, "zval": zval, "pval": pval, "n": n}
    frame = as_frame(data, *given.values())
    x = read_inputs({k: v for k, v in given.items() if v is not None} | {"level": level}, frame)
    _check_given(x)
    rows = len(x["level"])
    use = wanting(frame, var_names, included(include, frame, rows), replace)
    problems = Problems(rows)
    with np.errstate(all="ignore"):
        yi, vi = _convert(x, transf, problems, use)
    labels = row_labels(frame, rows)
    problems.add(use & ~(np.isfinite(yi) & np.isfinite(vi)), "lacks what a variance follows from")
    problems.warn("conv_wald", labels)
    if check:
        _check_centre(x, transf, use, labels)
    columns = dict(zip(var_names, (yi, vi), strict=True))
    return appended(
        frame, columns, use & np.isfinite(vi), append=append, replace=replace, called="conv_wald"
    )


def _check_given(x: Arrays) -> None:
    if not ({"ci_lb", "ci_ub"} <= x.keys() or ("out" in x and x.keys() & {"zval", "pval"})):
        raise SpecificationError(
            "conv_wald needs ci_lb and ci_ub, or out with zval or pval; it got "
            f"{', '.join(k for k in INPUTS if k in x) or 'nothing'}"
        )


def _convert(
    x: Arrays, transf: Callable[[FloatArray], FloatArray] | None, problems: Problems, use: BoolArray
) -> tuple[FloatArray, FloatArray]:
    none = np.full(len(x["level"]), np.nan)
    change = (lambda a: a) if transf is None else transf
    low, high = change(x.get("ci_lb", none)), change(x.get("ci_ub", none))
    reported = x.get("out", none)
    yi = change(reported)
    outside = ~np.isnan(reported) & ~np.isfinite(yi)
    problems.add(use & outside, "transf of out is not finite" if transf else "out is not finite")
    yi = np.where(np.isnan(yi), (low + high) / 2.0, yi)
    df = x["n"] - 1.0 if "n" in x else np.full(len(none), np.inf)
    problems.add(use & (df < 1.0), "n is less than 2")
    problems.add(use & (low >= high), "ci_lb is not below ci_ub")
    z, p = x.get("zval", none), x.get("pval", none)
    problems.add(use & ((p <= 0) | (p > 1)), "pval is not between 0 and 1")
    half = critical(1.0 - proportion(x["level"]), df)
    candidates = (
        ((high - low) / (2.0 * half)) ** 2,
        (yi / z) ** 2,
        (yi / critical(p, df)) ** 2,
    )
    vi = none
    for values in candidates:
        vi = np.where(np.isfinite(vi), vi, np.where(np.isfinite(values), values, np.nan))
    bad = problems.mask
    return np.where(bad, np.nan, yi), np.where(bad, np.nan, vi)


def _check_centre(
    x: Arrays,
    transf: Callable[[FloatArray], FloatArray] | None,
    use: BoolArray,
    labels: list[Any],
) -> None:
    if not {"out", "ci_lb", "ci_ub"} <= x.keys():
        return
    change = (lambda a: a) if transf is None else transf
    with np.errstate(all="ignore"):
        low, high, at = (change(x[k]) for k in ("ci_lb", "ci_ub", "out"))
        off = np.abs(at - (low + high) / 2.0) / ((high - low) / 2.0)
    found = Problems(len(off))
    found.add(
        use & (off > OFF_CENTRE),
        "is not near the middle of its interval: check the numbers, or give transf= (numpy.log "
        "for ratios)",
    )
    found.warn("conv_wald", labels, "look odd")
