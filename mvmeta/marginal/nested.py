"""Nested random intercepts over independent errors: O(n) by eliminating level after level.

With partitions P_1, ..., P_T, each finer than the next, ``M_t = M_{t-1} + theta_t 1 1'``
within every group of P_t.  All that a group passes on to the level above is
``s = 1'inv(M_t)1`` and ``m = 1'inv(M_t)A``; Sherman-Morrison gives, with
``d = 1 / (1 + theta s)``,

    s <- d s,    m <- d m,    log|M| += -log d,    A'inv(M)A -= theta d m m'.

Every statistic in `Sums` is a first or second derivative of the last two lines with respect
to theta, so the recursion carries s and m with their derivatives (forward mode, order 2).
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
    Direction,
    MarginalCovariance,
    MarginalFactor,
    NotPositiveDefiniteError,
    Sums,
)


@dataclass(frozen=True)
class _Level:
    """One partition of the chain: which term it is and how groups sum up."""

    term: int
    code: Ints  # (n,) group of each row
    collect: sparse.csr_array | None  # (groups, groups of the level below); None: one row each
    from_rows: sparse.csr_array | None  # (groups, n)


def nested_order(problem: MetaProblem) -> list[int] | None:
    """Order of the terms from finest to coarsest if they form a chain of partitions.

    None if they do not, or if a term is no plain random intercept.
    """
    if not all(t.is_scalar for t in problem.terms):
        return None
    used = [len(np.unique(t.level)) for t in problem.terms]
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
        self.levels: list[_Level] = []
        below = np.arange(problem.n)
        for t in nested_order(problem) or []:
            code, count = recode(problem.terms[t].level)
            if count == problem.n:
                self.levels.append(_Level(t, code, None, None))
                continue
            parent = np.empty(int(below.max()) + 1, dtype=np.intp)
            parent[below] = code
            from_rows = _collector(code, count)
            collect = from_rows if len(parent) == problem.n else _collector(parent, count)
            self.levels.append(_Level(t, code, collect, from_rows))
            below = code

    def factorize(self, gs: Sequence[Floats]) -> "NestedFactor":
        return NestedFactor(self, [float(g[0, 0]) for g in gs])


def _collector(parent: Ints, count: int) -> sparse.csr_array:
    n = len(parent)
    return sparse.csr_array((np.ones(n), (parent, np.arange(n))), shape=(count, n))


class NestedFactor(MarginalFactor):
    """The variances theta (T,) and, per row and level, the few vectors that `solve` needs."""

    def __init__(self, plan: NestedMarginal, theta: Sequence[float]) -> None:
        self._plan = plan
        self._theta = theta
        self._rows = [lv for lv in plan.levels if lv.collect is None]
        self._groups = [lv for lv in plan.levels if lv.collect is not None]
        variance = plan.problem.v.variances + sum(theta[lv.term] for lv in self._rows)
        if not ((variance > 0).all() and all(0 <= x < np.inf for x in theta)):
            raise NotPositiveDefiniteError
        self._w = 1.0 / variance

    def sums(
        self, a: Floats, directions: Sequence[Direction] = (), extra: Sequence[Direction] = ()
    ) -> Sums:
        state = _Recursion(self._w, a, len(self._plan.problem.terms))
        for lv in self._rows:
            state.mark_row_term(lv.term)
        for lv in self._groups:
            state.eliminate(lv, self._theta[lv.term])
        return state.finish(directions, extra)

    def _sweep(self) -> list[tuple[_Level, Floats, Floats]]:
        """Per level: (level, c, theta d) with c (n,) the row sums of inv(M) below the level."""
        out, c = [], self._w.copy()
        for lv in self._groups:
            assert lv.from_rows is not None
            s = lv.from_rows @ c
            theta = self._theta[lv.term]
            d = 1.0 / (1.0 + theta * s)
            out.append((lv, c, theta * d))
            c = c * d[lv.code]
        return out

    def solve(self, b: Floats) -> Floats:
        out = self._w[:, None] * b
        for lv, c, weight in self._sweep():
            assert lv.from_rows is not None
            total = weight[:, None] * (lv.from_rows @ out)
            out -= c[:, None] * total[lv.code]
        return out

    def level_gram(self, term: int) -> Floats:
        t = self._plan.problem.terms[term]
        collect = _collector(t.level, t.n_levels)
        out = collect @ self._w
        for lv, c, weight in self._sweep():
            part = collect @ c
            if is_nested(t.level, lv.code):
                group = np.zeros(t.n_levels, dtype=np.intp)  # levels without rows: part is 0
                group[t.level] = lv.code
                out -= weight[group] * part**2
            else:
                assert lv.from_rows is not None
                inner = lv.from_rows @ c
                owner = np.empty(len(inner), dtype=np.intp)
                owner[lv.code] = t.level
                out -= np.bincount(owner, weight * inner**2, minlength=t.n_levels)
        return np.asarray(out)[:, None, None]

    def inverse_diagonal(self) -> Floats:
        out = self._w.copy()
        for lv, c, weight in self._sweep():
            out -= weight[lv.code] * c**2
        return out


class _Recursion:
    """s (g,) and m (g, a) of the groups of one level, with derivatives by the terms below.

    `first[j]` and `second[j, l]` (j <= l) hold pairs (ds, dm); a missing key is zero.
    """

    def __init__(self, w: Floats, a: Floats, n_terms: int) -> None:
        self._s, self._m = w, w[:, None] * a
        self._first: dict[int, tuple[Floats, Floats]] = {}
        self._second: dict[tuple[int, int], tuple[Floats, Floats]] = {}
        width = a.shape[1]
        self._logdet = -float(np.log(w).sum())
        self._gram = a.T @ self._m
        self._trace, self._slope = np.zeros(n_terms), np.zeros((n_terms, width, width))
        self._trace_pairs = np.zeros((n_terms, n_terms))
        self._slope_pairs = np.zeros((n_terms, n_terms, width, width))
        self._row_terms: list[int] = []

    def mark_row_term(self, j: int) -> None:
        """A term with one level per row: w = 1 / (v + theta_j) and nothing to sum."""
        s, m = self._s, self._m
        sm, s2 = s[:, None] * m, s * s
        self._row_terms.append(j)
        self._first[j] = (-s2, -sm)
        self._trace[j] = s.sum()
        self._slope[j] = m.T @ m
        for i in self._row_terms:
            key = (i, j)
            self._second[key] = (2 * s2 * s, 2 * s[:, None] * sm)
            self._trace_pairs[i, j] = self._trace_pairs[j, i] = s2.sum()
            self._slope_pairs[i, j] = self._slope_pairs[j, i] = m.T @ sm

    def eliminate(self, lv: _Level, theta: float) -> None:
        """Sum up to the groups of `lv`, record their share, and absorb theta 1 1'."""
        collect = lv.collect
        assert collect is not None
        s, m = collect @ self._s, collect @ self._m
        first = {j: (collect @ ds, collect @ dm) for j, (ds, dm) in self._first.items()}
        second = {k: (collect @ ds, collect @ dm) for k, (ds, dm) in self._second.items()}
        zero = np.zeros_like(s), np.zeros_like(m)
        first[lv.term] = zero
        own = _Elimination(s, m, theta, lv.term, first, second)
        self._logdet += own.logdet()
        self._gram -= own.quadratic()
        self._first, self._second = {}, {}
        for j in first:
            self._trace[j] += own.logdet_first(j)
            self._slope[j] += own.quadratic_first(j)
            self._first[j] = own.passed_first(j)
        keys = [(j, i) for n, i in enumerate(first) for j in list(first)[: n + 1]]
        for j, i in keys:
            pair = -own.logdet_second(j, i)
            both = -own.quadratic_second(j, i) / 2
            self._trace_pairs[j, i] += pair
            self._slope_pairs[j, i] += both
            if i != j:
                self._trace_pairs[i, j] += pair
                self._slope_pairs[i, j] += both
            self._second[j, i] = own.passed_second(j, i)
        self._s, self._m = own.d * s, own.d[:, None] * m

    def finish(self, directions: Sequence[Direction], extra: Sequence[Direction]) -> Sums:
        """`Sums` for scalar directions (1, 1): each scales the derivative by its own term."""
        at = np.array([d.term for d in directions], dtype=np.intp)
        x = np.array([float(d.matrix[0, 0]) for d in directions])
        more = np.array([d.term for d in extra], dtype=np.intp)
        z = np.array([float(d.matrix[0, 0]) for d in extra])
        square = np.multiply.outer(x, x)
        return Sums(
            self._logdet,
            self._gram,
            x * self._trace[at],
            x[:, None, None] * self._slope[at],
            square * self._trace_pairs[np.ix_(at, at)],
            square[:, :, None, None] * self._slope_pairs[np.ix_(at, at)],
            z * self._trace[more],
            z[:, None, None] * self._slope[more],
        )


class _Elimination:
    """Value and derivatives of one Sherman-Morrison step as functions of (s, m, theta).

    c = theta d and d are functions of (s, theta) alone; `_chain` lists their partial
    derivatives up to order two, `first` and `second` those of s and m by the terms.
    """

    def __init__(
        self,
        s: Floats,
        m: Floats,
        theta: float,
        term: int,
        first: dict[int, tuple[Floats, Floats]],
        second: dict[tuple[int, int], tuple[Floats, Floats]],
    ) -> None:
        self._s, self._m, self._term = s, m, term
        self._first, self._second = first, second
        d = 1.0 / (1.0 + theta * s)
        self.d = d
        d2, d3 = d * d, d * d * d
        # value, d/ds, d/dtheta, d2/ds2, d2/ds dtheta, d2/dtheta2
        self._log = (-np.log(d), theta * d, s * d, -((theta * d) ** 2), d2, -((s * d) ** 2))
        self._c = (
            theta * d,
            -((theta * d) ** 2),
            d2,
            2 * theta**3 * d3,
            -2 * theta * d3,
            -2 * s * d3,
        )
        self._d = (d, -theta * d2, -s * d2, 2 * theta**2 * d3, (theta * s - 1) * d3, 2 * s * s * d3)
        self._out = (s * d, d2, -((s * d) ** 2), -2 * theta * d3, -2 * s * d3, 2 * s**3 * d3)

    def _ds(self, j: int) -> Floats:
        return self._first[j][0]

    def _pair(self, j: int, i: int) -> tuple[Floats, Floats]:
        found = self._second.get((j, i))
        return found if found is not None else (np.zeros_like(self._s), np.zeros_like(self._m))

    def _chain1(self, f: tuple[Floats, ...], j: int) -> Floats:
        return f[1] * self._ds(j) + (f[2] if j == self._term else 0.0)

    def _chain2(self, f: tuple[Floats, ...], j: int, i: int) -> Floats:
        own_j, own_i = j == self._term, i == self._term
        out = f[3] * self._ds(j) * self._ds(i) + f[1] * self._pair(j, i)[0]
        if own_i:
            out = out + f[4] * self._ds(j)
        if own_j:
            out = out + f[4] * self._ds(i)
        return out + f[5] if own_j and own_i else out

    def logdet(self) -> float:
        return float(self._log[0].sum())

    def logdet_first(self, j: int) -> float:
        return float(self._chain1(self._log, j).sum())

    def logdet_second(self, j: int, i: int) -> float:
        return float(self._chain2(self._log, j, i).sum())

    def quadratic(self) -> Floats:
        return np.asarray((self._c[0][:, None] * self._m).T @ self._m)

    def quadratic_first(self, j: int) -> Floats:
        m, dm = self._m, self._first[j][1]
        half = (self._chain1(self._c, j)[:, None] * m / 2 + self._c[0][:, None] * dm).T @ m
        return np.asarray(half + half.T)

    def quadratic_second(self, j: int, i: int) -> Floats:
        m, mj, mi = self._m, self._first[j][1], self._first[i][1]
        c, cj, ci = self._c[0][:, None], self._chain1(self._c, j), self._chain1(self._c, i)
        cji = self._chain2(self._c, j, i)
        left = cji[:, None] * m / 2 + cj[:, None] * mi + ci[:, None] * mj + c * self._pair(j, i)[1]
        half = left.T @ m + (c * mj).T @ mi
        return np.asarray(half + half.T)

    def passed_first(self, j: int) -> tuple[Floats, Floats]:
        d, dm = self.d[:, None], self._first[j][1]
        return self._chain1(self._out, j), self._chain1(self._d, j)[:, None] * self._m + d * dm

    def passed_second(self, j: int, i: int) -> tuple[Floats, Floats]:
        mj, mi = self._first[j][1], self._first[i][1]
        dj, di = self._chain1(self._d, j)[:, None], self._chain1(self._d, i)[:, None]
        value = self._chain2(self._d, j, i)[:, None] * self._m + dj * mi + di * mj
        return self._chain2(self._out, j, i), value + self.d[:, None] * self._pair(j, i)[1]
