"""Whether a model asks more of the data than they can tell."""

from mvmeta.design.problem import MetaProblem
from mvmeta.errors import warn


def warn_of_too_many(problem: MetaProblem) -> None:
    """Warn where coefficients and free components together are more than the rows.

    The likelihood may still have a maximum (metafor fits such models without a word), but some
    combination of the parameters is then decided by none of the data.
    """
    if problem.p + len(problem.components) <= problem.n:
        return
    free = int(problem.estimated.sum())
    if problem.p + free <= problem.n:
        return
    terms = [t for t in problem.terms if not t.structure.fixed.all()]
    counts = ", ".join(f"{int((~t.structure.fixed).sum())} in {t.name!r}" for t in terms)
    warn(
        f"the model has {problem.p} coefficients and {free} components to estimate ({counts}) from "
        f"{problem.n} rows: not all of them are determined; use a structure with fewer "
        "parameters, fixed= or equal="
    )
