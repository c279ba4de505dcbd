"""Terms that share their outer groups, plus a variance of every row: V is diagonalised once.

A variance omega of every single row keeps a group from being compressed once for all, but
``V + omega I = P (diag(v) + omega I) P'`` with the eigenvectors P of V in the group, so after one
rotation of Z and A by P' the errors are independent at every omega.  With
``w = 1 / (v + omega)``, the orthonormal form ``w^1/2 Z = Q R`` and ``B = I + R G R'``,

    N = w^1/2 (I - Q Q' + Q inv(B) Q') w^1/2,
    Z'NZ = R' inv(B) R,    Z'NA = R' inv(B) u,    u = Q' w^1/2 A,

in which the two parts of N, within the effects and beside them, are never subtracted from one
another (for one effect per group the idea of Kang et al. 2008, Genetics 178:1709).  The cost is
that of the rows times q + a, whatever the size of the blocks.

Groups of equal size lie side by side in the last axis, see `marginal.lanes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode, size_classes
from mvmeta.design.problem import MetaProblem
from mvmeta.marginal import lanes
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    MarginalFactor,
    NotPositiveDefiniteError,
    PairSums,
    RowsOf,
    Sums,
    weighted_entries,
)
from mvmeta.marginal.joint import (
    CHUNK_ENTRIES,
    CHUNK_GROUPS,
    EffectTotals,
    JointTerm,
    joint_covariance,
    row_terms,
)

LIKELY_COLUMNS = 8
"""Columns of A for which groups are cut into chunks that fit a cache."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Groups with the same number m of rows.

    Attributes
    ----------
    rows : ndarray of int, shape (g, m)
    v : ndarray, shape (m, g)
        Eigenvalues of V.
    vectors : ndarray, shape (g, m, m), or None
        Its eigenvectors in columns; None where V is diagonal.
    z : ndarray, shape (m, q, g)
        The design, rotated.
    """

    rows: Ints
    v: Floats
    vectors: Floats | None
    z: Floats

    def rotate(self, rows_of: RowsOf) -> Floats:
        """``P'b`` (m, k, g) for a matrix b (n, k) given by its rows."""
        return _lanes(self.rows, self.vectors, rows_of)

    def back(self, x: Floats) -> Floats:
        """``P x`` in rows, shape (g, m, k), for x (m, k, g)."""
        rows = x.transpose(2, 0, 1)
        return rows if self.vectors is None else self.vectors @ rows


def _lanes(rows: Ints, vectors: Floats | None, rows_of: RowsOf) -> Floats:
    x = rows_of(rows.ravel()).reshape(*rows.shape, -1)
    if vectors is not None:
        x = vectors.transpose(0, 2, 1) @ x
    return np.ascontiguousarray(x.transpose(1, 2, 0))


@dataclass(frozen=True, eq=False)
class Rotated(Arranged):
    """A (n, a) rotated: one array (m, a, g) for every part, `data` being the first of them."""

    parts: list[Floats]


class RotatedMarginal(MarginalCovariance):
    """One joint term and a variance of every row; V within groups and positive definite.

    Parameters
    ----------
    problem : MetaProblem
        Some terms are in `row_terms`; for the others `shared_groups` holds.  V is not singular.
    """

    name = "rotated"

    def __init__(self, problem: MetaProblem) -> None:
        self.problem = problem
        self.own = row_terms(problem.terms)
        shared = [t for t in range(len(problem.terms)) if t not in self.own]
        self.joint = JointTerm(problem.terms, shared)
        z = self.joint.design()
        group = problem.terms[shared[0]].level
        self.n_groups = recode(group)[1]
        chunks = []
        for rows in size_classes(group):
            widest = rows.shape[1] * (LIKELY_COLUMNS + self.joint.q)
            step = max(1, min(CHUNK_GROUPS, CHUNK_ENTRIES // widest))
            chunks += [rows[i : i + step] for i in range(0, len(rows), step)]
        stacks = None if problem.v.is_diagonal else problem.v.stacks(chunks)
        self.parts = []
        for k, rows in enumerate(chunks):
            if stacks is None:
                v, vectors = problem.v.variances[rows], None
            else:
                v, vectors = np.linalg.eigh(stacks[k])
            design = _lanes(rows, vectors, lambda at: z[at])
            self.parts.append(_Part(rows, np.ascontiguousarray(v.T), vectors, design))

    def arrange(self, a: Floats) -> Rotated:
        """Every group of A (n, a) rotated."""
        return self.arrange_rows(lambda rows: np.asarray(a)[rows])

    def arrange_rows(self, rows_of: RowsOf) -> Rotated:
        parts = [part.rotate(rows_of) for part in self.parts]
        return Rotated(parts[0], parts)

    def factorize(self, gs: Sequence[Floats]) -> "RotatedFactor":
        return RotatedFactor(self, self.joint.matrix(gs), sum(float(gs[t][0, 0]) for t in self.own))


class _Solved:
    """N of the groups of one part.

    Attributes
    ----------
    logdet : float
        Summed over groups.
    root : ndarray, shape (m, g)
        w^1/2.
    q : ndarray, shape (m, q, g)
        Q.
    t : ndarray, shape (q, q, g)
        ``inv(B)^1/2 R``.
    """

    def __init__(self, part: _Part, g: Floats, omega: float) -> None:
        variance = part.v + omega
        if not (variance > 0).all():
            raise NotPositiveDefiniteError
        self.root = 1.0 / np.sqrt(variance)
        self.q, r = lanes.orthonormal(part.z * self.root[:, None])
        self.lower = lanes.cholesky(joint_covariance(r, g))
        self.t = lanes.forward(self.lower, r)
        self.logdet = float(np.log(variance).sum())
        self.logdet += 2.0 * float(np.log(np.einsum("iig->ig", self.lower)).sum())
        # nothing is beside the effects of a group with no more rows than these
        self._full: Bools = (np.einsum("iig->ig", r) > 0).sum(axis=0) >= len(part.v)

    def split(self, x: Floats) -> tuple[Floats, Floats]:
        """Return ``inv(B)^1/2 Q' w^1/2 x`` (q, k, g) and what of w^1/2 x is beside Q."""
        x = x * self.root[:, None]
        u = lanes.gram(self.q, x)
        x -= lanes.product(self.q, u)
        x[:, :, self._full] = 0.0
        return lanes.forward(self.lower, u), x

    def join(self, u: Floats, beside: Floats) -> Floats:
        """``N x`` (m, k, g) from the two parts of x that `split` returns."""
        out = lanes.product(self.q, lanes.backward(self.lower, u))
        out += beside
        out *= self.root[:, None]
        return out

    def diagonal(self) -> Floats:
        """diag(N) of the rotated rows, (m, g): what of a row is beside Q and what is within."""
        within = lanes.forward(self.lower, np.ascontiguousarray(self.q.transpose(1, 0, 2)))
        beside = np.maximum(1.0 - np.einsum("iqg,iqg->ig", self.q, self.q), 0.0)
        beside[:, self._full] = 0.0
        return np.asarray((beside + np.einsum("qig,qig->ig", within, within)) * self.root**2)

    def traces(self) -> tuple[float, float, Floats]:
        """tr(N), tr(N N) and Z'N N Z (q, q), summed over groups."""
        w = self.root**2
        wq = w[:, None] * self.q
        once, twice = lanes.gram(self.q, wq), lanes.gram(wq, wq)
        eye = np.broadcast_to(np.eye(len(self.lower))[:, :, None], self.lower.shape)
        half = lanes.forward(self.lower, np.ascontiguousarray(eye))
        b = lanes.gram(half, half)
        b_once = lanes.product(b, once)
        square = lanes.product(once, once)
        first = w.sum(axis=0) - np.einsum("iig->g", once)
        second = (w**2).sum(axis=0) - 2 * np.einsum("iig->g", twice) + np.einsum("iig->g", square)
        second += 2 * np.einsum("ijg,ijg->g", b, twice - square)
        first[self._full] = second[self._full] = 0.0
        first += np.einsum("ijg,ijg->g", b, once)
        second += np.einsum("ijg,jig->g", b_once, b_once)
        x = lanes.backward(self.lower, self.t)
        return float(first.sum()), float(second.sum()), lanes.total(x, lanes.product(once, x))


class RotatedFactor(MarginalFactor):
    """G and omega; everything else is recomputed part by part."""

    def __init__(self, plan: RotatedMarginal, g: Floats, omega: float) -> None:
        self._plan, self._g, self._omega = plan, g, omega
        if not np.isfinite(omega):
            raise NotPositiveDefiniteError
        self._parts = [_Solved(part, g, omega) for part in plan.parts]
        self._logdet = sum(x.logdet for x in self._parts)

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        plan = self._plan
        columns = _arranged(plan, a)
        width = columns.data.shape[1]
        first, second = _Directions(plan, directions), _Directions(plan, extra)
        totals = _Totals(plan.joint.q, width, plan.n_groups, first, pairs)
        for solved, x in zip(self._parts, columns.parts, strict=True):
            totals.add(solved, x)
        return totals.finish(self._logdet, second)

    def solve(self, b: Floats) -> Floats:
        out = np.empty_like(b, dtype=float)
        for part, solved in zip(self._plan.parts, self._parts, strict=True):
            out[part.rows] = part.back(
                solved.join(*solved.split(part.rotate(lambda rows: b[rows])))
            )
        return out

    def level_gram(self, term: int) -> Floats:
        plan, t = self._plan, self._plan.problem.terms[term]
        out = np.zeros((t.n_levels, t.q, t.q))
        if term in plan.own:
            out[t.level, 0, 0] = self.inverse_diagonal()
            return out
        for part, solved in zip(plan.parts, self._parts, strict=True):
            half = np.ascontiguousarray(solved.t[:, plan.joint.slots[term]])
            out[t.level[part.rows[:, 0]]] = lanes.gram(half, half).transpose(2, 0, 1)
        return out

    def inverse_diagonal(self) -> Floats:
        out = np.empty(self._plan.problem.n)
        for part, solved in zip(self._plan.parts, self._parts, strict=True):
            diagonal = solved.diagonal() if part.vectors is None else _unrotated(part, solved)
            out[part.rows] = diagonal.T
        return out


def _unrotated(part: _Part, solved: _Solved) -> Floats:
    """diag(N) (m, g), row by row of the eigenvectors."""
    assert part.vectors is not None  # V is not diagonal
    out = np.empty(part.v.shape)
    for i in range(len(out)):
        row = part.vectors[:, i].T
        u, beside = solved.split(row[:, None])
        out[i] = np.einsum("ikg,ikg->g", u, u) + np.einsum("ikg,ikg->g", beside, beside)
    return out


def _arranged(plan: RotatedMarginal, a: Floats | Arranged) -> Rotated:
    if isinstance(a, Rotated):
        return a
    return plan.arrange(a.data if isinstance(a, Arranged) else a)


class _Directions:
    """Directions of the joint term, and those of the variance of rows.

    Attributes
    ----------
    shared, own : ndarray of int
        Their places among all directions.
    matrices : ndarray, shape (len(shared), q, q)
    factors : ndarray, shape (len(own),)
        A direction of the rows is a multiple of I.
    """

    def __init__(self, plan: RotatedMarginal, directions: Sequence[Direction]) -> None:
        own = np.array([d.term in plan.own for d in directions], dtype=bool)
        self.shared, self.own = np.flatnonzero(~own), np.flatnonzero(own)
        self.matrices = plan.joint.embed([d for d in directions if d.term not in plan.own])
        factors = [float(d.matrix[0, 0]) for d in directions if d.term in plan.own]
        self.factors = np.array(factors)

    def merge(self, shared: Floats, own: Floats) -> Floats:
        """One statistic (J, ...) of all: `shared` as it is, `own` (...) times the factors."""
        out = np.empty((len(self.shared) + len(self.own), *shared.shape[1:]))
        out[self.shared] = shared
        out[self.own] = np.multiply.outer(self.factors, own)
        return out

    def merge_pairs(self, shared: Floats, mixed: Floats, own: Floats) -> Floats:
        """The same of pairs (J, J, ...), from those of one of each (len(shared), ...), too."""
        out = np.empty((len(self.shared) + len(self.own),) * 2 + shared.shape[2:])
        out[np.ix_(self.shared, self.shared)] = shared
        cross = np.multiply.outer(self.factors, mixed)
        out[np.ix_(self.own, self.shared)] = cross
        out[np.ix_(self.shared, self.own)] = np.swapaxes(cross, 0, 1)
        square = np.outer(self.factors, self.factors)
        out[np.ix_(self.own, self.own)] = np.multiply.outer(square, own)
        return out


class _Totals:
    """`EffectTotals`, and with y = N A what the direction I, the variance of rows, adds."""

    def __init__(
        self, q: int, width: int, groups: int, directions: _Directions, pairs: bool
    ) -> None:
        self._effects = EffectTotals(q, width, groups, directions.matrices, pairs)
        self._d, self._pairs, self._shape = directions, pairs, (q, width, q, width)
        self._rest, self._slope, self._both = (np.zeros((width, width)) for _ in range(3))
        self._trace = self._trace_pair = 0.0
        self._gram_pair = np.zeros((q, q))
        self._cross = np.zeros((q * width, q * width))

    def add(self, solved: _Solved, a: Floats) -> None:
        """Add the groups of one part with A (m, a, g)."""
        u, beside = solved.split(a)
        self._effects.add(solved.t, u)
        self._rest += lanes.total(beside, beside)
        y = solved.join(u, beside)
        self._slope += lanes.total(y, y)
        trace, pair, gram = solved.traces()
        self._trace += trace
        self._trace_pair += pair
        self._gram_pair += gram
        if self._pairs:
            v, beside = solved.split(y)
            self._both += lanes.total(v, v) + lanes.total(beside, beside)
            flat = (-1, a.shape[2])
            left = lanes.gram(solved.t, v).reshape(flat)
            self._cross += left @ lanes.gram(solved.t, u).reshape(flat).T

    def finish(self, logdet: float, extra: _Directions) -> Sums:
        """`Sums` from the totals and log|M|."""
        d = self._d
        s = self._effects.finish(logdet, self._rest, extra.matrices)
        mixed = np.einsum("jpr,pr->j", d.matrices, self._gram_pair)
        return Sums(
            logdet=logdet,
            gram=s.gram,
            trace=d.merge(s.trace, np.asarray(self._trace)),
            slope=d.merge(s.slope, self._slope),
            trace_pairs=d.merge_pairs(s.trace_pairs, mixed, np.asarray(self._trace_pair)),
            slope_pairs=self._slope_pairs(s) if self._pairs else None,
            extra_trace=extra.merge(s.extra_trace, np.asarray(self._trace)),
            extra_slope=extra.merge(s.extra_slope, self._slope),
        )

    def _slope_pairs(self, s: Sums) -> PairSums:
        cross = np.tensordot(self._d.matrices, self._cross.reshape(self._shape), ((1, 2), (0, 2)))
        mixed = (cross + cross.transpose(0, 2, 1)) / 2
        return _MergedPairs(self._d, s, mixed, self._both)


@dataclass(frozen=True, eq=False)
class _MergedPairs(PairSums):
    """Pairs of the joint term, of one direction each (len(shared), a, a) and of the rows (a, a)."""

    directions: _Directions
    effects: Sums
    mixed: Floats
    rows: Floats

    def matrices(self) -> Floats:
        return self.directions.merge_pairs(self.effects.require_pairs(), self.mixed, self.rows)

    def weighted(self, weights: Floats) -> Floats:
        mixed, rows = (weighted_entries(x, weights) for x in (self.mixed, self.rows))
        return self.directions.merge_pairs(self.effects.weighted_pairs(weights), mixed, rows)
