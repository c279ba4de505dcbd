"""From one start to the maximum above it, in whatever coordinates the way is short."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mvmeta._typing import Floats
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.kinks import over_kinks
from mvmeta.optimize.newton import Ascent, Box, Iteration, Local, ascend, joined
from mvmeta.optimize.ridge import straightened
from mvmeta.optimize.running_off import far_end
from mvmeta.optimize.starts import box_of
from mvmeta.optimize.sweep import axes

PATIENCE = 25
"""Evaluations after which an ascent that has not ended may be on a ridge."""
LAST_STEP = 1e-6
"""Decrement from which one more step most likely leads to the maximum."""
FAST, SLOW = 1e-2, 1e-8
"""Newton steps double the digits of a decrement below the first; quick steps from there on are slow
if one of them, at the rate of the one before, would leave more than the second."""
QUICK_ABOVE = 2000
"""Rows above which the expected information without its O(p / n) correction is good enough to
climb by."""
ENDLESS = 1e7
"""Size, in units of the residual variance, at which a variance that grows without end is taken
to have got there."""
NEARLY = 1e-4
"""Share of that size beyond which rounding may make a maximum of the limit."""


def climb(  # noqa: PLR0913  (what stops an ascent is four of the seven)
    objective: Objective,
    start: Floats,
    box: Box,
    *,
    maxiter: int,
    tol: float,
    report: Callable[[Iteration], None] | None = None,
    known: Sequence[Evaluation] = (),
) -> Ascent:
    """`ascend` from one start.

    In large data sets by quick evaluations until the last one.  An ascent that takes long goes
    on in coordinates in which the ridge it may be on is straight; see `optimize.ridge`.
    """
    go = partial(ascend, tol=tol, report=report)
    if objective.problem.n > QUICK_ABOVE and maxiter > 1 and not _may_run_off(objective):
        go = partial(go, polish=False)
        quick = partial(objective.working, quick=True)
        nearly = max(tol, LAST_STEP)
        enough = partial(_quick_enough, tol=tol)
        first = go(quick, start, box, maxiter=maxiter - 1, tol=nearly, enough=enough)
        # the evaluation that a last step needs anyway is the full one
        x = first.at.x + first.local.step(0.0)[0] if first.done else first.at.x
        used = first.history[-1].evaluations
        left = max(maxiter - used, 1)
        return joined(first, go(objective.working, x, box, maxiter=left, report=_on(report, used)))
    kinked = [a for a in axes(objective) if len(a.sweep.kinks)]
    if kinked:

        def within(x: Floats, cell: Box, limit: int) -> Ascent:
            return go(objective.working, x, cell, known=known, maxiter=limit)

        return over_kinks(within, start, box, kinked, maxiter)
    ascent = go(objective.working, start, box, known=known, maxiter=min(maxiter, PATIENCE))
    while not ascent.ended:
        used = ascent.history[-1].evaluations
        left = maxiter - used
        if left <= 0:
            break
        straight = straightened(objective, objective.problem.to_natural(ascent.at.x))
        go_on = partial(go, known=known, maxiter=min(left, PATIENCE), report=_on(report, used))
        if straight is None:
            further = go_on(objective.working, ascent.at.x, box)
        else:
            further = _elsewhere(objective, straight, ascent.at, box, go_on)
        ascent = joined(ascent, further)
        endless = None if ascent.ended else without_end(objective, ascent, box, tol)
        if endless is not None:
            return joined(ascent, endless)
    return ascent


def _quick_enough(history: Sequence[Iteration], tol: float) -> bool:
    """Whether full evaluations should follow, judged by the rate of the last step.

    They should where one more step is all that it takes, and where Newton steps are certain to
    be faster.
    """
    if len(history) < 2:
        return False
    before, now = history[-2].decrement, history[-1].decrement
    ahead = now * now / before if now < before else np.inf
    return ahead < tol or (now < FAST and ahead > SLOW)


def _may_run_off(objective: Objective) -> bool:
    return any(t.structure.can_run_off for t in objective.problem.terms)


def without_end(objective: Objective, ascent: Ascent, box: Box, tol: float) -> Ascent | None:
    """The limit at infinity that an ascent was on its way to; None if it was not.

    See `optimize.running_off`.
    """
    if not _may_run_off(objective):
        return None
    problem = objective.problem
    end = far_end(objective, problem.to_natural(ascent.at.x))
    straight = None if end is None else straightened(objective, end)
    if end is None or straight is None:
        return None
    there = objective.working(problem.to_working(end))
    go = partial(ascend, tol=tol, maxiter=PATIENCE)
    return replace(_elsewhere(objective, straight, there, box, go), endless=True)


def _on(
    report: Callable[[Iteration], None] | None, used: int
) -> Callable[[Iteration], None] | None:
    """The report of an ascent that goes on after `used` evaluations."""
    if report is None:
        return None
    return lambda row: report(replace(row, evaluations=used + row.evaluations))


def _elsewhere(
    objective: Objective,
    straight: Objective,
    at: Evaluation,
    box: Box,
    go: Callable[..., Ascent],
) -> Ascent:
    """Go on in the coordinates of `straight`; the ascent is told in those of `objective`."""
    problem, other = objective.problem, straight.problem
    far_box = box_of(straight)
    # what can only be positive and has no end is a variance on its way to infinity
    growing = (far_box.lower == 0) & np.isinf(far_box.upper)
    end = np.where(growing, ENDLESS * far_box.unit, far_box.upper)
    far_box = replace(far_box, upper=end)
    x = _leap(straight, other.to_working(problem.to_natural(at.x)), growing, end, at.loglik)
    far = go(straight.working, x, far_box)
    objective.n_evaluations += straight.n_evaluations
    history = [replace(row, x=problem.to_working(other.to_natural(row.x))) for row in far.history]
    here = objective.working(history[-1].x)
    endless = bool((growing & (far.at.x > NEARLY * end)).any())
    local = Local(here, box)
    return replace(far, at=here, local=local, endless=endless, history=history)


def _leap(
    straight: Objective, x: Floats, growing: np.ndarray, end: Floats, loglik: float
) -> Floats:
    """The end of a ridge in each growing coordinate, if the likelihood is higher there than here.

    Newton steps would multiply the coordinate by 3/2 each, some thirty times.
    """
    for j in np.flatnonzero(growing & (x > 0)):
        there = np.where(np.arange(len(x)) == j, end, x)
        try:
            value = straight.working(there).loglik
        except NotPositiveDefiniteError:
            continue
        if value > loglik:
            x, loglik = there, value
    return x
