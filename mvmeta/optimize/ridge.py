"""The same likelihood in coordinates in which ridges are straight.

Where the data look like an intrinsic process, whose contrasts have variances that grow with
the distance, REML has no finite maximum: it tends to a limit as variance and range grow in
proportion.  And where the first pivots of a triangular factor are nearly 0, its columns turn
into each other along circles.  Newton steps follow a bent ridge by small steps and a straight
one by a constant factor each.
"""

from dataclasses import replace

from mvmeta._typing import Floats
from mvmeta.likelihood.objective import Objective


def straightened(objective: Objective, theta: Floats) -> Objective | None:
    """Return `objective` in coordinates that are straight at natural `theta`, if there are any."""
    problem = objective.problem
    pieces = zip(problem.terms, problem.split(theta), strict=True)
    structures = [t.structure.straightened(x) for t, x in pieces]
    if all(s is None for s in structures):
        return None
    terms = tuple(
        t if s is None else replace(t, structure=s)
        for t, s in zip(problem.terms, structures, strict=True)
    )
    return objective.under(replace(problem, terms=terms))
