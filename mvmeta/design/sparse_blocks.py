"""Blocks of V as a sparse matrix, and back."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.errors import CovarianceError


def from_square_blocks(blocks: Sequence[Floats]) -> sparse.csr_array:
    """Block-diagonal matrix of square blocks."""
    sizes = np.array([len(b) for b in blocks], dtype=np.intp)
    if not sizes.sum():
        raise CovarianceError("V is an empty list of blocks")
    return block_diagonal(np.concatenate([b.ravel() for b in blocks]), sizes)


def block_diagonal(data: Floats, sizes: Ints) -> sparse.csr_array:
    """Block-diagonal matrix from the entries of its square blocks, row by row.

    Parameters
    ----------
    data : ndarray, shape (sum of squared sizes,)
    sizes : ndarray of int
        Rows of each block.
    """
    start = np.cumsum(sizes) - sizes
    count = np.repeat(sizes, sizes)  # entries of each row
    first = np.repeat(start, sizes)
    indptr = np.concatenate([[0], np.cumsum(count)])
    column = np.arange(len(data)) + np.repeat(first - indptr[:-1], count)
    shape = len(count), len(count)
    out: sparse.csr_array = sparse.csr_array((data, column, indptr), shape=shape)
    return out


def kept_entries(v: sparse.csr_array, row: Ints, keep: Bools) -> sparse.csr_array:
    """The entries of v that are kept; `row` (nnz,) is the row of each."""
    count = np.bincount(row[keep], minlength=v.shape[0])
    start = np.concatenate([[0], np.cumsum(count)]).astype(v.indptr.dtype)
    out: sparse.csr_array = sparse.csr_array((v.data[keep], v.indices[keep], start), shape=v.shape)
    return out


def fill_blocks(
    block: Floats, rows: Ints, off: sparse.csr_array, group: Ints, position: Ints
) -> None:
    """Put the covariances within groups into their blocks (b, m, m).

    Parameters
    ----------
    rows : ndarray of int, shape (b, m)
    off : scipy.sparse.csr_array, shape (n, n)
    group, position : ndarray of int, shape (n,)
        Which group a row belongs to, and where in it; right for all of `rows`.
    """
    start, count = off.indptr[rows], np.diff(off.indptr)[rows]
    if (count == rows.shape[1] - 1).all():  # as in whole blocks without zeros
        entry = start[:, :, None] + np.arange(rows.shape[1] - 1)
        column = off.indices[entry]
        if (group[column] == group[rows[:, :1, None]]).all():
            np.put_along_axis(block, position[column], off.data[entry], axis=2)
            return
    flat, first = count.ravel(), np.cumsum(count.ravel()) - count.ravel()
    entry = np.arange(flat.sum()) + np.repeat(start.ravel() - first, flat)
    row, column = np.repeat(rows.ravel(), flat), off.indices[entry]
    inside = group[row] == group[column]
    row, column, value = row[inside], column[inside], off.data[entry[inside]]
    block[group[row] - group[rows[0, 0]], position[row], position[column]] = value
