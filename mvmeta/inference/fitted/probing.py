"""Quadratic forms c'inv(M)c for many columns c, several of them in one solve."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import recode
from mvmeta.inference.fitted.fit import Fit

BATCH = 1 << 22
"""Numbers one matrix of columns may hold (32 MB)."""

Columns = Callable[[Ints, Ints, int], Floats]
"""Items, the column each goes to, and the number of columns -> their sum, (n, columns)."""


def quadratic_forms(fit: Fit, cluster: Ints, columns: Columns) -> Floats:
    """``c_i'N c_i`` for items whose c_i is zero outside one independent cluster of rows.

    N does not mix clusters, so items of different clusters share a column: for nested data a
    hundred thousand items take as many solves as the largest cluster has items.

    Parameters
    ----------
    fit : Fit
    cluster : ndarray of int, shape (m,)
        Cluster (as in `MetaProblem.cluster`) of each item.
    columns : callable
        Puts the c_i of some items into the columns they are given.

    Returns
    -------
    ndarray, shape (m,)
    """
    out = np.empty(len(cluster))
    rows = fit.problem.cluster
    n = fit.problem.n
    member = sparse.csr_array((np.ones(n), (rows, np.arange(n))), shape=(rows.max() + 1, n))
    for items, column in one_per_cluster(cluster, max(1, BATCH // n)):
        c = columns(items, column, int(column.max()) + 1)
        total = np.asarray(member @ (c * fit.factor.solve(c)))
        out[items] = total[cluster[items], column]
    return out


def one_per_cluster(cluster: Ints, width: int) -> list[tuple[Ints, Ints]]:
    """Batches (items, columns) in which items that share a column are of different clusters.

    Parameters
    ----------
    cluster : ndarray of int, shape (m,)
        Of each item.
    width : int
        Columns a batch may have.
    """
    if not len(cluster):
        return []
    code, _ = recode(cluster)
    order = np.argsort(code, kind="stable")
    start = np.searchsorted(code[order], code[order])
    position = np.empty(len(code), dtype=np.intp)
    position[order] = np.arange(len(code)) - start
    batches = []
    for first in range(0, int(position.max()) + 1, width):
        inside = np.flatnonzero((position >= first) & (position < first + width))
        batches.append((inside, position[inside] - first))
    return batches
