"""The recursion of the nested backend: s and m of many groups, with their derivatives.

Arrays are jets: the first index runs over the value, the first derivatives by the terms met so
far, then the second ones for all pairs (j <= i) of them; the last index runs over groups, so
that every operation is a long loop over adjacent numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats
from mvmeta.marginal.base import Direction, Sums


class NestedSums:
    """Running totals over chunks, by term.

    Parameters
    ----------
    width : int
        Columns a of A.
    n_terms : int
    pairs : bool
        Whether to total the (a, a) matrices of pairs of terms.
    """

    def __init__(self, width: int, n_terms: int, pairs: bool) -> None:
        self.pairs = pairs
        self.logdet = 0.0
        self.gram = np.zeros((width, width))
        self.trace, self.slope = np.zeros(n_terms), np.zeros((n_terms, width, width))
        self.trace_pairs = np.zeros((n_terms, n_terms))
        self.slope_pairs = np.zeros((n_terms, n_terms, width, width)) if pairs else None

    def add_pair(self, j: int, i: int, trace: float, slope: Floats | None) -> None:
        """Add a statistic of the unordered pair (j, i)."""
        for one, two in {(j, i), (i, j)}:
            self.trace_pairs[one, two] += trace
            if slope is not None and self.slope_pairs is not None:
                self.slope_pairs[one, two] += slope

    def along(self, directions: Sequence[Direction], extra: Sequence[Direction]) -> Sums:
        """`Sums` for scalar directions (1, 1): each scales the derivative by its own term."""
        at = np.array([d.term for d in directions], dtype=np.intp)
        x = np.array([float(d.matrix[0, 0]) for d in directions])
        more = np.array([d.term for d in extra], dtype=np.intp)
        z = np.array([float(d.matrix[0, 0]) for d in extra])
        square = np.multiply.outer(x, x)
        slope_pairs = None
        if self.slope_pairs is not None:
            slope_pairs = square[:, :, None, None] * self.slope_pairs[np.ix_(at, at)]
        return Sums(
            logdet=self.logdet,
            gram=self.gram,
            trace=x * self.trace[at],
            slope=x[:, None, None] * self.slope[at],
            trace_pairs=square * self.trace_pairs[np.ix_(at, at)],
            slope_pairs=slope_pairs,
            extra_trace=z * self.trace[more],
            extra_slope=z[:, None, None] * self.slope[more],
        )


@dataclass
class Jets:
    """s and m of g groups.

    Attributes
    ----------
    terms : list of int
        The k terms by which there are derivatives.
    s : ndarray, shape (1 + k + k (k + 1) / 2, g)
    m : ndarray, shape (1 + k [+ k (k + 1) / 2], a, g)
        Second derivatives only where pairs are asked for.
    """

    terms: list[int]
    s: Floats
    m: Floats

    def collect(self, collector: sparse.csr_array) -> "Jets":
        """Sum over the groups of a coarser level; `collector` is (groups, g)."""
        jets, width, g = self.m.shape
        m = (collector @ self.m.reshape(jets * width, g).T).T
        return Jets(self.terms, (collector @ self.s.T).T, m.reshape(jets, width, -1))


def rows(w: Floats, a: Floats, terms: Sequence[int], total: NestedSums) -> Jets:
    """Sum up rows to groups of equal size, and record what the rows themselves contribute.

    Parameters
    ----------
    w : ndarray, shape (r, g)
        1 / (v + variances of `terms`) of the r rows of each of g groups; 0 marks padding.
    a : ndarray, shape (a, r, g)
    terms : sequence of int
        The terms with one level per row; w has the same derivatives by each of them.
    total : NestedSums
        Receives the contributions.
    """
    flat = a.reshape(len(a), -1)
    wa = a * w
    total.logdet -= float(np.log(w[w > 0] if (w == 0).any() else w).sum())
    total.gram += flat @ wa.reshape(flat.shape).T
    if not terms:
        return Jets([], w.sum(axis=0)[None], wa.sum(axis=1)[None])
    w2 = w * w
    w2a = wa * w
    slope = flat @ w2a.reshape(flat.shape).T
    s = [w.sum(axis=0), -w2.sum(axis=0), 2 * (w2 * w).sum(axis=0)]
    m, both = [wa.sum(axis=1), -w2a.sum(axis=1)], None
    if total.pairs:
        np.multiply(w2a, w, out=w2a)
        both = flat @ w2a.reshape(flat.shape).T
        m.append(2 * w2a.sum(axis=1))
    trace, pair = float(s[0].sum()), -float(s[1].sum())
    for n, j in enumerate(terms):
        total.trace[j] += trace
        total.slope[j] += slope
        for i in terms[: n + 1]:
            total.add_pair(j, i, pair, both)
    k = len(terms)
    second = [2] * (k * (k + 1) // 2)
    jets = [0, *[1] * k, *second]
    return Jets(
        list(terms),
        np.array([s[b] for b in jets]),
        np.array([m[b] for b in (jets if total.pairs else jets[: 1 + k])]),
    )


def eliminate(
    jets: Jets, term: int, theta: float, total: NestedSums, *, last: bool = False
) -> Jets:
    """Absorb theta 1 1' of every group, and record its contribution.

    Parameters
    ----------
    jets : Jets
        Of the groups of `term`.
    term : int
    theta : float
        Its variance.
    total : NestedSums
        Receives the contributions.
    last : bool
        There is no level above: nothing needs to be passed on.

    Returns
    -------
    Jets
        What the groups pass on to the level above, with one more term.
    """
    step = _Step(jets, theta)
    terms = [*jets.terms, term]
    total.logdet += step.logdet()
    total.gram -= step.quadratic()
    for n, j in enumerate(terms):
        total.trace[j] += step.logdet_first(n)
        total.slope[j] += step.quadratic_first(n)
        for r, i in enumerate(terms[: n + 1]):
            both = -step.quadratic_second(r, n) / 2 if total.pairs else None
            total.add_pair(j, i, -step.logdet_second(r, n), both)
    return jets if last else Jets(terms, step.passed_s(), step.passed_m(total.pairs))


class _Step:
    """Value and derivatives of one Sherman-Morrison step as functions of (s, m, theta).

    ``theta d``, d, ``d s`` and ``-log d`` are functions of (s, theta) alone; the tuples below
    list value, d/ds, d/dtheta, d2/ds2, d2/(ds dtheta), d2/dtheta2.  Terms are numbered as in
    the jets; number k is the level's own, by which s and m have no derivative yet.
    """

    def __init__(self, jets: Jets, theta: float) -> None:
        self._s, self._m, self._k = jets.s, jets.m, len(jets.terms)
        s = jets.s[0]
        d = 1.0 / (1.0 + theta * s)
        d2 = d * d
        c, r, d3 = theta * d, s * d, d2 * d
        self._log = (-np.log(d), c, r, -c * c, d2, -r * r)
        self._c = (c, -c * c, d2, 2 * c * c * c, -2 * theta * d3, -2 * s * d3)
        self._d = (d, -theta * d2, -s * d2, 2 * c * c * d, (theta * s - 1) * d3, 2 * r * r * d)
        self._out = (r, d2, -r * r, -2 * theta * d3, -2 * s * d3, 2 * r * r * r)

    def _pair(self, j: int, i: int) -> int:
        return 1 + self._k + i * (i + 1) // 2 + j

    def _first(self, f: tuple[Floats, ...], j: int) -> Floats:
        return f[2] if j == self._k else f[1] * self._s[1 + j]

    def _second(self, f: tuple[Floats, ...], j: int, i: int) -> Floats:
        """For j <= i, so that only i can be the level's own term unless both are."""
        if j == self._k:
            return f[5]
        if i == self._k:
            return f[4] * self._s[1 + j]
        return f[3] * self._s[1 + j] * self._s[1 + i] + f[1] * self._s[self._pair(j, i)]

    def logdet(self) -> float:
        return float(self._log[0].sum())

    def logdet_first(self, j: int) -> float:
        return float(self._first(self._log, j).sum())

    def logdet_second(self, j: int, i: int) -> float:
        return float(self._second(self._log, j, i).sum())

    def quadratic(self) -> Floats:
        return np.asarray((self._c[0] * self._m[0]) @ self._m[0].T)

    def quadratic_first(self, j: int) -> Floats:
        left = (self._first(self._c, j) / 2) * self._m[0]
        if j < self._k:
            left += self._c[0] * self._m[1 + j]
        half = left @ self._m[0].T
        return np.asarray(half + half.T)

    def quadratic_second(self, j: int, i: int) -> Floats:
        m, c = self._m, self._c[0]
        left = (self._second(self._c, j, i) / 2) * m[0]
        if j < self._k:
            left += self._first(self._c, i) * m[1 + j]
        if i < self._k:
            left += self._first(self._c, j) * m[1 + i] + c * m[self._pair(j, i)]
        half = left @ m[0].T
        if i < self._k:
            half += (c * m[1 + j]) @ m[1 + i].T
        return np.asarray(half + half.T)

    def passed_s(self) -> Floats:
        count = self._k + 1
        first = [self._first(self._out, j) for j in range(count)]
        second = [self._second(self._out, j, i) for j, i in _pairs(count)]
        return np.array([self._out[0], *first, *second])

    def passed_m(self, pairs: bool) -> Floats:
        count = self._k + 1
        out = [self._d[0] * self._m[0], *(self._passed_first(j) for j in range(count))]
        if pairs:
            out += [self._passed_second(j, i) for j, i in _pairs(count)]
        return np.array(out)

    def _passed_first(self, j: int) -> Floats:
        out = self._first(self._d, j) * self._m[0]
        if j < self._k:
            out += self._d[0] * self._m[1 + j]
        return out

    def _passed_second(self, j: int, i: int) -> Floats:
        out = self._second(self._d, j, i) * self._m[0]
        if j < self._k:
            out += self._first(self._d, i) * self._m[1 + j]
        if i < self._k:
            out += self._first(self._d, j) * self._m[1 + i]
            out += self._d[0] * self._m[self._pair(j, i)]
        return out


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(j, i) for i in range(count) for j in range(i + 1)]
