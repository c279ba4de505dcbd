"""Which of several starts are worth following in large data: tried out in a sample of clusters.

A second maximum is a matter of the model and of who is correlated with whom; in data of many
independent clusters it shows in some of them, or it is far below the first.
"""

from collections.abc import Callable, Sequence

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
    objective: Objective, starts: Sequence[Floats], go: Callable[[Objective, Floats], Ascent]
) -> list[Floats]:
    """Starts that end higher than the first one in a sample; all of them in small data.

    Parameters
    ----------
    objective : Objective
    starts : sequence of ndarray, each (J,)
        The first is the main one, which is not returned.
    go : callable
        (objective, start) -> Ascent; may raise NotPositiveDefiniteError.
    """
    rest = list(starts[1:])
    if not rest or objective.problem.n <= SURVEY_ABOVE:
        return rest
    problem = sample(objective.problem)
    if problem is None:
        return rest
    small = Objective(build_backend(problem), objective.reml)
    heights = []
    for x in starts:
        try:
            heights.append(go(small, x).at.loglik)
        except NotPositiveDefiniteError:
            heights.append(-np.inf)
    return [x for x, height in zip(rest, heights[1:], strict=True) if height > heights[0] + HIGHER]


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
    rows: Ints = np.flatnonzero(np.isin(problem.cluster, chosen))
    taken = problem.take(rows)
    basis, r, _ = linalg.qr(taken.x, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int((diagonal > DEPENDENT * diagonal.max(initial=0.0)).sum())
    x: Floats = np.ascontiguousarray(basis[:, :rank], dtype=float)
    return MetaProblem(taken.y, x, taken.v, taken.terms, taken.ties)
