"""Terms that share their outer groups: each group compressed once to as many rows as effects.

All terms are joined into one with q effects per group and covariance G (q, q).  With V = C C'
in a group of m rows, its whitened design is triangularised once,

    inv(C) Z = Q [R; 0],    Q' inv(C) A = [U; U'],    R (r, q), U (r, a), r = min(m, q),

and from then on, at every G, with ``B = I + R G R'`` (r, r),

    log|M| = log|V| + log|B|,            A'NA = U''U' + U' inv(B) U,
    Z'NZ = R' inv(B) R,                  Z'NA = R' inv(B) U

(the sufficient statistics of Henderson 1975, Biometrics 31:423, in the form of a square root,
as Bates et al. 2015, J Stat Softw 67(1), use for theta -> 0).  What an evaluation costs depends
on the number of groups and on q, not on the rows.  G may be singular, outcomes may be missing,
and as nothing is subtracted no digits are lost where G is far above V.

Groups lie side by side in the last axis, see `marginal.lanes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode, size_classes
from mvmeta.design.problem import MetaProblem
from mvmeta.marginal import lanes
from mvmeta.marginal.base import (
    Arranged,
    Direction,
    MarginalCovariance,
    MarginalFactor,
    RowsOf,
    Sums,
)
from mvmeta.marginal.joint import CHUNK_GROUPS, EffectTotals, JointTerm, joint_covariance

ONE_CLASS_UP_TO = 2048
"""Groups up to which all are padded to the largest r: a loop over classes would cost more."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Groups with the same number m of rows.

    Attributes
    ----------
    rows : ndarray of int, shape (m, g)
    roots : ndarray, shape (m, g) or (m, m, g)
        Standard deviations where V is diagonal, else its Cholesky factors C.
    turn : Reflections or None
        Q of the whitened design; None where m <= q, and nothing is to be compressed.
    stack, at : int, slice
        Where its groups are: which stack, which lanes.
    """

    rows: Ints
    roots: Floats
    turn: lanes.Reflections | None
    stack: int
    at: slice

    def take(self, rows_of: RowsOf) -> Floats:
        """Its rows (m, k, g) of a matrix (n, k) given by its rows."""
        x = rows_of(self.rows.ravel())
        return np.ascontiguousarray(x.reshape(*self.rows.shape, -1).transpose(0, 2, 1))

    def whiten(self, x: Floats) -> Floats:
        """``Q' inv(C) x`` for x (m, k, g)."""
        x = x / self.roots[:, None] if self.roots.ndim == 2 else lanes.forward(self.roots, x)
        return x if self.turn is None else self.turn.transposed(x)

    def unwhiten(self, x: Floats) -> Floats:
        """``inv(C') Q x`` for x (m, k, g)."""
        x = x if self.turn is None else self.turn.times(x)
        return x / self.roots[:, None] if self.roots.ndim == 2 else lanes.backward(self.roots, x)


@dataclass(frozen=True, eq=False)
class Compressed(Arranged):
    """A (n, a) compressed: `data` (a, a) is U''U', `scores` one U (r, a, g) for each stack."""

    scores: list[Floats]


class CompressedMarginal(MarginalCovariance):
    """One joint term, V within its groups and positive definite.

    Parameters
    ----------
    problem : MetaProblem
        For which `shared_groups` holds and V is not singular.
    """

    name = "compressed"

    def __init__(self, problem: MetaProblem) -> None:
        self.problem = problem
        self.joint = JointTerm(problem.terms, range(len(problem.terms)))
        self.q = self.joint.q
        group, self.n_groups = recode(problem.terms[0].level)
        self._parts: list[_Part] = []
        self.stacks: list[Floats] = []  # R (r, q, g)
        self._logdet_v = 0.0
        self._compress(group)
        self._first_row = [np.empty(s.shape[2], dtype=np.intp) for s in self.stacks]
        for part in self._parts:
            self._first_row[part.stack][part.at] = part.rows[0]

    def _compress(self, group: Ints) -> None:
        z = self.joint.design()
        classes = size_classes(group)
        pad = self.n_groups <= ONE_CLASS_UP_TO
        most = min(classes[-1].shape[1], self.q)
        ranks = [most if pad else min(c.shape[1], self.q) for c in classes]
        used = dict.fromkeys(sorted(set(ranks)), 0)
        for r, c in zip(ranks, classes, strict=True):
            used[r] += len(c)
        self.stacks = [np.zeros((r, self.q, g)) for r, g in used.items()]
        place = {r: k for k, r in enumerate(used)}
        chunks = [
            (place[r], c[i : i + CHUNK_GROUPS])
            for r, c in zip(ranks, classes, strict=True)
            for i in range(0, len(c), CHUNK_GROUPS)
        ]
        roots = self._roots([rows for _, rows in chunks])
        start = [0] * len(used)
        for (k, rows), root in zip(chunks, roots, strict=True):
            at = slice(start[k], start[k] + len(rows))
            start[k] = at.stop
            self._add(_Part(np.ascontiguousarray(rows.T), root, None, k, at), z)

    def _roots(self, chunks: list[Ints]) -> list[Floats]:
        v = self.problem.v
        if v.is_diagonal:
            return [np.sqrt(v.variances[rows].T) for rows in chunks]
        blocks = v.stacks(chunks)
        return [lanes.cholesky(np.ascontiguousarray(b.transpose(1, 2, 0))) for b in blocks]

    def _add(self, part: _Part, z: Floats) -> None:
        diagonal = part.roots
        if diagonal.ndim == 3:
            diagonal = np.einsum("iig->ig", diagonal)
        self._logdet_v += 2.0 * float(np.log(diagonal).sum())
        design = part.whiten(part.take(lambda rows: z[rows]))
        if len(design) > self.q:
            turn = lanes.Reflections(design)
            part = _Part(part.rows, part.roots, turn, part.stack, part.at)
            design = turn.r
        self._parts.append(part)
        self.stacks[part.stack][: len(design), :, part.at] = design

    def arrange(self, a: Floats) -> Compressed:
        """U'U' and the U of every group, for A (n, a)."""
        return self.arrange_rows(lambda rows: np.asarray(a)[rows])

    def arrange_rows(self, rows_of: RowsOf) -> Compressed:
        width = rows_of(np.zeros(1, dtype=np.intp)).shape[1]
        rest = np.zeros((width, width))
        scores = [np.zeros((s.shape[0], width, s.shape[2])) for s in self.stacks]
        for part in self._parts:
            x = part.whiten(part.take(rows_of))
            scores[part.stack][: min(len(x), self.q), :, part.at] = x[: self.q]
            if len(x) > self.q:
                rest += lanes.total(x[self.q :], x[self.q :])
        return Compressed(rest, scores)

    def levels(self, term: int, stack: int) -> Ints:
        """Level of `term` (g,) that each group of a stack is."""
        return self.problem.terms[term].level[self._first_row[stack]]

    def factorize(self, gs: Sequence[Floats]) -> "CompressedFactor":
        return CompressedFactor(self, self.joint.matrix(gs))


class CompressedFactor(MarginalFactor):
    """The Cholesky factors of all B."""

    def __init__(self, plan: CompressedMarginal, g: Floats) -> None:
        self._plan = plan
        self._logdet = plan._logdet_v
        self._roots: list[Floats] = []
        for stack in plan.stacks:
            root = np.empty((stack.shape[0], stack.shape[0], stack.shape[2]))
            for at in _chunks(stack, CHUNK_GROUPS):
                root[:, :, at] = lanes.cholesky(joint_covariance(stack[:, :, at], g))
            self._roots.append(root)
            self._logdet += 2.0 * float(np.log(np.einsum("iig->ig", root)).sum())

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        plan = self._plan
        columns = a if isinstance(a, Compressed) else plan.arrange(_raw(a))
        first, second = plan.joint.embed(directions), plan.joint.embed(extra)
        totals = EffectTotals(plan.q, len(columns.data), plan.n_groups, first, pairs)
        for stack, root, scores in zip(plan.stacks, self._roots, columns.scores, strict=True):
            for at in _chunks(stack, totals.chunk(len(stack))):
                lower = root[:, :, at]
                totals.add(
                    lanes.forward(lower, stack[:, :, at]), lanes.forward(lower, scores[:, :, at])
                )
        return totals.finish(self._logdet, columns.data, second)

    def solve(self, b: Floats) -> Floats:
        out = np.empty_like(b, dtype=float)
        for part in self._plan._parts:
            x = part.whiten(part.take(lambda rows: b[rows]))
            r = min(len(x), self._plan.q)
            lower = self._roots[part.stack][:r, :r, part.at]
            x[:r] = lanes.backward(lower, lanes.forward(lower, x[:r]))
            out[part.rows] = part.unwhiten(x).transpose(0, 2, 1)
        return out

    def level_gram(self, term: int) -> Floats:
        plan, t = self._plan, self._plan.problem.terms[term]
        out = np.zeros((t.n_levels, t.q, t.q))
        for k, (stack, root) in enumerate(zip(plan.stacks, self._roots, strict=True)):
            half = lanes.forward(root, np.ascontiguousarray(stack[:, plan.joint.slots[term]]))
            out[plan.levels(term, k)] = lanes.gram(half, half).transpose(2, 0, 1)
        return out

    def inverse_diagonal(self) -> Floats:
        plan = self._plan
        out = np.empty(plan.problem.n)
        for part in plan._parts:
            r = min(len(part.rows), plan.q)
            lower = self._roots[part.stack][:r, :r, part.at]
            diagonal = _beside_and_within if part.roots.ndim == 2 else _column_by_column
            out[part.rows] = diagonal(part, lower)
        return out


def _column_by_column(part: _Part, lower: Floats) -> Floats:
    """diag(N) (m, g): N_ii is the squared length of a column of inv(C), turned, over B^1/2."""
    (m, g), r = part.rows.shape, len(lower)
    out = np.empty((m, g))
    for i in range(m):
        x = np.zeros((m, 1, g))
        x[i] = 1.0
        x = part.whiten(x)
        x[:r] = lanes.forward(lower, x[:r])
        out[i] = np.einsum("ikg,ikg->g", x, x)
    return out


def _beside_and_within(part: _Part, lower: Floats) -> Floats:
    """The same where V is diagonal: what of a row is beside the effects, and what is within."""
    m, g = part.rows.shape
    r = len(lower)
    q = np.zeros((m, r, g))
    q[np.arange(r), np.arange(r)] = 1.0
    q = q if part.turn is None else part.turn.times(q)
    within = lanes.forward(lower, np.ascontiguousarray(q.transpose(1, 0, 2)))
    beside = np.maximum(1.0 - np.einsum("irg,irg->ig", q, q), 0.0)
    return np.asarray((beside + np.einsum("rig,rig->ig", within, within)) / part.roots**2)


def _raw(a: Floats | Arranged) -> Floats:
    return a.data if isinstance(a, Arranged) else a


def _chunks(stack: Floats, size: int) -> list[slice]:
    g = stack.shape[2]
    return [slice(i, min(i + size, g)) for i in range(0, g, size)]
