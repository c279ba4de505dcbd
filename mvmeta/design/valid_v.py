"""Whether V can be a covariance matrix, and where it cannot."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import CovarianceError

SYMMETRY_TOLERANCE = 1e-8
"""Largest |V_ij - V_ji| / sqrt(V_ii V_jj) taken for rounding: metafor, too, asks for 1e-8."""

CLEARLY_DEFINITE = 1e-6
"""Determinant of the correlations in a block, relative to its order and to the ratio of its
largest variance to its least one, above which its eigenvalues need not be computed."""

DEFINITE_TOLERANCE = 1e-10
"""An eigenvalue above -this times the largest one of its block counts as zero, not negative."""


def check_variances(v: Floats, names: Sequence[object] | None) -> None:
    """Refuse variances that are not finite and at least 0; names the rows."""
    for bad, what in ((~np.isfinite(v), "missing or infinite"), (v < 0, "negative")):
        if bad.any():
            where = _name_rows(np.flatnonzero(bad), names)
            raise CovarianceError(f"sampling variances must be finite and >= 0; {what} in {where}")


def symmetrised(
    off: sparse.csr_array, variances: Floats, names: Sequence[object] | None
) -> sparse.csr_array:
    """``(off + off') / 2``, after a check that the two differ by rounding only."""
    other = off.T.tocsr()
    if np.array_equal(off.indptr, other.indptr) and np.array_equal(off.indices, other.indices):
        if np.array_equal(off.data, other.data):
            return off
        mean = 0.5 * (off.data + other.data)
        symmetric: sparse.csr_array = sparse.csr_array((mean, off.indices, off.indptr), off.shape)
    else:
        symmetric = ((off + other) * 0.5).tocsr()
    gap = abs(off - other).tocoo()
    scale = np.sqrt(variances[gap.row] * variances[gap.col])
    bad = gap.data > SYMMETRY_TOLERANCE * scale
    if bad.any():
        k = int(np.argmax(np.where(bad, gap.data, 0.0)))
        pair = np.array([gap.row[k], gap.col[k]])
        raise CovarianceError(
            f"V is not symmetric: entries ({pair[0]}, {pair[1]}) and ({pair[1]}, {pair[0]}), "
            f"{_name_rows(np.sort(pair), names)}, differ by {gap.data[k]:.3g}; make them equal"
        )
    return symmetric


def check_definite(pivots: Sequence[tuple[Ints, Floats]], names: Sequence[object] | None) -> None:
    """Refuse a V with a negative eigenvalue; names the block.

    Parameters
    ----------
    pivots : sequence of (ndarray of int (b, m), ndarray (b, m))
        Rows of blocks that are not clearly definite, and their eigenvalues, rising.
    names : sequence, optional
        Of the rows.
    """
    for rows, values in pivots:
        bad = np.flatnonzero(values[:, 0] < -DEFINITE_TOLERANCE * np.abs(values[:, -1]))
        if len(bad):
            first = bad[np.argmin(values[bad, 0])]
            raise CovarianceError(
                "V is not positive semi-definite: the block of "
                f"{_name_rows(rows[first], names)} has the smallest eigenvalue "
                f"{values[first, 0]:.3g}"
                + (f" ({len(bad) - 1} more blocks of this size are bad)" if len(bad) > 1 else "")
                + "; check the correlations between these rows"
            )


def squared_pivots(stack: Floats) -> Floats:
    """Squared diagonals (b, m) of Cholesky factors; NaN where one of the blocks has none."""
    try:
        lower = np.linalg.cholesky(stack)
    except np.linalg.LinAlgError:
        return np.full(stack.shape[:2], np.nan)
    return np.asarray(np.diagonal(lower, axis1=1, axis2=2) ** 2)


def clearly_definite(stack: Floats, pivots: Floats) -> Bools:
    """Blocks (b,) whose smallest eigenvalue is far from 0, by the cheapest of all bounds.

    The determinant of a correlation matrix is at most e times its smallest eigenvalue.
    """
    variances = np.diagonal(stack, axis1=1, axis2=2)
    largest = variances.max(axis=1)
    determinant = np.divide(pivots, variances, out=np.zeros_like(pivots), where=variances > 0)
    least = CLEARLY_DEFINITE * stack.shape[1] * largest
    return np.asarray(determinant.prod(axis=1) * variances.min(axis=1) > least)


def name_entry(i: int, j: int, names: Sequence[object] | None) -> str:
    """An entry of V in messages."""
    row, column = (k if names is None else names[k] for k in (i, j))
    return f"row {row}, column {column}"


def _name_rows(index: Ints, names: Sequence[object] | None, most: int = 6) -> str:
    labels = [str(i if names is None else names[int(i)]) for i in index[:most]]
    more = f" and {len(index) - most} more" if len(index) > most else ""
    return ("row " if len(index) == 1 else "rows ") + ", ".join(labels) + more
