"""What every reader of columns needs: numbers out of them, rows matched and named by label."""

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats, Ints
from mvmeta.errors import DataError

DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")

MOST_NAMED = 5
"""How many rows or levels an error message names before it says "and k more"."""


def row_names(index: pd.Index, where: np.ndarray) -> str:
    """Return "row 3" or "rows 3, 7 and 12 more" for a boolean mask or positions `where`."""
    positions = np.flatnonzero(where) if where.dtype == bool else where
    labels = [str(index[int(i)]) for i in positions[:MOST_NAMED]]
    more = f" and {len(positions) - MOST_NAMED} more" if len(positions) > MOST_NAMED else ""
    return ("row " if len(positions) == 1 else "rows ") + ", ".join(labels) + more


def did_you_mean(name: str, known: Iterable[object], most: int = 2) -> str:
    """Return "; did you mean 'vi'?" where something known is spelt much the same, else "" ."""
    folded = {str(k).lower(): str(k) for k in known}
    near = get_close_matches(name.lower(), list(folded), n=most)
    return f"; did you mean {' or '.join(repr(folded[k]) for k in near)}?" if near else ""


def is_plain(values: object) -> bool:
    """Whether it is one array of floats, which can be used as it is."""
    return type(values) is np.ndarray and values.dtype == np.float64 and values.ndim == 1


def read_only(values: np.ndarray) -> np.ndarray:
    """The same memory, in which nothing can be changed from here."""
    view = values.view()
    view.flags.writeable = False
    return view


def numeric(series: pd.Series, what: str) -> Floats:
    """Values of a column as floats, shape (n,), NaN where missing.

    Raises
    ------
    DataError
        If it holds anything but numbers; names the first row that has none, not even as text.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        raise DataError(
            f"{what} must be numeric, but is categorical; convert it with .astype(float)"
        )
    if series.dtype == np.float64:
        return series.to_numpy()
    if pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind != "c":
        return series.to_numpy(dtype=float, na_value=np.nan)
    missing = series.isna().to_numpy()
    wrong = [k for k in np.flatnonzero(~missing) if not isinstance(series.iloc[k], (Real, Decimal))]
    if wrong:
        # One "NR" makes all of a column text: it is the culprit, not the digits before it.
        culprit = next((k for k in wrong if not _reads_as_number(series.iloc[k])), wrong[0])
        raise DataError(
            f"{what} must be numeric, but {row_names(series.index, np.array([culprit]))} holds "
            f"{series.iloc[culprit]!r}; {_advice(series.iloc[culprit])}"
        )
    out = np.full(len(series), np.nan)
    out[~missing] = series[~missing].astype(float)
    return out


def _advice(value: object) -> str:
    """How what is no number becomes one."""
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value):
        return "is that a decimal comma? read the file with decimal=','"
    return "convert it with pandas.to_numeric(..., errors='coerce')"


def positions(labels: pd.Index, index: pd.Index, what: str) -> Ints | None:
    """Where the rows of `index` are found among `labels`; None where both are in the same order.

    Parameters
    ----------
    labels : Index, length n
        Of the array, Series or frame to align.
    index : Index, length n
        Of the data.
    what : str
        Name of the thing for error messages.

    Raises
    ------
    DataError
        If the lengths or labels differ, or repeated labels are in another order.
    """
    if len(labels) != len(index):
        raise DataError(f"{what} has {len(labels)} rows, the data have {len(index)}")
    if labels is index or labels.equals(index):
        return None
    advice = (
        f"; give it the index of the data, or pass {what} as an array in row order (.to_numpy())"
    )
    if not labels.is_unique or not index.is_unique:
        raise DataError(
            f"{what} and the data have different indexes with repeated labels, so rows cannot be "
            f"matched{advice}"
        )
    found = labels.get_indexer(index)
    if (found < 0).any():
        raise DataError(
            f"the index of {what} does not have {row_names(index, found < 0)} of the data{advice}"
        )
    return found.astype(np.intp)


def _reads_as_number(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
