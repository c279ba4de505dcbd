"""Crossed and known-correlation terms: a low-rank part on top of small clusters.

``M = M0 + Z G Z'`` with M0 block-diagonal in small clusters and Z (n, Q) the sparse design of
the terms that link them.  With N0 = inv(M0), K = Z'N0 Z and W = inv(I + K G),

    inv(M) = N0 - N0 Z G W Z'N0,    log|M| = log|M0| + log|I + K G|

(Woodbury; Harville 1977, J Am Stat Assoc 72:320).  All traces are exact, through (Q, Q)
matrices; nothing n x n is formed.  Terms that give rows to the same columns, such as a
phylogeny and an independent effect of its species, share these.

Where V is singular in a few rows E, M0 may be singular although M is not.  There M0 is taken
larger by ``delta E E'``, and E joins Z with the covariance ``-delta I``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    MarginalFactor,
    NotPositiveDefiniteError,
    Sums,
)
from mvmeta.marginal.blocks import BlocksMarginal
from mvmeta.marginal.linking import (
    Assembly,
    Loading,
    Matrix,
    Sandwiches,
    Slot,
    diagonal,
    slots_of,
    spread,
)
from mvmeta.marginal.lowrank import DiagonalLowRank, GeneralLowRank, LowRank, Turned

CHUNK_ENTRIES = 2**22
"""Entries of a dense (rows, Q) slice worked on at a time (32 MiB)."""
INDEFINITE = 1e-10
"""Negative eigenvalue, relative to the largest one, that is no rounding error."""


class WoodburyMarginal(MarginalCovariance):
    """Small clusters plus linking terms.

    Parameters
    ----------
    problem : MetaProblem
    outer : sequence of int
        The terms that make up the low-rank part; the others must leave small clusters.
    """

    name = "woodbury"

    def __init__(self, problem: MetaProblem, outer: Sequence[int]) -> None:
        self.problem, self.outer = problem, tuple(outer)
        self.inner = tuple(t for t in range(len(problem.terms)) if t not in self.outer)
        terms = problem.terms
        self.slots = slots_of(terms, self.outer)
        self.slot = {t: s for s in self.slots for t in s.terms}
        self.effects = {t: e for s in self.slots for t, e in zip(s.terms, s.effects, strict=True)}
        linked = self.slots[-1].at.stop
        lifted = _singular_rows(problem.v, most=linked)
        self.lifted, self.width = slice(linked, linked + len(lifted)), linked + len(lifted)
        self.delta = float(problem.v.variances.mean()) or 1.0
        v = problem.v.lifted(lifted, self.delta) if len(lifted) else problem.v
        inner = tuple(terms[t] for t in self.inner)
        self.base = BlocksMarginal(replace(problem, v=v, terms=inner, ties=()))
        loadings = [
            (s.at.start + column, entry) for s in self.slots for column, entry in s.loadings
        ]
        loadings += [_own_columns(lifted, linked, problem.n)] * (len(lifted) > 0)
        self.z = _design(loadings, problem.n, self.width)
        self.sandwiches = Sandwiches(self.base.chunks, loadings, self.width)
        self.assemble = Assembly(self.base.chunks, problem.n)
        self._latest: tuple[list[Floats], WoodburyFactor] | None = None

    def spread(self, term: int, g: Floats) -> Matrix:
        """G or a direction of it in the columns of the term's slot."""
        return spread(self.problem.terms[term], self.effects[term], g)

    def factorize(self, gs: Sequence[Floats]) -> "WoodburyFactor":
        # the fit asks once more for the factor of the last evaluation, the dearest part of it
        if self._latest is not None:
            known, factor = self._latest
            if all(np.array_equal(g, k) for g, k in zip(gs, known, strict=True)):
                return factor
        self._latest = None  # before there are two of them
        factor = WoodburyFactor(self, gs)
        self._latest = [np.array(g) for g in gs], factor
        return factor


def _singular_rows(v: SamplingCovariance, most: int) -> Ints:
    """Rows of the singular blocks of V; none if they are more than `most`.

    With more of them than columns in Z, M is singular wherever M0 is.
    """
    rows = v.singular_rows
    return rows if len(rows) <= most else rows[:0]


def _own_columns(rows: Ints, start: int, n: int) -> tuple[Ints, Floats]:
    column, entry = np.zeros(n, dtype=np.intp), np.zeros(n)
    column[rows], entry[rows] = start + np.arange(len(rows)), 1.0
    return column, entry


def _design(loadings: Sequence[Loading], n: int, width: int) -> sparse.csr_array:
    column = np.stack([c for c, _ in loadings], axis=1).ravel()
    entry = np.stack([np.ones(n) if x is None else x for _, x in loadings], axis=1).ravel()
    start = np.arange(n + 1) * len(loadings)
    out: sparse.csr_array = sparse.csr_array((entry, column, start), shape=(n, width))
    out.eliminate_zeros()
    return out


def _is_indefinite(g: Floats) -> bool:
    if len(g) == 1:
        return bool(g[0, 0] < 0)
    try:
        np.linalg.cholesky(g + INDEFINITE * max(float(g.diagonal().max()), 0.0) * np.eye(len(g)))
    except np.linalg.LinAlgError:
        return bool(g.any())
    return False


class WoodburyFactor(MarginalFactor):
    """N0 by clusters, and the low-rank part."""

    def __init__(self, plan: WoodburyMarginal, gs: Sequence[Floats]) -> None:
        self._plan = plan
        self._base = plan.base.factorize([gs[t] for t in plan.inner])
        self._n0 = plan.assemble(self._base.inverses)
        k = plan.sandwiches.matrix(plan.sandwiches.values(self._base.inverses))
        self._low = _low_rank(plan, k, gs)
        self._logdet = self._base.logdet + self._low.logdet
        lifted = plan.lifted.start < plan.lifted.stop
        if lifted or any(_is_indefinite(gs[t]) for t in plan.outer):
            self._refuse_negative()
        self._traced: tuple[Sequence[Direction], tuple[Floats, Floats]] | None = None

    def _refuse_negative(self) -> None:
        """An even number of negative eigenvalues of M leaves |M| > 0 but shows in Z'inv(M)Z."""
        values = np.linalg.eigvalsh(self._low.wk)
        if values[0] < -INDEFINITE * max(values[-1], -values[0]):
            raise NotPositiveDefiniteError

    def solve(self, b: Floats) -> Floats:
        return self._solve(b).rows

    def _solve(self, b: Floats) -> "_Solved":
        nb = np.asarray(self._n0 @ b)
        effects = self._low.weigh(np.asarray(self._plan.z.T @ nb))
        linked = np.asarray(self._plan.z @ self._low.lift(effects))
        return _Solved(nb - self._n0 @ linked, effects)

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        a = a.data if isinstance(a, Arranged) else a
        y = self._solve(a)
        ks = [self._apply(d, y) for d in directions]
        j, width = len(ks), a.shape[1]
        # asked again of a factor with other columns, they are the same
        if self._traced is None or not _same(directions, self._traced[0]):
            self._traced = directions, self._traces(directions)
        trace, trace_pairs = self._traced[1]
        more = [self._apply(d, y).against(y) for d in extra]
        grams = {d.term: self.level_gram(d.term).sum(axis=0) for d in extra}
        return Sums(
            logdet=self._logdet,
            gram=a.T @ y.rows,
            trace=trace,
            slope=np.array([k.against(y) for k in ks]).reshape(j, width, width),
            trace_pairs=trace_pairs,
            slope_pairs=self._slope_pairs(ks, width) if pairs else None,
            extra_trace=np.array([float((grams[d.term] * d.matrix).sum()) for d in extra]),
            extra_slope=np.array(more).reshape(-1, width, width),
        )

    def _slope_pairs(self, ks: "list[_Image]", width: int) -> Floats:
        out = np.zeros((len(ks), len(ks), width, width))
        if not ks:
            return out
        solved = self._solve(np.hstack([k.rows for k in ks]))
        for r, k in enumerate(ks):
            row = k.against(solved).reshape(width, len(ks), width).transpose(1, 0, 2)
            out[r] = (row + row.transpose(0, 2, 1)) / 2
        return out

    def _apply(self, d: Direction, y: "_Solved") -> "_Image":
        plan = self._plan
        slot = plan.slot.get(d.term)
        if slot is None:
            term = plan.problem.terms[d.term]
            u = np.einsum("qr,lrk->lqk", d.matrix, term.project(y.rows))
            return _Image(term.lift(u), None, u)
        u = np.asarray(plan.spread(d.term, d.matrix) @ y.effects[slot.at])
        return _Image(np.asarray(plan.z[:, slot.at] @ u), slot.at, u)

    def _traces(self, directions: Sequence[Direction]) -> tuple[Floats, Floats]:
        """tr(inv(M) K_j) and tr(inv(M) K_j inv(M) K_l)."""
        plan = self._plan
        outer = [j for j, d in enumerate(directions) if d.term in plan.slot]
        inner = [j for j, d in enumerate(directions) if d.term not in plan.slot]
        turned = [
            Turned(plan.slot[d.term].at, plan.spread(d.term, d.matrix))
            for d in (directions[j] for j in outer)
        ]
        clusters = _Clusters(self, [directions[j] for j in inner])
        found = self._low.traces(turned, clusters.matrices)
        trace, pairs = np.zeros(len(directions)), np.zeros((len(directions),) * 2)
        trace[outer], trace[inner] = found.outer, clusters.trace()
        pairs[np.ix_(outer, outer)] = found.outer_pairs
        pairs[np.ix_(inner, inner)] = clusters.pairs() + found.inner_pairs
        pairs[np.ix_(inner, outer)] = found.mixed_pairs
        pairs[np.ix_(outer, inner)] = found.mixed_pairs.T
        return trace, pairs

    def level_gram(self, term: int) -> Floats:
        plan = self._plan
        t = plan.problem.terms[term]
        if term in plan.slot:
            column = np.full(t.n_levels * t.q, -1)
            column[plan.effects[term]] = np.arange(plan.slot[term].width)
            at = column.reshape(t.n_levels, t.q)
            wk = self._low.wk[plan.slot[term].at, plan.slot[term].at]
            known = (at[:, :, None] >= 0) & (at[:, None, :] >= 0)
            return np.where(known, wk[at[:, :, None], at[:, None, :]], 0.0)
        out = self._base.level_gram(plan.inner.index(term))
        link = (t.sparse_z().T @ self._link()).tocsr()
        step = max(1, CHUNK_ENTRIES // (plan.width * t.q))
        for i in range(0, t.n_levels, step):
            part = link[i * t.q : (i + step) * t.q].toarray()
            fold = part.reshape(-1, t.q, part.shape[1])
            out[i : i + step] -= fold @ self._low.h @ fold.transpose(0, 2, 1)
        return out

    def inverse_diagonal(self) -> Floats:
        n = self._plan.problem.n
        return self.inverse_blocks(np.arange(n)[:, None], n)[:, 0, 0]

    def inverse_blocks(self, rows: Ints, n: int) -> Floats:
        """``(N0 - N0 Z H Z'N0)_SS``: of H only where the rows of N0 Z are not 0."""
        del n
        count, m = rows.shape
        one, two = np.repeat(rows, m, axis=1), np.tile(rows, (1, m))
        out = np.asarray(self._n0[one.ravel(), two.ravel()]).reshape(count, m, m)
        link, h = self._link(), self._low.h
        column, entry = _padded(link)
        width = m * column.shape[1]
        if width > self._plan.width:
            step = max(1, CHUNK_ENTRIES // (self._plan.width * m))
            for i in range(0, count, step):
                part = link[rows[i : i + step].ravel()].toarray().reshape(-1, m, self._plan.width)
                out[i : i + step] -= part @ h @ part.transpose(0, 2, 1)
            return out
        step = max(1, CHUNK_ENTRIES // width**2)
        for i in range(0, count, step):
            some = rows[i : i + step]
            at, part = column[some].reshape(-1, width), entry[some]
            own = h[at[:, :, None], at[:, None, :]].reshape(len(some), *column[some[0]].shape * 2)
            out[i : i + step] -= np.einsum("bia,biajc,bjc->bij", part, own, part, optimize=True)
        return out

    def _link(self) -> sparse.csr_array:
        """N0 Z, shape (n, Q)."""
        return (self._n0 @ self._plan.z).tocsr()


def _padded(matrix: sparse.csr_array) -> tuple[Ints, Floats]:
    """Columns and entries (n, k) of every row of a sparse matrix, k the most that one has."""
    count = np.diff(matrix.indptr)
    place = np.arange(int(count.max(initial=0))) < count[:, None]
    column, entry = np.zeros(place.shape, dtype=np.intp), np.zeros(place.shape)
    column[place], entry[place] = matrix.indices, matrix.data
    return column, entry


def _same(some: Sequence[Direction], others: Sequence[Direction]) -> bool:
    return len(some) == len(others) and all(
        a.term == b.term and np.array_equal(a.matrix, b.matrix)
        for a, b in zip(some, others, strict=True)
    )


def _low_rank(plan: WoodburyMarginal, k: Matrix, gs: Sequence[Floats]) -> LowRank:
    """By one symmetric inverse where G is a positive diagonal."""
    scalar = all(plan.problem.terms[t].q == 1 for t in plan.outer)
    if scalar and plan.lifted.start == plan.lifted.stop:
        g = np.concatenate([np.full(s.width, _sum(s, gs)[0, 0]) for s in plan.slots])
        if (g > 0).all():
            return DiagonalLowRank(k, g)
    parts = [(s.at, _covariance(plan, s, gs)) for s in plan.slots]
    if plan.lifted.start < plan.lifted.stop:
        negative = np.full(plan.lifted.stop - plan.lifted.start, -plan.delta)
        parts.append((plan.lifted, diagonal(negative)))
    return GeneralLowRank(k, parts)


def _sum(slot: Slot, gs: Sequence[Floats]) -> Floats:
    return np.asarray(sum(gs[t] for t in slot.terms))


def _covariance(plan: WoodburyMarginal, slot: Slot, gs: Sequence[Floats]) -> Matrix:
    """G over the columns of a slot: the sum over its terms."""
    matrices = [plan.spread(t, gs[t]) for t in slot.terms]
    total = matrices[0]
    for matrix in matrices[1:]:
        total = _add(total, matrix)
    return total


def _add(one: Matrix, two: Matrix) -> Matrix:
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        out = one if isinstance(one, np.ndarray) else one.toarray()
        return np.asarray(out + (two if isinstance(two, np.ndarray) else two.toarray()))
    return sparse.csr_array(one + two)


@dataclass(frozen=True)
class _Solved:
    """x = inv(M) b as `rows` (n, k) and Z'x as `effects` (Q, k).

    Where G is far above M0, Z'x is a small difference of large numbers if taken from x.
    """

    rows: Floats
    effects: Floats


@dataclass(frozen=True)
class _Image:
    """K x for a direction K: `rows` (n, k), which are Z u for a low-rank one in columns `at`."""

    rows: Floats
    at: slice | None
    u: Floats

    def against(self, x: _Solved) -> Floats:
        """Return ``(K x0)' x``, shape (k, k)."""
        if self.at is None:
            return self.rows.T @ x.rows
        return self.u.T @ x.effects[self.at]


class _Clusters:
    """Directions K_i inside the small clusters: N0 K_i, and S_i = Z'N0 K_i N0 Z."""

    def __init__(self, factor: WoodburyFactor, directions: Sequence[Direction]) -> None:
        plan, inverses = factor._plan, factor._base.inverses
        self._plan, self._inverses, self._low = plan, inverses, factor._low
        self._nk = [
            [
                self._times(n, plan.inner.index(d.term), d.matrix, chunk)
                for chunk, n in enumerate(inverses)
            ]
            for d in directions
        ]
        self._s = [
            plan.sandwiches.values([x @ n for x, n in zip(nk, inverses, strict=True)])
            for nk in self._nk
        ]
        self.matrices = [plan.sandwiches.matrix(s) for s in self._s]
        self._h = factor._low.h[plan.sandwiches.row, plan.sandwiches.column] if directions else None

    def _times(self, n: Floats, term: int, g: Floats, chunk: int) -> Floats:
        """N0 K (b, m, m) for the clusters of a chunk."""
        base = self._plan.base
        if term in base.own:
            return n * float(g[0, 0])
        return np.asarray(n @ base.embed(term, g, chunk))

    def _times_h(self, s: Floats) -> float:
        """tr(H S) for S given by its entries."""
        assert self._h is not None  # there is a direction
        return float(self._h @ s)

    def trace(self) -> Floats:
        """tr(inv(M) K_i), shape (I,)."""
        inside = [sum(float(np.einsum("bmm->", x)) for x in nk) for nk in self._nk]
        return np.array([x - self._times_h(s) for x, s in zip(inside, self._s, strict=True)])

    def pairs(self) -> Floats:
        """tr(inv(M) K_i inv(M) K_k) without tr(H S_i H S_k), shape (I, I)."""
        out = np.zeros((len(self._nk), len(self._nk)))
        for i, left in enumerate(self._nk):
            for k, right in enumerate(self._nk[: i + 1]):
                products = [x @ y for x, y in zip(left, right, strict=True)]
                both = [x @ n for x, n in zip(products, self._inverses, strict=True)]
                inside = sum(float(np.einsum("bmm->", x)) for x in products)
                s = self._plan.sandwiches.values(both)
                out[i, k] = out[k, i] = inside - 2 * self._times_h(s)
        return out
