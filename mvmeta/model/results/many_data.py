"""The outcomes and variances `fit_many` takes: in the order of the rows, and possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Floats
from mvmeta.errors import CovarianceError, DataError
from mvmeta.model.specification.build import Prepared
from mvmeta.model.specification.frames import shorten

MISSING = ("drop", "skip", "raise")


def read_outcomes(given: Any, prepared: Prepared) -> tuple[Floats, pd.Index]:
    """Y as an array (n, m), and the names of its columns."""
    values = _rows_of(given, prepared, "Y")
    if values.ndim != 2 or not values.shape[1]:
        raise DataError(f"Y must have one column per outcome, got shape {np.shape(given)}")
    columns = getattr(given, "columns", None)
    names = pd.Index(columns) if columns is not None else pd.RangeIndex(values.shape[1])
    return values, names


def read_variances(given: Any, prepared: Prepared, shape: tuple[int, ...]) -> Floats:
    """Variances as an array (n,) or (n, m), `shape` being that of Y."""
    values = _rows_of(given, prepared, "variances")
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != shape[1]):
        raise DataError(
            f"variances must have shape ({shape[0]},) or {shape} as Y, got {np.shape(given)}"
        )
    return values


def _rows_of(given: Any, prepared: Prepared, what: str) -> Floats:
    """The fitted rows of something given over them, or over the rows of the data."""
    index = prepared.index
    if isinstance(given, pd.DataFrame | pd.Series) and not given.index.equals(index):
        unique = given.index.is_unique and index.is_unique
        if unique and index.isin(given.index).all():
            given = given.loc[index]
        elif unique and len(given) and not given.index.equals(pd.RangeIndex(len(given))):
            raise DataError(
                f"{what} is labelled by rows that are not those of the model: {given.index[0]!r} "
                f"and others, where the model has {index[0]!r}; give it the index of the data, or "
                "pass an array in the order of the rows"
            )
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers") from None
    if values.ndim and len(values) == len(index):
        return values
    if values.ndim and len(values) == prepared.n_given:
        return values[prepared.rows]
    raise DataError(
        f"{what} needs one row for each of the {prepared.n_given} rows of the data as given"
        f"{'' if prepared.n_given == len(index) else f' (or the {len(index)} fitted)'}, "
        f"got shape {values.shape}"
    )


def refuse_impossible(y: Floats, v: Floats | None, prepared: Prepared, names: pd.Index) -> None:
    """Raise for infinite values and negative variances, with the first place."""
    for what, values in (("Y", y), ("variances", v)):
        if values is not None and np.isinf(values).any():
            raise DataError(f"{what} is infinite {_where(np.isinf(values), prepared, names)}")
    if v is not None and (v < 0).any():
        raise CovarianceError(f"negative variances {_where(v < 0, prepared, names)}")


def _where(bad: Bools, prepared: Prepared, names: pd.Index) -> str:
    first = np.argwhere(bad)[0]
    outcome = f" of outcome {names[first[1]]!r}" if bad.ndim == 2 else ""
    return f"in {int(bad.sum())} cells, first in row {prepared.index[first[0]]!r}{outcome}"


def skipped_outcomes(y: Floats, v: Floats | None, missing: str, names: pd.Index) -> Bools:
    """Outcomes (m,) that are not to be fitted."""
    if missing == "drop":
        return np.zeros(y.shape[1], dtype=bool)
    gone = np.isnan(y)
    if v is not None:
        gone |= np.isnan(v if v.ndim == 2 else v[:, None])
    out: Bools = np.asarray(gone.any(axis=0))
    if missing == "raise" and out.any():
        raise DataError(
            f"values are missing in {int(out.sum())} outcomes ({shorten(names[out].astype(str))}); "
            "missing='drop' leaves out these rows, missing='skip' these outcomes"
        )
    return out
