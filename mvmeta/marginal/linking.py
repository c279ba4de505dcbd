"""Terms that link small clusters: which columns they have, and covariances over these.

A *slot* is one way of giving rows to columns.  Terms that give them the same way (a phylogeny
and an independent effect of the same species) share a slot: their covariances add up in one
matrix.  Covariances are sparse arrays where they are sparse and dense ones where not; both
know ``@``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.design.terms import RandomTerm

Loading: TypeAlias = tuple[Ints, Floats | None]
"""Column of each row (n,), and its entry there (None: 1)."""
Matrix: TypeAlias = "Floats | sparse.csr_array"
"""A covariance or a sandwich: dense or sparse."""


@dataclass(frozen=True, eq=False)
class Slot:
    """Columns of one or several terms.

    Attributes
    ----------
    at : slice
        Among the columns of all slots.
    terms : tuple of int
        Positions of its terms in the problem.
    effects : tuple of ndarray of int, each (Q,)
        For each of the terms: which of its L q effects each column is.
    loadings : tuple of Loading
        Columns counted within the slot; several for slopes.
    """

    at: slice
    terms: tuple[int, ...]
    effects: tuple[Ints, ...]
    loadings: tuple[Loading, ...]

    @property
    def width(self) -> int:
        """Number Q of columns."""
        return int(self.at.stop - self.at.start)


def slots_of(terms: Sequence[RandomTerm], outer: Sequence[int]) -> list[Slot]:
    """Slots of the terms at positions `outer`."""
    found: list[tuple[list[int], list[Ints], tuple[Loading, ...], int]] = []
    for t in outer:
        term = terms[t]
        if term.z is not None:
            effects = np.arange(term.n_levels * term.q)
            slopes = [(term.level * term.q + k, term.z[:, k]) for k in range(term.q)]
            found.append(([t], [effects], tuple(slopes), len(effects)))
            continue
        effect = term.level * term.q + (0 if term.inner is None else term.inner)
        column, count = recode(effect)
        for members, effects_of, loads, width in found:
            shared = loads[0][0]
            if loads[0][1] is None and width == count and is_nested(column, shared):
                members.append(t)
                effects_of.append(_effect_of_column(effect, shared, width))
                break
        else:
            own = _effect_of_column(effect, column, count)
            found.append(([t], [own], ((column, None),), count))
    out, start = [], 0
    for members, effects_of, loads, width in found:
        at = slice(start, start + width)
        out.append(Slot(at, tuple(members), tuple(effects_of), loads))
        start += width
    return out


def _effect_of_column(effect: Ints, column: Ints, count: int) -> Ints:
    out = np.empty(count, dtype=np.intp)
    out[column] = effect
    return out


def spread(term: RandomTerm, effects: Ints, g: Floats) -> Matrix:
    """``I (x) g`` over columns (Q,) that are the given effects of a term, shape (Q, Q)."""
    level, inner = np.divmod(effects, term.q)
    if term.q == 1:
        return diagonal(np.full(len(effects), float(g[0, 0])))
    if term.n_levels == 1:
        whole = len(inner) == term.q and (inner == np.arange(term.q)).all()
        return g if whole else np.ascontiguousarray(g[np.ix_(inner, inner)])
    order = np.argsort(level, kind="stable")
    count = np.bincount(level)[level[order]]
    first = np.searchsorted(level[order], level[order])
    row = np.repeat(order, count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    column = order[np.repeat(first, count) + within]
    data = g[inner[row], inner[column]]
    shape = len(effects), len(effects)
    return sparse.csr_array((data, (row, column)), shape=shape)


def diagonal(entries: Floats) -> sparse.csr_array:
    """diag(entries), sparse."""
    n = len(entries)
    out: sparse.csr_array = sparse.csr_array(
        (entries, np.arange(n), np.arange(n + 1)), shape=(n, n)
    )
    return out


def dense(x: Matrix) -> Floats:
    """The matrix as an ndarray."""
    return x if isinstance(x, np.ndarray) else np.asarray(x.toarray())


def block_positions(chunks: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Rows and columns of all entries of blocks, stack by stack, for rows (b, m) of each."""
    i = np.concatenate([np.repeat(r, r.shape[1], axis=1).ravel() for r in chunks])
    j = np.concatenate([np.tile(r, (1, r.shape[1])).ravel() for r in chunks])
    return i, j


class Assembly:
    """Block-diagonal matrices, given as stacks of blocks, as one sparse matrix (n, n).

    Parameters
    ----------
    chunks : sequence of ndarray of int, each (b, m)
        Rows of the blocks.
    n : int
    """

    def __init__(self, chunks: Sequence[Ints], n: int) -> None:
        i, j = block_positions(chunks)
        place: sparse.csr_array = sparse.csr_array((np.arange(len(i)), (i, j)), shape=(n, n))
        self._order, self._pattern = place.data, place

    def __call__(self, stacks: Sequence[Floats]) -> sparse.csr_array:
        """Put stacks (b, m, m) together."""
        data = np.concatenate([s.ravel() for s in stacks])[self._order]
        pattern = self._pattern
        out: sparse.csr_array = sparse.csr_array(
            (data, pattern.indices, pattern.indptr), shape=pattern.shape
        )
        return out


class Sandwiches:
    """``Z'BZ`` for block-diagonal B, all with the same pattern.

    Parameters
    ----------
    chunks : sequence of ndarray of int, each (b, m)
        Rows of the blocks of B.
    loadings : sequence of Loading
        What Z is made of.
    width : int
        Number Q of columns.
    """

    def __init__(
        self,
        chunks: Sequence[Ints],
        loadings: Sequence[Loading],
        width: int,
    ) -> None:
        i, j = block_positions(chunks)
        keys, entries, weights = [], [], []
        for left, x in loadings:
            for right, y in loadings:
                weight = (1.0 if x is None else x[i]) * (1.0 if y is None else y[j])
                weight = np.broadcast_to(weight, i.shape)
                used = np.flatnonzero(weight)
                keys.append(left[i[used]] * width + right[j[used]])
                entries.append(used)
                weights.append(weight[used])
        unique, at = np.unique(np.concatenate(keys), return_inverse=True)
        self.row, self.column = np.divmod(unique, width)
        self._collect = sparse.csr_array(
            (np.concatenate(weights), (at, np.concatenate(entries))), shape=(len(unique), len(i))
        )
        start = np.concatenate([[0], np.cumsum(np.bincount(self.row, minlength=width))])
        self._start, self._width = start, width
        self._is_dense = len(unique) > DENSE_FROM * width**2

    def values(self, stacks: Sequence[Floats]) -> Floats:
        """Entries of Z'BZ in the places `row`, `column`, for B in stacks (b, m, m)."""
        return np.asarray(self._collect @ np.concatenate([s.ravel() for s in stacks]))

    def matrix(self, values: Floats) -> Matrix:
        """Z'BZ (Q, Q) from its entries."""
        shape = self._width, self._width
        if not self._is_dense:
            return sparse.csr_array((values, self.column, self._start), shape=shape)
        out = np.zeros(shape)
        out[self.row, self.column] = values
        return out


DENSE_FROM = 0.03
"""Share of entries from which products with a dense matrix are faster as dense ones."""
