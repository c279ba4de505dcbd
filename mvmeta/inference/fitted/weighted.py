"""Fixed effects under weights the user chose, with the sandwich covariance they need."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.orthonormal import orthonormal_basis

SINGULAR_TOLERANCE = 1e-12
"""Reciprocal condition number of Q'W Q below which the weights do not determine beta."""


@dataclass(frozen=True, eq=False)
class WeightedEstimate:
    """Fixed effects ``S X'W y`` with S = inv(X'W X), and the matrix that makes them.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
        ``S X'W M W'X S'``.
    projector : ndarray, shape (n, p)
        ``W'X S'``: the contribution of the rows, beta = projector'y.
    """

    beta: Floats
    cov: Floats
    projector: Floats


def weighted_fixed_effects(
    x: Floats, y: Floats, weights: sparse.csr_array, multiply: Callable[[Floats], Floats]
) -> WeightedEstimate:
    """Weighted least squares with weights that are not the inverse of M.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    weights : sparse array, shape (n, n)
    multiply : callable
        ``b (n, k) -> M b``.

    Raises
    ------
    SpecificationError
        If X'W X is singular: zero weights leave a coefficient undetermined.
    """
    projector = weighted_projector(x, weights)
    cov = projector.T @ multiply(projector)
    return WeightedEstimate(projector.T @ y, (cov + cov.T) / 2.0, projector)


def weighted_projector(x: Floats, weights: sparse.csr_array) -> Floats:
    """``W'X inv(X'W X)'`` of shape (n, p); see `weighted_fixed_effects`."""
    q, r = orthonormal_basis(x)
    wq = np.asarray(weights.T @ q)
    gram = wq.T @ q
    if not 1.0 / np.linalg.cond(gram) > SINGULAR_TOLERANCE:
        raise SpecificationError(
            "the weights leave a coefficient undetermined (X'W X is singular): "
            "too many of them are 0, or they cancel"
        )
    return np.asarray(np.linalg.solve(r, np.linalg.solve(gram, wq.T)).T)
