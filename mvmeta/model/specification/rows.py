"""One mask for everything that has a value per row, and the alignment of what has an index."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Ints
from mvmeta.columns import positions, row_names
from mvmeta.errors import DataError, warn
from mvmeta.model.specification.frames import Source, shorten

MISSING_ACTIONS = ("drop", "raise", "none")
"""What `missing=` takes."""


def aligned(values: Any, index: pd.Index, what: str, name: str | None = None) -> pd.Series:
    """One value per row as a Series on `index`; a Series is matched by its labels.

    Parameters
    ----------
    values : array_like, shape (n,)
    index : Index, length n
    what : str
        Name of the values for error messages.
    name : str, optional
        Of the result.

    Raises
    ------
    DataError
        If there is not one value per row; see `positions`.
    """
    if isinstance(values, pd.Series):
        order = positions(values.index, index, what)
        out = (values if order is None else values.iloc[order]).set_axis(index)
        return out if name is None else out.rename(name)
    array = (
        values
        if isinstance(values, (pd.Categorical, pd.api.extensions.ExtensionArray))
        else np.asarray(values)
    )
    if array.ndim != 1:
        raise DataError(f"{what} must have one value per row, got shape {array.shape}")
    if len(array) != len(index):
        raise DataError(f"{what} has {len(array)} rows, the data have {len(index)}")
    return pd.Series(array, index=index, name=name, copy=False)


def subset_rows(subset: Any, source: Source) -> Ints:
    """Positions of the rows `subset` selects.

    Parameters
    ----------
    subset : None, column name, boolean array or Series (n,), or integer positions
    source : Source

    Raises
    ------
    DataError
        If it is none of these, has missing values, or selects a row twice or one that is not there.
    """
    if subset is None:
        small = source.n <= np.iinfo(np.int32).max  # half the memory
        return np.arange(source.n, dtype=np.int32 if small else np.int64)
    chosen = source.column(subset, "subset") if isinstance(subset, str) else subset
    kind = np.asarray(chosen)
    if kind.dtype == object and kind.size and not isinstance(chosen, str):
        kind = _booleans(kind)
    if kind.dtype == bool:
        chosen = chosen if isinstance(chosen, pd.Series) else kind
        return np.flatnonzero(aligned(chosen, source.index, "subset").to_numpy(dtype=bool))
    if kind.dtype.kind not in "iu" or isinstance(subset, str) or kind.ndim != 1:
        raise DataError(
            "subset must be booleans (an array, a Series or the name of a column) or integer "
            f"positions, got {kind.dtype} values"
        )
    return _checked_positions(kind.astype(np.intp), source.n)


def usable_rows(
    candidates: Ints, missing: Mapping[str, Bools], action: str, index: pd.Index
) -> tuple[Ints, pd.DataFrame]:
    """Apply the `missing` action.

    Parameters
    ----------
    candidates : ndarray of int, shape (m,)
        Rows left by `subset`.
    missing : mapping of str to ndarray of bool (n,)
        For every variable, in which rows of the data it is missing.
    action : {"drop", "raise", "none"}
    index : Index, length n

    Returns
    -------
    rows : ndarray of int
        Candidates without a missing value.
    dropped : DataFrame
        Columns `row` (label) and `reason` ("missing yi; vi") of the others.

    Raises
    ------
    DataError
        Under "raise", naming variables and rows, if a value is missing.
    """
    lost = {name: mask[candidates] for name, mask in missing.items() if mask.any()}
    lost = {name: mask for name, mask in lost.items() if mask.any()}
    if not lost:
        return candidates, _nothing_dropped(index.dtype)
    if action != "drop":
        where = ", ".join(
            f"{name} ({row_names(index, candidates[mask])})" for name, mask in lost.items()
        )
        raise DataError(
            f"missing values in {where}; drop or fill these rows, or pass missing='drop'"
        )
    any_lost = np.logical_or.reduce(list(lost.values()))
    reasons = np.full(len(candidates), "missing", dtype=object)
    for name, mask in lost.items():
        reasons[mask] = reasons[mask] + np.where(reasons[mask] == "missing", " ", "; ") + name
    dropped = candidates[any_lost]
    return candidates[~any_lost], dropped_frame(index[dropped], reasons[any_lost])


@lru_cache(maxsize=16)
def _nothing_dropped(dtype: Any) -> pd.DataFrame:
    """The empty record for an index of this type, of all models that have one: not to be changed.

    To make a frame is a tenth of a small model.
    """
    return dropped_frame(pd.Index([], dtype=dtype), [])


def dropped_frame(labels: pd.Index, reasons: Any) -> pd.DataFrame:
    """The record of dropped rows: columns `row` and `reason`."""
    return pd.DataFrame({"row": labels, "reason": np.asarray(reasons, dtype=object)})


def say_dropped(dropped: pd.DataFrame, candidates: int) -> None:
    """Warn of dropped rows: "2 of 60 rows dropped for missing values: yi (rows 3, 7)"."""
    if not len(dropped):
        return
    variables: dict[str, Bools] = {}
    for reason in dropped["reason"].unique():
        mask = (dropped["reason"] == reason).to_numpy()
        for name in reason.removeprefix("missing ").split("; "):
            variables[name] = variables.get(name, False) | mask
    labels = pd.Index(dropped["row"])
    where = ", ".join(f"{name} ({row_names(labels, mask)})" for name, mask in variables.items())
    warn(f"{len(dropped)} of {candidates} rows dropped for missing values: {where}")


def check_enough(rows: Ints, given: int) -> None:
    """Raise a DataError where fewer than two rows are left to fit a model to."""
    if len(rows) < 2:
        left = "no usable row is" if not len(rows) else "fewer than two usable rows are"
        raise DataError(
            f"{left} left ({len(rows)} of {given}); look for missing values and at subset="
        )


def check_action(action: object) -> None:
    """Raise a DataError for an unknown `missing=`."""
    if action not in MISSING_ACTIONS:
        raise DataError(
            f"missing={action!r}: it takes one of {', '.join(map(repr, MISSING_ACTIONS))}"
        )


def missing_values(columns: Iterable[tuple[str, pd.Series]]) -> dict[str, Bools]:
    """For the columns that can have missing values, in which rows (n,) they do."""
    return {name: c.isna().to_numpy() for name, c in columns if c.dtype.kind not in "iub"}


def missing_columns(x: np.ndarray, names: list[str]) -> dict[str, Bools]:
    """For the columns of x (n, p) with NaN in them, in which rows (n,) that is."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isnan(x.sum()):
            return {}
    return {name: np.isnan(x[:, j]) for j, name in enumerate(names)}


def check_finite(values: np.ndarray, names: list[str], index: pd.Index) -> None:
    """Raise a DataError that names column and rows for a non-finite value in (n,) or (n, p)."""
    table = values.reshape(len(values), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        # One pass without a temporary: only a sum that is not finite needs a closer look.
        if np.isfinite(table.sum()) or np.isfinite(table).all():
            return
    bad = ~np.isfinite(table)
    where = [f"{names[j]} ({row_names(index, bad[:, j])})" for j in np.flatnonzero(bad.any(axis=0))]
    raise DataError(
        f"infinite or missing values in {shorten(where)}; correct them or leave the rows out"
    )


def _booleans(values: np.ndarray) -> np.ndarray:
    """Objects that are all booleans as such; anything else unchanged."""
    if pd.isna(values).any():
        raise DataError("subset has missing values; decide with .fillna(False) or .fillna(True)")
    return values.astype(bool) if all(isinstance(v, (bool, np.bool_)) for v in values) else values


def _checked_positions(chosen: Ints, n: int) -> Ints:
    if len(np.unique(chosen)) < len(chosen):
        raise DataError("subset selects rows twice; a 0/1 indicator must be boolean (== 1)")
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= n):
        raise DataError(f"subset holds positions outside 0..{n - 1}, the rows of the data")
    return np.sort(chosen)
