"""Factors as integer codes with sorted labels, and their combinations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.columns import row_names
from mvmeta.design.layout import ranks
from mvmeta.errors import DataError


class LevelLabels(Sequence[object]):
    """Labels of the levels of one column or a combination of columns, built when asked for.

    A million rows with a level each need their labels only in tables, so strings such as
    "1/3" are not made before.

    Parameters
    ----------
    levels : Index
        Levels of the column, the last one of a combination.
    keys : ndarray of int, shape (L,), optional
        Position in `levels` that each combined level has, plus ``len(levels)`` times its
        position in `above`; all levels in their order unless said.
    above : LevelLabels, optional
        Labels of the columns before.
    separator : str
        Between columns: "/" for nested, ":" for interactions.
    """

    def __init__(
        self,
        levels: pd.Index,
        keys: Ints | None = None,
        above: "LevelLabels | None" = None,
        separator: str = "/",
    ) -> None:
        self._levels, self._keys, self._above = levels, keys, above
        self._separator = separator

    def __len__(self) -> int:
        return len(self._levels if self._keys is None else self._keys)

    @overload
    def __getitem__(self, item: int) -> object: ...
    @overload
    def __getitem__(self, item: slice) -> tuple[object, ...]: ...
    def __getitem__(self, item: int | slice) -> object:
        picked = self.as_index[item]
        return tuple(picked) if isinstance(item, slice) else picked

    def __iter__(self) -> Iterator[object]:
        return iter(self.as_index)

    @cached_property
    def as_index(self) -> pd.Index:
        """The labels as a pandas Index, values of their own type where there is one column."""
        if self._above is None:
            return self._levels if self._keys is None else self._levels[self._keys]
        assert self._keys is not None  # a combination has them
        above, own = np.divmod(self._keys, len(self._levels))
        first = _text_array(self._above.as_index)[above]
        return pd.Index(first + self._separator + _text_array(self._levels)[own], dtype=object)


@dataclass(frozen=True, eq=False)
class Factor:
    """A factor over n rows.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        0..L-1 in the order of `levels`; -1 where missing.
    levels : LevelLabels
        The L levels that occur: numbers in numerical order, categories in theirs, others sorted.
    """

    codes: Ints
    levels: LevelLabels

    def take(self, rows: Ints) -> "Factor":
        """The factor over some of the rows; levels without a row are kept."""
        return Factor(self.codes[rows], self.levels)


def factor(columns: Sequence[pd.Series], separator: str = "/") -> Factor:
    """The factor whose levels are the combinations of `columns`, each (n,), that occur.

    Raises
    ------
    DataError
        If a level is infinite; names the column and the rows.
    """
    return combine([code_column(c) for c in columns], separator)


CodedColumn = tuple[Ints, pd.Index]
"""Codes (n,) of a column, -1 where missing, and its levels."""


def combine(columns: Sequence[CodedColumn], separator: str = "/") -> Factor:
    """The same of columns coded already."""
    codes, levels = columns[0]
    labels = LevelLabels(levels)
    for more, levels in columns[1:]:
        key = codes.astype(np.int64, copy=False) * len(levels) + more
        key[(codes < 0) | (more < 0)] = -1
        codes, kept = _compress(key)
        labels = LevelLabels(levels, kept, labels, separator)
    return Factor(codes, labels)


def level_texts(levels: Sequence[object] | pd.Index) -> tuple[str, ...]:
    """The levels as unique strings; whole floats without ".0"."""
    if isinstance(levels, pd.Index) and levels.dtype.kind in "iu":
        return tuple(map(str, levels.tolist()))
    texts = tuple(_text(v) for v in levels)
    return texts if len(set(texts)) == len(texts) else tuple(repr(v) for v in levels)


def _text_array(levels: pd.Index) -> np.ndarray:
    return np.array(level_texts(levels), dtype=object)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)


def code_column(series: pd.Series) -> CodedColumn:
    """Codes of one column, as in `factor`."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy().astype(np.intp)
        code, kept = _compress(codes)
        _check_finite(series, code, series.cat.categories[kept])
        return code, series.cat.categories[kept]
    if series.dtype.kind in "iu":
        codes, distinct = ranks(series.to_numpy())
        return codes, _integers(distinct)
    codes, levels = pd.factorize(series)
    _check_finite(series, codes, levels)
    try:
        # text of its own type has a sort of its own
        text = isinstance(levels.dtype, pd.StringDtype)
        order = levels.argsort() if text else np.argsort(levels.to_numpy(), kind="stable")
    except TypeError:
        # Mixed types have no order of their own.
        order = np.argsort(np.array([str(v) for v in levels]), kind="stable")
    rank = np.empty(len(order) + 1, dtype=np.intp)
    rank[order], rank[-1] = np.arange(len(order)), -1
    return rank[codes], _whole(levels[order])


def _check_finite(series: pd.Series, codes: Ints, levels: pd.Index) -> None:
    if levels.dtype.kind != "f" and levels.dtype != object:
        return
    infinite = levels.isin([np.inf, -np.inf])
    if infinite.any():
        bad = np.append(infinite, False)[codes]
        raise DataError(
            f"infinite values in {series.name} ({row_names(series.index, bad)}); correct them or "
            "leave the rows out"
        )


def _compress(key: np.ndarray) -> tuple[Ints, np.ndarray]:
    """Codes 0..m-1 of the sorted values of `key` that occur (-1 stays), and these values."""
    codes, kept = ranks(key)
    return (codes - 1, kept[1:]) if len(kept) and kept[0] < 0 else (codes, kept)


def _integers(distinct: np.ndarray) -> pd.Index:
    """Sorted integers (m,); numbers without a gap take no memory."""
    if len(distinct) and distinct.dtype == np.int64:
        first, last = int(distinct[0]), int(distinct[-1])
        if last - first == len(distinct) - 1:
            return pd.RangeIndex(first, last + 1)
    return pd.Index(distinct)


def _whole(levels: pd.Index) -> pd.Index:
    """Study numbers turned into floats by a missing value elsewhere in the column, as integers."""
    if levels.dtype.kind == "f" and len(levels):
        values = levels.to_numpy()
        if np.all(values == np.floor(values)) and np.abs(values).max() < 2**53:
            return levels.astype(np.int64)
    return levels
