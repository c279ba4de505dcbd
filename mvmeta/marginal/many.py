"""M of many outcomes of one design at once: rows and groups with a variance each.

For ``M = diag(v + omega) + tau 1 1'`` within every group, with w = 1 / (v + omega) and the group
sums S, T, U of w, w^2, w^3 and m, q, h of w A, w^2 A, w^3 A, everything in `Sums` is closed form
(d = 1 / (1 + tau S), c = tau d, e = q - c T m; Sherman-Morrison):

    log|M| = -sum log w - sum log d,  A'N A = sum w a a' - sum c m m'
    tr(N 1 1') = sum d S,             A'N 1 1'N A = sum d^2 m m'
    tr(N) = sum (S - c T),            A'N N A = sum w^2 a a' - sum (c q m' + c m q' - c^2 T m m')

and so on for pairs.  A V that all outcomes share may have blocks within the groups: turned to its
eigenvectors, V = U diag(v) U', it is diagonal, omega stays what it is, and 1 becomes z = U'1, which
weights the group sums: S = sum w z^2, m = sum w z a.  The last axis of every array runs over the
outcomes, so that each operation is a loop over adjacent numbers.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats
from mvmeta.design.layout import is_nested, recode, size_classes
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance

ROW, GROUP = 0, 1
"""The two variances: omega, of every row its own effect; tau, of every group its own."""


@dataclass(frozen=True, eq=False)
class ManyPlan:
    """The layout that all outcomes share.

    Attributes
    ----------
    x : ndarray, shape (n, p)
        Orthonormal columns, turned.
    terms : tuple of (int or None, int or None)
        Which term of the problem is the variance of the rows, and which that of the groups.
    collect : sparse array, shape (G, n), or None
        Sums rows times z to groups; None without a group term.
    collect_x : sparse array, shape (G * (1 + p), n), or None
        The same of the rows times z, x_1, ..., x_p.
    turn : sparse array, shape (n, n), or None
        U', which turns y; None where V is diagonal.
    variances : ndarray, shape (n,)
        Those of V, turned.
    """

    x: Floats
    terms: tuple[int | None, int | None]
    collect: sparse.csr_array | None
    collect_x: sparse.csr_array | None
    turn: sparse.csr_array | None
    variances: Floats

    @property
    def pairs(self) -> Floats:
        """Products x_a x_b of every row, shape (p * p, n)."""
        p = self.x.shape[1]
        return np.ascontiguousarray((self.x[:, :, None] * self.x[:, None, :]).reshape(-1, p * p).T)


@dataclass(frozen=True, eq=False)
class ManySums:
    """`Sums` with outcomes m as the last axis, for J variances and A = [X y] of a columns.

    Attributes
    ----------
    logdet : ndarray, shape (m,)
    gram : ndarray, shape (a, a, m)
    trace : ndarray, shape (J, m)
    slope : ndarray, shape (J, a, a, m)
    trace_pairs : ndarray, shape (J, J, m)
    slope_pairs : ndarray, shape (J, J, a, a, m)
    """

    logdet: Floats
    gram: Floats
    trace: Floats
    slope: Floats
    trace_pairs: Floats
    slope_pairs: Floats


def many_terms(problem: MetaProblem) -> tuple[int | None, int | None] | None:
    """(row term, group term) if M of this problem has the form of this module, else None."""
    if problem.ties or not all(t.is_scalar for t in problem.terms):
        return None
    found: list[int | None] = [None, None]
    for t, term in enumerate(problem.terms):
        kind = ROW if recode(term.level)[1] == problem.n else GROUP
        if found[kind] is not None:
            return None
        found[kind] = t
    return found[ROW], found[GROUP]


def many_plan(problem: MetaProblem, x: Floats) -> ManyPlan | None:
    """Plan for the layout of `problem`; None if its M has another form.

    Parameters
    ----------
    problem : MetaProblem
        Its y and variances do not matter.
    x : ndarray, shape (n, p)
        Orthonormal basis of the columns of X.
    """
    terms = many_terms(problem)
    if terms is None or not _turns(problem, terms[GROUP]):
        return None
    n, turn = problem.n, None
    variances, z = problem.v.variances, np.ones(n)
    if not problem.v.is_diagonal:
        turn, variances = eigenvectors(problem.v)
        x, z = turn @ x, np.asarray(turn @ z)
    group = terms[GROUP]
    if group is None:
        return ManyPlan(x, terms, None, None, turn, variances)
    code, count = recode(problem.terms[group].level)
    collect = sparse.csr_array((z, (code, np.arange(n))), shape=(count, n))
    columns = [z, *x.T]
    scaled = sparse.vstack([sparse.csr_array(collect * c) for c in columns], format="csr")
    return ManyPlan(x, terms, collect, scaled, turn, variances)


def _turns(problem: MetaProblem, group: int | None) -> bool:
    """Whether V is diagonal, or can be made so without mixing rows of different groups."""
    v = problem.v
    if v.is_diagonal:
        return True
    nests = group is None or is_nested(v.cluster, problem.terms[group].level)
    return nests and not v.is_singular


def eigenvectors(v: SamplingCovariance) -> tuple[sparse.csr_array, Floats]:
    """U' (n, n), block by block, and the eigenvalues (n,) with V = U diag(values) U'."""
    values, parts = v.variances.copy(), []
    single = np.ones(v.n, dtype=bool)
    classes = [rows for rows in size_classes(v.cluster) if rows.shape[1] > 1]
    for rows, stack in zip(classes, v.stacks(classes), strict=True):
        own, vectors = np.linalg.eigh(stack)
        values[rows], single[rows] = own, False
        i, j = np.broadcast_arrays(rows[:, None, :], rows[:, :, None])
        parts.append((vectors.ravel(), i.ravel(), j.ravel()))
    alone = np.flatnonzero(single)
    parts.append((np.ones(len(alone)), alone, alone))
    data, i, j = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return sparse.csr_array((data, (i, j)), shape=(v.n, v.n)), values


class ManyRows:
    """Sums of one batch at one omega: all that depends on the rows.

    Parameters
    ----------
    plan : ManyPlan
    pairs : ndarray, shape (p * p, n)
        ``plan.pairs``.
    y, v : ndarray, shape (n, m)
        Missing cells have y = 0 and v = inf.
    omega : ndarray, shape (m,)
    row_free : bool
        Whether derivatives by omega are wanted.
    """

    def __init__(
        self, plan: ManyPlan, pairs: Floats, y: Floats, v: Floats, omega: Floats, row_free: bool
    ) -> None:
        self._plan, self._pairs, self._y = plan, pairs, y
        w = 1.0 / (v + omega)
        self.logdet = -_log_sum(w)
        powers = [w, w * w] if row_free else [w]
        if row_free:
            powers.append(powers[1] * w)
        self.gram = [self._gram(x) for x in powers]
        self.count = [x.sum(axis=0) for x in powers]
        self.groups = [] if plan.collect_x is None else [self._groups(x) for x in powers]

    def _gram(self, w: Floats) -> Floats:
        """Sum w a a', shape (a, a, m)."""
        p, m = self._plan.x.shape[1], w.shape[1]
        out = np.empty((p + 1, p + 1, m))
        wy = w * self._y
        out[:p, :p] = (self._pairs @ w).reshape(p, p, m)
        out[:p, p] = out[p, :p] = self._plan.x.T @ wy
        out[p, p] = np.einsum("nm,nm->m", wy, self._y)
        return out

    def _groups(self, w: Floats) -> tuple[Floats, Floats]:
        """Group sums of w z^2 (G, m) and of w z A (a, G, m)."""
        plan, m = self._plan, w.shape[1]
        assert plan.collect is not None
        assert plan.collect_x is not None
        x_sums = (plan.collect_x @ w).reshape(plan.x.shape[1] + 1, -1, m)
        y_sums = plan.collect @ (w * self._y)
        return x_sums[0], np.concatenate([x_sums[1:], y_sums[None]])


def _log_sum(w: Floats) -> Floats:
    """Sum of log w (m,) over the cells that are not missing."""
    if (w > 0).all():
        return np.asarray(np.log(w).sum(axis=0))
    return np.asarray(np.log(np.where(w > 0, w, 1.0)).sum(axis=0))


def many_sums(rows: ManyRows, tau: Floats, free: Bools) -> ManySums:
    """Add what depends on the groups.

    Parameters
    ----------
    rows : ManyRows
    tau : ndarray, shape (m,)
        Ignored without groups.
    free : ndarray of bool, shape (2,)
        Which of (omega, tau) there are derivatives by.
    """
    if not rows.groups:
        return _without_groups(rows, bool(free[ROW]))
    group = _Groups(rows, tau)
    logdet = rows.logdet - np.log(group.d).sum(axis=0)
    gram = rows.gram[0] - _outer(group.c, group.m)
    moving = [k for k in (ROW, GROUP) if free[k]]
    first = {ROW: group.first_row, GROUP: group.first_group}
    second = {
        (ROW, ROW): group.second_row,
        (ROW, GROUP): group.second_mixed,
        (GROUP, GROUP): group.second_group,
    }
    j, a, m = len(moving), len(gram), len(tau)
    trace, slope = np.empty((j, m)), np.empty((j, a, a, m))
    trace_pairs, slope_pairs = np.empty((j, j, m)), np.empty((j, j, a, a, m))
    for r, one in enumerate(moving):
        trace[r], slope[r] = first[one]()
        for s, two in enumerate(moving[r:], r):
            trace_pairs[r, s], slope_pairs[r, s] = second[one, two]()
            if s > r:
                trace_pairs[s, r], slope_pairs[s, r] = trace_pairs[r, s], slope_pairs[r, s]
    return ManySums(logdet, gram, trace, slope, trace_pairs, slope_pairs)


def _without_groups(rows: ManyRows, row_free: bool) -> ManySums:
    a, m = len(rows.gram[0]), rows.gram[0].shape[2]
    if not row_free:
        empty = np.empty((0, m)), np.empty((0, a, a, m))
        pairs = np.empty((0, 0, m)), np.empty((0, 0, a, a, m))
        return ManySums(rows.logdet, rows.gram[0], *empty, *pairs)
    return ManySums(
        logdet=rows.logdet,
        gram=rows.gram[0],
        trace=rows.count[0][None],
        slope=rows.gram[1][None],
        trace_pairs=rows.count[1][None, None],
        slope_pairs=rows.gram[2][None, None],
    )


class _Groups:
    """Statistics of the groups in the notation of the module; methods give (trace, slope)."""

    def __init__(self, rows: ManyRows, tau: Floats) -> None:
        self._rows = rows
        self.s, self.m = rows.groups[0]
        self.d = 1.0 / (1.0 + tau * self.s)
        self.c = tau * self.d
        self._r = self.d * self.s
        if len(rows.groups) > 1:
            (self._t, self._q), (self._u, self._h) = rows.groups[1], rows.groups[2]
            self._ct = self.c * self._t
            self._e = self._q - self._ct * self.m

    def first_group(self) -> tuple[Floats, Floats]:
        return self._r.sum(axis=0), _outer(self.d * self.d, self.m)

    def first_row(self) -> tuple[Floats, Floats]:
        cross = _cross(self.c * self.m, self._q)
        slope = self._rows.gram[1] - cross + _outer(self.c * self._ct, self.m)
        return self._rows.count[0] - self._ct.sum(axis=0), slope

    def second_group(self) -> tuple[Floats, Floats]:
        square = self.d * self.d
        return np.einsum("gm,gm->m", self._r, self._r), _outer(square * self._r, self.m)

    def second_mixed(self) -> tuple[Floats, Floats]:
        square = self.d * self.d
        trace = np.einsum("gm,gm->m", square, self._t)
        return trace, _cross(square * self.m, self._e) / 2

    def second_row(self) -> tuple[Floats, Floats]:
        c, cu = self.c, self.c * self._u
        trace = self._rows.count[1] + (self._ct * self._ct - 2 * cu).sum(axis=0)
        slope = self._rows.gram[2] - _cross(c * self.m, self._h) + _outer(c * cu, self.m)
        return trace, slope - _outer(c, self._e)


def _outer(weight: Floats, m: Floats) -> Floats:
    """Sum over groups of weight m m': (G, m), (a, G, m) -> (a, a, m)."""
    return np.einsum("agm,bgm->abm", weight * m, m)


def _cross(left: Floats, right: Floats) -> Floats:
    """Sum over groups of l r' + r l', shape (a, a, m)."""
    half = np.einsum("agm,bgm->abm", left, right)
    return half + half.transpose(1, 0, 2)
