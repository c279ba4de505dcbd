"""From column names, arrays and numbers to float arrays of one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.eager import in_memory
from mvmeta.effects.values import Arrays
from mvmeta.errors import DataError, SpecificationError


def as_frame(data: Any) -> pd.DataFrame | None:
    """The data as a pandas DataFrame; other data frames are converted by narwhals."""
    if data is None or isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        try:
            return pd.DataFrame(dict(data))
        except ValueError as error:
            raise DataError(f"data cannot be made a data frame: {error}") from error
    frame: pd.DataFrame = in_memory(data).to_pandas()
    return frame


def column(name: str, value: Any, frame: pd.DataFrame | None) -> Any:
    """What an argument stands for: a column of the data where it is a name, else itself."""
    if not isinstance(value, str):
        return value
    if frame is None:
        raise SpecificationError(f"{name}={value!r} names a column, but no data was given")
    if value not in frame.columns:
        listed = ", ".join(map(str, frame.columns))
        raise DataError(f"{name}={value!r} is not a column of data; its columns are {listed}")
    return frame[value]


def read_inputs(inputs: Mapping[str, Any], frame: pd.DataFrame | None) -> Arrays:
    """All inputs as float arrays (k,), numbers repeated, missing values NaN.

    Raises
    ------
    DataError
        If a column is not there or not numeric, or if lengths differ.
    """
    raw = {name: _floats(name, column(name, value, frame)) for name, value in inputs.items()}
    lengths = {name: len(values) for name, values in raw.items() if values.ndim == 1}
    rows = len(frame) if frame is not None else max(lengths.values(), default=1)
    wrong = {name: n for name, n in lengths.items() if n != rows}
    if wrong:
        told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise DataError(f"inputs of different lengths, {rows} rows expected: {told}")
    return {name: np.array(np.broadcast_to(values, (rows,))) for name, values in raw.items()}


def _floats(name: str, value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        if np.ndim(value) == 0:
            return np.asarray(np.nan if value is pd.NA else value, dtype=np.float64)
        array = pd.Series(np.asarray(value) if not isinstance(value, pd.Series) else value)
        return array.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not a column of numbers: {error}") from error
