"""Results of a conversion, next to the data they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.columns import numeric
from mvmeta.effects.inputs import column
from mvmeta.effects.values import BoolArray, FloatArray
from mvmeta.errors import SpecificationError

REPLACE = ("ifna", "all")
"""What `replace=` takes."""

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
) -> pd.DataFrame:
    """Put new columns beside those of the data.

    Parameters
    ----------
    frame : DataFrame or None
    columns : mapping of str to ndarray (k,)
    include : ndarray of bool, shape (k,)
        Rows that were converted; the others keep what they have.
    append : bool
        Return the columns of the data too.
    replace : {"ifna", "all"}
        Where the data have such a column: fill what is missing in it, or overwrite it.

    Raises
    ------
    DataError
        If numbers are to stay in a column of the data that holds something else.
    """
    rows = len(include)
    index = pd.RangeIndex(rows) if frame is None else frame.index
    out = pd.DataFrame(index=index) if frame is None or not append else frame.copy()
    for name, values in columns.items():
        new = np.where(include, values, np.nan)
        untouched = replace == "ifna" or not include.all()
        if frame is not None and name in frame and untouched:
            old = numeric(frame[name], name)
            keep = ~np.isnan(old) if replace == "ifna" else ~include
            new = np.where(keep, old, new)
        out[name] = new
    return out


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
