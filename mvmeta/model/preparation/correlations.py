"""Correlations of sampling errors as users give them: a number, one per study, or a table."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.columns import numeric
from mvmeta.design.impute import Constant, Labelled
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.preparation.clustered import ClusteredRows, read_column
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.labelled import select_labelled
from mvmeta.model.specification.levels import Factor, level_texts

MOST_SHOWN = 12
"""Elements of a list that the text of a call shows."""


def read_pair(rho: Any) -> tuple[Any, Any]:
    """Rho within a type and between types."""
    flat = isinstance(rho, (list, tuple)) or (isinstance(rho, np.ndarray) and rho.ndim == 1)
    if flat and len(rho) == 2:
        return rho[0], rho[1]
    raise SpecificationError(
        "with obs= and type=, rho= must be a pair: the correlation within a type and the one "
        f"between types, got {brief(rho)}"
    )


def read_correlation(
    rows: ClusteredRows,
    rho: Any,
    levels: Factor | None,
    what: str,
    over: str,
    *,
    least: float = -1.0,
) -> Constant | Labelled:
    """The correlation of rows of different levels.

    Parameters
    ----------
    rows : ClusteredRows
    rho : float, str, mapping, Series or DataFrame
        A number, one per study, or a table labelled by levels.
    levels : Factor or None
        Of the rows, for a table.
    what, over : str
        Names of the argument and of the column of levels, for errors.
    least : float
        Smallest value allowed; the largest is 1.

    Raises
    ------
    DataError
        For missing or varying values, or levels a table lacks.
    SpecificationError
        For values out of range, or something else; names the study or the entry.
    """
    if isinstance(rho, pd.DataFrame) and levels is not None:
        texts = level_texts(levels.levels.as_index)
        matrix = select_labelled(rho, texts, f"{what} (over the levels of {over})")
        _check_entries(matrix, texts, f"{what} (over the levels of {over})", least)
        return Labelled(levels.codes, matrix)
    return Constant(read_per_study(rows, rho, what, least=least))


def _check_entries(matrix: Floats, labels: Sequence[str], what: str, least: float) -> None:
    """Refuse a table that is none of correlations; name the entry."""
    wrong = np.flatnonzero(np.diag(matrix) != 1)
    if len(wrong):
        i = int(wrong[0])
        raise SpecificationError(
            f"{what} must have a diagonal of 1, but has {matrix[i, i]:g} for {labels[i]!r}; give "
            "correlations, not covariances"
        )
    outside = np.argwhere(~((matrix >= least) & (matrix <= 1)))
    if len(outside):
        i, j = outside[0]
        raise SpecificationError(
            f"{what} must lie within [{least:g}, 1], but is {matrix[i, j]:g} for {labels[i]!r} and "
            f"{labels[j]!r}; correct this entry"
        )


def read_per_study(rows: ClusteredRows, value: Any, what: str, *, least: float = -1.0) -> Floats:
    """A correlation per row (n,), the same in all rows of a block."""
    if isinstance(value, str):
        out = numeric(read_column(rows.source, rows.has_data, value, what), what)
    elif isinstance(value, (Mapping, pd.Series)):
        out = _look_up(rows, value, what)
    elif isinstance(value, Real) and not isinstance(value, bool):
        out = np.full(rows.source.n, float(value))
    else:
        raise SpecificationError(
            f"{what} must be a number, the name of a column, a mapping from study to number, or "
            f"a DataFrame labelled by levels, got {brief(value)}"
        )
    _check_per_study(rows, out, what, least)
    return out


def _check_per_study(rows: ClusteredRows, values: Floats, what: str, least: float) -> None:
    paired = rows.paired
    missing = np.flatnonzero(paired & np.isnan(values))
    if len(missing):
        raise DataError(f"{what} is missing in {rows.where(missing)}")
    outside = np.flatnonzero(paired & ~((values >= least) & (values <= 1)))
    if len(outside):
        raise SpecificationError(
            f"{what} must lie within [{least:g}, 1], but is {values[outside[0]]:g} in "
            f"{rows.where(outside)}"
        )
    first = np.zeros(rows.block.max(initial=0) + 1, dtype=np.intp)
    first[rows.block[::-1]] = np.arange(len(values))[::-1]
    varies = np.flatnonzero(paired & (values != values[first[rows.block]]))
    if len(varies):
        raise DataError(
            f"{what} must be one number per study, but varies within one: {rows.where(varies)}"
        )


def _look_up(rows: ClusteredRows, values: Mapping[Any, Any] | pd.Series, what: str) -> Floats:
    table = pd.Series(values)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique()
        raise DataError(f"{what} has studies twice: {shorten(twice)}")
    table.index = pd.Index(level_texts(table.index), dtype=object)
    wanted = level_texts(rows.study.levels.as_index)
    found = table.index.get_indexer(pd.Index(wanted, dtype=object))
    needed = np.zeros(len(wanted), dtype=bool)
    needed[rows.study.codes[rows.paired]] = True
    lacking = np.flatnonzero(needed & (found < 0))
    if len(lacking):
        raise DataError(
            f"{what} has no value for {len(lacking)} studies: "
            f"{shorten(wanted[k] for k in lacking)}; it has {shorten(table.index)}"
        )
    numbers = np.append(numeric(table, what), np.nan)
    return numbers[found][rows.study.codes]


def call_text(name: str, given: Mapping[str, Any]) -> str:
    """The call of a function as it could be written, without the data and what is not given."""
    arguments = (f"{key}={_argument(value)}" for key, value in given.items() if value is not None)
    return f"{name}({', '.join(arguments)})"


def _argument(value: Any) -> str:
    if isinstance(value, (str, bool)):
        return repr(value)
    if isinstance(value, Real):
        return f"{float(value):g}"
    if isinstance(value, (list, tuple)) and len(value) <= MOST_SHOWN:
        return f"({', '.join(map(_argument, value))})"
    return f"<{brief(value)}>"


def brief(value: Any) -> str:
    """Type and shape of a value that has no short form."""
    kind = value.__class__.__name__
    shape = np.shape(value) if isinstance(value, (np.ndarray, pd.DataFrame, list, tuple)) else None
    return kind if shape is None else f"{kind} of shape {shape}"
