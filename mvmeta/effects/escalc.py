"""One door to every effect size measure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.effects.appended import appended, check_output, included, wanting
from mvmeta.effects.checks import Problems, find_problems
from mvmeta.effects.inputs import as_frame, column, read_inputs, row_labels
from mvmeta.effects.layouts import LAYOUTS, Layout
from mvmeta.effects.registry import Measure, find_measure
from mvmeta.effects.undefined import add_undefined
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

NEAR_HALVES = 0.01
"""Twice a count that is this near to a whole number is one, or comes of an empty cell and 1/2."""

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
    flip: Any = False,
    append: bool = True,
    var_names: tuple[str, str] = ("yi", "vi"),
    slab: Any = None,
    include: Any = None,
    replace: str = "all",
    cutoff: float | None = 2.0,
    **inputs: Any,
) -> pd.DataFrame:
    """Effect sizes and their sampling variances.

    Parameters
    ----------
    measure : str
        Code of the measure, such as "SMD" or "OR"; the page "Effect sizes" of the reference lists
        them with their inputs and formulas.
    data : DataFrame, optional
        Where column names are looked up: pandas, or what narwhals can turn into it.  A Series
        beside it is matched by its labels, an array by position.
    vtype : str or sequence of str
        Kind of sampling variance, one for all rows or one per row: "LS" large sample, "LS2"
        another approximation, "UB" unbiased, "HO" homoscedastic, "H0" without an effect, "AV",
        "AV2", "AVHO" at the size-weighted average of the rows; "ST" (group sizes fixed) or "CS"
        (cross-sectional) for PHI and RPB, where "LS" stands for "CS" and "ST". The reference page
        lists the choices and formulas.
    correct : bool
        Correct the measures that have a small-sample bias correction.
    add : float, optional
        Amount added to cells under `to`, in units of the counts; 1/2, but 0 for AS, PHI, ZPHI,
        RTET, ZTET, IRSD, PAS, PFT, IRS and IRFT, unless given.
    to : {"only0", "all", "if0all", "none"}
        Rows it is added to: those with a zero cell, all, all if any has a zero cell, none.
    drop00 : bool
        Whether studies without events (or with nothing but events) in both groups become NaN.
    flip : bool, sequence or column name
        Rows whose direction is reversed: their sign, or y to 1 - y for a probability of
        superiority.  Numbers multiply the estimates instead, and the variances by their squares.
    append : bool
        Return the columns of `data` too.
    var_names : pair of str
        Names of the new columns.
    slab : array_like of labels or column name, optional
        Study labels.
    include : array_like of bool or int, or column name, optional
        Rows to compute: booleans or positions; all unless said.  The others keep what they have.
    replace : {"all", "ifna"}
        Where `data` has these columns: overwrite, or fill rows that lack one of the two; both are
        then new, as an estimate of one origin and a variance of another do not belong together.
    cutoff : float or None
        Warn of standardized means, differences and changes beyond it, in units of a standard
        deviation: often a standard error was taken for one.  None: do not look.
    **inputs : column name, array-like (k,) or number
        What the measure is computed from: ai, bi, ci, di, n1i, n2i, x1i, x2i, t1i, t2i, m1i, m2i,
        sd1i, sd2i, xi, mi, ri, ti, fi, pi, sdi, r2i, ni; or ready-made yi with vi or sei.  Means
        and standard deviations of a row are in the same units, person-time in that of the rates;
        the rest are counts, proportions, correlations and test statistics without unit.

    Returns
    -------
    DataFrame
        One row per study, with yi on the scale of the measure (log odds ratios, standard
        deviations, units of the measurements: see the reference page) and vi in its squared units,
        on the index of the data (or of the first Series); `attrs` holds "measure", "ni" and "slab"
        (tuples over the rows as they are now; None where there are no labels), and "scale": the
        name of the scale for axes, and the function of `mvmeta.transf` that leads back from it.
        Plots of a model of these rows use it.

    Raises
    ------
    SpecificationError
        Unknown measure, option or input, or inputs that are not enough.
    DataError
        Unknown column, inputs that are not numbers, of different lengths or with other labels.

    Warns
    -----
    MvmetaWarning
        Once, with their number and names, for rows that give NaN: missing or impossible numbers.
        Once more for counts between 0 and 1, for estimates beyond `cutoff`, and for rows whose
        number gives way to another under ``replace="ifna"``.

    References
    ----------
    :doc:`/reference/effects`.

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
    check_output(replace, append, var_names, 2)
    _check_options({"correct": correct, "drop00": drop00}, cutoff)
    frame = as_frame(data, *inputs.values())
    _check_names(found, layout, inputs)
    given = read_inputs(inputs, frame)
    rows = len(next(iter(given.values())))
    slabs = _labels(slab, frame, rows)
    labels = slabs or row_labels(frame, rows)
    use = wanting(frame, var_names, included(include, frame, rows), replace)
    arrays = dict(given)
    problems = find_problems(found, layout, given, arrays)
    _check_complete(found, layout, arrays)
    zero_rule = ZeroRule(found.add if add is None else add, to, drop00)
    options = (_vtypes(found, vtype, rows), correct)
    problems.forget(~use)
    yi, vi = _compute(found, layout, (arrays, problems, use), zero_rule, options)
    problems.warn(chosen.code, labels)
    _warn_fractions(chosen.code, layout, given, use, labels)
    _warn_large(chosen, yi, cutoff, labels)
    factor = _factors(flip, frame, rows)
    columns = (chosen.centre + factor * (yi - chosen.centre), factor**2 * vi)
    result = appended(
        frame,
        dict(zip(var_names, columns, strict=True)),
        use,
        append=append,
        replace=replace,
        called=chosen.code,
    )
    result.attrs["measure"] = chosen.code
    result.attrs["scale"] = chosen.scale(var_names[0])
    result.attrs["ni"] = RowValues(layout.size(arrays).tolist())
    result.attrs["slab"] = None if slabs is None else RowValues(slabs)
    return result


def _check_options(switches: dict[str, Any], cutoff: Any) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool | np.bool_):
            raise SpecificationError(f"{name}= takes True or False, got {value!r}")
    if cutoff is not None and not (isinstance(cutoff, int | float) and cutoff > 0):
        raise SpecificationError(f"cutoff= takes a positive number or None, got {cutoff!r}")


def _compute(
    measure: Measure,
    layout: Layout,
    checked: tuple[Arrays, Problems, BoolArray],
    zero_rule: ZeroRule,
    options: tuple[np.ndarray[Any, np.dtype[np.str_]], bool],
) -> YiVi:
    """Apply the measure to the usable rows; add to the problems what it is not defined for."""
    arrays, problems, use = checked
    blank = problems.mask | ~use
    usable = {name: np.where(blank, np.nan, values) for name, values in arrays.items()}
    with np.errstate(all="ignore"):
        adjusted, dropped = zero_rule.apply(usable, layout)
        yi, vi = measure.function(Values(adjusted, *options))
    defined = np.isfinite(yi) & np.isfinite(vi) & (vi >= 0)
    undefined = ~defined & ~dropped & use & ~problems.mask
    add_undefined(problems, undefined, measure, arrays, adjusted, {"yi": yi, "vi": vi})
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


def _factors(flip: Any, frame: pd.DataFrame | None, rows: int) -> FloatArray:
    """What `flip` multiplies the estimates by, (k,)."""
    given = np.asarray(column("flip", flip, frame))
    if given.dtype == bool:
        given = np.where(given, -1.0, 1.0)
    if given.dtype.kind not in "iuf" or given.shape not in {(), (rows,)}:
        raise DataError(f"flip must be True, False or {rows} of them, or as many numbers")
    if not (np.isfinite(given) & (given != 0)).all():
        raise DataError("flip has a number that is 0, infinite or missing; -1 reverses, 1 keeps")
    return np.broadcast_to(given.astype(np.float64), (rows,))


def _warn_fractions(
    code: str, layout: Layout, given: Arrays, use: BoolArray, labels: Sequence[Any]
) -> None:
    """Warn of counts between 0 and 1, as proportions are; 1/2 is added to zero cells."""
    found = Problems(len(use))
    for name in (n for n in layout.cells if n in given):
        x = given[name]
        for row in np.flatnonzero(use & (x > 0) & (x < 1)):
            if abs(2 * x[row] - round(2 * x[row])) > NEAR_HALVES:
                found.note(int(row), f"{name} = {x[row]:.4g}")
    found.warn(code, labels, "have counts between 0 and 1 (are these proportions? give events)")


def _warn_large(
    measure: Measure, yi: FloatArray, cutoff: float | None, labels: Sequence[Any]
) -> None:
    if not measure.standardized or cutoff is None:
        return
    found = Problems(len(yi))
    for row in np.flatnonzero(np.abs(yi) > cutoff):
        found.note(int(row), f"{yi[row]:.4g}")
    found.warn(
        measure.code,
        labels,
        f"are beyond {cutoff:g} standard deviations (were standard errors given as standard "
        "deviations? cutoff=None leaves out this check)",
    )
