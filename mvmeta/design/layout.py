"""Integer bookkeeping: codes, nesting, connected clusters of rows, classes of equal size."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mvmeta._typing import Ints


def ranks(values: Ints) -> tuple[Ints, Ints]:
    """Codes (n,) that number the distinct values in their order, and these values (m,).

    One pass over sorted values, a table over values from a range of about n, a sort for others.
    """
    n = len(values)
    if (values[1:] >= values[:-1]).all():
        new = np.ones(n, dtype=bool)
        np.not_equal(values[1:], values[:-1], out=new[1:])
        if new.all():
            return np.arange(n), values
        codes = np.cumsum(new)
        codes -= 1
        return codes, values[new]
    low, high = int(values.min()), int(values.max())
    if high - low <= TABLE_PER_ROW * n:
        offset = (values if values.itemsize == 8 else values.astype(np.int64)) - low
        seen = np.zeros(high - low + 1, dtype=bool)
        seen[offset] = True
        codes = (np.cumsum(seen) - 1)[offset]
        distinct = np.empty(np.count_nonzero(seen), dtype=values.dtype)
        distinct[codes] = values
        return codes, distinct
    order = np.argsort(values)
    codes = np.empty(n, dtype=np.intp)
    codes[order], distinct = ranks(values[order])
    return codes, distinct


TABLE_PER_ROW = 4
"""Length of a table, in rows of the data, that is still cheaper than sorting."""


def recode(codes: Ints) -> tuple[Ints, int]:
    """Relabel arbitrary integer codes (n,) to 0..m-1 (in sorted order) and count them."""
    if len(codes) and 0 <= codes.min() and codes.max() < len(codes):
        seen = np.zeros(int(codes.max()) + 1, dtype=bool)
        seen[codes] = True
        if seen.all():
            return codes, len(seen)
    new, values = ranks(codes)
    return new, len(values)


def grouped_order(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """Rows group by group, each group's in their order (n,), and the sizes of groups (count,).

    By counting, in a time proportional to n.
    """
    n, size = len(codes), np.bincount(codes, minlength=count)
    if (codes[1:] >= codes[:-1]).all():
        return np.arange(n), size
    rows = sparse.csr_array((np.ones(n, dtype=np.int8), codes, np.arange(n + 1)), shape=(n, count))
    return rows.tocsc().indices.astype(np.intp), size


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
    order, size = grouped_order(code, count)
    start = np.concatenate([[0], np.cumsum(size)])[:-1]
    out = []
    for m in np.unique(size):
        which = np.flatnonzero(size == m)
        out.append(order[start[which][:, None] + np.arange(m)])
    return out


def is_nested(fine: Ints, coarse: Ints) -> bool:
    """Whether every level of `fine` (n,) lies within one level of `coarse` (n,)."""
    return lies_within(*recode(fine), coarse)


def lies_within(code: Ints, count: int, coarse: Ints) -> bool:
    """`is_nested` for codes (n,) that are 0..count-1 already."""
    if count == len(code):
        return True
    owner = np.empty(count, dtype=coarse.dtype)
    owner[code] = coarse
    return bool((owner[code] == coarse).all())


def _by_appearance(code: Ints, count: int) -> Ints:
    """Codes 0..count-1 relabelled in the order in which they come up in the rows (n,)."""
    if (code[1:] >= code[:-1]).all():
        return code
    first = np.empty(count, dtype=np.intp)
    first[code[::-1]] = np.arange(len(code))[::-1]
    rank = np.empty(count, dtype=np.intp)
    rank[np.argsort(first)] = np.arange(count)
    return rank[code]


def connected(partitions: Sequence[Ints]) -> Ints:
    """Cluster code (n,) of the rows linked, directly or through others, by any partition (n,)."""
    n = len(partitions[0])
    coarsest, count = min((recode(codes) for codes in partitions), key=lambda found: found[1])
    if count == n or all(is_nested(codes, coarsest) for codes in partitions):
        return _by_appearance(coarsest, count)
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
