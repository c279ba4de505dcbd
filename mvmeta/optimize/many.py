"""The maxima of many likelihoods with at most two variances each, all climbed at once.

The ascents are those of `newton`: the observed information where it is close to the expected
one or the maximum is near, else the expected one; steps that stop at zero variances exactly;
damping until the likelihood rises; several starts.  Outcomes are climbed in slots: whichever is
done gives its slot to the next one, so that arrays stay full until the last outcomes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.likelihood.many import ManyEvaluation, ManyObjective
from mvmeta.optimize.newton import (
    CERTAIN,
    FIRST_DAMPING,
    INERT,
    LEVEL,
    MOST_DAMPING,
    NEAR,
    POLISH,
    SAME,
    SUFFICIENT,
    TRUST_OBSERVED,
)

SLOT_CELLS, FEWEST_SLOTS = 2**17, 256
"""Rows times slots, whose temporaries stay in a core's cache, and the fewest slots worth it."""
RETIRED = 0.75
"""Share of slots still at work below which the others are taken out of the arrays."""
DEFINITE = 1e-9
"""Determinant of a 2 x 2 information, scaled to unit diagonal, taken for positive."""
ROUNDING = 1e-14
"""Rounding of the likelihood, relative."""


@dataclass(frozen=True, eq=False)
class ManyOptimum:
    """Where each likelihood is largest.

    Attributes
    ----------
    x : ndarray, shape (J, m)
        Free variances.
    at : ManyEvaluation
        There.
    certain : ndarray of bool, shape (m,)
        The point is a maximum in every variance not held by the bound; where False, it needs
        the scalar solver, which tells saddles, ridges and variances without influence apart.
    n_evaluations : ndarray of int, shape (m,)
        Over all starts.
    """

    x: Floats
    at: ManyEvaluation
    certain: Bools
    n_evaluations: Ints


def maximize_many(  # noqa: PLR0913  (what is climbed is five of the seven)
    objective: ManyObjective,
    y: Floats,
    v: Floats,
    base: Floats,
    starts: Floats,
    *,
    maxiter: int,
    tol: float,
) -> ManyOptimum:
    """Climb every outcome from every start.

    Parameters
    ----------
    objective : ManyObjective
    y, v : ndarray, shape (n, m)
        In units in which the variances are about 1; missing cells have y = 0 and v = inf.
    base : ndarray, shape (2, m)
        Values of the variances that are not free.
    starts : ndarray, shape (S, J)
        Of the free ones.
    maxiter : int
        Evaluations from each start.
    tol : float
        Newton decrement that counts as a maximum.
    """
    m = y.shape[1]
    belt = _Belt(objective, y, v, base, starts)
    out: ManyOptimum | None = None
    while len(belt.outcome):
        done = belt.advance(maxiter, tol)
        if out is None:
            out = _blank(belt, m)
        if done.any():
            _store(out, belt, done)
            belt.refill(done)
    assert out is not None
    return out


def _blank(belt: "_Belt", m: int) -> ManyOptimum:
    at = belt.best
    empty = {f.name: np.empty((*getattr(at, f.name).shape[:-1], m)) for f in fields(at)}
    x = np.empty((len(belt.best_x), m))
    return ManyOptimum(x, ManyEvaluation(**empty), np.zeros(m, bool), np.zeros(m, np.intp))


def _store(out: ManyOptimum, belt: "_Belt", done: Bools) -> None:
    to = belt.outcome[done]
    for f in fields(out.at):
        getattr(out.at, f.name)[..., to] = getattr(belt.best, f.name)[..., done]
    out.x[:, to] = belt.best_x[:, done]
    out.certain[to] = belt.best_certain[done]
    out.n_evaluations[to] = belt.total[done]


class _Belt:
    """Slots w with one outcome each, the ascent it is in, and the best end so far."""

    def __init__(
        self, objective: ManyObjective, y: Floats, v: Floats, base: Floats, starts: Floats
    ) -> None:
        self._objective, self._starts = objective, starts
        self._given = y, v, base
        self._moving = np.flatnonzero(objective.free)
        width = min(y.shape[1], max(FEWEST_SLOTS, SLOT_CELLS // max(len(y), 1)))
        self._next = width
        self.outcome = np.arange(width)
        self.y, self.v, self.base = (a[:, :width].copy() for a in self._given)
        self.start = np.zeros(width, dtype=np.intp)
        self.trial = np.repeat(starts[0][:, None], width, axis=1)
        self.x = self.trial.copy()
        self.fresh, self.closing = np.ones(width, bool), np.zeros(width, bool)
        self.damping, self.gain = np.zeros(width), np.zeros(width)
        self.count, self.total = np.zeros(width, np.intp), np.zeros(width, np.intp)
        self.at = self._evaluate(self.trial)
        self.best = self.at.take(np.ones(width, bool))
        self.best.loglik[:] = -np.inf
        self.best_x, self.best_certain = self.x.copy(), np.zeros(width, bool)
        self._ready: ManyEvaluation | None = self.at

    def _evaluate(self, x: Floats) -> ManyEvaluation:
        theta = self.base.copy()
        theta[self._moving] = x
        # where it is not positive definite the likelihood is NaN, which no step accepts
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self._objective(self.y, self.v, theta)

    def advance(self, maxiter: int, tol: float) -> Bools:
        """One evaluation in every slot; returns which outcomes (w,) have no start left."""
        new = self._ready or self._evaluate(self.trial)
        self._ready = None
        self.count += 1
        self.total += 1
        self._accept(new)
        local = ManyLocal(self.at, self.x)
        ended, leads = self._ended(new, local, maxiter)
        self._keep(local, ended & ~leads, tol)
        self.start += ended
        over = ended & (self.start >= len(self._starts))
        self._step(local, tol)
        again = ended & ~over
        self.trial[:, again] = self._starts[self.start[again]].T
        self._restart(again)
        return over

    def _accept(self, new: ManyEvaluation) -> None:
        noise = ROUNDING * np.abs(self.at.loglik)
        needed = np.where(self.closing, 0.0, SUFFICIENT * self.gain)
        rises = new.loglik >= self.at.loglik + needed - noise
        accepted = np.isfinite(new.loglik) & (self.fresh | rises)
        self.at.replace(new, accepted | self.fresh)
        np.copyto(self.x, self.trial, where=accepted | self.fresh)
        less = np.where(self.damping > FIRST_DAMPING, self.damping / 10, 0.0)
        more = np.maximum(10 * self.damping, FIRST_DAMPING)
        self.damping = np.where(accepted, less, more)

    def _ended(self, new: ManyEvaluation, local: "ManyLocal", maxiter: int) -> tuple[Bools, Bools]:
        """Which ascents are over, and which of them only lead to the maximum known already."""
        known = np.where(self.best_certain, self.best.loglik, np.inf)
        ahead = self.at.loglik + local.decrement / 2
        with np.errstate(invalid="ignore"):
            leads = (local.decrement < CERTAIN) & (np.abs(ahead - known) < SAME)
        ended = self.closing | leads | (local.decrement < POLISH)
        ended |= (self.fresh & ~np.isfinite(new.loglik)) | (self.damping > MOST_DAMPING)
        return (ended | (self.count >= maxiter)) & (self.outcome >= 0), leads

    def _keep(self, local: "ManyLocal", ended: Bools, tol: float) -> None:
        """Remember the ends that are higher than those before."""
        with np.errstate(invalid="ignore"):
            better = ended & (self.at.loglik > self.best.loglik)
        self.best.replace(self.at, better)
        np.copyto(self.best_x, self.x, where=better)
        np.copyto(self.best_certain, (local.decrement < tol) & local.certain, where=better)

    def _step(self, local: "ManyLocal", tol: float) -> None:
        self.fresh[:] = False
        self.closing = local.decrement < tol
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            self.trial, self.gain = local.step(np.where(self.closing, 0.0, self.damping))

    def _restart(self, where: Bools | Ints) -> None:
        self.fresh[where] = True
        self.closing[where] = False
        self.damping[where] = 0.0
        self.count[where] = 0

    def refill(self, done: Bools) -> None:
        """Give the slots `done` to the next outcomes, or retire them."""
        slots = np.flatnonzero(done)
        fill = slots[: self._given[0].shape[1] - self._next]
        come = np.arange(self._next, self._next + len(fill))
        self._next += len(fill)
        self.outcome[fill] = come
        for mine, given in zip((self.y, self.v, self.base), self._given, strict=True):
            mine[:, fill] = given[:, come]
        self.start[slots], self.total[slots] = 0, 0
        self.trial[:, slots] = self._starts[0][:, None]
        self._restart(slots)
        self.best.loglik[slots], self.best_certain[slots] = -np.inf, False
        if len(fill) < len(slots):
            gone = np.zeros(len(done), bool)
            gone[slots[len(fill) :]] = True
            self._retire(gone)

    def _retire(self, gone: Bools) -> None:
        self.outcome[gone] = -1
        stay = self.outcome >= 0
        if stay.mean() > RETIRED and stay.any():
            return
        self.at, self.best = self.at.take(stay), self.best.take(stay)
        for name in _SLOTTED:
            setattr(self, name, getattr(self, name)[..., stay])


_SLOTTED = (
    *("outcome", "y", "v", "base", "start", "trial", "x", "fresh", "closing", "damping", "gain"),
    *("count", "total", "best_x", "best_certain"),
)


class ManyLocal:
    """`newton.Local` for J <= 2 variances of many outcomes, in units of about their size.

    Attributes
    ----------
    free : ndarray of bool, shape (J, m)
        Variances not held at 0.
    decrement : ndarray, shape (m,)
        g'inv(I)g over the free ones, I the observed information; infinite where that is not
        positive definite.
    certain : ndarray of bool, shape (m,)
        Nothing here that a closer look would be needed for: no variance without influence, and
        none at 0 with no slope.
    """

    def __init__(self, at: ManyEvaluation, x: Floats) -> None:
        self._g, self._observed, self._expected = at.gradient, at.observed, at.expected
        self._low = -x
        held = (x <= 0) & (self._g <= 0)
        self.free = ~held
        information = np.array([self._expected[j, j] for j in range(len(x))]).reshape(x.shape)
        inert = np.abs(information) * np.maximum(x, 1.0) ** 2 < INERT
        level = held & (np.abs(self._g) <= LEVEL * np.sqrt(np.abs(information)))
        self.certain = ~(inert | level).any(axis=0) & np.isfinite(at.loglik)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.decrement = self._decrement()

    def _decrement(self) -> Floats:
        out = np.zeros(self._g.shape[1])
        for which in _subsets(len(self._g)):
            here = _exactly(self.free, which)
            if which and here.any():
                o, g = self._observed[np.ix_(which, which)][..., here], self._g[which][:, here]
                value = np.einsum("jm,jm->m", g, _solve(o, g))
                out[here] = np.where(_definite(o), value, np.inf)
        return out

    def step(self, damping: Floats) -> tuple[Floats, Floats]:
        """The point (J, m) to try next, and the gain (m,) the model predicts for it."""
        model = self._model()
        for j in range(len(model)):
            model[j, j] *= 1.0 + damping
        s, gain = box_steps(self._g, model, self._low)
        return np.where(s <= self._low, 0.0, s - self._low), gain

    def _model(self) -> Floats:
        """Curvature (J, J, m), positive definite: `newton.Local._model` without eigenvectors."""
        model = self._expected.copy()
        np.copyto(model, self._observed, where=_alike(self._observed, self._expected))
        for which in _subsets(len(self._g)):
            here = _exactly(self.free, which) & (self.decrement < NEAR)
            if which and here.any():
                # variances held at 0 may not distort the model of the free ones
                diagonal = model * np.eye(len(model))[..., None]
                diagonal[np.ix_(which, which)] = self._observed[np.ix_(which, which)]
                np.copyto(model, diagonal, where=here)
        return model


def box_steps(g: Floats, model: Floats, low: Floats) -> tuple[Floats, Floats]:
    """Maximise ``g's - s'Bs / 2`` subject to ``s >= low``; (s (J, m), value (m,)).

    Parameters
    ----------
    g, low : ndarray, shape (J, m)
        J at most 2, low <= 0.
    model : ndarray, shape (J, J, m)
        B, positive definite.

    Notes
    -----
    The maximiser of a concave problem is the best of the 2^J solutions with some of the bounds
    active that keep the others.
    """
    best, value = low.copy(), _gain(g, model, low)
    for which in _subsets(len(g)):
        if not which:
            continue
        s = low.copy()
        rest = [j for j in range(len(g)) if j not in which]
        pull = g[which] - np.einsum("jkm,km->jm", model[np.ix_(which, rest)], low[rest])
        s[which] = _solve(model[np.ix_(which, which)], pull)
        gain = _gain(g, model, s)
        better = (s >= low).all(axis=0) & (gain >= value)
        np.copyto(best, s, where=better)
        np.copyto(value, gain, where=better)
    return best, value


def _gain(g: Floats, model: Floats, s: Floats) -> Floats:
    curved = np.einsum("jkm,km->jm", model, s)
    return np.asarray(np.einsum("jm,jm->m", g - curved / 2, s))


def _subsets(count: int) -> Iterator[list[int]]:
    for size in range(count + 1):
        yield from (list(which) for which in combinations(range(count), size))


def _exactly(free: Bools, which: list[int]) -> Bools:
    """Outcomes (m,) whose free variances are exactly `which`."""
    wanted = np.array([[j in which] for j in range(len(free))], dtype=bool).reshape(len(free), 1)
    return np.asarray((free == wanted).all(axis=0))


def _solve(a: Floats, b: Floats) -> Floats:
    """Inverse of a (J, J, m) times b (J, m), J = 1 or 2."""
    if len(a) == 1:
        return b / a[0]
    det = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return np.array([a[1, 1] * b[0] - a[0, 1] * b[1], a[0, 0] * b[1] - a[1, 0] * b[0]]) / det


def _definite(a: Floats) -> Bools:
    """Where a (J, J, m) is positive definite, J = 1 or 2."""
    if len(a) == 1:
        return np.asarray(a[0, 0] > 0)
    size = a[0, 0] * a[1, 1]
    return (a[0, 0] > 0) & (a[1, 1] > 0) & (size - a[0, 1] * a[1, 0] > DEFINITE * size)


def _alike(observed: Floats, expected: Floats) -> Bools:
    """Where the eigenvalues of inv(F) O (m,) lie within `TRUST_OBSERVED`."""
    low, high = TRUST_OBSERVED
    if not len(observed):
        return np.zeros(observed.shape[2], bool)
    if len(observed) == 1:
        ratio = observed[0, 0] / expected[0, 0]
        return (low < ratio) & (ratio < high)
    inside = [_definite(observed - low * expected), _definite(high * expected - observed)]
    return np.asarray(inside[0] & inside[1])
