"""Correlations of sampling errors within clusters, from what distinguishes the rows, to V.

A part says how two rows i and j of one cluster correlate; V takes the product of the parts.
Parts are called with arrays of row positions that broadcast against each other, and see the
rows of many clusters at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import size_classes
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.valid_v import DEFINITE_TOLERANCE

Part: TypeAlias = Callable[[Ints, Ints], Floats]

CHUNK = 1 << 20
"""Correlations computed at a time: temporaries stay in the cache, whatever the number of rows."""

FLOOR = 1e-8
"""Smallest eigenvalue of a repaired correlation matrix, relative to its largest."""

REPAIR_TOLERANCE = 1e-10
"""Change of the largest correlation below which the search for the nearest matrix ends."""

REPAIR_STEPS = 2000
"""Most alternating projections of a repair."""


@dataclass(frozen=True, eq=False)
class Constant:
    """One correlation for all pairs of a cluster: `values` (n,), equal within clusters."""

    values: Floats

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        return np.broadcast_to(self.values[i], np.broadcast_shapes(i.shape, j.shape))


@dataclass(frozen=True, eq=False)
class Labelled:
    """A correlation for each pair of levels: `codes` (n,), `matrix` (q, q) symmetric."""

    codes: Ints
    matrix: Floats

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        return self.matrix[self.codes[i], self.codes[j]]


@dataclass(frozen=True, eq=False)
class Concurrent:
    """Rows of different levels correlate as `differ` says, of one level as `same` (None: 1)."""

    codes: Ints
    differ: Part
    same: Part | None = None

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        equal = self.codes[i] == self.codes[j]
        return np.where(equal, 1.0 if self.same is None else self.same(i, j), self.differ(i, j))


@dataclass(frozen=True, eq=False)
class Autoregressive:
    """phi^|t_i - t_j|: `time` (n,), `phi` (n,) equal within clusters."""

    time: Floats
    phi: Floats

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        return decay(self.phi[i], self.time[i], self.time[j])


@dataclass(frozen=True, eq=False)
class Raised:
    """floor + (1 - floor) part: what all rows of a cluster share, and the rest of it by `part`."""

    floor: Part
    part: Part

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        floor = self.floor(i, j)
        return floor + (1.0 - floor) * self.part(i, j)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Rows that are differences of two arms, a_1 - a_2.

    An arm is a group at a time, with sampling variance 1 / weight.  Two arms of one group
    correlate phi^|difference of times|, arms of different groups not at all; the correlation of
    two rows is that of the differences.  With equal weights, one shared arm gives 0.5.

    Attributes
    ----------
    groups : pair of ndarray of int, each (n,)
        Codes of the first and the second group, which need to agree within a cluster only.
    weights : pair of ndarray, each (n,)
        Sizes of the groups, > 0.
    times : pair of ndarray, each (n,), or None
    phi : ndarray, shape (n,), or None
        None where there are no times.
    """

    groups: tuple[Ints, Ints]
    weights: tuple[Floats, Floats]
    times: tuple[Floats, Floats] | None = None
    phi: Floats | None = None

    @cached_property
    def variances(self) -> Floats:
        """Variance (n,) of each difference; 0 where an arm is compared with itself."""
        rows = np.arange(len(self.groups[0]))
        return self._covariance(rows, rows)

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        return self._covariance(i, j) / np.sqrt(self.variances[i] * self.variances[j])

    def _covariance(self, i: Ints, j: Ints) -> Floats:
        # In this order the result for (j, i) is the same to the last bit.
        crossed = self._arms(0, 1, i, j) + self._arms(1, 0, i, j)
        return (self._arms(0, 0, i, j) + self._arms(1, 1, i, j)) - crossed

    def _arms(self, a: int, b: int, i: Ints, j: Ints) -> Floats:
        same = self.groups[a][i] == self.groups[b][j]
        out = same / np.sqrt(self.weights[a][i] * self.weights[b][j])
        if self.times is not None and self.phi is not None:
            out = out * decay(self.phi[i], self.times[a][i], self.times[b][j])
        return out


@dataclass(frozen=True, eq=False)
class Overlapping:
    """Samples that share people: ``n_ij / sqrt(n_i n_j)``, n_ij = share min(n_i, n_j).

    Attributes
    ----------
    share : Part
        Of the smaller sample that is in the larger one, too.
    size : ndarray, shape (n,)
        Of each row's sample, > 0.
    """

    share: Part
    size: Floats

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        n, m = self.size[i], self.size[j]
        return np.asarray(self.share(i, j) * np.sqrt(np.minimum(n, m) / np.maximum(n, m)))


@dataclass(frozen=True, eq=False)
class Tabulated:
    """Lower triangles written beside the rows: `table` (n, q), `position` (n,) in the cluster."""

    table: Floats
    position: Ints

    def __call__(self, i: Ints, j: Ints) -> Floats:
        """Correlation of rows i and j, broadcast."""
        later = self.position[i] > self.position[j]
        column = np.minimum(self.position[i], self.position[j])
        return self.table[np.where(later, i, j), column]


def decay(phi: Floats, t: Floats, u: Floats) -> Floats:
    """phi^|t - u|."""
    return np.asarray(phi ** np.abs(t - u))


@dataclass(frozen=True, eq=False)
class Fault:
    """A cluster whose correlations are not those of a positive definite matrix.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
    least : float
        Smallest eigenvalue of the correlation matrix.
    before, after : ndarray, shape (m, m)
        The correlations as they were, and as they are in V: the same without a repair.
    twins : ndarray of int, shape (0,) or (2,)
        A pair of rows with correlation 1 or -1, if there is one.
    """

    rows: Ints
    least: float
    before: Floats
    after: Floats
    twins: Ints

    @property
    def change(self) -> float:
        """Largest change of a correlation by the repair; 0 where there was none."""
        return float(np.abs(self.after - self.before).max(initial=0.0))


def impute(
    variances: Floats,
    cluster: Ints,
    parts: Sequence[Part],
    *,
    check: bool = True,
    repair: bool = False,
) -> tuple[SamplingCovariance, list[Fault]]:
    """V_ij = r_ij sqrt(v_i v_j) within clusters, 0 between them.

    Parameters
    ----------
    variances : ndarray, shape (n,)
        Where NaN, so are the covariances with that row, and checks leave it out.
    cluster : ndarray of int, shape (n,)
        Codes.
    parts : sequence of Part
        Their product is r.
    check : bool
        Look for clusters whose correlations are not positive definite.
    repair : bool
        Replace those by the nearest positive definite correlations; implies `check`.

    Returns
    -------
    SamplingCovariance
    list of Fault
        What the check found; without `repair` V still contains these blocks as they are.
    """
    n = len(variances)
    pairs = _Pairs(np.bincount(cluster, minlength=1)[cluster] - 1)
    root = np.sqrt(variances)
    known = ~np.isnan(variances)
    faults: list[Fault] = []
    for rows in _chunks(cluster):
        r = _correlations(rows, parts)
        if not known[rows].all():
            _isolate(r, ~known[rows])
        if check or repair:
            faults += _inspect(rows, r, repair)
        pairs.put(rows, r * (root[rows][:, :, None] * root[rows][:, None, :]))
    off = pairs.matrix(n)
    return SamplingCovariance(np.array(variances, dtype=float), off if off.nnz else None), faults


def nearest_correlation(stack: Floats) -> Floats:
    """Nearest correlation matrices in the Frobenius norm, kept off the singular ones.

    Parameters
    ----------
    stack : ndarray, shape (b, m, m)
        Symmetric, unit diagonals.

    Returns
    -------
    ndarray, shape (b, m, m)
        Positive definite, unit diagonals.

    Notes
    -----
    Alternating projections with Dykstra's correction (Higham, 2002, IMA Journal of Numerical
    Analysis 22, 329-343), then eigenvalues below `FLOOR` times the largest are set to that and
    the diagonal is scaled back to 1.
    """
    index = np.arange(stack.shape[1])
    y, correction = stack.copy(), np.zeros_like(stack)
    for _ in range(REPAIR_STEPS):
        shifted = y - correction
        x = _clip(shifted, 0.0)
        correction = x - shifted
        last, y = y, x.copy()
        y[:, index, index] = 1.0
        if np.abs(y - last).max(initial=0.0) <= REPAIR_TOLERANCE:
            break
    out = _clip(y, FLOOR)
    sd = np.sqrt(out[:, index, index])
    out /= sd[:, :, None] * sd[:, None, :]
    out[:, index, index] = 1.0
    return np.asarray(out + out.transpose(0, 2, 1)) / 2


def _clip(stack: Floats, floor: float) -> Floats:
    values, vectors = np.linalg.eigh(stack)
    values = np.maximum(values, floor * values[:, -1:])
    return np.asarray((vectors * values[:, None, :]) @ vectors.transpose(0, 2, 1))


class _Pairs:
    """The off-diagonal part of V in compressed rows, filled class by class."""

    def __init__(self, others: Ints) -> None:
        self._start = np.concatenate([[0], np.cumsum(others)])
        total = int(self._start[-1])
        kind = np.int32 if max(total, len(others)) < np.iinfo(np.int32).max else np.int64
        self._columns = np.empty(total, dtype=kind)
        self._values = np.empty(total)

    def put(self, rows: Ints, stack: Floats) -> None:
        """Store the blocks (b, m, m) of clusters with these rows (b, m), rows increasing."""
        m = rows.shape[1]
        other = np.arange(m - 1) + (np.arange(m - 1) >= np.arange(m)[:, None])
        place = self._start[rows][:, :, None] + np.arange(m - 1)
        self._columns[place] = rows[:, other]
        self._values[place] = np.take_along_axis(stack, other[None], axis=2)

    def matrix(self, n: int) -> sparse.csr_array:
        start = self._start.astype(self._columns.dtype)
        out: sparse.csr_array = sparse.csr_array((self._values, self._columns, start), shape=(n, n))
        out.eliminate_zeros()
        return out


def _chunks(cluster: Ints) -> Iterator[Ints]:
    """Rows (b, m) of clusters of one size m > 1, few enough at a time."""
    for rows in size_classes(cluster):
        m = rows.shape[1]
        step = max(1, CHUNK // m**2)
        if m > 1:
            yield from (rows[k : k + step] for k in range(0, len(rows), step))


def _correlations(rows: Ints, parts: Sequence[Part]) -> Floats:
    b, m = rows.shape
    out = np.ones((b, m, m))
    for part in parts:
        out *= part(rows[:, :, None], rows[:, None, :])
    index = np.arange(m)
    out[:, index, index] = 1.0
    return out


def _isolate(r: Floats, unknown: Bools) -> None:
    """Set the correlations of rows without a variance to 0, in place."""
    r[unknown[:, :, None] | unknown[:, None, :]] = 0.0
    index = np.arange(r.shape[1])
    r[:, index, index] = 1.0


def _inspect(rows: Ints, r: Floats, repair: bool) -> list[Fault]:
    """Find the blocks of r (b, m, m) that are not positive definite, and repair them in place."""
    try:
        # A factorisation costs a tenth of the eigenvalues, which only faults need.
        np.linalg.cholesky(r - DEFINITE_TOLERANCE * np.eye(r.shape[1]))
        return []
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(r)[:, 0]
    bad = np.flatnonzero(least <= DEFINITE_TOLERANCE)
    twins = [_twins(rows[k], r[k]) for k in bad]
    before = r[bad]
    if repair:
        r[bad] = nearest_correlation(before)
    return [
        Fault(rows[k], float(least[k]), old, r[k].copy(), pair)
        for k, old, pair in zip(bad, before, twins, strict=True)
    ]


def _twins(rows: Ints, r: Floats) -> Ints:
    found = np.argwhere(np.triu(np.abs(r) >= 1 - DEFINITE_TOLERANCE, 1))
    return rows[found[0]] if len(found) else rows[:0]
