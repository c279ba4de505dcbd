"""Witness rows: a few rows from which everything is learned that the whole data would teach.

Levels of factors, inner levels of random terms, which of them occur in one outer level: whatever
the in-memory code finds out from all rows it finds out from these.  The witnesses of two sets of
rows together hold the witnesses of their union, so they are collected batch by batch.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mvmeta._typing import Bools, Ints
from mvmeta.errors import SpecificationError
from mvmeta.model.batched.keys import codes_of
from mvmeta.model.batched.reading import Factors, Wanted
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.model.specification.levels import factor
from mvmeta.model.specification.pins import LAGGED
from mvmeta.model.specification.specs import TermSpec
from mvmeta.model.specification.terms import COUNTED

PAIRED = LAGGED | {"UN"}
"""Structures for which it matters which inner levels occur in one outer level."""

MOST_LEVELS = 20_000
"""Levels of a factor beyond which it is taken for a mistake: each is a column of X."""

TABLE = 1 << 20
"""Cells of the table of outer by inner levels that is looked at at a time."""

ENOUGH = 2
"""Outer levels, and rows, after which the rules for what the data tell are satisfied."""


def witnesses(wanted: Wanted, frame: pd.DataFrame, usable: Bools) -> Ints:
    """Positions of the witness rows.

    Parameters
    ----------
    wanted : Wanted
    frame : DataFrame (n, ...)
        Its columns.
    usable : ndarray of bool, shape (n,)
        Rows that can be fitted.  Of the others only inner levels are kept, for structures in
        which a level has its place even if all its rows are unusable.

    Raises
    ------
    SpecificationError
        For a factor with too many levels.
    """
    at = np.flatnonzero(usable)
    rows = frame if len(at) == len(frame) else frame.iloc[at]
    found = [at[:ENOUGH]]
    for part in wanted.parts:
        found += [at[i] for i in _of_factors(part, rows)]
    for term in wanted.terms:
        found += [at[i] for i in _of_term(term, rows)]
        if term.code in COUNTED:
            whole = frame[list(term.inner)]
            found.append(np.flatnonzero(~whole.duplicated() & whole.notna().all(axis=1)))
    return np.unique(np.concatenate(found))


def _of_factors(part: Factors, rows: pd.DataFrame) -> Iterator[Ints]:
    """A row of each level of the factors of a formula."""
    for name in part.factors:
        column = rows[name]
        if column.dtype.kind in "iuf" and name not in part.coded:
            continue
        first = np.flatnonzero(~column.duplicated().to_numpy())
        if len(first) > MOST_LEVELS:
            raise SpecificationError(
                f"the factor {name!r} of {part.text!r} has more than {MOST_LEVELS} levels, each "
                "of which would be a column of X; is it an identifier that belongs into groups= "
                "or random=?"
            )
        yield first


def _of_term(term: TermSpec, rows: pd.DataFrame) -> Iterator[Ints]:
    """Rows that show what the data tell of a random term."""
    if not len(rows):
        return
    yield _two_levels(rows[list(term.outer.columns)])
    if not term.inner or term.code in SLOPES:
        return
    outer = codes_of(rows, term.outer.columns)
    inner = factor([rows[c] for c in term.inner]).codes
    yield _one_outer_level_twice(outer)
    cells = _first(outer * (int(inner.max()) + 1) + inner)  # one row of each (outer, inner)
    yield cells[_place_in_group(inner[cells]) < ENOUGH]
    if term.code in PAIRED:
        yield _pairs(outer[cells], inner[cells], cells)


def _two_levels(keys: pd.DataFrame) -> Ints:
    """The first row, and the first one of another level."""
    other = np.zeros(len(keys), dtype=bool)
    for name in keys:
        other |= (keys[name] != keys[name].iloc[0]).to_numpy()
    return np.array([0, int(other.argmax())])


def _first(codes: Ints) -> Ints:
    """First row of each code, in the order of the codes."""
    return np.unique(codes, return_index=True)[1].astype(np.intp)


def _one_outer_level_twice(outer: Ints) -> Ints:
    """Two rows that share an outer level, if any do."""
    shared = np.bincount(outer)[outer] > 1
    return np.flatnonzero(outer == outer[shared.argmax()])[:ENOUGH] if shared.any() else outer[:0]


def _place_in_group(group: Ints) -> Ints:
    """How many rows of the same group come before each row."""
    order = np.argsort(group, kind="stable")
    start = np.searchsorted(group[order], group[order])
    place = np.empty(len(group), dtype=np.intp)
    place[order] = np.arange(len(group)) - start
    return place


def _pairs(outer: Ints, inner: Ints, cells: Ints) -> Ints:
    """For each pair of inner levels that occur in one outer level, the two rows of one such."""
    count = int(inner.max()) + 1
    step = max(1, TABLE // count)
    parts = (outer // step == part for part in range(int(outer.max()) // step + 1))
    return np.unique(
        np.concatenate([_pairs_of(outer[p] % step, inner[p], cells[p], count) for p in parts])
    )


def _pairs_of(outer: Ints, inner: Ints, cells: Ints, count: int) -> Ints:
    table = np.full((int(outer.max()) + 1, count), -1, dtype=np.intp)
    table[outer, inner] = cells
    seen = table >= 0
    out = []
    for a in range(count):
        both = seen[seen[:, a]]
        level = np.flatnonzero(seen[:, a])[both.argmax(axis=0)]
        partner = np.flatnonzero(both.any(axis=0))
        out += [table[level[partner], a], table[level[partner], partner]]
    return np.concatenate(out)
