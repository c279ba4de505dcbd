"""What the first pass over the batches finds out, batch by batch and added up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mvmeta._typing import Bools
from mvmeta.errors import DataError
from mvmeta.model.batched.keys import Span, key_columns, span
from mvmeta.model.batched.reading import Batch, Wanted
from mvmeta.model.batched.witness import witnesses

MOST_LISTED = 10_000
"""Dropped rows that are listed one by one; all of them are counted."""

NUMBERS, TEXT = "numbers", "text"


@dataclass(frozen=True, eq=False)
class Findings:
    """What was seen in some batches.

    Attributes
    ----------
    wanted : Wanted
    given, usable : int
        Rows.
    lost : DataFrame
        The first `MOST_LISTED` unusable rows: batch, row, reason.
    reasons : dict of str to int
        How many rows each variable is missing in.
    kinds : dict of str to (str, int)
        What each column holds, and the first batch that shows it.
    witness : DataFrame
    witness_usable : ndarray of bool
    spans : dict of key to list of Span
        See `keys`.
    broken : frozenset of str
        Columns of numbers that are integers somewhere, or missing.
    """

    wanted: Wanted
    given: int
    usable: int
    lost: pd.DataFrame
    reasons: Mapping[str, int]
    kinds: Mapping[str, tuple[str, int]]
    witness: pd.DataFrame
    witness_usable: Bools
    spans: Mapping[tuple[str, ...], list[Span]]
    broken: frozenset[str]

    def __add__(self, other: "Findings") -> "Findings":
        frame = pd.concat([self.witness, other.witness], ignore_index=True)
        usable = np.concatenate([self.witness_usable, other.witness_usable])
        kept = witnesses(self.wanted, frame, usable)
        room = MOST_LISTED - len(self.lost)
        return Findings(
            self.wanted,
            self.given + other.given,
            self.usable + other.usable,
            pd.concat([self.lost, other.lost[:room]], ignore_index=True)
            if room and len(other.lost)
            else self.lost,
            _added(self.reasons, other.reasons),
            _same_kinds(self.kinds, other.kinds),
            frame.iloc[kept].reset_index(drop=True),
            usable[kept],
            {key: self.spans[key] + other.spans[key] for key in self.spans},
            self.broken | other.broken,
        )

    @property
    def rows(self) -> pd.DataFrame:
        """The witness, columns of whole numbers stored as such where they are so anywhere."""
        whole = {
            name: self.witness[name].astype("int64")
            for name in self.broken
            if self.witness[name].dtype.kind == "f"
            and np.all(self.witness[name] == np.floor(self.witness[name]))
        }
        return self.witness.assign(**whole) if whole else self.witness


@dataclass(frozen=True, eq=False)
class Look:
    """The task of the first pass."""

    wanted: Wanted

    def __call__(self, number: int, data: Any) -> Findings:
        batch = self.wanted.read(number, data)
        frame, usable = batch.frame, np.zeros(len(batch.frame), dtype=bool)
        usable[batch.rows] = True
        kept = witnesses(self.wanted, frame, usable)
        return Findings(
            self.wanted,
            len(frame),
            len(batch.rows),
            batch.lost.head(MOST_LISTED).assign(batch=number)[["batch", "row", "reason"]],
            _reasons(batch.lost),
            {str(n): (k, number) for n in frame if (k := _kind(frame[n])) is not None},
            frame.iloc[kept].reset_index(drop=True),
            usable[kept],
            {key: span(key, batch) for key in key_columns(self.wanted.terms)},
            _broken(batch),
        )


def _kind(column: pd.Series) -> str | None:
    """What a column holds; None where it holds nothing, which goes with anything."""
    if not len(column) or column.isna().all():
        return None
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "true/false"
    if pd.api.types.is_numeric_dtype(dtype):
        return NUMBERS
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "dates"
    return TEXT


def _same_kinds(
    left: Mapping[str, tuple[str, int]], right: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    for name in left.keys() & right.keys():
        (one, at), (two, there) = left[name], right[name]
        if one != two:
            raise DataError(
                f"the column {name!r} holds {one} in batch {at} and {two} in batch {there}; read "
                "it with one type everywhere (for CSV: dtype=, or names for missing values in "
                "na_values=)"
            )
    return {**right, **left}


def _reasons(lost: pd.DataFrame) -> dict[str, int]:
    out: dict[str, int] = {}
    for reason, count in lost["reason"].value_counts().items():
        for name in str(reason).removeprefix("missing ").split("; "):
            out[name] = out.get(name, 0) + int(count)
    return out


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def _broken(batch: Batch) -> frozenset[str]:
    """Columns whose floats may be integers that a missing value elsewhere turned into floats."""
    return frozenset(
        str(n) for n, c in batch.frame.items() if c.dtype.kind in "iu" or c.isna().any()
    )
