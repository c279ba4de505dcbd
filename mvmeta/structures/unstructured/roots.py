"""Triangular roots of correlation matrices, singular ones too."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError

INDEFINITE = -1e-8
"""Smallest eigenvalue a correlation matrix given in decimals may have from their rounding."""


def triangular_root(r: Floats) -> Floats:
    """Lower triangular L (q, q) with L L' = r for a correlation matrix r, singular or not.

    The root V sqrt(lambda) of the eigendecomposition of r is made triangular by a QR
    decomposition of its transpose, which needs no pivots and hence no positive eigenvalues.

    Raises
    ------
    SpecificationError
        If r has a negative eigenvalue.
    """
    values, vectors = np.linalg.eigh(r)
    if values[0] < INDEFINITE:
        raise _indefinite(values[0])
    rounding = len(r) * np.finfo(float).eps * values[-1]
    half = vectors * np.sqrt(np.where(values > rounding, values, 0.0))
    factor = np.asarray(np.linalg.qr(half.T, mode="r")).T
    return np.asarray(factor * np.where(np.diag(factor) < 0, -1.0, 1.0))


def semidefinite_cholesky(r: Floats) -> Floats:
    """Lower triangular L (q, q) with L L' = r, column k zero where its pivot is.

    Unlike `triangular_root` it keeps zeros where the Cholesky factor of a definite matrix has
    them, at the price of half the digits where a pivot is zero but for rounding.

    Parameters
    ----------
    r : ndarray, shape (q, q)
        A correlation matrix.

    Raises
    ------
    SpecificationError
        If r has a negative eigenvalue.
    """
    rest, factor = r.copy(), np.zeros_like(r)
    for k in range(len(r)):
        pivot, column = max(float(rest[k, k]), 0.0), rest[k:, k]
        bound = pivot * np.clip(np.diag(rest)[k:], 0.0, None)
        if rest[k, k] < INDEFINITE or (column**2 > bound - INDEFINITE).any():
            raise _indefinite(float(np.linalg.eigvalsh(r)[0]))
        if pivot > 0:
            limit = np.sqrt(bound)
            factor[k:, k] = np.clip(column, -limit, limit) / np.sqrt(pivot)
            rest -= np.outer(factor[:, k], factor[:, k])
    return factor


def _indefinite(size: float) -> SpecificationError:
    return SpecificationError(
        "the correlations rho do not form a positive semi-definite matrix (smallest "
        f"eigenvalue {size:.3g}): no variables are correlated like this; give smaller ones"
    )
