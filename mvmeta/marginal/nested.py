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

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.design.problem import MetaProblem
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    MarginalFactor,
    NotPositiveDefiniteError,
    Sums,
)
from mvmeta.marginal.elimination import Jets, NestedSums, eliminate, rows

CHUNK_ROWS = 2**13
"""Rows worked on at a time: with ten columns and their derivatives they fill a 2 MiB cache."""
ONE_CHUNK_UP_TO, MOST_PADDING = 3000, 3.0
"""Rows up to which all groups are padded to the size of the largest one, unless that makes more
than this many times as many: a Python loop over sizes would cost more than the empty cells."""
EXACT_SIZES, SIZE_STEP = 16, 1.125
"""Groups up to this size are not padded; larger ones to the next in a geometric sequence."""


@dataclass(frozen=True)
class _Level:
    """One partition of the chain over all rows, in the order of the problem."""

    term: int
    code: Ints  # (n,) group of each row
    from_rows: sparse.csr_array  # (groups, n)


@dataclass(frozen=True)
class _Chunk:
    """Groups padded to equal size."""

    cells: slice  # of the arranged rows, r * g of them
    shape: tuple[int, int]  # (r, g)
    groups: Ints | None  # (g,) which groups of the lowest level; None without levels


def nested_order(problem: MetaProblem) -> list[int] | None:
    """Order of the terms from finest to coarsest if they form a chain of partitions.

    None if they do not, or if a term is no plain random intercept.
    """
    if not all(t.is_scalar for t in problem.terms):
        return None
    used = [recode(t.level)[1] for t in problem.terms]
    order = sorted(range(len(used)), key=lambda t: -used[t])
    for fine, coarse in pairwise(order):
        if not is_nested(problem.terms[fine].level, problem.terms[coarse].level):
            return None
    return order


class NestedMarginal(MarginalCovariance):
    """Diagonal V and random intercepts that nest; any number of levels.

    Parameters
    ----------
    problem : MetaProblem
        `nested_order(problem)` must not be None and V must be diagonal.
    """

    name = "nested"

    def __init__(self, problem: MetaProblem) -> None:
        self.problem = problem
        self.row_terms: list[int] = []
        self.levels: list[_Level] = []
        for t in nested_order(problem) or []:
            code, count = recode(problem.terms[t].level)
            if count == problem.n:
                self.row_terms.append(t)
            else:
                self.levels.append(_Level(t, code, _collector(code, count)))
        lowest = self.levels[0].code if self.levels else None
        self._cells, self.chunks = _arrangement(lowest, problem.n)
        self._padding = np.flatnonzero(self._cells < 0)
        self.variances = problem.v.variances[self._cells]
        self.variances[self._padding] = np.inf
        self.collectors = [
            _collector(_parents(fine.code, coarse.code), len(np.unique(coarse.code)))
            for fine, coarse in pairwise(self.levels)
        ]

    def arrange(self, a: Floats) -> Arranged:
        """Columns of a (n, k) chunk by chunk: shape (k, cells), 0 in the padding."""
        out = np.ascontiguousarray(a[self._cells].T)
        out[:, self._padding] = 0.0
        return Arranged(out)

    def factorize(self, gs: Sequence[Floats]) -> "NestedFactor":
        return NestedFactor(self, [float(g[0, 0]) for g in gs])


def _collector(parent: Ints, count: int) -> sparse.csr_array:
    n = len(parent)
    return sparse.csr_array((np.ones(n), (parent, np.arange(n))), shape=(count, n))


def _parents(fine: Ints, coarse: Ints) -> Ints:
    """Group of the coarse level (n,) that each group of the fine level (n,) belongs to."""
    parent = np.empty(int(fine.max()) + 1, dtype=np.intp)
    parent[fine] = coarse
    return parent


def _arrangement(code: Ints | None, n: int) -> tuple[Ints, list[_Chunk]]:
    """Row of every cell (-1 for padding), and the chunks the cells are cut into."""
    if code is None:
        chunks = [
            _Chunk(slice(i, min(i + CHUNK_ROWS, n)), (1, min(CHUNK_ROWS, n - i)), None)
            for i in range(0, n, CHUNK_ROWS)
        ]
        return np.arange(n), chunks
    size = np.bincount(code)
    order = np.argsort(code, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    padded = _padded_sizes(size)
    cells, chunks, used = [], [], 0
    for r in np.unique(padded).tolist():
        which = np.flatnonzero(padded == r)
        step = max(1, CHUNK_ROWS // r)
        for groups in (which[i : i + step] for i in range(0, len(which), step)):
            position = np.arange(r)[:, None]
            real = position < size[groups]
            at = np.where(real, start[groups] + position, 0)
            cells.append(np.where(real, order[at], -1).ravel())
            chunks.append(_Chunk(slice(used, used + r * len(groups)), (r, len(groups)), groups))
            used += r * len(groups)
    return np.concatenate(cells), chunks


def _padded_sizes(size: Ints) -> Ints:
    n, largest = int(size.sum()), int(size.max())
    if n <= ONE_CHUNK_UP_TO and largest * len(size) <= MOST_PADDING * n:
        return np.full(len(size), largest)
    sizes = list(range(1, EXACT_SIZES + 1))
    while sizes[-1] < largest:
        sizes.append(int(np.ceil(sizes[-1] * SIZE_STEP)))
    ladder = np.array(sizes)
    return np.asarray(ladder[np.searchsorted(ladder, size)])


class NestedFactor(MarginalFactor):
    """The variances theta (T,); everything else is recomputed chunk by chunk."""

    def __init__(self, plan: NestedMarginal, theta: Sequence[float]) -> None:
        self._plan, self._theta = plan, theta
        self._own = sum(theta[t] for t in plan.row_terms)
        least = float(plan.problem.v.variances.min()) + self._own
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
        total = NestedSums(len(cells), len(plan.problem.terms), pairs)
        parts = [self._chunk(chunk, cells, total) for chunk in plan.chunks]
        if len(plan.levels) > 1:
            jets = self._join(parts)
            for collector, level in zip(plan.collectors, plan.levels[1:], strict=True):
                collected = jets.collect(collector)
                jets = eliminate(collected, level.term, self._theta[level.term], total)
        return total.along(directions, extra)

    def _chunk(self, chunk: _Chunk, a: Floats, total: NestedSums) -> Jets | None:
        """Rows and lowest level of one chunk; what is passed on if there are more levels."""
        plan = self._plan
        w = 1.0 / (plan.variances[chunk.cells] + self._own).reshape(chunk.shape)
        cells = a[:, chunk.cells].reshape(len(a), *chunk.shape)
        jets = rows(w, cells, plan.row_terms, total)
        if not plan.levels:
            return None
        term, last = plan.levels[0].term, len(plan.levels) == 1
        passed = eliminate(jets, term, self._theta[term], total, last=last)
        return None if last else passed

    def _join(self, parts: Sequence[Jets | None]) -> Jets:
        """Jets of all groups of the lowest level, in the order of their codes."""
        found = [p for p in parts if p is not None]
        groups = np.concatenate([c.groups for c in self._plan.chunks if c.groups is not None])
        back = np.argsort(groups)
        s, m = (np.concatenate([getattr(p, k) for p in found], axis=-1) for k in ("s", "m"))
        return Jets(found[0].terms, s[:, back], m[:, :, back])

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
            if is_nested(t.level, lv.code):
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
