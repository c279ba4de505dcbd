"""That every level of a random term lies within one batch: by intervals, else by hashes.

Batches are taken for independent.  Where they come sorted, the first and last value of each
batch prove that no level crosses; nothing needs to be kept then.  Otherwise 8 bytes for each
level of the batches that overlap are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Ints
from mvmeta.errors import DataError
from mvmeta.marginal.batched import total
from mvmeta.model.batched.reading import Batch, Wanted
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.random import expand
from mvmeta.model.specification.specs import TermSpec

Key = tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """Smallest and largest value of a key in one batch; None where they have no order."""

    number: int
    low: Any
    high: Any


def key_columns(terms: Iterable[TermSpec]) -> list[Key]:
    """Columns whose combinations must lie within one batch: those of the coarsest terms.

    A term whose columns include those of another one lies within its levels.
    """
    out: list[Key] = []
    for columns in sorted(dict.fromkeys(t.outer.columns for t in terms), key=len):
        if not any(set(known) <= set(columns) for known in out):
            out.append(columns)
    return out


def shuffle_column(
    whole: bool | str, groups: Any, random: Any, columns: Sequence[object]
) -> str | None:
    """Column by which rows must be shuffled to make studies whole; None where they need not be.

    Parameters
    ----------
    whole, groups, random
        As in `MetaMixedLM.from_dask`.
    columns : sequence
        Of the data.
    """
    if isinstance(whole, str):
        return whole
    keys = [] if whole else key_columns(t for t in expand(groups, random, columns) if _named(t))
    return keys[0][0] if keys else None


def _named(term: TermSpec) -> bool:
    """Whether a term groups by columns; what else it may do is refused later."""
    return term.arrays is None and term.outer.columns != ("const",)


def codes_of(frame: pd.DataFrame, key: Key) -> Ints:
    """Code (n,) of the level of a key in every row, without missing values.

    In order of appearance; sorted numbers, the usual case, need no table of those seen before.
    """
    if len(key) > 1:
        groups = frame.groupby(list(key), sort=False, observed=True)
        return np.asarray(groups.ngroup(), dtype=np.intp)
    column = frame[key[0]]
    if column.dtype.kind in "iuf" and column.is_monotonic_increasing:
        values = column.to_numpy()
        return np.append([0], np.cumsum(values[1:] != values[:-1])).astype(np.intp)[: len(values)]
    return np.asarray(pd.factorize(column)[0], dtype=np.intp)


def span(key: Key, batch: Batch) -> list[Span]:
    """The span of a batch; none where it has no usable rows."""
    if not len(batch.rows):
        return []
    if len(key) > 1:
        return [Span(batch.number, None, None)]
    values = batch.usable[key[0]]
    if values.dtype.kind not in "iuf":
        values = pd.Series(values.unique()).astype(object)
    try:
        return [Span(batch.number, values.min(), values.max())]
    except TypeError:  # mixed types have no order
        return [Span(batch.number, None, None)]


def overlapping(spans: Sequence[Span]) -> frozenset[int]:
    """Numbers of the batches that may share a value with another one."""
    if any(s.low is None for s in spans):
        return frozenset(s.number for s in spans)
    out: set[int] = set()
    top: Span | None = None
    for s in sorted(spans, key=lambda s: s.low):
        if top is not None and s.low <= top.high:
            out |= {s.number, top.number}
        if top is None or s.high > top.high:
            top = s
    return frozenset(out)


@dataclass(frozen=True, eq=False)
class Hashes:
    """Hashes of the levels of one key, by batch; `+` puts batches together."""

    by_batch: Mapping[int, np.ndarray]

    def __add__(self, other: "Hashes") -> "Hashes":
        return Hashes({**self.by_batch, **other.by_batch})

    def shared(self) -> np.ndarray:
        """Hashes that occur in more than one batch."""
        every = np.sort(np.concatenate([*self.by_batch.values(), np.empty(0, dtype=np.uint64)]))
        return np.unique(every[1:][every[1:] == every[:-1]])


@dataclass(frozen=True, eq=False)
class HashesOf:
    """The task that hashes the levels of a key in some batches."""

    wanted: Wanted
    key: Key
    numbers: frozenset[int]

    def __call__(self, number: int, data: Any) -> Hashes:
        if number not in self.numbers:
            return Hashes({})
        levels = _levels(self.key, self.wanted.read(number, data))
        return Hashes({number: np.unique(_hash(levels))})


@dataclass(frozen=True, eq=False)
class Places:
    """Which batches a few levels occur in; `+` puts batches together."""

    found: Mapping[tuple[object, ...], tuple[int, ...]]

    def __add__(self, other: "Places") -> "Places":
        out = dict(self.found)
        for level, numbers in other.found.items():
            out[level] = out.get(level, ()) + numbers
        return Places(out)


@dataclass(frozen=True, eq=False)
class PlacesOf:
    """The task that finds the levels with given hashes."""

    wanted: Wanted
    key: Key
    hashes: np.ndarray

    def __call__(self, number: int, data: Any) -> Places:
        levels = _levels(self.key, self.wanted.read(number, data))
        suspect = levels[np.isin(_hash(levels), self.hashes, kind="sort")]
        return Places({tuple(row): (number,) for row in suspect.itertuples(index=False)})


def refuse_shared(frames: Any, wanted: Wanted, key: Key) -> None:
    """Raise a DataError where a level of a key has rows in several batches; one or two passes."""
    found = total(frames.map(SpansOf(wanted, key))).spans
    numbers = overlapping(found)
    if numbers:
        refuse_overlap(frames, wanted, key, numbers)


def refuse_overlap(frames: Any, wanted: Wanted, key: Key, numbers: frozenset[int]) -> None:
    """The same for batches whose spans overlap."""
    shared = total(frames.map(HashesOf(wanted, key, numbers))).shared()
    if len(shared):
        _refuse_split(key, total(frames.map(PlacesOf(wanted, key, shared))))


@dataclass(frozen=True, eq=False)
class Spans:
    """Spans of some batches; `+` appends."""

    spans: list[Span]

    def __add__(self, other: "Spans") -> "Spans":
        return Spans(self.spans + other.spans)


@dataclass(frozen=True, eq=False)
class SpansOf:
    """The task that finds the span of a key in each batch."""

    wanted: Wanted
    key: Key

    def __call__(self, number: int, data: Any) -> Spans:
        return Spans(span(self.key, self.wanted.read(number, data)))


def _refuse_split(key: Key, places: Places) -> None:
    """Raise a DataError for the first level that lies in several batches, if there is one."""
    split = {level: n for level, n in places.found.items() if len(n) > 1}
    if not split:
        return  # two levels had one hash
    level, numbers = next(iter(split.items()))
    names, values = "/".join(key), "/".join(level_texts(list(level)))
    more = f" (and {len(split) - 1} more)" if len(split) > 1 else ""
    raise DataError(
        f"the level {values} of {names!r} has rows in batches {numbers[0]} and {numbers[1]}{more}: "
        "batches are taken for independent, so each level of a random term must lie within one. "
        f"If {names!r} are studies, make them whole: sort the data by it and read it with "
        f"mvmeta.batches.parquet or csv(..., whole={key[0]!r}); effects that cross studies (as of "
        "species or laboratories) cannot be cut into batches: fit them with from_formula()"
    )


def _levels(key: Key, batch: Batch) -> pd.DataFrame:
    """The levels of a key in the usable rows, numbers as floats and all else as it is."""
    rows = batch.usable[list(key)]
    columns = {
        c: rows[c].astype(float)
        if rows[c].dtype.kind in "iuf" and _exact(rows[c])
        else rows[c].astype(object)
        if isinstance(rows[c].dtype, pd.CategoricalDtype)
        else rows[c]
        for c in key
    }
    return pd.DataFrame(columns).drop_duplicates()


def _exact(column: pd.Series) -> bool:
    """Whether all values are exact as floats."""
    return column.dtype.kind == "f" or bool(column.abs().max() < 2**53)


def _hash(levels: pd.DataFrame) -> np.ndarray:
    return pd.util.hash_pandas_object(levels, index=False).to_numpy()
