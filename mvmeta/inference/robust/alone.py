"""Coefficients that a single cluster determines: without it they cannot be estimated."""

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.likelihood.orthonormal import orthonormal_basis

ROUNDING = 1e-9
"""Distance of a share from 1, or of a loading from 0, that is rounding."""


def determined_alone(x: Floats, code: Ints) -> dict[int, Bools]:
    """Clusters that determine coefficients by themselves, and which.

    A robust covariance learns from how the clusters differ.  Of a coefficient that cannot be
    estimated without one of them it learns nothing: the residuals of that cluster are 0 in its
    direction by construction.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Of full column rank.
    code : ndarray of int, shape (n,)
        Cluster of each row.

    Returns
    -------
    dict of int to ndarray of bool, shape (p,)
        At most p clusters.

    Notes
    -----
    With ``X = Q R`` and Q orthonormal, ``Q_c'Q_c`` has an eigenvalue of 1 where cluster c
    alone has a direction of the column space; its trace is then 1 or more, and the traces add up
    to p, so that few clusters have to be looked at.
    """
    q, r = orthonormal_basis(x)
    traces = np.bincount(code, np.einsum("np,np->n", q, q))
    inverse = np.linalg.inv(r)
    found = {}
    for cluster in np.flatnonzero(traces > 1.0 - ROUNDING).tolist():
        rows = q[code == cluster]
        values, vectors = np.linalg.eigh(rows.T @ rows)
        own = inverse @ vectors[:, values > 1.0 - ROUNDING]
        reached = np.linalg.norm(own, axis=1) > ROUNDING * np.linalg.norm(inverse, axis=1)
        if reached.any():
            found[cluster] = np.asarray(reached)
    return found
