"""Nested random intercepts over independent errors: O(n) by eliminating level after level.

With partitions P_1, ..., P_T, each finer than the next, ``M_t = M_{t-1} + theta_t 1 1'``
within every group of P_t.  All that a group passes on to the level above is
``s = 1'inv(M_t)1`` and ``m = 1'inv(M_t)A``; Sherman-Morrison gives, with
``d = 1 / (1 + theta s)``,

    s <- d s,    m <- d m,    log|M| += -log d,    A'inv(M)A -= theta d m m'.

Every statistic in `Sums` is a first or second derivative of the last two lines with respect
to theta, so the recursion (`marginal.elimination`) carries s and m with their derivatives.

Rows are arranged once in classes of groups of equal size, cut into chunks whose temporaries
stay in a core's cache; segment sums are then sums over an axis.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import grouped_order, lies_within
from mvmeta.design.problem import MetaProblem
from mvmeta.errors import SpecificationError
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    MarginalFactor,
    NotPositiveDefiniteError,
    RowsOf,
    Sums,
)
from mvmeta.marginal.elimination import (
    Fold,
    Jets,
    NestedSums,
    Scratch,
    eliminate,
    joined,
    regrouped,
    sum_rows,
)

CHUNK_ROWS = 2**14
"""Rows worked on at a time: with ten columns and their derivatives they fill a 2 MiB cache."""
CHUNK_GROUPS = 2**12
"""Groups worked on at a time, at least."""
CHUNK_OVERHEAD = 2000
"""Cells that take as long as the calls one more chunk needs."""
EXACT_SIZES, SIZE_STEP = (16, 2**12), 1.125
"""Groups up to the first size or above the second are not padded, others to the next size in a
geometric sequence."""


@dataclass(frozen=True)
class _Level:
    """One partition of the chain over all rows, in the order of the problem."""

    term: int
    code: Ints  # (n,) group of each row
    count: int

    @cached_property
    def from_rows(self) -> sparse.csr_array:
        """Sums rows by group, (count, n)."""
        return _collector(self.code, self.count)


@dataclass(frozen=True)
class _Chunk:
    """Groups padded to equal size, or a part of one that is larger than a chunk."""

    cells: slice  # of the arranged rows
    fold: Fold
    padding: Ints | None  # which cells of the chunk hold no row
    continues: bool  # more rows of the group of the chunk before


def nested_order(problem: MetaProblem) -> list[int] | None:
    """Order of the terms from finest to coarsest if they form a chain of partitions.

    None if they do not, or if a term is no plain random intercept.
    """
    if not all(t.is_scalar for t in problem.terms):
        return None
    used = [t.used for t in problem.terms]
    order = sorted(range(len(used)), key=lambda t: -used[t][1])
    for fine, coarse in pairwise(order):
        if not lies_within(*used[fine], problem.terms[coarse].level):
            return None
    return order


class NestedMarginal(MarginalCovariance):
    """Diagonal V and random intercepts that nest; any number of levels.

    Parameters
    ----------
    problem : MetaProblem

    Raises
    ------
    SpecificationError
        If V is not diagonal or the terms do not nest.
    """

    name = "nested"

    def __init__(self, problem: MetaProblem) -> None:
        order = nested_order(problem) if problem.v.is_diagonal else None
        if order is None:
            raise SpecificationError(
                "backend 'nested' needs a diagonal V and random intercepts that nest; "
                "leave backend unset to have one chosen"
            )
        self.problem = problem
        self.row_terms: list[int] = []
        self.levels: list[_Level] = []
        for t in order:
            code, count = problem.terms[t].used
            if count == problem.n:
                self.row_terms.append(t)
            else:
                self.levels.append(_Level(t, code, count))
        self._arrange_rows()
        own = 1 if self.row_terms else 0
        self.stage = [0] * len(problem.terms)
        for place, level in enumerate(self.levels):
            self.stage[level.term] = own + place
        self.n_stages = own + len(self.levels)

    def _arrange_rows(self) -> None:
        lowest = self.levels[0] if self.levels else None
        layout = _Layout(self.problem.n, lowest)
        self._cells, self.chunks = layout.cells, layout.chunks
        self.longest = max(c.cells.stop - c.cells.start for c in self.chunks)
        self._padding = np.flatnonzero(self._cells < 0)
        self.variances = self.problem.v.variances[self._cells]
        self.variances[self._padding] = np.inf
        self.least_variance = float(self.problem.v.variances.min())
        self.collectors = []
        groups = layout.groups
        for fine, coarse in pairwise(self.levels):
            parent = _parents(fine, coarse)
            self.collectors.append(_collector(parent[groups], coarse.count))
            groups = np.arange(coarse.count)

    def arrange(self, a: Floats) -> Arranged:
        """A (n, a) chunk by chunk: shape (a, cells), 0 in the padding."""
        return self.arrange_rows(lambda rows: np.asarray(a)[rows])

    def arrange_rows(self, rows_of: RowsOf) -> Arranged:
        out: Floats | None = None
        for chunk in self.chunks:
            block = rows_of(self._cells[chunk.cells])
            if out is None:
                out = np.empty((block.shape[1], len(self._cells)))
            out[:, chunk.cells] = block.T
        assert out is not None  # a problem has rows
        out[:, self._padding] = 0.0
        return Arranged(out)

    def factorize(self, gs: Sequence[Floats]) -> "NestedFactor":
        return NestedFactor(self, [float(g[0, 0]) for g in gs])


def _collector(parent: Ints, count: int) -> sparse.csr_array:
    """Sums over the groups `parent` (n,): 0/1 matrix (count, n)."""
    n = len(parent)
    columns = sparse.csr_array((np.ones(n), parent, np.arange(n + 1)), shape=(n, count))
    return columns.T.tocsr()


def _parents(fine: _Level, coarse: _Level) -> Ints:
    """Group of the coarse level that each group of the fine one belongs to."""
    parent = np.empty(fine.count, dtype=np.intp)
    parent[fine.code] = coarse.code
    return parent


class _Layout:
    """Where rows go: classes of groups padded to equal size, cut into chunks.

    Attributes
    ----------
    cells : ndarray of int
        Row of every cell, -1 for padding.
    chunks : list of _Chunk
    groups : ndarray of int
        The groups of the lowest level in the order of the chunks.
    """

    def __init__(self, n: int, lowest: _Level | None) -> None:
        self._groups: list[Ints] = []
        self._used = 0
        self.chunks: list[_Chunk] = []
        if lowest is None:
            self.cells = _positions(n, n)
            for i in range(0, n, CHUNK_ROWS):
                rows = np.arange(i, min(i + CHUNK_ROWS, n))
                self._add(rows[None], np.ones_like(rows), rows)
        else:
            self._by_size(lowest)
        self.groups = np.concatenate(self._groups)

    def _by_size(self, level: _Level) -> None:
        order, size = grouped_order(level.code, level.count)
        start = np.cumsum(size) - size
        padded = _padded_sizes(size)
        self.cells = _positions(np.where(padded > CHUNK_ROWS, size, padded).sum(), len(order))
        by_class, members = grouped_order(padded, int(padded.max()) + 1)
        end = np.cumsum(members)
        for r in np.flatnonzero(members).tolist():
            which = by_class[end[r] - members[r] : end[r]]
            if r > CHUNK_ROWS:
                for group in which.tolist():
                    self._add_large(order[start[group] :][: size[group]], group)
                continue
            step = max(1, CHUNK_ROWS // r)
            for groups in (which[i : i + step] for i in range(0, len(which), step)):
                at = start[groups] + np.arange(r)[:, None]
                rows = order[np.minimum(at, len(order) - 1)]
                self._add(rows, size[groups], groups)

    def _add_large(self, rows: Ints, group: int) -> None:
        """The `rows` (r,) of one group, in several chunks."""
        for i in range(0, len(rows), CHUNK_ROWS):
            some = rows[i : i + CHUNK_ROWS, None]
            self._add(some, np.array([len(some)]), np.array([group]), continues=i > 0)

    def _add(self, rows: Ints, size: Ints, groups: Ints, continues: bool = False) -> None:
        """A chunk of the `rows` (r, g) of which each group has the first `size` (g,)."""
        r, g = rows.shape
        if (size < r).any():
            rows = np.where(np.arange(r)[:, None] < size, rows, -1)
        # sums run over the longer axis when it is the inner one
        fold = Fold(r, g, by_group=r > g)
        flat = rows.T.ravel() if fold.by_group else rows.ravel()
        empty = np.flatnonzero(flat < 0)
        cells = slice(self._used, self._used + r * g)
        self.chunks.append(_Chunk(cells, fold, empty if len(empty) else None, continues))
        self.cells[cells] = flat
        if not continues:
            self._groups.append(groups)
        self._used += r * g


def _positions(count: int, n: int) -> Ints:
    """Room for positions among n rows, in half the memory where that is enough."""
    return np.empty(count, dtype=np.int32 if n <= np.iinfo(np.int32).max else np.int64)


def _padded_sizes(size: Ints) -> Ints:
    """Size to which each group is padded: the cheapest choice of classes of adjacent sizes."""
    largest = int(size.max())
    if largest * len(size) - int(size.sum()) < CHUNK_OVERHEAD and largest <= CHUNK_ROWS:
        return np.full(len(size), largest)  # no second class is worth a chunk of its own
    rounded = _rounded(size)
    ladder, members = np.unique(rounded, return_counts=True)
    below = np.concatenate([[0], np.cumsum(members)])
    cost, first = np.zeros(len(below)), np.zeros(len(below), dtype=np.intp)
    for j, r in enumerate(ladder.tolist(), start=1):
        # the class of the sizes i..j has all groups between, padded to the largest
        cells = r * (below[j] - below[:j])
        total = cost[:j] + cells + CHUNK_OVERHEAD * np.ceil(cells / CHUNK_ROWS)
        first[j] = int(total.argmin())
        cost[j] = total[first[j]]
    padded = ladder.copy()
    j = len(ladder)
    while j:
        padded[first[j] : j] = ladder[j - 1]
        j = first[j]
    return padded[np.searchsorted(ladder, rounded)]


def _rounded(size: Ints) -> Ints:
    """Sizes rounded up where there might be very many of them."""
    few, many = EXACT_SIZES
    steps = [*range(few), float(few)]
    while steps[-1] < min(size.max(), many):
        steps.append(np.ceil(steps[-1] * SIZE_STEP))
    ladder = np.array(steps, dtype=np.intp)
    return np.where(size > many, size, ladder[np.searchsorted(ladder, np.minimum(size, many))])


class NestedFactor(MarginalFactor):
    """The variances theta (T,); everything else is recomputed chunk by chunk."""

    def __init__(self, plan: NestedMarginal, theta: Sequence[float]) -> None:
        self._plan, self._theta = plan, theta
        self._own = sum(theta[t] for t in plan.row_terms)
        least = plan.least_variance + self._own
        if not (least > 0 and np.isfinite(least) and all(0 <= x < np.inf for x in theta)):
            raise NotPositiveDefiniteError

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        plan = self._plan
        cells = (a if isinstance(a, Arranged) else plan.arrange(a)).data
        total = NestedSums(len(cells), plan.n_stages, pairs)
        parts: Iterable[Jets] = self._rows(cells, total)
        for place in range(len(plan.levels)):
            if place:
                parts = [joined(list(parts)).collect(plan.collectors[place - 1])]
            parts = self._eliminate(parts, place, total)
        for _ in parts:  # what the outermost level passes on is of no use
            pass
        return total.along(plan.stage, directions, extra)

    def _rows(self, a: Floats, total: NestedSums) -> Iterator[Jets]:
        """What rows pass on to the groups of the lowest level, chunk by chunk."""
        plan = self._plan
        scratch = Scratch.of(len(a), plan.longest)
        own = bool(plan.row_terms)
        held: Jets | None = None
        for chunk in plan.chunks:
            variance = plan.variances[chunk.cells] + self._own
            jets = sum_rows(variance, a[:, chunk.cells], chunk.fold, total, scratch, own)
            if held is not None and not chunk.continues:
                yield held
            held = held.plus(jets) if held is not None and chunk.continues else jets
            log = np.log(variance, out=variance)
            if chunk.padding is not None:
                log[chunk.padding] = 0.0
            total.logdet[0] += log.sum()
        if held is not None:
            yield held

    def _eliminate(self, parts: Iterable[Jets], place: int, total: NestedSums) -> Iterator[Jets]:
        """One level; what its groups pass on."""
        levels = self._plan.levels
        theta, last = self._theta[levels[place].term], place == len(levels) - 1
        for part in regrouped(parts, CHUNK_GROUPS):
            yield eliminate(part, theta, total, last=last)

    def _sweep(self) -> list[tuple[_Level, Floats, Floats]]:
        """Per level: (level, c, theta d) with c (n,) the row sums of inv(M) below the level."""
        out, c = [], 1.0 / (self._plan.problem.v.variances + self._own)
        for lv in self._plan.levels:
            s = lv.from_rows @ c
            theta = self._theta[lv.term]
            d = 1.0 / (1.0 + theta * s)
            out.append((lv, c, theta * d))
            c = c * d[lv.code]
        return out

    def solve(self, b: Floats) -> Floats:
        out = b / (self._plan.problem.v.variances + self._own)[:, None]
        for lv, c, weight in self._sweep():
            total = weight[:, None] * (lv.from_rows @ out)
            out -= c[:, None] * total[lv.code]
        return out

    def level_gram(self, term: int) -> Floats:
        t = self._plan.problem.terms[term]
        collect = _collector(t.level, t.n_levels)
        out = collect @ (1.0 / (self._plan.problem.v.variances + self._own))
        for lv, c, weight in self._sweep():
            part = collect @ c
            if lies_within(*t.used, lv.code):
                group = np.zeros(t.n_levels, dtype=np.intp)  # levels without rows: part is 0
                group[t.level] = lv.code
                out -= weight[group] * part**2
            else:
                inner = lv.from_rows @ c
                owner = np.empty(len(inner), dtype=np.intp)
                owner[lv.code] = t.level
                out -= np.bincount(owner, weight * inner**2, minlength=t.n_levels)
        return np.asarray(out)[:, None, None]

    def inverse_diagonal(self) -> Floats:
        out = 1.0 / (self._plan.problem.v.variances + self._own)
        for lv, c, weight in self._sweep():
            out -= weight[lv.code] * c**2
        return out
