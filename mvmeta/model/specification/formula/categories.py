"""Columns that are factors, as categories with the levels that occur."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.errors import warn
from mvmeta.model.specification.frames import shorten


def with_levels(column: pd.Series, levels: pd.Index) -> pd.Series:
    """A column as categories with the given levels; missing where it has another value."""
    if is_categorical(column) and column.cat.categories.equals(levels):
        return column
    code = _level_codes(column, levels)
    return pd.Series(pd.Categorical.from_codes(code, levels), index=column.index)


def _level_codes(column: pd.Series, levels: pd.Index) -> Ints:
    """Position (n,) of every value among `levels`, -1 where it is none of them."""
    if is_categorical(column):
        place = levels.get_indexer(column.cat.categories)
        return np.append(place, -1)[column.cat.codes]
    return levels.get_indexer(pd.Index(column))


def as_categories(frame: pd.DataFrame, names: Iterable[str], coded: Iterable[str]) -> pd.DataFrame:
    """A frame whose factors among `names` are categories with exactly the levels that occur.

    Text becomes categories, and so do numbers among `coded`; other numbers are no factors.
    patsy is several times faster on categories than on strings.

    Warns
    -----
    MvmetaWarning
        If text that is not among `coded` reads as numbers: one stray word in a file makes text
        of a whole column, and a slope becomes a coefficient for each value.
    """
    changed = {}
    for name in names:
        column = frame[name]
        if is_categorical(column):
            changed[name] = column.cat.remove_unused_categories()
        elif is_text(column) or (name in coded and column.dtype.kind in "iuf"):
            changed[name] = column.astype("category")
            if name not in coded:
                _warn_of_numbers(name, changed[name].cat.categories)
    return frame.assign(**changed) if changed else frame


def _warn_of_numbers(name: str, levels: pd.Index) -> None:
    """Say so if levels, which are text, all read as numbers."""
    if len(levels) and pd.to_numeric(levels.to_series(), errors="coerce").notna().all():
        warn(
            f"column {name!r} is text that reads as numbers ({shorten(levels)}) and enters as "
            f"categories, one for each of its {len(levels)} values; for a slope make it numeric, "
            f"data[{name!r}] = pd.to_numeric(data[{name!r}]); if categories are meant, write "
            f"C({name})"
        )


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text, missing values aside."""
    return pd.api.types.infer_dtype(column, skipna=True) == "string"


def is_categorical(column: Any) -> bool:
    """Whether something is a column of categories."""
    return isinstance(getattr(column, "dtype", None), pd.CategoricalDtype)
