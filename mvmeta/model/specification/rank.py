"""Which columns of a design matrix depend linearly on columns to their left."""

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import SpecificationError

RANK_TOLERANCE = 1e-10
"""A column of unit norm counts as dependent if less than this of it is new."""

CLEARLY_INDEPENDENT = 1e-4
"""Above this share of new direction X'X, with its squared condition, tells independence safely."""

SAFE_SQUARES = (1e-200, 1e200)
"""Squared norms within which X'X neither under- nor overflows."""

CHUNK = 8192
"""Rows per step of the tall QR: fits the cache."""


def independent_columns(x: Floats) -> Bools:
    """Columns to keep so that x (n, p) has full rank: later dependent ones go, shape (p,).

    Columns are scaled to unit norm first; they are not centred.

    Raises
    ------
    SpecificationError
        If all columns are zero.
    """
    if _clearly_full(x):
        return np.ones(x.shape[1], dtype=bool)
    largest = np.abs(x).max(axis=0)
    norms = largest * np.linalg.norm(x / np.where(largest > 0, largest, 1.0), axis=0)
    if not norms.any():
        raise SpecificationError(
            "all columns of the design matrix are zero in the rows that are used"
        )
    return _sweep(_triangle(x / np.where(norms > 0, norms, 1.0)))


def independent_in_triangle(r: Floats) -> Bools:
    """`independent_columns` of any X = Q R with Q'Q = I, from R (p, p) alone.

    Raises
    ------
    SpecificationError
        If all columns are zero.
    """
    norms = np.linalg.norm(r, axis=0)
    if not norms.any():
        raise SpecificationError(
            "all columns of the design matrix are zero in the rows that are used"
        )
    return _sweep(r / np.where(norms > 0, norms, 1.0))


def _clearly_full(x: Floats) -> bool:
    """The cheap proof of full rank; False where it does not succeed."""
    with np.errstate(over="ignore"):
        gram = x.T @ x
    squares = np.diag(gram)
    if not SAFE_SQUARES[0] < squares.min(initial=1.0) <= squares.max(initial=1.0) < SAFE_SQUARES[1]:
        return False
    scale = 1 / np.sqrt(squares)
    try:
        lower = np.linalg.cholesky(gram * scale[:, None] * scale)
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(lower).min() > CLEARLY_INDEPENDENT)


def _triangle(x: Floats) -> Floats:
    """R of the QR decomposition: the geometry of the columns in p dimensions."""
    r: Floats = np.empty((0, x.shape[1]))
    for start in range(0, len(x), CHUNK):
        r = np.asarray(np.linalg.qr(np.vstack([r, x[start : start + CHUNK]]), mode="r"))
    return r


def _sweep(r: Floats) -> Bools:
    """Gram-Schmidt, twice for accuracy, from left to right over the independent columns only."""
    keep = np.zeros(r.shape[1], dtype=bool)
    basis = np.empty((len(r), 0))
    for j in range(r.shape[1]):
        rest = r[:, j] - basis @ (basis.T @ r[:, j])
        rest -= basis @ (basis.T @ rest)
        length = np.linalg.norm(rest)
        if length > RANK_TOLERANCE:
            keep[j] = True
            basis = np.column_stack([basis, rest / length])
    return keep
