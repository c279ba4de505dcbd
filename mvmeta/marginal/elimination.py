"""The recursion of the nested backend: log|M| and A'inv(M)A with their derivatives.

Variances enter one *stage* after the other: first the one that every row has of its own (if
there is one), then that of each level, finest first.  Arrays are jets: their first index runs
over the value, the first derivatives by the k stages met so far, and the second ones for all
pairs (j, i), j <= i, of them, ordered by i.  The last index runs over groups, so that every
operation is a long loop over adjacent numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.marginal.base import Direction, Sums


class NestedSums:
    """Running totals over chunks: log|M| and A'inv(M)A as jets in all stages.

    All of `Sums` is in them: with N = inv(M) the derivatives of log|M| are tr(N K_j) and
    -tr(N K_j N K_l), those of A'NA are -A'N K_j N A and A'N (K_j N K_l + K_l N K_j) N A.

    Parameters
    ----------
    width : int
        Columns a of A.
    stages : int
    pairs : bool
        Whether to total the second derivatives of A'inv(M)A.
    """

    def __init__(self, width: int, stages: int, pairs: bool) -> None:
        self.pairs, self._stages = pairs, stages
        self.logdet = np.zeros(jet_size(stages))
        self.gram = np.zeros((jet_size(stages) if pairs else 1 + stages, width, width))

    def add(self, k: int, logdet: Floats, gram: Floats) -> None:
        """Add jets in the first k stages: logdet (jets,), gram (jets, a, a)."""
        self._insert(self.logdet, logdet, k)
        self._insert(self.gram, gram, k)

    def _insert(self, total: Floats, jets: Floats, k: int) -> None:
        if len(jets) == len(total):
            total += jets
            return
        total[: 1 + k] += jets[: 1 + k]
        second = jets[1 + k :]
        total[1 + self._stages :][: len(second)] += second

    def along(
        self, stage: Sequence[int], directions: Sequence[Direction], extra: Sequence[Direction]
    ) -> Sums:
        """`Sums` for scalar directions (1, 1), each of which scales the derivative by its stage.

        Parameters
        ----------
        stage : sequence of int
            That of every term of the problem.
        directions, extra : sequence of Direction
        """
        at, x = _scalars(stage, directions)
        trace, slope = self._slopes(at, x)
        extra_trace, extra_slope = self._slopes(*_scalars(stage, extra))
        pair = _pair_table(self._stages)[at[:, None], at]
        square = x[:, None] * x
        return Sums(
            logdet=float(self.logdet[0]),
            gram=self.gram[0],
            trace=trace,
            slope=slope,
            trace_pairs=-square * self.logdet[pair],
            slope_pairs=square[:, :, None, None] / 2 * self.gram[pair] if self.pairs else None,
            extra_trace=extra_trace,
            extra_slope=extra_slope,
        )

    def _slopes(self, at: Ints, size: Floats) -> tuple[Floats, Floats]:
        """`trace` (m,) and `slope` (m, a, a) in directions of the stages `at` (m,)."""
        if not len(at):
            return size, np.empty((0, *self.gram.shape[1:]))
        return size * self.logdet[1 + at], -size[:, None, None] * self.gram[1 + at]


def _scalars(stage: Sequence[int], directions: Sequence[Direction]) -> tuple[Ints, Floats]:
    """Stage and size of every direction."""
    at = np.array([stage[d.term] for d in directions], dtype=np.intp)
    return at, np.array([d.matrix[0, 0] for d in directions], dtype=float)


def jet_size(k: int) -> int:
    """Length of a jet with second derivatives in k stages."""
    return 1 + k + k * (k + 1) // 2


@lru_cache
def _pairs(k: int) -> tuple[Ints, Ints]:
    """The pairs j <= i of k stages in the order of a jet."""
    i, j = np.tril_indices(k)
    return j, i


@lru_cache
def _pair_table(k: int) -> Ints:
    """Place in a jet of the second derivative by every pair of k stages, (k, k)."""
    out = np.empty((k, k), dtype=np.intp)
    j, i = _pairs(k)
    out[j, i] = out[i, j] = 1 + k + np.arange(len(j))
    return out


@dataclass
class Jets:
    """What g groups pass on: s = 1'inv(M)1 and m = 1'inv(M)A.

    Attributes
    ----------
    k : int
        Stages by which there are derivatives.
    s : ndarray, shape (jet_size(k), g)
    m : ndarray, shape (1 + k or jet_size(k), a, g)
        Second derivatives only where pairs are asked for.
    """

    k: int
    s: Floats
    m: Floats

    @property
    def groups(self) -> int:
        """Number g of groups."""
        return self.s.shape[1]

    def plus(self, other: "Jets") -> "Jets":
        """Of the same groups with the rows of both."""
        return Jets(self.k, self.s + other.s, self.m + other.m)

    def some(self, groups: slice) -> "Jets":
        """Those of some groups."""
        return Jets(self.k, self.s[:, groups], self.m[:, :, groups])

    def collect(self, collector: sparse.csr_array) -> "Jets":
        """Sum over the groups of a coarser level; `collector` is (groups, g)."""
        jets, width, g = self.m.shape
        m = (collector @ self.m.reshape(jets * width, g).T).T
        return Jets(self.k, (collector @ self.s.T).T, m.reshape(jets, width, -1))


def joined(parts: Sequence[Jets]) -> Jets:
    """Jets of the groups of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    s, m = (np.concatenate([getattr(p, key) for p in parts], axis=-1) for key in ("s", "m"))
    return Jets(parts[0].k, s, m)


def regrouped(parts: Iterable[Jets], groups: int) -> Iterator[Jets]:
    """The same groups, about as many as said at a time."""
    held: list[Jets] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.groups
        if count >= groups:
            yield from _cut(joined(held), groups)
            held, count = [], 0
    if held:
        yield from _cut(joined(held), groups)


def _cut(jets: Jets, groups: int) -> Iterator[Jets]:
    pieces = max(1, round(jets.groups / groups))
    step = -(-jets.groups // pieces)
    for i in range(0, jets.groups, step):
        yield jets.some(slice(i, i + step)) if pieces > 1 else jets


@dataclass(frozen=True)
class Fold:
    """Cells of g groups of r rows each.

    Attributes
    ----------
    rows, groups : int
    by_group : bool
        Cells are ordered group by group, else the first rows of all groups come first.
    """

    rows: int
    groups: int
    by_group: bool

    @cached_property
    def _ones(self) -> Floats:
        return np.ones(self.rows)

    def sum(self, x: Floats) -> Floats:
        """Sums over the rows of each group: (..., r g) -> (..., g)."""
        # BLAS is faster than a reduction along a short axis
        if self.by_group:
            return np.asarray(x.reshape(*x.shape[:-1], self.groups, self.rows) @ self._ones)
        return np.asarray(self._ones @ x.reshape(*x.shape[:-1], self.rows, self.groups))


@dataclass(frozen=True, eq=False)
class Scratch:
    """Room for the cells of one chunk, used again for the next.

    Attributes
    ----------
    weights : ndarray, shape (3, cells)
    products : ndarray, shape (3, a, cells)
    """

    weights: Floats
    products: Floats

    @classmethod
    def of(cls, width: int, cells: int) -> "Scratch":
        """For A with `width` columns."""
        return cls(np.empty((3, cells)), np.empty((3, width, cells)))


_BY_VARIANCE = np.array([1.0, -1.0, 2.0])
"""d^j/dv^j of 1/v is this times 1/v^(j + 1)."""


def sum_rows(
    variance: Floats, a: Floats, fold: Fold, total: NestedSums, scratch: Scratch, own: bool
) -> Jets:
    """Sum up rows to groups of equal size, and record what the rows themselves contribute.

    Parameters
    ----------
    variance : ndarray, shape (cells,)
        Of the rows; infinite in the padding.
    a : ndarray, shape (a, cells)
        0 in the padding.
    fold : Fold
        How cells make up groups.
    total : NestedSums
        Receives the contributions, but for log|M| itself.
    scratch : Scratch
    own : bool
        Whether a part of the variance, the same in all rows, is the first stage.
    """
    width, cells = a.shape
    k = 1 if own else 0
    jets = jet_size(k) if total.pairs else 1 + k
    w = scratch.weights[: jet_size(k), :cells]
    np.divide(1.0, variance, out=w[0])
    for j in range(1, len(w)):
        np.multiply(w[j - 1], w[0], out=w[j])
    wa = np.multiply(w[:jets, None], a, out=scratch.products[:jets, :, :cells])
    by = _BY_VARIANCE[: len(w), None]
    s, m = by * fold.sum(w), by[:jets, None] * fold.sum(wa)
    gram = (wa.reshape(jets * width, cells) @ a.T).reshape(jets, width, width)
    logdet = np.zeros(len(w))
    logdet[1:] = s[: len(w) - 1].sum(axis=1)
    total.add(k, logdet, by[:jets, None] * gram)
    return Jets(k, s, m)


def eliminate(jets: Jets, theta: float, total: NestedSums, *, last: bool = False) -> Jets:
    """Absorb theta 1 1' of every group, and record its contribution.

    Parameters
    ----------
    jets : Jets
        Of the groups of the level.
    theta : float
        Its variance.
    total : NestedSums
        Receives the contributions.
    last : bool
        There is no level above: nothing needs to be passed on.

    Returns
    -------
    Jets
        What the groups pass on to the level above, with one more stage.
    """
    s, d = jets.s[0], 1.0 / (1.0 + theta * jets.s[0])
    d2, c, r = d * d, theta * d, s * d
    c2, d3 = c * c, d2 * d
    step = _Step(jets, total.pairs)
    logdet = step.compose((-np.log(d), c, r, -c2, d2, -r * r), second=True)
    reduction = step.compose((c, -c2, d2, 2 * c2 * c, -2 * theta * d3, -2 * s * d3))
    total.add(jets.k + 1, logdet.sum(axis=1), -step.squares(reduction))
    if last:
        return jets
    passed = step.compose((r, d2, -r * r, -2 * theta * d3, -2 * s * d3, 2 * r * r * r), second=True)
    shrunk = step.compose(
        (d, -theta * d2, -s * d2, 2 * c2 * d, (theta * s - 1) * d3, 2 * r * r * d)
    )
    return Jets(jets.k + 1, passed, step.times_m(shrunk, 1.0))


class _Step:
    """Chain and product rules of one step, by which a stage is added to the k of `jets`."""

    def __init__(self, jets: Jets, pairs: bool) -> None:
        k = self._k = jets.k
        self._pairs = pairs
        self._j: Ints | slice
        self._i: Ints | slice
        self._first, self._second = jets.s[1 : 1 + k], jets.s[1 + k :]
        # the one pair of one stage needs no copies
        self._j, self._i = (slice(None), slice(None)) if k == 1 else _pairs(k)
        self._square = self._first[self._j] * self._first[self._i]
        self._m = jets.m

    def compose(self, f: tuple[Floats, ...], second: bool | None = None) -> Floats:
        """Jet of a function of (s, theta), theta being that of the new stage.

        Parameters
        ----------
        f : tuple of ndarray (g,)
            f, df/ds, df/dtheta, d2f/ds2, d2f/(ds dtheta), d2f/dtheta2.
        second : bool
            Whether second derivatives are wanted; where pairs are, unless said.
        """
        second = self._pairs if second is None else second
        k, n = self._k, len(self._square)
        out = np.empty((jet_size(k + 1) if second else 2 + k, len(f[0])))
        out[0], out[1 + k] = f[0], f[2]
        np.multiply(f[1], self._first, out=out[1 : 1 + k])
        if second:
            pairs, cross = out[2 + k : 2 + k + n], out[2 + k + n : -1]
            np.multiply(f[3], self._square, out=pairs)
            pairs += f[1] * self._second
            np.multiply(f[4], self._first, out=cross)
            out[-1] = f[5]
        return out

    def times_m(self, f: Floats, weight: float) -> Floats:
        """Jet of f m, where each derivative of f m has `weight` on its share of m itself."""
        k, n, m = self._k, len(self._square), self._m
        out = f[:, None] * (weight * m[0] if weight != 1 else m[0])
        if not k:
            return np.asarray(out)
        first = m[1 : 1 + k]
        out[1 : 1 + k] += f[0] * first
        if self._pairs:
            by_s, pairs = f[1 : 1 + k, None], out[2 + k : 2 + k + n]
            pairs += f[0] * m[1 + k :]
            pairs += by_s[self._j] * first[self._i]
            pairs += by_s[self._i] * first[self._j]
            out[2 + k + n : -1] += f[1 + k] * first
        return np.asarray(out)

    def squares(self, f: Floats) -> Floats:
        """Jet of the sum over groups of f m m', (jets, a, a)."""
        left, m, k = self.times_m(f, 0.5), self._m, self._k
        jets, width, g = left.shape
        out = (left.reshape(jets * width, g) @ m[0].T).reshape(jets, width, width)
        if self._pairs and k:
            first = m[1 : 1 + k]
            both = (f[0] * first)[self._j] @ first[self._i].transpose(0, 2, 1)
            out[2 + k : 2 + k + len(both)] += both
        return np.asarray(out + out.transpose(0, 2, 1))
