"""Terms with the same outer groups as one term, and sums of products of its effects.

What backends with such terms have in common: the joint covariance G (q, q), directions of it,
and the statistics that need no more of a group than its F = Z'NZ and h = Z'NA.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import is_nested, recode
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.marginal import lanes
from mvmeta.marginal.base import Direction, PairSums, Sums

CHUNK_GROUPS = 2048
"""Groups worked on at a time, so that temporaries of a few dozen numbers each stay in cache."""
CHUNK_ENTRIES = 2**17
"""Numbers in the largest temporary of an evaluation (1 MiB): fewer groups at a time above it."""


def shared_groups(terms: Sequence[RandomTerm], v: SamplingCovariance) -> bool:
    """Whether all terms have the same groups, and V links no rows of different ones."""
    if not terms:
        return False
    first = terms[0].level
    count = recode(first)[1]
    for term in terms[1:]:
        if recode(term.level)[1] != count or not is_nested(term.level, first):
            return False
    return v.is_diagonal or is_nested(v.cluster, first)


def row_terms(terms: Sequence[RandomTerm]) -> list[int]:
    """Positions of the random intercepts with one level for every row."""
    return [t for t, x in enumerate(terms) if x.is_scalar and x.used[1] == len(x.level)]


class JointTerm:
    """Some terms of a problem, joined.

    Parameters
    ----------
    terms : sequence of RandomTerm
        All terms of the problem.
    which : sequence of int
        Positions of those that are joined.

    Attributes
    ----------
    q : int
        Effects of all of them in one group.
    slots : dict
        Position of a term -> slice of its effects.
    """

    def __init__(self, terms: Sequence[RandomTerm], which: Sequence[int]) -> None:
        self._terms = [terms[t] for t in which]
        ends = np.cumsum([t.q for t in self._terms])
        self.q = int(ends[-1])
        self.slots = {
            t: slice(int(e) - terms[t].q, int(e)) for t, e in zip(which, ends, strict=True)
        }

    def design(self) -> Floats:
        """Rows of Z within groups, shape (n, q)."""
        return np.hstack([t.dense_z() for t in self._terms])

    def matrix(self, gs: Sequence[Floats]) -> Floats:
        """G (q, q), given the matrices of all terms of the problem."""
        out = np.zeros((self.q, self.q))
        for t, slot in self.slots.items():
            out[slot, slot] = gs[t]
        return out

    def embed(self, directions: Sequence[Direction]) -> Floats:
        """Directions as matrices of the joint term, shape (J, q, q)."""
        out = np.zeros((len(directions), self.q, self.q))
        for full, d in zip(out, directions, strict=True):
            full[self.slots[d.term], self.slots[d.term]] = d.matrix
        return out


def joint_covariance(r: Floats, g: Floats) -> Floats:
    """The lower triangle of ``B = I + R G R'`` for R (r, q, g)."""
    rg = np.matmul(g, r)
    out = np.zeros((len(r), len(r), r.shape[2]))
    for i in range(len(r)):
        np.einsum("kg,jkg->jg", rg[i], r[: i + 1], out=out[i, : i + 1])
        out[i, i] += 1.0
    return out


class EffectTotals:
    """Sums over groups of products of T = inv(B)^(1/2) R and u = inv(B)^(1/2) U.

    With F = T'T = Z'NZ and h = T'u = Z'NA in each group, directions are contracted with
    totals of h (x) h, F (x) F and h (x) F (x) h, so that their number matters little.  Where q
    is large and directions are few, pairs are summed direction by direction instead; where
    groups are few, F and h of each are kept instead of h (x) F (x) h.

    Parameters
    ----------
    q, width, groups : int
        Effects in a group; columns of A; groups that will be added.
    directions : ndarray, shape (J, q, q)
    pairs : bool
    """

    def __init__(self, q: int, width: int, groups: int, directions: Floats, pairs: bool) -> None:
        self._d, self._pairs, self._q, self._width = directions, pairs, q, width
        j = len(directions)
        self._row, self._column = np.tril_indices(q)
        packed = len(self._row)
        self._gram, self._f = np.zeros((width, width)), np.zeros(packed)
        self._hh = np.zeros((q * width, q * width))
        # tr(F K_j F K_l) through F (x) F or through T K_j T', whichever takes fewer operations
        self._through_f = packed**2 <= 2 * j * (q * q + j * q) or j > packed
        size = packed if self._through_f else j
        self._ff = np.zeros((size, size))
        # likewise h'K_j F K_l h
        self._through_hfh = packed * q <= j * j or j >= packed
        shape = (q * width * packed, q * width) if self._through_hfh else (j * width, j * width)
        # h (x) F (x) h, or h and F of every group, whichever takes less room
        few = self._through_hfh and groups * (q * width + packed) < shape[0] * shape[1]
        self._kept: list[tuple[Floats, Floats]] | None = [] if pairs and j and few else None
        self._slopes = np.zeros(shape) if pairs and j and not few else None

    def chunk(self, r: int) -> int:
        """Groups to add at a time."""
        j, q, a = len(self._d), self._q, self._width
        pairs = q * a * len(self._row) if self._through_hfh else j * a * r
        widest = max(q * a, len(self._row), pairs if self._slopes is not None else 0)
        return max(16, min(CHUNK_GROUPS, CHUNK_ENTRIES // max(widest, 1)))

    def add(self, t: Floats, u: Floats) -> None:
        """Add groups with T (r, q, g) and u (r, a, g)."""
        g = t.shape[2]
        self._gram += lanes.total(u, u)
        f = _packed_product(t, t)
        self._f += f.sum(axis=1)
        h = lanes.gram(t, u)
        flat = h.reshape(-1, g)
        self._hh += flat @ flat.T
        if self._through_f:
            self._ff += f @ f.T
        elif len(self._d):
            self._add_projected(t)
        if self._kept is not None:
            self._kept.append((h, f))
        elif self._slopes is None:
            return
        elif self._through_hfh:
            self._slopes += (flat[:, None] * f).reshape(-1, g) @ flat.T
        else:
            self._slopes += self._projected_slopes(t, h)

    def _add_projected(self, t: Floats) -> None:
        r, g = len(t), t.shape[2]
        x = np.empty((len(self._d), r, r, g))
        for d, out in zip(self._d, x, strict=True):
            out[:] = lanes.gram(np.matmul(d, t).transpose(1, 0, 2), t.transpose(1, 0, 2))
        flat = x.reshape(len(self._d), -1)
        self._ff += flat @ flat.T

    def _projected_slopes(self, t: Floats, h: Floats) -> Floats:
        y = np.matmul(self._d.reshape(-1, self._q), h.reshape(self._q, -1))
        y = y.reshape(len(self._d), self._q, self._width, -1).transpose(1, 0, 2, 3)
        ty = lanes.gram(t.transpose(1, 0, 2), y.reshape(self._q, -1, t.shape[2]))
        return lanes.total(ty, ty)

    def finish(self, logdet: float, rest: Floats, extra: Floats) -> Sums:
        """`Sums` from the totals, log|M|, U''U' (a, a) and the extra directions (E, q, q)."""
        q, a = self._q, self._width
        hh = self._hh.reshape(q, a, q, a)
        f = np.empty((q, q))
        f[self._row, self._column] = f[self._column, self._row] = self._f
        return Sums(
            logdet=logdet,
            gram=rest + self._gram,
            trace=np.einsum("jpr,pr->j", self._d, f),
            slope=np.tensordot(self._d, hh, ((1, 2), (0, 2))),
            trace_pairs=self._trace_pairs() if self._through_f else self._ff,
            slope_pairs=self._slope_pairs(),
            extra_trace=np.einsum("jpr,pr->j", extra, f),
            extra_slope=np.tensordot(extra, hh, ((1, 2), (0, 2))),
        )

    def _trace_pairs(self) -> Floats:
        # sum over p, r, s, t of D_pr D'_st F_tp F_rs
        return _between(self._d, self._ff)

    def _slope_pairs(self) -> Floats | PairSums | None:
        j, a = len(self._d), self._width
        if not self._pairs or not j:
            return np.zeros((0, 0, a, a)) if self._pairs else None
        if self._kept is not None:
            h, f = (np.concatenate(x, axis=-1) for x in zip(*self._kept, strict=True))
            return GroupPairs(self._d, h, f)
        assert self._slopes is not None  # there are pairs of directions
        if self._through_hfh:
            return _through_hfh(self._d, self._slopes, a)
        full = self._slopes.reshape(j, a, j, a).transpose(0, 2, 1, 3)
        return np.asarray((full + full.transpose(0, 1, 3, 2)) / 2)


@dataclass(frozen=True, eq=False)
class GroupPairs(PairSums):
    """The symmetric parts of the sums of h'K_j F K_l h over a few groups.

    Attributes
    ----------
    directions : ndarray, shape (J, q, q)
    h : ndarray, shape (q, a, g)
    f : ndarray, shape (q (q + 1) / 2, g)
        Lower triangles of F, row by row.
    """

    directions: Floats
    h: Floats
    f: Floats

    def matrices(self) -> Floats:
        flat = self.h.reshape(-1, self.h.shape[2])
        hfh = (flat[:, None] * self.f).reshape(-1, self.h.shape[2]) @ flat.T
        return _through_hfh(self.directions, hfh, self.h.shape[1])

    def weighted(self, weights: Floats) -> Floats:
        wh = np.matmul(weights, self.h)
        hwh = _packed_product(wh.transpose(1, 0, 2), self.h.transpose(1, 0, 2))
        return _between(self.directions, self.f @ hwh.T)


def _packed_product(left: Floats, right: Floats) -> Floats:
    """The lower triangle of a symmetric left'right, row by row: (r, q, g) -> (q (q + 1) / 2, g)."""
    q = left.shape[1]
    out = np.empty((q * (q + 1) // 2, left.shape[2]))
    for p in range(q):
        start = p * (p + 1) // 2
        np.einsum("kg,ksg->sg", left[:, p], right[:, : p + 1], out=out[start : start + p + 1])
    return out


def _between(d: Floats, products: Floats) -> Floats:
    """Sums over p, r, s, t of D_pr D'_st S_rs T_tp for all pairs of directions d (J, q, q).

    Parameters
    ----------
    products : ndarray, shape (q (q + 1) / 2, q (q + 1) / 2)
        Of the entries of S and of T, both symmetric, in their lower triangles.
    """
    q = d.shape[1]
    index = _packed_index(q)
    full = products[index.reshape(-1, 1), index.reshape(1, -1)].reshape(q, q, q, q)
    half = np.tensordot(d, full, ((1, 2), (1, 2)))
    return np.tensordot(half, d, ((1, 2), (2, 1)))


def _through_hfh(d: Floats, hfh: Floats, a: int) -> Floats:
    """Symmetric parts (J, J, a, a) from totals of h (x) F (x) h."""
    q = d.shape[1]
    hfh = hfh.reshape(q, a, -1, q, a)[:, :, _packed_index(q)]
    # sum over p, r, s, t of h_pa D_pr F_rs D'_st h_tb
    half = np.tensordot(d, hfh, ((1, 2), (0, 2)))
    full = np.tensordot(half, d, ((2, 3), (1, 2))).transpose(0, 3, 1, 2)
    return np.asarray((full + full.transpose(0, 1, 3, 2)) / 2)


def _packed_index(q: int) -> Ints:
    """Place (q, q) of an entry of a symmetric matrix among the packed ones."""
    row, column = np.tril_indices(q)
    out = np.empty((q, q), dtype=np.intp)
    out[row, column] = out[column, row] = np.arange(len(row))
    return out
