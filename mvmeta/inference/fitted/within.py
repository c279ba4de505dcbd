"""Which coefficients comparisons within groups of rows tell something about."""

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.design.layout import recode

SINGULAR = 1e-8
"""Singular value of the columns about their group means, relative to the columns, that is 0."""
OUTSIDE = 1e-6
"""Part of a coefficient that lies outside what is estimable, beyond which all of it does."""


def within_triangle(x: Floats, codes: Ints) -> Floats:
    """R (m, p) of the columns of x (n, p) about their means in the groups `codes` (n,).

    Of rows that hold whole groups it adds up: R of the two R on top of each other.
    """
    level, count = recode(codes)
    size = np.bincount(level, minlength=count)[:, None]
    total = np.zeros((count, x.shape[1]))
    np.add.at(total, level, x)
    return np.asarray(np.linalg.qr(x - (total / size)[level], mode="r"))


def told_within(triangle: Floats, size: Floats) -> Bools:
    """Coefficients (p,) that are estimable with a fixed effect for every group.

    Parameters
    ----------
    triangle : ndarray, shape (m, p)
        Of `within_triangle`.
    size : ndarray, shape (p,)
        Norms of the columns of X.
    """
    _, values, rows = np.linalg.svd(triangle / size, full_matrices=False)
    inside = (rows[values > SINGULAR] ** 2).sum(axis=0)
    return np.asarray(inside > 1.0 - OUTSIDE)
