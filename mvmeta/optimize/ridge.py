"""The same likelihood in coordinates in which endless ridges are straight.

Where the data look like an intrinsic process, whose contrasts have variances that grow with
the distance, REML has no finite maximum: it tends to a limit as variance and range grow in
proportion.  Newton steps follow a bent ridge by small steps and a straight one by a constant
factor each.
"""

from dataclasses import replace

from mvmeta.likelihood.objective import Objective


def straightened(objective: Objective) -> Objective | None:
    """Return `objective` in straight coordinates; None where no term has such a ridge."""
    problem = objective.problem
    structures = [t.structure.straightened() for t in problem.terms]
    if all(s is None for s in structures):
        return None
    terms = tuple(
        t if s is None else replace(t, structure=s)
        for t, s in zip(problem.terms, structures, strict=True)
    )
    return Objective(objective.backend, objective.reml, replace(problem, terms=terms))
