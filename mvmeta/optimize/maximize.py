"""The maximum of the likelihood: starts, ascents, and a certificate of what was reached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.newton import DECREMENT, Ascent, Box, Iteration, Local, ascend
from mvmeta.optimize.ridge import straightened
from mvmeta.optimize.status import Status
from mvmeta.structures.base import CovarianceStructure

EXTRA_STARTS_UP_TO = 2000
"""Rows up to which every term is tried by itself: that costs milliseconds there. Larger data
sets get further starts only for terms with correlations or ranges."""
BOUNDS_UP_TO = 50
"""Rows up to which starts near the bounds of correlations are tried as well: they double the
work, and one small design in a hundred needs them."""
NEAR = 0.9
"""Share of the way from 0 to its bound at which a correlation starts."""
SMALL_START = 1e-3
"""Size, relative to the main start, of what an extra start makes small."""
SAME_MAXIMUM = 1e-6
"""Log-likelihoods closer than this belong to the same maximum."""
LEVEL = 1e-9
"""Relative difference of log-likelihoods that is no reason to prefer one point to another."""


@dataclass(frozen=True)
class OtherMaximum:
    """A local maximum that is not the best one: natural theta and how far below it is."""

    theta: Floats
    below: float


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the likelihood is largest, and the evidence for it.

    Attributes
    ----------
    theta : ndarray, shape (n_components,)
        Natural components, pinned ones included.
    evaluation : Evaluation
        In the working chart.
    status : Status
    decrement : float
        Newton decrement g'inv(I)g over the components not held by a bound.
    smallest_curvature : float
        Smallest eigenvalue of the observed information there, relative to the largest.
    boundary : ndarray of bool, shape (n_components,)
    not_identified : ndarray of bool, shape (n_components,)
        The likelihood does not depend on them at this point.
    n_evaluations : int
        Over all starts.
    history : list of Iteration
        Of the ascent that won.
    others : list of OtherMaximum
        Found from other starts.
    """

    theta: Floats
    evaluation: Evaluation
    status: Status
    decrement: float
    smallest_curvature: float
    boundary: Bools
    not_identified: Bools
    n_evaluations: int
    history: list[Iteration] = field(default_factory=list)
    others: list[OtherMaximum] = field(default_factory=list)


def maximize(
    objective: Objective,
    *,
    start: Floats | None = None,
    maxiter: int = 200,
    tol: float = DECREMENT,
    report: Callable[[Iteration], None] | None = None,
) -> Optimum:
    """Maximise the likelihood over the components that are not pinned.

    Parameters
    ----------
    objective : Objective
    start : ndarray, shape (n_components,), optional
        Natural components to start from, instead of the automatic starts.
    maxiter : int
        Evaluations allowed per start.
    tol : float
        Newton decrement that counts as a maximum.
    report : callable, optional
        Called with every iteration.

    Raises
    ------
    NotPositiveDefiniteError
        If M is positive definite at none of the starts.
    """
    problem = objective.problem
    box = _box(objective)
    lead = problem.shared_working.lead
    starts = [lead(x) for x in _starts(objective)] if start is None else [problem.to_working(start)]
    ascents: list[Ascent] = []
    for x in starts:
        known = max((a.at.loglik for a in ascents if a.done), default=np.inf)
        try:
            ascents.append(
                climb(objective, x, box, maxiter=maxiter, tol=tol, report=report, known=known)
            )
        except NotPositiveDefiniteError:
            continue
    if not ascents:
        raise NotPositiveDefiniteError
    best = _best(ascents)
    best = _drop_inert(objective, best, box, maxiter, tol)
    theta = problem.to_natural(best.at.x)
    boundary = _boundary(objective, theta)
    inert = _flat_components(objective, best, box)
    return Optimum(
        theta=theta,
        evaluation=best.at,
        status=_status(best, boundary, inert),
        decrement=best.local.decrement,
        smallest_curvature=best.local.smallest,
        boundary=boundary,
        not_identified=inert,
        n_evaluations=objective.n_evaluations,
        history=best.history,
        others=_others(objective, ascents, best),
    )


def _best(ascents: Sequence[Ascent]) -> Ascent:
    """The highest, and of those that differ by rounding one that is a maximum."""
    top = max(a.at.loglik for a in ascents)
    level = [a for a in ascents if a.at.loglik > top - LEVEL * max(1.0, abs(top))]
    return max(level, key=lambda a: (a.done, a.at.loglik))


def climb(  # noqa: PLR0913  (what stops an ascent is four of the seven)
    objective: Objective,
    start: Floats,
    box: Box,
    *,
    maxiter: int,
    tol: float,
    report: Callable[[Iteration], None] | None = None,
    known: float = np.inf,
) -> Ascent:
    """`ascend` from one start; in large data sets by quick evaluations until the last one."""
    go = partial(ascend, box=box, tol=tol, report=report)
    if objective.problem.n <= QUICK_ABOVE:
        first = go(objective.working, start, known=known, maxiter=min(maxiter, PATIENCE))
        used = first.history[-1].evaluations
        if first.done or first.stalled or not PATIENCE <= used < maxiter:
            return first
        last = _follow_ridge(objective, first, maxiter - used, tol)
        if last is None:
            last = go(objective.working, first.at.x, known=known, maxiter=maxiter - used)
        return replace(last, history=[*first.history, *last.history])
    quick = partial(objective.working, quick=True)
    first = go(quick, start, polish=False, maxiter=maxiter, tol=max(tol, LAST_STEP))
    # the evaluation that a last step needs anyway is the full one
    x = first.at.x + first.local.step(0.0)[0] if first.done else first.at.x
    last = go(objective.working, x, polish=False, maxiter=maxiter)
    return replace(last, history=[*first.history, *last.history])


def _follow_ridge(objective: Objective, first: Ascent, maxiter: int, tol: float) -> Ascent | None:
    """Go on from `first` in coordinates in which ridges are straight; None without such."""
    straight = straightened(objective)
    if straight is None:
        return None
    problem, other = objective.problem, straight.problem
    x = other.to_working(problem.to_natural(first.at.x))
    far = ascend(straight.working, x, _box(straight), maxiter=maxiter, tol=tol)
    objective.n_evaluations += straight.n_evaluations
    at = objective.working(problem.to_working(other.to_natural(far.at.x)))
    return Ascent(at, Local(at, _box(objective)), far.done, far.stalled, far.history)


PATIENCE = 40
"""Evaluations after which an ascent that has not ended may be on a ridge."""
LAST_STEP = 1e-6
"""Decrement from which one more step most likely leads to the maximum."""
QUICK_ABOVE = 2000
"""Rows above which the expected information without its O(p / n) correction is good enough to
climb by."""


def _box(objective: Objective) -> Box:
    structures, join = (
        [t.structure for t in objective.problem.terms],
        objective.problem.join_working,
    )
    scale = np.sqrt(variance_scale(objective))
    return Box(
        lower=join([s.working.lower for s in structures]),
        upper=join([s.working.upper for s in structures]),
        unit=scale ** join([s.units() for s in structures]),
    )


def variance_scale(objective: Objective) -> float:
    """A variance of the size of the data's: of residuals, else of the sampling errors, else 1."""
    mean = objective.problem.mean_variance
    residual = objective.residual_variance
    if residual > ROUNDING * max(mean, objective.problem.mean_square):
        return residual
    return mean if mean > 0 else 1.0


ROUNDING = 1e-20
"""Residual variance, relative to y and V, that is rounding error of a perfect fit."""


def _starts(objective: Objective) -> list[Floats]:
    scale = variance_scale(objective)
    structures = [t.structure for t in objective.problem.terms]
    lists = [s.starts(scale) for s in structures]
    out = [_join([x[0] for x in lists])]
    if not len(out[0]):
        return out
    if objective.problem.n > EXTRA_STARTS_UP_TO:
        return out + _few_more(structures, lists, scale)
    if objective.problem.n <= BOUNDS_UP_TO:
        pairs = zip(structures, lists, strict=True)
        lists = [[*options, *_near_bounds(s, options)] for s, options in pairs]
    small = [s.starts(scale * SMALL_START)[0] for s in structures]
    main = [x[0] for x in lists]
    for t, options in enumerate(lists):
        others = small if len(structures) > 1 else main
        picks = [options[0], *options[1:]] if len(structures) > 1 else options[1:]
        out += [_join([*others[:t], x, *others[t + 1 :]]) for x in picks]
    if len(structures) > 2:
        out += [_join([*main[:t], small[t], *main[t + 1 :]]) for t in range(len(main))]
    return [*out, _join(small)]


def _few_more(
    structures: Sequence[CovarianceStructure], lists: Sequence[list[Floats]], scale: float
) -> list[Floats]:
    """For large data sets: only where correlations or ranges can make several maxima.

    Each such term by itself with all others small, and everything small.
    """
    curved = [t for t, s in enumerate(structures) if any(c.power == 0 for c in s.components)]
    if not curved:
        return []
    small = [s.starts(scale * SMALL_START)[0] for s in structures]
    alone = [[*small[:t], lists[t][0], *small[t + 1 :]] for t in curved]
    others = [
        [*(x[0] for x in lists[:t]), small[t], *(x[0] for x in lists[t + 1 :])] for t in curved
    ]
    return [_join(x) for x in [*alone, *others, small]]


def _near_bounds(structure: CovarianceStructure, options: list[Floats]) -> list[Floats]:
    """Starts with one correlation near a bound: where it is the only one, from all `options`."""
    ends = [
        (j, NEAR * bound)
        for j, c in enumerate(structure.components)
        for bound in (c.lower, c.upper)
        if c.power == 0 and np.isfinite([c.lower, c.upper]).all() and bound != 0
    ]
    ends = [(j, value) for j, value in ends if not structure.fixed[j]]
    out: list[Floats] = []
    for x in options if len({j for j, _ in ends}) == 1 else options[:1]:
        for j, value in ends:
            theta = structure.to_natural(x).copy()
            theta[j] = value
            try:
                start = structure.to_working(theta)
            except SpecificationError:  # out of reach of the other correlations
                continue
            if not any(np.array_equal(start, other) for other in out):
                out.append(start)
    return out


def _drop_inert(objective: Objective, best: Ascent, box: Box, maxiter: int, tol: float) -> Ascent:
    """Variances without influence go to 0: any value fits, the smallest says least."""
    drop = best.local.inert & (box.lower == 0) & (best.at.x > 0)
    if not drop.any():
        return best
    try:
        again = ascend(
            objective.working, np.where(drop, 0.0, best.at.x), box, maxiter=maxiter, tol=tol
        )
    except NotPositiveDefiniteError:
        return best
    return again if again.at.loglik > best.at.loglik - SAME_MAXIMUM else best


def _boundary(objective: Objective, theta: Floats) -> Bools:
    problem = objective.problem
    pieces = zip(problem.terms, problem.split(theta), strict=True)
    return _join([t.structure.on_boundary(x) for t, x in pieces]).astype(bool)


def _flat_components(objective: Objective, best: Ascent, box: Box) -> Bools:
    """Natural components that move with a working parameter without influence."""
    problem, x = objective.problem, best.at.x
    theta = problem.to_natural(x)
    out = np.zeros(len(theta), dtype=bool)
    for j in np.flatnonzero(best.local.inert | best.local.flat):
        moved = x.copy()
        step = NUDGE * box.unit[j]
        moved[j] += step if x[j] + step <= box.upper[j] else -step
        out |= ~np.isclose(problem.to_natural(moved), theta, rtol=SAME_THETA, atol=0.0)
    return out & ~problem.fixed


NUDGE, SAME_THETA = 1e-2, 1e-9
"""Share of its unit by which a working parameter is moved to see which components follow, and
the relative change that counts as none."""


def _status(best: Ascent, boundary: Bools, inert: Bools) -> Status:
    if not len(best.at.x):
        return Status.NOTHING_TO_ESTIMATE
    if not best.done:
        return Status.NO_PROGRESS if best.stalled else Status.MAXIMUM_ITERATIONS
    if (inert & ~boundary).any():
        return Status.NOT_IDENTIFIED
    return Status.BOUNDARY if boundary.any() else Status.INTERIOR


def _others(objective: Objective, ascents: Sequence[Ascent], best: Ascent) -> list[OtherMaximum]:
    out: list[OtherMaximum] = []
    for a in ascents:
        below = best.at.loglik - a.at.loglik
        new = all(abs(below - o.below) > SAME_MAXIMUM for o in out)
        if a.done and not a.local.saddle and below > SAME_MAXIMUM and new:
            out.append(OtherMaximum(objective.problem.to_natural(a.at.x), below))
    return out


def _join(pieces: Sequence[Floats] | Sequence[Bools]) -> Floats:
    return np.concatenate([np.asarray(p, dtype=float) for p in pieces]) if pieces else np.empty(0)
