"""In which order of its rows a matrix is best taken apart."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Bools, Floats, Ints


def pivot_order(g: Floats, first: Sequence[int] = ()) -> Ints:
    """Order of the rows of a positive semi-definite g (q, q) with the largest pivots first.

    Rows `first` stay in front of all others.
    """
    rest, order = g.copy(), starting_with(first, len(g))
    for k in range(len(g)):
        best = k if k < len(first) else k + int(np.argmax(rest[order[k:], order[k:]]))
        order[[k, best]] = order[[best, k]]
        pivot = order[k]
        if rest[pivot, pivot] <= 0:
            break
        rest = rest - np.outer(rest[:, pivot], rest[pivot]) / rest[pivot, pivot]
    return order


def starting_with(first: Sequence[int], q: int) -> Ints:
    """The order of q rows with `first` in front and the others as they are."""
    return np.array([*first, *(k for k in range(q) if k not in first)], dtype=np.intp)


def zero_preserving_order(linked: Bools) -> Ints | None:
    """Order of levels in which a Cholesky factor has the zeros of the matrix, if there is one.

    Taking out a level links, through products of its column of L, all later levels it is
    linked to; so those must be linked already.  Such an order exists if and only if the links
    form a chordal graph (Rose 1970, J. Math. Anal. Appl. 32:597), and picking any level that
    qualifies, again and again, finds one.

    Parameters
    ----------
    linked : ndarray of bool, shape (q, q)
        Symmetric, False on the diagonal.

    Returns
    -------
    ndarray of int, shape (q,), or None
        None if four or more levels are linked in a ring without short cuts.
    """
    order: list[int] = []
    left = np.ones(len(linked), dtype=bool)
    while left.any():
        fits = [int(k) for k in np.flatnonzero(left) if _is_clique(linked, linked[k] & left)]
        if not fits:
            return None
        order.append(fits[0])
        left[fits[0]] = False
    return np.array(order, dtype=np.intp)


def _is_clique(linked: Bools, members: Bools) -> bool:
    among = linked[np.ix_(members, members)]
    return bool(among.sum() == len(among) * (len(among) - 1))
