"""Columns of whatever frame the user has, as plain pandas Series; nothing is changed in place."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mvmeta.columns import MOST_NAMED, did_you_mean
from mvmeta.eager import in_memory
from mvmeta.errors import DataError


class Source:
    """The data as given: column by column, converted once, in the caller's row order.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or any eager frame narwhals knows
        polars, pyarrow, DuckDB relations and others.

    Raises
    ------
    DataError
        For a frame that is not in memory (dask, polars lazy) or is no frame at all.
    """

    def __init__(self, data: Any) -> None:
        self._frame = _native(data)
        self._cache: dict[str, pd.Series] = {}
        self._given: dict[int, tuple[Any, pd.Series]] = {}
        if isinstance(self._frame, pd.DataFrame):
            self.index: pd.Index = self._frame.index
        else:
            self.index = pd.RangeIndex(len(self._frame))

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.index)

    @property
    def scale(self) -> dict[str, Any]:
        """The scale of a column of effect sizes, as `escalc` notes it; empty for other data."""
        noted = self._frame.attrs.get("scale") if isinstance(self._frame, pd.DataFrame) else None
        return dict(noted) if isinstance(noted, dict) else {}

    @property
    def columns(self) -> list[Any]:
        """Names of all columns."""
        return list(self._frame.columns)

    def __contains__(self, name: object) -> bool:
        return name in self._frame.columns

    def column(self, name: str, role: str = "the model") -> pd.Series:
        """One column, normalised by `normalise`.

        Parameters
        ----------
        name : str
        role : str
            What the column was wanted for, for the error message.

        Raises
        ------
        DataError
            If there is no such column (close matches are suggested), or two of that name.
        """
        if name not in self._cache:
            self._require(name, role)
            self._cache[name] = self._read(name)
        return self._cache[name]

    def frame(self, names: Iterable[str], role: str = "the model") -> pd.DataFrame:
        """The named columns, with the index of the data."""
        return pd.DataFrame({name: self.column(name, role) for name in names}, index=self.index)

    def once(self, values: Any, make: Callable[[], pd.Series]) -> pd.Series:
        """What `make` made of `values`, an array that came beside the data, the first time."""
        if id(values) not in self._given:
            self._given[id(values)] = values, make()
        return self._given[id(values)][1]

    def _require(self, name: str, role: str) -> None:
        count = self.columns.count(name)
        if count == 0:
            raise DataError(
                f"column {name!r} wanted for {role} is not in the data{suggest(name, self.columns)}"
            )
        if count > 1:
            raise DataError(
                f"the data have {count} columns named {name!r}; rename or drop all but one"
            )

    def _read(self, name: str) -> pd.Series:
        if isinstance(self._frame, pd.DataFrame):
            return normalise(self._frame[name])
        return _from_narwhals(self._frame[name], name)


def suggest(name: str, columns: Iterable[object]) -> str:
    """Return "; did you mean ...? It has the columns ..." for a name that does not exist."""
    known = [str(c) for c in columns]
    hint = did_you_mean(name, known) or ";"
    return f"{hint} it has the columns {shorten(known, most=20)}"


def shorten(items: Iterable[object], most: int = MOST_NAMED) -> str:
    """Join items with commas, at most `most` of them."""
    items = list(items)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(str(i) for i in items[:most]) + more


def normalise(series: pd.Series) -> pd.Series:
    """Return a Series that numpy, patsy and statsmodels understand, same values and index.

    Nullable and arrow-backed numbers become numpy ones (float with NaN where values are
    missing); object columns that hold plain numbers become numeric; the rest is left alone.
    """
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.infer_objects() if dtype.kind == "O" else series
    if isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return series
    if pd.api.types.is_bool_dtype(dtype):
        return series.astype(object if series.hasnans else bool)
    if pd.api.types.is_numeric_dtype(dtype):
        integer = pd.api.types.is_integer_dtype(dtype) and not series.hasnans
        return series.astype("int64" if integer else "float64")
    if pd.api.types.is_string_dtype(dtype):
        return series.astype(object).where(series.notna(), None)
    return series


def _native(data: Any) -> Any:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Source):
        return data._frame
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if hasattr(data, "compute") and type(data).__module__.startswith(("dask", "distributed")):
        raise DataError(
            "data is a dask frame: use MetaMixedLM.from_dask(), or compute it: data=ddf.compute()"
        )
    return in_memory(data)


def _from_mapping(data: Mapping[str, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(dict(data))
    except ValueError as error:
        raise DataError(f"the columns of data do not make a table: {error}") from None


def _from_narwhals(series: Any, name: str) -> pd.Series:
    kind = str(series.dtype)
    if kind.startswith("Enum"):
        values = pd.Categorical(series.to_list(), categories=list(series.dtype.categories))
        return pd.Series(values, name=name)
    if kind == "Categorical":
        # Their categories come in order of appearance, which would pick another reference level.
        return pd.Series(pd.Categorical(series.to_list()), name=name)
    if kind in {"String", "Object", "Boolean", "Decimal"}:
        return pd.Series(series.to_list(), name=name, dtype=object).infer_objects()
    return normalise(pd.Series(series.to_numpy(), name=name))
