"""One door to every effect size measure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.checks import Problems, find_problems
from mvmeta.effects.inputs import as_frame, column, read_inputs
from mvmeta.effects.layouts import LAYOUTS, Layout
from mvmeta.effects.registry import Measure, find_measure
from mvmeta.effects.values import Arrays, BoolArray, FloatArray, RowValues, Values, YiVi
from mvmeta.effects.zero_cells import ZeroRule
from mvmeta.errors import DataError, SpecificationError

for _family in (
    "change",
    "correlations",
    "determination",
    "means",
    "proportions",
    "rates",
    "ratios",
    "reliability",
    "smd",
    "superiority",
    "tetrachoric",
):
    import_module(f"mvmeta.effects.{_family}")

READY = {"yi", "vi", "sei"}


def escalc(  # noqa: PLR0913
    measure: str,
    *,
    data: Any = None,
    vtype: str | Sequence[str] = "LS",
    correct: bool = True,
    add: float | None = None,
    to: str = "only0",
    drop00: bool = False,
    flip: bool | Sequence[bool] | str = False,
    append: bool = True,
    var_names: tuple[str, str] = ("yi", "vi"),
    slab: Any = None,
    **inputs: Any,
) -> pd.DataFrame:
    """Effect sizes and their sampling variances.

    Parameters
    ----------
    measure : str
        Code of the measure, such as "SMD" or "OR"; the page "Effect sizes" of the reference lists
        them with their inputs and formulas.
    data : DataFrame, optional
        Where column names are looked up: pandas, or what narwhals can turn into it.
    vtype : str or sequence of str
        Kind of sampling variance, one for all rows or one per row: "LS" large sample, "LS2" the
        same before bias correction, "UB" unbiased, "HO" homoscedastic, "AV", "AVHO" at the
        size-weighted average of the rows; "ST" (group sizes fixed) or "CS" (cross-sectional) for
        PHI and RPB, where "LS" stands for "CS" and "ST". The reference page lists the choices.
    correct : bool
        Correct the measures that have a small-sample bias correction.
    add : float, optional
        Amount added to cells under `to`; 1/2, but 0 for AS, PHI, ZPHI, RTET, ZTET, IRSD, PAS, PFT,
        IRS and IRFT, unless given.
    to : {"only0", "all", "if0all", "none"}
        Rows it is added to: those with a zero cell, all, all if any has a zero cell, none.
    drop00 : bool
        Whether studies without events (or with nothing but events) in both groups become NaN.
    flip : bool, sequence of bool or column name
        Rows whose sign is reversed.
    append : bool
        Return the columns of `data` too.
    var_names : pair of str
        Names of the new columns; existing ones are replaced.
    slab : array-like or column name, optional
        Study labels.
    **inputs : column name, array-like (k,) or number
        What the measure is computed from: ai, bi, ci, di, n1i, n2i, x1i, x2i, t1i, t2i, m1i, m2i,
        sd1i, sd2i, xi, mi, ri, ti, fi, pi, sdi, r2i, ni; or ready-made yi with vi or sei.

    Returns
    -------
    DataFrame
        One row per study, with yi and vi; `attrs` holds "measure", "ni" and "slab" (tuples over
        the rows as they are now; None where there are no labels).

    Raises
    ------
    SpecificationError
        Unknown measure, option or input, or inputs that are not enough.
    DataError
        Unknown column, inputs that are not numbers, or of different lengths.

    Warns
    -----
    MvmetaWarning
        Once, with their number and names, for rows that give NaN: missing or impossible numbers.

    Examples
    --------
    >>> from mvmeta import escalc
    >>> round(escalc("OR", ai=[12], bi=[88], ci=[20], di=[80]), 4)
           yi      vi
    0 -0.6061  0.1572
    """
    chosen = find_measure(measure)
    found = find_measure("GEN") if READY & inputs.keys() else chosen
    layout = LAYOUTS[found.layout]
    frame = as_frame(data)
    _check_names(found, layout, inputs)
    given = read_inputs(inputs, frame)
    rows = len(next(iter(given.values())))
    labels = _labels(slab, frame, rows)
    arrays = dict(given)
    problems = find_problems(found, layout, given, arrays)
    _check_complete(found, layout, arrays)
    zero_rule = ZeroRule(found.add if add is None else float(add), to, drop00)
    options = (_vtypes(found, vtype, rows), correct)
    yi, vi = _compute(found, layout, (arrays, problems), zero_rule, options)
    problems.warn(chosen.code, labels or list(_index(frame, rows)))
    yi = np.where(_flips(flip, frame, rows), 2 * chosen.centre - yi, yi)
    result = _frame(frame if append else None, _index(frame, rows), var_names, (yi, vi))
    result.attrs["measure"] = chosen.code
    result.attrs["ni"] = RowValues(layout.size(arrays).tolist())
    result.attrs["slab"] = None if labels is None else RowValues(labels)
    return result


def _compute(
    measure: Measure,
    layout: Layout,
    checked: tuple[Arrays, Problems],
    zero_rule: ZeroRule,
    options: tuple[np.ndarray[Any, np.dtype[np.str_]], bool],
) -> YiVi:
    """Apply the measure to the usable rows; add to the problems what it is not defined for."""
    arrays, problems = checked
    usable = {name: np.where(problems.mask, np.nan, values) for name, values in arrays.items()}
    with np.errstate(all="ignore"):
        adjusted, dropped = zero_rule.apply(usable, layout)
        yi, vi = measure.function(Values(adjusted, *options))
    defined = np.isfinite(yi) & np.isfinite(vi) & (vi >= 0)
    problems.add(~defined & ~dropped, "the measure is not defined for these numbers")
    return np.where(defined, yi, np.nan), np.where(defined, vi, np.nan)


def _check_names(measure: Measure, layout: Layout, inputs: dict[str, Any]) -> None:
    foreign = [name for name in inputs if name not in layout.names]
    if foreign:
        raise SpecificationError(
            f"measure {measure.code!r} does not use {', '.join(foreign)}; it takes {layout.usage}"
        )
    if not inputs:
        raise SpecificationError(f"measure {measure.code!r} needs {layout.usage}")


def _check_complete(measure: Measure, layout: Layout, arrays: Arrays) -> None:
    missing = [name for name in measure.needs if name not in arrays]
    if missing:
        raise SpecificationError(
            f"measure {measure.code!r} lacks {', '.join(missing)}; it takes {layout.usage}"
        )


def _vtypes(
    measure: Measure, vtype: str | Sequence[str], rows: int
) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Kind of variance of each row; "LS" stands for the measure's default."""
    wanted = np.char.upper(np.asarray(vtype, dtype=str))
    if wanted.ndim and len(wanted) != rows:
        raise DataError(f"vtype has {len(wanted)} values for {rows} rows")
    wanted = np.where(wanted == "LS", measure.vtypes[0], wanted)
    unknown = sorted(set(np.unique(wanted).tolist()) - set(measure.vtypes))
    if unknown:
        raise SpecificationError(
            f"measure {measure.code!r} has no vtype {', '.join(unknown)}; "
            f"it has {', '.join(measure.vtypes)}"
        )
    return np.broadcast_to(wanted, (rows,))


def _labels(slab: Any, frame: pd.DataFrame | None, rows: int) -> tuple[str, ...] | None:
    if slab is None:
        return None
    labels = tuple(str(label) for label in column("slab", slab, frame))
    if len(labels) != rows:
        raise DataError(f"slab has {len(labels)} labels for {rows} rows")
    return labels


def _flips(flip: Any, frame: pd.DataFrame | None, rows: int) -> BoolArray:
    flips = np.asarray(column("flip", flip, frame))
    if flips.dtype != bool or flips.shape not in {(), (rows,)}:
        raise DataError(f"flip must be True, False or {rows} of them")
    return np.broadcast_to(flips, (rows,))


def _index(frame: pd.DataFrame | None, rows: int) -> pd.Index:
    return pd.RangeIndex(rows) if frame is None else frame.index


def _frame(
    frame: pd.DataFrame | None,
    index: pd.Index,
    names: tuple[str, str],
    columns: tuple[FloatArray, FloatArray],
) -> pd.DataFrame:
    result = pd.DataFrame(index=index) if frame is None else frame.copy()
    for name, values in zip(names, columns, strict=True):
        result[name] = values
    return result
