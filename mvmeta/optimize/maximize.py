"""The maximum of the likelihood: starts, ascents, and a certificate of what was reached."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.climb import climb, without_end
from mvmeta.optimize.newton import DECREMENT, FLAT, Ascent, Box, Iteration, ascend, joined
from mvmeta.optimize.starts import (
    BOUNDS_UP_TO,
    EXTRA_STARTS_UP_TO,
    alone,
    box_of,
    distinct,
    rivals,
    start_values,
    variance_scale,
)
from mvmeta.optimize.status import Status
from mvmeta.optimize.survey import promising
from mvmeta.optimize.sweep import axes, hills, revived
from mvmeta.optimize.uphill import rises

SAME_MAXIMUM = 1e-6
"""Log-likelihoods closer than this belong to the same maximum."""
FIRST_STEPS = 3
"""Evaluations of an ascent after which it is asked once more where it leads."""
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
    box = box_of(objective)
    go = partial(climb, objective, box=box, maxiter=maxiter, tol=tol, report=report)
    ascents: list[Ascent] = []
    quietly = partial(climb, box=box, maxiter=maxiter, tol=tol)
    given = None if start is None else [problem.to_working(start)]
    for x in given or _starts(objective, box, quietly, ascents):
        known = [a.at for a in ascents if a.done]
        try:
            ascent = _unless_uphill(objective, partial(go, known=known), x, known)
        except NotPositiveDefiniteError:
            continue
        if ascent is not None:
            ascents.append(ascent)
    if not ascents:
        raise NotPositiveDefiniteError
    if start is None:
        ascents += _revived(objective, _best(ascents), go)
    best = _best(ascents)
    best = _settled(objective, best, box, maxiter, tol)
    best = _drop_inert(objective, best, box, maxiter, tol)
    best = best if best.endless else without_end(objective, best, box, tol) or best
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


ONE_HILL_FROM = 50
"""Rows from which on models with one variance in every term need no starts but those of `rivals`:
in 6,000 random designs of 50 to 1,500 rows no other start found a higher maximum, but for one with
a tree and 89 rows (benchmarks/simulations/one_hill.py)."""
ROWS_EACH = 5
"""Rows for each coefficient and variance from which on the same holds for terms that nest, if all
variances at the maximum are as large as their standard errors (the same study): other maxima
have one that is 0."""
CROSSED_FROM = 500
"""The same where terms cross: in fewer rows lower maxima are looked for, for `diagnose` to tell.
From here on there were none in 200 random designs (the same program)."""


def _has_one_hill(objective: Objective, top: Ascent) -> bool:
    """Whether the first maximum found is as good as certain to have no equal but its rivals."""
    problem, x = objective.problem, top.at.x
    one_variance = all([c.power for c in t.structure.components] == [2] for t in problem.terms)
    if not top.done or not one_variance or not _is_linear(objective, x):
        return False
    if not _nests(objective):
        return problem.n >= max(ONE_HILL_FROM, CROSSED_FROM)
    enough = problem.n >= ROWS_EACH * (problem.p + len(x)) and _is_inside(top)
    return enough or problem.n >= ONE_HILL_FROM


def _is_inside(top: Ascent) -> bool:
    """Whether all variances (working parameters) are at least as large as their standard errors."""
    if not (top.at.x > 0).all() or top.local.smallest < FLAT:
        return False
    return bool((top.at.x**2 >= np.linalg.inv(top.at.observed).diagonal()).all())


def _nests(objective: Objective) -> bool:
    """Whether no two terms can have the same levels and different effects."""
    return objective.backend.name == "nested"


def _starts(
    objective: Objective, box: Box, go: Callable[..., Ascent], ascents: Sequence[Ascent]
) -> Iterator[Floats]:
    """The main start, one on every hill along a correlation or range, and corners.

    `ascents` are those made so far, of which the first one decides how many more are needed.
    """
    lead = objective.problem.shared_working.lead
    starts = promising(objective, distinct(map(lead, start_values(objective))), go)
    main = next(starts)
    yield main
    if ascents and _has_one_hill(objective, ascents[0]):
        if not _nests(objective):
            yield from rivals(objective)
        return
    if objective.problem.n <= EXTRA_STARTS_UP_TO:
        for axis in (a for a in axes(objective) if a.sweep.hilly):
            bases = [main]
            if objective.problem.n <= BOUNDS_UP_TO:
                bases += alone(objective, axis.index)
            yield from hills(objective, bases, box, axis)
    yield from starts


def _revived(objective: Objective, best: Ascent, go: Callable[..., Ascent]) -> list[Ascent]:
    """Ascents from a maximum with a variance of 0 that is none at another range."""
    if objective.problem.n > EXTRA_STARTS_UP_TO:
        return []
    starts = [revived(objective, best.at.x, axis) for axis in axes(objective)]
    return [go(x) for x in starts if x is not None]


def _unless_uphill(
    objective: Objective, go: Callable[..., Ascent], x: Floats, known: Sequence[Evaluation]
) -> Ascent | None:
    """Climb from `x`, unless the way to a known maximum turns out to be uphill throughout.

    Where M is linear in the parameters an ascent finds that out with every evaluation it makes.
    Where only G ranges over a convex set it takes evaluations of its own: before the ascent, and
    once more after its first steps.
    """
    if not known or not _is_convex(objective, x):
        return go(x)
    if _uphill(objective, x, known):
        return None
    if objective.problem.n > EXTRA_STARTS_UP_TO:
        return go(x)
    first = go(x, maxiter=FIRST_STEPS)
    if first.ended:
        return first
    if _uphill(objective, first.at.x, known):
        return None
    return joined(first, go(first.at.x))


def _is_convex(objective: Objective, x: Floats) -> bool:
    """Whether matrices between possible ones are possible, though not linear in `x`."""
    convex = all(t.structure.convex for t in objective.problem.terms)
    return convex and not _is_linear(objective, x)


def _is_linear(objective: Objective, x: Floats) -> bool:
    """Whether M is linear in the working parameters."""
    charts = [t.structure.working for t in objective.problem.terms]
    pieces = objective.problem.split_working(x)
    return all(chart.hessian(w) is None for chart, w in zip(charts, pieces, strict=True))


def _uphill(objective: Objective, here: Floats, known: Sequence[Evaluation]) -> bool:
    best = max(known, key=lambda there: there.loglik)
    try:
        return rises(*objective.along(here, best.x))
    except NotPositiveDefiniteError:
        return False


def _best(ascents: Sequence[Ascent]) -> Ascent:
    """The highest, and of those that differ by rounding one that is a maximum."""
    top = max(a.at.loglik for a in ascents)
    level = [a for a in ascents if a.at.loglik > top - LEVEL * max(1.0, abs(top))]
    return max(level, key=lambda a: (a.done, a.at.loglik))


def _settled(objective: Objective, best: Ascent, box: Box, maxiter: int, tol: float) -> Ascent:
    """Variances that are 0 but for rounding become 0.

    In coordinates of standard deviations the slope at 0 is 0: an ascent comes as close to it as
    the likelihood can tell, and no step lands on it.
    """
    problem = objective.problem
    theta = problem.to_natural(best.at.x)
    variance = (problem.power == 2) & np.array([c.lower == 0 for c in problem.components], bool)
    small = variance & ~problem.fixed & (theta > 0) & (theta < NOTHING * variance_scale(objective))
    if not best.done or not small.any():
        return best
    try:
        x = problem.to_working(np.where(small, 0.0, theta))
        again = ascend(objective.working, x, box, maxiter=maxiter, tol=tol)
    except (NotPositiveDefiniteError, SpecificationError):  # correlations of nothing, perhaps
        return best
    lower = again.at.loglik < best.at.loglik - ROUNDING * max(1.0, abs(best.at.loglik))
    if lower or not again.done:
        return best
    return replace(joined(best, again), kink=best.kink, endless=best.endless)


NOTHING, ROUNDING = 1e-8, 1e-12
"""Size of a variance, relative to that of the data, at which 0 is tried, and the fall of the
log-likelihood, relative, that is no argument against it."""


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
    edges = [t.structure.on_boundary(x) for t, x in pieces]
    return np.concatenate(edges).astype(bool) if edges else np.empty(0, dtype=bool)


def _flat_components(objective: Objective, best: Ascent, box: Box) -> Bools:
    """Natural components that move with a working parameter without influence."""
    problem, x = objective.problem, best.at.x
    theta = problem.to_natural(x)
    out = np.zeros(len(theta), dtype=bool)
    if best.endless:  # level there because the limit is close: known to be large
        return out
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
    if best.kink:
        return Status.KINK
    if best.endless:
        return Status.AT_INFINITY
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
        finite = a.done and not a.endless and not a.local.saddle
        if finite and below > SAME_MAXIMUM and new:
            out.append(OtherMaximum(objective.problem.to_natural(a.at.x), below))
    return out
