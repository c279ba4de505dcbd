"""Many small clusters: batched dense algebra on clusters of equal size."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import size_classes
from mvmeta.design.problem import MetaProblem
from mvmeta.marginal.base import Arranged, Direction, MarginalCovariance, MarginalFactor, Sums
from mvmeta.marginal.joint import row_terms
from mvmeta.marginal.kernels import inverse_and_logdet, stack_sums

CHUNK_ENTRIES = 2**17
"""Matrix entries worked on at a time (1 MiB): what stays in a core's cache."""

CACHED_ENTRIES = 2**20
"""Entries of all blocks up to which the pattern of every random intercept is kept (8 MiB each)."""


class BlocksFactor(MarginalFactor):
    """inv(M) cluster by cluster: a list of stacks (b, m, m) in the order of `plan.chunks`."""

    def __init__(self, plan: "BlocksMarginal", gs: Sequence[Floats]) -> None:
        self._plan = plan
        self.inverses: list[Floats] = []
        self._logdets: list[float] = []
        for chunk, v in enumerate(plan.v_stacks):
            m = v.copy()
            for t, g in enumerate(gs):
                m += plan.embed(t, g, chunk)
            inverse, logdet = inverse_and_logdet(m)
            self.inverses.append(inverse)
            self._logdets.append(logdet)

    @property
    def logdet(self) -> float:
        """log|M|."""
        return sum(self._logdets)

    def sums(
        self,
        a: Floats | Arranged,
        directions: Sequence[Direction] = (),
        extra: Sequence[Direction] = (),
        *,
        pairs: bool = True,
    ) -> Sums:
        a = a.data if isinstance(a, Arranged) else a
        total = Sums.zero(a.shape[1], len(directions), len(extra))
        plan = self._plan
        for chunk, (inverse, logdet) in enumerate(zip(self.inverses, self._logdets, strict=True)):
            rows = plan.chunks[chunk]
            ks = [plan.embed(d.term, d.matrix, chunk) for d in directions]
            extras = [plan.embed(d.term, d.matrix, chunk) for d in extra]
            total = total + stack_sums(inverse, logdet, a[rows], ks, extras, pairs)
        return total

    def solve(self, b: Floats) -> Floats:
        out = np.empty_like(b, dtype=float)
        for rows, inverse in zip(self._plan.chunks, self.inverses, strict=True):
            out[rows] = inverse @ b[rows]
        return out

    def level_gram(self, term: int) -> Floats:
        t = self._plan.problem.terms[term]
        out = np.zeros((t.n_levels, t.q, t.q))
        for rows, inverse in zip(self._plan.chunks, self.inverses, strict=True):
            level = t.level[rows]
            group, i, j = np.nonzero(level[:, :, None] == level[:, None, :])
            at, value = level[group, i], inverse[group, i, j]
            if t.z is None:
                inner = np.zeros_like(rows) if t.inner is None else t.inner[rows]
                np.add.at(out, (at, inner[group, i], inner[group, j]), value)
            else:
                left, right = t.z[rows[group, i]], t.z[rows[group, j]]
                np.add.at(out, at, value[:, None, None] * left[:, :, None] * right[:, None, :])
        return out

    def inverse_diagonal(self) -> Floats:
        out = np.empty(self._plan.problem.n)
        for rows, inverse in zip(self._plan.chunks, self.inverses, strict=True):
            out[rows] = np.diagonal(inverse, axis1=1, axis2=2)
        return out


class BlocksMarginal(MarginalCovariance):
    """M as independent dense clusters; memory is the sum of their squared sizes.

    Parameters
    ----------
    problem : MetaProblem

    Attributes
    ----------
    own : list of int
        Random intercepts with one level for every row, whose directions are multiples of I.
    """

    name = "blocks"

    def __init__(self, problem: MetaProblem) -> None:
        self.problem = problem
        self.chunks: list[Ints] = []
        for rows in size_classes(problem.cluster):
            step = max(1, CHUNK_ENTRIES // rows.shape[1] ** 2)
            self.chunks += [rows[i : i + step] for i in range(0, len(rows), step)]
        self.v_stacks = problem.v.stacks(self.chunks)
        self.own = row_terms(problem.terms)
        small = sum(v.size for v in self.v_stacks) <= CACHED_ENTRIES
        self._masks: dict[tuple[int, int], Floats] | None = {} if small else None

    def embed(self, term: int, g: Floats, chunk: int) -> Floats:
        """Blocks (b, m, m) of Z_t (I (x) G) Z_t' for the clusters of a chunk."""
        t, rows = self.problem.terms[term], self.chunks[chunk]
        if self._masks is None or not t.is_scalar:
            return t.stack(rows, g)
        if (term, chunk) not in self._masks:
            self._masks[term, chunk] = t.stack(rows, np.ones((1, 1)))
        return float(g[0, 0]) * self._masks[term, chunk]

    def factorize(self, gs: Sequence[Floats]) -> BlocksFactor:
        return BlocksFactor(self, gs)
