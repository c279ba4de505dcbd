"""Results of a conversion, next to the data they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.columns import numeric
from mvmeta.effects.checks import Problems
from mvmeta.effects.inputs import column, row_labels
from mvmeta.effects.values import BoolArray, FloatArray
from mvmeta.errors import SpecificationError

REPLACE = ("ifna", "all")
"""What `replace=` takes."""

SAME = 1e-8
"""Relative difference of numbers that is rounding."""

NUMBERS = {1: "one", 2: "two", 4: "four"}


def check_output(replace: Any, append: Any, names: Any, count: int) -> None:
    """Refuse what `replace=`, `append=` and `var_names=` do not take; `names` are `count` names."""
    if replace not in REPLACE:
        raise SpecificationError(f"replace= takes 'ifna' or 'all', got {replace!r}")
    if not isinstance(append, bool | np.bool_):
        raise SpecificationError(f"append= takes True or False, got {append!r}")
    given = [names] if isinstance(names, str) else list(names)
    if len(given) != count or len(set(given)) != count:
        raise SpecificationError(
            f"var_names= takes {NUMBERS[count]} names that differ, got {names!r}"
        )


def appended(
    frame: pd.DataFrame | None,
    columns: Mapping[str, FloatArray],
    include: BoolArray,
    *,
    append: bool,
    replace: str,
    called: str,
) -> pd.DataFrame:
    """Put new columns beside those of the data.

    The numbers of a row belong together, as an estimate and its variance do: all of them are
    those of the data, or all are new.

    Parameters
    ----------
    frame : DataFrame or None
    columns : mapping of str to ndarray (k,)
    include : ndarray of bool, shape (k,)
        Rows that were converted; the others keep what they have.
    append : bool
        Return the columns of the data too.
    replace : {"ifna", "all"}
        Where the data have such columns: fill the rows that lack a number, or overwrite.
    called : str
        Who asks, for messages.

    Raises
    ------
    DataError
        If numbers are to stay in a column of the data that holds something else.
    """
    rows = len(include)
    index = pd.RangeIndex(rows) if frame is None else frame.index
    out = pd.DataFrame(index=index) if frame is None or not append else frame.copy()
    new = {name: np.where(include, values, np.nan) for name, values in columns.items()}
    if frame is None or (replace == "all" and include.all()):
        return out.assign(**new)
    old = {
        name: numeric(frame[name], name) if name in frame else np.full(rows, np.nan)
        for name in columns
    }
    keep = ~include if replace == "all" else _kept(old, new, row_labels(frame, rows), called)
    return out.assign(**{name: np.where(keep, old[name], new[name]) for name in columns})


def _kept(
    old: Mapping[str, FloatArray], new: Mapping[str, FloatArray], labels: Sequence[Any], called: str
) -> BoolArray:
    """Rows (k,) that keep their numbers: complete ones, and those for which there are no others."""
    known, found = (~np.isnan(np.array(list(v.values()))) for v in (old, new))
    some: BoolArray = np.asarray(known.any(axis=0))
    replaced: BoolArray = np.asarray(~known.all(axis=0) & found.all(axis=0))
    _tell_replaced(old, new, replaced & some, labels, called)
    return some & ~replaced


def _tell_replaced(
    old: Mapping[str, FloatArray],
    new: Mapping[str, FloatArray],
    rows: BoolArray,
    labels: Sequence[Any],
    called: str,
) -> None:
    """Warn where a number of the data gives way, with its partner, to another one."""
    found = Problems(len(rows))
    for row in np.flatnonzero(rows):
        changed = [
            f"{name} was {old[name][row]:.6g}, is {new[name][row]:.6g}"
            for name in old
            if not np.isnan(old[name][row]) and not np.isclose(old[name][row], new[name][row], SAME)
        ]
        if changed:
            found.note(int(row), ", ".join(changed))
    what = f"lacked part of {', '.join(old)}, which belong together; all are new"
    found.warn(called, labels, what)


def wanting(
    frame: pd.DataFrame | None, names: Sequence[str], include: BoolArray, replace: str
) -> BoolArray:
    """Rows (k,) of `include` that a conversion has something to do for."""
    if frame is None or replace == "all":
        return include
    full = np.ones(len(include), dtype=bool)
    for name in names:
        full &= frame[name].notna().to_numpy() if name in frame else np.zeros_like(full)
    return include & ~full


def included(include: Any, frame: pd.DataFrame | None, rows: int) -> BoolArray:
    """`include=` (values, or the name of a column) as booleans (rows,); None is every row.

    Raises
    ------
    SpecificationError
        If it is neither booleans nor positions of rows.
    """
    if include is None:
        return np.ones(rows, dtype=bool)
    given = np.asarray(column("include", include, frame))
    if given.dtype == bool and given.shape == (rows,):
        return given
    if given.dtype.kind in "iu" and given.ndim == 1 and ((given >= 0) & (given < rows)).all():
        out = np.zeros(rows, dtype=bool)
        out[given] = True
        return out
    raise SpecificationError(f"include= takes {rows} booleans or positions of rows")
