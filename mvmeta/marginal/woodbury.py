"""Crossed and known-correlation terms: a low-rank part on top of small clusters.

``M = M0 + Z (I (x) G) Z'`` with M0 block-diagonal in small clusters and Z (n, Q) the sparse
design of the terms that link them.  With N = inv(M0), K = Z'NZ and H = G inv(I + K G),

    inv(M) = N - N Z H Z' N,    log|M| = log|M0| + log|I + K G|

(Woodbury; Harville 1977, J Am Stat Assoc 72:320).  All traces are exact, through (Q, Q)
matrices such as ``Z'N K_j N Z``; nothing n x n is formed.

Where V is singular in a few rows E, M0 may be singular although M is not.  There M0 is taken
larger by ``delta E E'``, and E joins Z with the covariance ``-delta I``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, sparse

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
        width = [terms[t].n_levels * terms[t].q for t in self.outer]
        ends = np.cumsum(width)
        lifted = _singular_rows(problem.v, most=int(ends[-1]))
        self.delta = float(problem.v.variances.mean()) or 1.0
        v = problem.v.lifted(lifted, self.delta) if len(lifted) else problem.v
        inner = tuple(terms[t] for t in self.inner)
        self.base = BlocksMarginal(replace(problem, v=v, terms=inner))
        columns = [terms[t].sparse_z() for t in self.outer]
        self.z = sparse.hstack([*columns, _unit_columns(lifted, problem.n)], format="csr")
        self.lifted = slice(int(ends[-1]), self.z.shape[1])
        self.slot = {
            t: slice(int(e - w), int(e)) for t, e, w in zip(self.outer, ends, width, strict=True)
        }
        self._pattern = self._block_pattern()

    def _block_pattern(self) -> tuple[np.ndarray, sparse.csr_array]:
        row = [np.repeat(r, r.shape[1], axis=1).ravel() for r in self.base.chunks]
        col = [np.tile(r, (1, r.shape[1])).ravel() for r in self.base.chunks]
        i, j = np.concatenate(row), np.concatenate(col)
        n = self.problem.n
        csr = sparse.csr_array((np.arange(len(i), dtype=float), (i, j)), shape=(n, n))
        csr.sort_indices()
        return csr.data.astype(np.intp), csr

    def tosparse(self, stacks: Sequence[Floats]) -> sparse.csr_array:
        """Stacks of cluster blocks, in the order of `base.chunks`, as one sparse (n, n)."""
        order, csr = self._pattern
        data = np.concatenate([s.ravel() for s in stacks])[order]
        return sparse.csr_array((data, csr.indices, csr.indptr), shape=csr.shape)

    def sandwich(self, stacks: Sequence[Floats]) -> Floats:
        """Z' B Z (Q, Q) for a block-diagonal B given as stacks."""
        return np.asarray((self.z.T @ (self.tosparse(stacks) @ self.z)).toarray())

    def factorize(self, gs: Sequence[Floats]) -> "WoodburyFactor":
        return WoodburyFactor(self, gs)


def _singular_rows(v: SamplingCovariance, most: int) -> Ints:
    """Rows of the singular blocks of V; none if they are more than `most`.

    With more of them than columns in Z, M is singular wherever M0 is.
    """
    rows = v.singular_rows
    return rows if len(rows) <= most else rows[:0]


def _unit_columns(rows: Ints, n: int) -> sparse.csr_array:
    shape = n, len(rows)
    return sparse.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=shape)


def _is_indefinite(g: Floats) -> bool:
    try:
        np.linalg.cholesky(g + INDEFINITE * max(float(g.diagonal().max()), 0.0) * np.eye(len(g)))
    except np.linalg.LinAlgError:
        return bool(g.any())
    return False


class WoodburyFactor(MarginalFactor):
    """N by clusters, and the (Q, Q) matrices K and H."""

    def __init__(self, plan: WoodburyMarginal, gs: Sequence[Floats]) -> None:
        self._plan = plan
        self._base = plan.base.factorize([gs[t] for t in plan.inner])
        self._n = plan.tosparse(self._base.inverses)
        self._nz = (self._n @ plan.z).tocsr()
        self._k = np.asarray((plan.z.T @ self._nz).toarray())
        kg = np.empty_like(self._k)
        g = np.zeros_like(self._k)
        for t in plan.outer:
            at = plan.slot[t]
            kg[:, at] = self._times(t, gs[t], self._k[:, at])
            g[at, at] = np.kron(np.eye(plan.problem.terms[t].n_levels), gs[t])
        at = plan.lifted
        kg[:, at] = -plan.delta * self._k[:, at]
        np.fill_diagonal(g[at, at], -plan.delta)
        inner = np.eye(len(kg)) + kg
        lu, pivots, info = linalg.lapack.dgetrf(inner)
        diagonal = np.diag(lu)
        swaps = int((pivots != np.arange(len(pivots))).sum()) + int((diagonal < 0).sum())
        if info != 0 or swaps % 2 or not np.isfinite(diagonal).all():
            raise NotPositiveDefiniteError
        self._logdet = self._base.logdet + float(np.log(np.abs(diagonal)).sum())
        # (I + KG)^-1 K rather than K - KHK, whose terms cancel where G is far above M0
        self._w = linalg.lu_solve((lu, pivots), np.eye(len(inner)))
        self._g, h, ko = g, g @ self._w, self._w @ self._k
        self._h, self._ko = (h + h.T) / 2, (ko + ko.T) / 2
        if plan.lifted.start < plan.lifted.stop or any(_is_indefinite(gs[t]) for t in plan.outer):
            self._refuse_negative()

    def _refuse_negative(self) -> None:
        """An even number of negative eigenvalues of M leaves |M| > 0 but shows in Z'inv(M)Z."""
        values = np.linalg.eigvalsh(self._ko)
        if values[0] < -INDEFINITE * max(values[-1], -values[0]):
            raise NotPositiveDefiniteError

    def _times(self, term: int, g: Floats, x: Floats) -> Floats:
        """``x (I (x) g)`` for x (r, L q) in the columns of one term."""
        t = self._plan.problem.terms[term]
        return (x.reshape(-1, t.n_levels, t.q) @ g).reshape(x.shape)

    def solve(self, b: Floats) -> Floats:
        return self._solve(b).rows

    def _solve(self, b: Floats) -> "_Solved":
        nb = self._n @ b
        effects = self._w @ (self._plan.z.T @ nb)
        return _Solved(np.asarray(nb - self._nz @ (self._g @ effects)), effects)

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
        trace, trace_pairs = self._traces(directions)
        more = [self._apply(d, y).against(y) for d in extra]
        return Sums(
            logdet=self._logdet,
            gram=a.T @ y.rows,
            trace=trace,
            slope=np.array([k.against(y) for k in ks]).reshape(j, width, width),
            trace_pairs=trace_pairs,
            slope_pairs=self._slope_pairs(ks, width) if pairs else None,
            extra_trace=np.array([self._trace(d) for d in extra]),
            extra_slope=np.array(more).reshape(-1, width, width),
        )

    def _slope_pairs(self, ks: "list[_Image]", width: int) -> Floats:
        solved = [self._solve(k.rows) for k in ks]
        out = np.zeros((len(ks), len(ks), width, width))
        for r in range(len(ks)):
            for c in range(r + 1):
                full = ks[r].against(solved[c])
                out[r, c] = out[c, r] = (full + full.T) / 2
        return out

    def _apply(self, d: Direction, y: "_Solved") -> "_Image":
        term, at = self._plan.problem.terms[d.term], self._plan.slot.get(d.term)
        u = term.project(y.rows) if at is None else y.effects[at].reshape(term.n_levels, term.q, -1)
        u = np.einsum("qr,lrk->lqk", d.matrix, u)
        return _Image(term.lift(u), at, u.reshape(term.n_levels * term.q, -1))

    def _trace(self, d: Direction) -> float:
        gram = self.level_gram(d.term).sum(axis=0)
        return float((gram * d.matrix).sum())

    def _traces(self, directions: Sequence[Direction]) -> tuple[Floats, Floats]:
        """tr(inv(M) K_j) and tr(inv(M) K_j inv(M) K_l)."""
        parts = [
            _OuterPart(self, d) if d.term in self._plan.slot else _InnerPart(self, d)
            for d in directions
        ]
        pairs = np.zeros((len(parts), len(parts)))
        for r, left in enumerate(parts):
            for c, right in enumerate(parts[: r + 1]):
                pairs[r, c] = pairs[c, r] = left.pair(right)
        return np.array([p.trace() for p in parts]), pairs

    def level_gram(self, term: int) -> Floats:
        t = self._plan.problem.terms[term]
        if term in self._plan.slot:
            at = self._plan.slot[term]
            blocks = self._ko[at, at].reshape(t.n_levels, t.q, t.n_levels, t.q)
            index = np.arange(t.n_levels)
            return blocks[index, :, index, :]
        out = self._base.level_gram(self._plan.inner.index(term))
        link = (t.sparse_z().T @ self._nz).tocsr()
        step = max(1, CHUNK_ENTRIES // (self._h.shape[0] * t.q))
        for i in range(0, t.n_levels, step):
            part = link[i * t.q : (i + step) * t.q].toarray()
            fold = part.reshape(-1, t.q, part.shape[1])
            out[i : i + step] -= fold @ self._h @ fold.transpose(0, 2, 1)
        return out

    def inverse_diagonal(self) -> Floats:
        out = self._base.inverse_diagonal()
        step = max(1, CHUNK_ENTRIES // self._h.shape[0])
        for i in range(0, len(out), step):
            part = self._nz[i : i + step].toarray()
            out[i : i + step] -= np.einsum("nq,nq->n", part @ self._h, part)
        return out


@dataclass(frozen=True)
class _Solved:
    """x = inv(M) b as `rows` (n, k) and Z'x as `effects` (Q, k).

    Where G is far above M0, Z'x is a small difference of large numbers if taken from x.
    """

    rows: Floats
    effects: Floats


@dataclass(frozen=True)
class _Image:
    """K x for a direction K: `rows` (n, k), which are Z u for a low-rank one with slot `at`."""

    rows: Floats
    at: slice | None
    u: Floats

    def against(self, x: _Solved) -> Floats:
        """Return ``(K x0)' x``, shape (k, k)."""
        if self.at is None:
            return self.rows.T @ x.rows
        return self.u.T @ x.effects[self.at]


class _OuterPart:
    """A direction in the low-rank part: K_j = Z D Z' with D = I (x) dG in one term's slot."""

    def __init__(self, factor: WoodburyFactor, d: Direction) -> None:
        self.at = factor._plan.slot[d.term]
        self.product = factor._times(d.term, d.matrix, factor._ko[:, self.at])  # Ko D
        self._factor, self._d = factor, d

    def weigh(self, x: Floats) -> float:
        """tr(D x) for x (Q, Q) given in the rows and columns of this slot only."""
        return float(np.trace(self._factor._times(self._d.term, self._d.matrix, x)))

    def trace(self) -> float:
        return float(np.trace(self.product[self.at]))

    def pair(self, other: "_OuterPart | _InnerPart") -> float:
        if isinstance(other, _InnerPart):
            return other.pair(self)
        return float((self.product[other.at] * other.product[self.at].T).sum())


class _InnerPart:
    """A direction inside the small clusters, with s = Z'N K_j N Z (Q, Q)."""

    def __init__(self, factor: WoodburyFactor, d: Direction) -> None:
        self._factor, self._d = factor, d
        plan, base = factor._plan, factor._base
        local = plan.inner.index(d.term)
        k = [plan.base.embed(local, d.matrix, rows) for rows in plan.base.chunks]
        self.nk = [n @ x for n, x in zip(base.inverses, k, strict=True)]
        self.s = plan.sandwich([x @ n for x, n in zip(self.nk, base.inverses, strict=True)])
        self.hs = factor._h @ self.s

    def trace(self) -> float:
        inside = sum(float(np.einsum("bmm->", x)) for x in self.nk)
        return inside - float(np.trace(self.hs))

    def pair(self, other: "_OuterPart | _InnerPart") -> float:
        if isinstance(other, _OuterPart):
            return self._with_outer(other)
        f = self._factor
        products = [x @ y for x, y in zip(self.nk, other.nk, strict=True)]
        inside = sum(float(np.einsum("bmm->", x)) for x in products)
        inverses = f._base.inverses
        s = f._plan.sandwich([x @ n for x, n in zip(products, inverses, strict=True)])
        return inside - 2 * float((f._h * s).sum()) + float((self.hs * other.hs.T).sum())

    def _with_outer(self, other: _OuterPart) -> float:
        # Z'inv(M) K_j inv(M) Z = W S_j W'
        left = self._factor._w[other.at]
        return other.weigh(left @ self.s @ left.T)
