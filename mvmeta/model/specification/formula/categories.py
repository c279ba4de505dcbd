"""Columns that are factors, as categories with the levels that occur."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints


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
    """
    changed = {}
    for name in names:
        column = frame[name]
        if is_categorical(column):
            changed[name] = column.cat.remove_unused_categories()
        elif is_text(column) or (name in coded and column.dtype.kind in "iuf"):
            changed[name] = column.astype("category")
    return frame.assign(**changed) if changed else frame


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text, missing values aside."""
    return pd.api.types.infer_dtype(column, skipna=True) == "string"


def is_categorical(column: Any) -> bool:
    """Whether something is a column of categories."""
    return isinstance(getattr(column, "dtype", None), pd.CategoricalDtype)
