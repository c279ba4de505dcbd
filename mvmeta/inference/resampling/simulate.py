"""New observations drawn from a fitted model, without forming a matrix of rows by rows."""

from collections.abc import Callable

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.layout import size_classes
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit
from mvmeta.structures.base import matrix_root


class Simulator:
    """Draws y ~ N(X b, M) at the estimates of a fit: each part of M through a root of its own.

    ``y = X b + sum_t Z_t u_t + e`` with u_t = R_t z, R_t R_t' = G_t level by level, and e = S z,
    S S' = V block by block; memory beyond the draws is that of the model.

    Parameters
    ----------
    fit : Fit
    conditional : bool
        Keep the random effects at their predictions (BLUPs) and draw sampling errors only.

    Raises
    ------
    SpecificationError
        With `conditional` under user weights, where there are no best predictions.
    """

    def __init__(self, fit: Fit, *, conditional: bool = False) -> None:
        self._fit = fit
        self._errors = error_root(fit.problem.v)
        self._mean = fit.fitted
        self._roots: list[Floats] = []
        if conditional:
            self._mean = _predicted(fit)
        else:
            pieces = zip(fit.problem.terms, fit.problem.split(fit.theta), strict=True)
            self._roots = [t.structure.root(theta) for t, theta in pieces]

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """`count` independent vectors of observations, shape (n, count)."""
        problem = self._fit.problem
        out = self._mean[:, None] + self._errors(rng.standard_normal((problem.n, count)))
        for term, root in zip(problem.terms, self._roots, strict=False):
            z = rng.standard_normal((term.n_levels, root.shape[1], count))
            out += term.lift_root(root, z)
        return out


def _predicted(fit: Fit) -> Floats:
    """X b + Z u_hat = y - V N (y - X b), shape (n,); see `blup.true_effects`."""
    if fit.weights is not None:
        raise SpecificationError(
            "under user weights random effects have no best prediction to hold them at; "
            "simulate with conditional=False"
        )
    solved = fit.factor.solve(fit.resid[:, None])
    return fit.problem.y - fit.problem.v.multiply(solved)[:, 0]


def error_root(v: SamplingCovariance) -> Callable[[Floats], Floats]:
    """``z (n, k) -> S z`` with S S' = V; V may be singular."""
    sd = np.sqrt(v.variances)[:, None]
    if v.is_diagonal:
        return lambda z: sd * z
    classes = [rows for rows in size_classes(v.cluster) if rows.shape[1] > 1]
    roots = [_roots(stack) for stack in v.stacks(classes)]

    def multiply(z: Floats) -> Floats:
        out = sd * z
        for rows, root in zip(classes, roots, strict=True):
            out[rows] = root @ z[rows]
        return out

    return multiply


def _roots(stack: Floats) -> Floats:
    """A root of each of a stack (b, m, m) of positive semi-definite matrices."""
    try:
        return np.asarray(np.linalg.cholesky(stack), dtype=float)
    except np.linalg.LinAlgError:
        return np.stack([matrix_root(block) for block in stack])
