"""Where to start in large data: starts are tried out in a sample of clusters.

A second maximum is a matter of the model and of who is correlated with whom; in data of many
independent clusters it shows in some of them, or it is far below the first.  And the maximum of
the sample is a few standard errors of the sample from that of all data, so the way from there
is shorter by the evaluations that the first, rough part of an ascent takes.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy import linalg

from mvmeta._typing import Floats, Ints
from mvmeta.design.problem import MetaProblem
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.newton import Ascent

SURVEY_ABOVE = 10_000
"""Rows above which starts are tried out first."""
SAMPLE = 2000
"""Rows of the sample."""
LARGEST = 0.1
"""Share of the sample that one cluster may take."""
HIGHER = 1e-6
"""Log-likelihood by which a start must end higher than the main one to be followed."""
DEPENDENT = 1e-10
"""Diagonal of R, relative to the first, at which a column of X depends on others."""


def promising(
    objective: Objective, starts: Iterable[Floats], go: Callable[..., Ascent]
) -> Iterator[Floats]:
    """Where to start: in large data the maxima of a sample, else the starts themselves.

    Parameters
    ----------
    objective : Objective
    starts : iterable of ndarray, each (J,)
        The first is the main one; in small data the others are made when they are asked for.
    go : callable
        (objective, start, known=) -> Ascent; may raise NotPositiveDefiniteError.

    Yields
    ------
    ndarray
        First what became of the main start, then of those that ended higher than it.
    """
    if objective.problem.n <= SURVEY_ABOVE:
        yield from starts
        return
    starts = list(starts)
    problem = sample(objective.problem) if len(starts) > 1 else None
    if problem is None:
        yield from starts
        return
    small = Objective(build_backend(problem), objective.reml)
    ends: list[Ascent | None] = []
    for x in starts:
        known = [end.at for end in ends if end is not None and end.done]
        try:
            ends.append(go(small, x, known=known))
        except NotPositiveDefiniteError:
            ends.append(None)
    heights = [-np.inf if end is None else end.at.loglik for end in ends]
    for j, (x, end, height) in enumerate(zip(starts, ends, heights, strict=True)):
        if j == 0 or height > heights[0] + HIGHER:
            yield _end_of(end, x, problem)


def _end_of(ascent: Ascent | None, start: Floats, problem: MetaProblem) -> Floats:
    """Where an ascent in the sample ended, unless there is no slope to leave that point by.

    At a variance of 0 or a singular covariance matrix, which all data need not have, the slope
    in coordinates of standard deviations is 0.
    """
    if ascent is None or not ascent.done or ascent.endless:
        return start
    theta = problem.split(problem.to_natural(ascent.at.x))
    edges = [t.structure.on_boundary(x).any() for t, x in zip(problem.terms, theta, strict=True)]
    return start if any(edges) else ascent.at.x


def sample(problem: MetaProblem) -> MetaProblem | None:
    """Whole clusters, about `SAMPLE` rows of them, the same on every call.

    X is replaced by a basis of its columns there.  None where rows are not held, or where one
    cluster is too large a part of them.
    """
    if not isinstance(problem.y, np.ndarray):
        return None
    size = np.bincount(problem.cluster)
    order = np.random.default_rng(0).permutation(len(size))
    chosen = order[: int(np.searchsorted(np.cumsum(size[order]), SAMPLE)) + 1]
    if size[chosen].max() > LARGEST * SAMPLE:
        return None
    taken = np.zeros(len(size), dtype=bool)
    taken[chosen] = True
    rows: Ints = np.flatnonzero(taken[problem.cluster])
    part = problem.take(rows)
    basis, r, _ = linalg.qr(part.x, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int((diagonal > DEPENDENT * diagonal.max(initial=0.0)).sum())
    x: Floats = np.ascontiguousarray(basis[:, :rank], dtype=float)
    return MetaProblem(part.y, x, part.v, part.terms, part.ties)
