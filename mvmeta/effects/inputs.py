"""From column names, arrays and numbers to float arrays of one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.columns import did_you_mean, numeric, positions
from mvmeta.eager import in_memory
from mvmeta.effects.values import Arrays, FloatArray
from mvmeta.errors import DataError, SpecificationError


def as_frame(data: Any, *values: Any) -> pd.DataFrame | None:
    """The data as a pandas DataFrame; other data frames are converted by narwhals.

    Without data, the rows of the first of the values that is a Series, and no columns.
    """
    if data is None:
        index = next((value.index for value in values if isinstance(value, pd.Series)), None)
        return None if index is None else pd.DataFrame(index=index)
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        try:
            return pd.DataFrame(dict(data))
        except ValueError as error:
            raise DataError(f"data cannot be made a data frame: {error}") from error
    frame: pd.DataFrame = in_memory(data).to_pandas()
    return frame


def column(name: str, value: Any, frame: pd.DataFrame | None) -> Any:
    """What an argument stands for: a column of the data where it is a name, else itself.

    A Series is brought into the order of the data by its labels.

    Raises
    ------
    SpecificationError
        For a name without data.
    DataError
        For a name that is no column, or that of several, and for a Series whose labels are not
        those of the data.
    """
    if isinstance(value, pd.Series) and frame is not None and len(value) == len(frame):
        order = positions(value.index, frame.index, name)
        return value if order is None else value.iloc[order]
    if not isinstance(value, str):
        return value
    if frame is None or not len(frame.columns):
        raise SpecificationError(f"{name}={value!r} names a column, but no data was given")
    if value not in frame.columns:
        listed = ", ".join(map(str, frame.columns))
        hint = did_you_mean(value, frame.columns) or ";"
        raise DataError(f"{name}={value!r} is not a column of data{hint} its columns are {listed}")
    found = frame[value]
    if isinstance(found, pd.DataFrame):
        raise DataError(f"{name}={value!r} names {found.shape[1]} columns of data; rename them")
    return found


def read_inputs(inputs: Mapping[str, Any], frame: pd.DataFrame | None) -> Arrays:
    """All inputs as float arrays (k,), numbers repeated, missing values NaN.

    Raises
    ------
    DataError
        If a column is not there or not numeric, or if lengths or labels differ.
    """
    raw = {name: _floats(name, column(name, value, frame)) for name, value in inputs.items()}
    lengths = {name: len(values) for name, values in raw.items() if values.ndim == 1}
    rows = len(frame) if frame is not None else max(lengths.values(), default=1)
    wrong = {name: n for name, n in lengths.items() if n != rows}
    if wrong:
        told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise DataError(f"inputs of different lengths, {rows} rows expected: {told}")
    return {name: np.array(np.broadcast_to(values, (rows,))) for name, values in raw.items()}


def row_labels(frame: pd.DataFrame | None, rows: int) -> list[Any]:
    """Names of the rows in messages: those of the data, or numbers from 0."""
    return list(range(rows)) if frame is None else list(frame.index)


def _floats(name: str, value: Any) -> FloatArray:
    try:
        if np.ndim(value) == 0:
            return np.asarray(np.nan if value is pd.NA else value, dtype=np.float64)
        series = value if isinstance(value, pd.Series) else pd.Series(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not a column of numbers: {error}") from error
    return numeric(series, name)
