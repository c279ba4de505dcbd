"""The large-sample distribution of a likelihood ratio where parameters are set to an edge."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.batched import BatchedProblem
from mvmeta.inference.comparison.at_null import AtNull, at_null
from mvmeta.inference.comparison.chibar import (
    MOST_VARIANCES,
    ChiBar,
    NoClosedFormError,
    variances_at_zero,
    with_covariances,
)
from mvmeta.inference.comparison.matching import matched_terms
from mvmeta.inference.fitted.fit import Fit
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.base import Direction
from mvmeta.marginal.select import build_backend

REGULAR_INFORMATION = 1e-8
"""Smallest eigenvalue of the information, scaled to unit diagonal, that can be inverted."""


def null_distribution(full: Fit, restricted: Fit, df: int) -> ChiBar:
    """Asymptotic null distribution of the likelihood ratio.

    Parameters
    ----------
    full, restricted : Fit
    df : int
        Difference of the numbers of parameters.

    Raises
    ------
    NoClosedFormError
        Where none is known; says why.

    Notes
    -----
    Known where the restrictions lie inside the parameter space (chi-square), and where up to
    three of them set a parameter to an edge from which one direction leads inside: a variance
    to 0, with its covariances or without, a correlation to the end of its range.  The tangent
    cone is a half-space then, or an orthant, whatever else is restricted or estimated (Self &
    Liang 1987, J Am Stat Assoc 82:605; Shapiro 1985, Biometrika 72:133).  Not known where a
    component that both models estimate is on the boundary.
    """
    if int(full.estimated.sum()) == int(restricted.estimated.sum()):
        return ChiBar((1.0,), (df,))  # estimates of fixed effects and components are independent
    _refuse_boundary(restricted)
    if full.problem.ties != restricted.problem.ties:
        return _tied(full, restricted, df)
    held = not any(isinstance(f.problem, BatchedProblem) for f in (full, restricted))
    terms = [at_null(*found, held) for found in matched_terms(full, restricted, held)]
    edges = sum(len(t.one_sided) for t in terms)
    if edges == 0:
        return ChiBar((1.0,), (df,))
    if edges == 1:
        return with_covariances(0, df - 1)
    if edges > MOST_VARIANCES:
        raise NoClosedFormError(
            f"{edges} parameters are set to an edge at once; a mixture is known for up to "
            f"{MOST_VARIANCES}"
        )
    if not held:
        raise NoClosedFormError("the weights of a mixture need all rows, which batches do not hold")
    return variances_at_zero(_edge_covariance(full, terms, edges), df - edges)


def _refuse_boundary(restricted: Fit) -> None:
    names = [t.name for t in restricted.problem.terms for _ in t.structure.components]
    on_edge = [
        f"{c.kind} of {name!r}"
        for c, name, edge in zip(
            restricted.problem.components, names, restricted.boundary, strict=True
        )
        if edge
    ]
    if on_edge:
        raise NoClosedFormError(
            f"{', '.join(on_edge)} is itself on the edge of its range in the restricted model"
        )


def _tied(full: Fit, restricted: Fit, df: int) -> ChiBar:
    """Equal components are a restriction inside the space, if all else is the same."""
    same = len(full.theta) == len(restricted.theta)
    if same and (full.problem.fixed == restricted.problem.fixed).all():
        return ChiBar((1.0,), (df,))
    raise NoClosedFormError("the models differ in more than which components are equal")


def _edge_covariance(full: Fit, terms: Sequence[AtNull], edges: int) -> Floats:
    """Asymptotic covariance of the parameters on an edge, all others estimated, (k, k)."""
    gs = [t.g for t in terms if t.g is not None]
    free = [Direction(i, m) for i, t in enumerate(terms) for m in t.free]
    edge = [Direction(i, m) for i, t in enumerate(terms) for m in t.one_sided if m is not None]
    if len(gs) < len(terms) or len(edge) < edges or full.problem.ties:
        raise NoClosedFormError(
            f"{edges} parameters are set to an edge at once, and the weights of the mixture are "
            "not worked out for these structures"
        )
    objective = Objective(build_backend(full.problem), full.reml)
    information = objective.expected_along(gs, [*free, *edge])
    size = np.sqrt(np.diag(information))
    scaled = information / np.outer(size, size) if (size > 0).all() else np.zeros((1, 1))
    if not np.linalg.eigvalsh(scaled)[0] > REGULAR_INFORMATION:
        raise NoClosedFormError("the data do not tell the components of the full model apart")
    cov = np.linalg.inv(scaled) / np.outer(size, size)
    return np.asarray(cov[-edges:, -edges:])
