"""Integer bookkeeping: codes, nesting, connected clusters of rows, classes of equal size."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mvmeta._typing import Ints


def recode(codes: Ints) -> tuple[Ints, int]:
    """Relabel arbitrary integer codes (n,) to 0..m-1 (in sorted order) and count them."""
    if len(codes) and 0 <= codes.min() and codes.max() <= len(codes):
        seen = np.bincount(codes) > 0
        new = np.cumsum(seen) - 1
        return (codes if seen.all() else new[codes]), int(new[-1]) + 1
    values, inverse = np.unique(codes, return_inverse=True)
    return inverse.astype(np.intp), len(values)


def size_classes(cluster: Ints) -> list[Ints]:
    """Group clusters of equal size.

    Parameters
    ----------
    cluster : ndarray of int, shape (n,)
        Cluster code of each row.

    Returns
    -------
    list of ndarray of int, shape (b, m)
        One array per cluster size m, smallest first: the rows of each of its b clusters.
    """
    code, count = recode(cluster)
    order = np.argsort(code, kind="stable")
    size = np.bincount(code, minlength=count)
    start = np.concatenate([[0], np.cumsum(size)])[:-1]
    out = []
    for m in np.unique(size):
        which = np.flatnonzero(size == m)
        out.append(order[start[which][:, None] + np.arange(m)])
    return out


def is_nested(fine: Ints, coarse: Ints) -> bool:
    """Whether every level of `fine` (n,) lies within one level of `coarse` (n,)."""
    code, count = recode(fine)
    low = np.full(count, np.iinfo(np.intp).max)
    high = np.full(count, -1)
    np.minimum.at(low, code, coarse)
    np.maximum.at(high, code, coarse)
    return bool((low == high).all())


def connected(partitions: Sequence[Ints]) -> Ints:
    """Cluster code (n,) of the rows linked, directly or through others, by any partition (n,)."""
    n = len(partitions[0])
    rows, cols, offset = [], [], n
    for codes in partitions:
        level, count = recode(codes)
        if count == n:
            continue
        rows.append(np.arange(n))
        cols.append(offset + level)
        offset += count
    if not rows:
        return np.arange(n)
    i, j = np.concatenate(rows), np.concatenate(cols)
    graph = sparse.coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(offset, offset))
    return recode(connected_components(graph, directed=False)[1][:n].astype(np.intp))[0]
