"""An orthonormal basis of the columns of X.

X'NX of a raw polynomial or of columns in different units loses digits that no later step can
give back (six of them for year and year squared); on an orthonormal basis nothing is lost, and
the term 1/2 log|X'X| of the REML likelihood is 0.
"""

import numpy as np
from scipy import linalg

from mvmeta._typing import Floats

DIRECT_UP_TO = 100_000
"""Rows up to which Householder QR is used; it is exact to rounding whatever X is."""
ORTHONORMAL = 1e-11
"""Largest |Q'Q - I| accepted from the faster route; sums over 1e7 rows round by 1e-12."""


def orthonormal_basis(x: Floats) -> tuple[Floats, Floats]:
    """Q (n, p) and upper triangular R (p, p) with X = Q R and Q'Q = I.

    Above `DIRECT_UP_TO` rows by CholeskyQR2 (Yamamoto et al. 2015, Electron Trans Numer Anal
    44:306), three passes over X, unless X is too ill-conditioned for it.
    """
    if len(x) > DIRECT_UP_TO:
        found = _cholesky_qr2(x)
        if found is not None:
            return found
    q, r = np.linalg.qr(x)
    return q, r


def _cholesky_qr2(x: Floats) -> tuple[Floats, Floats] | None:
    q, r = x, np.eye(x.shape[1])
    try:
        for _ in range(2):
            step = linalg.cholesky(q.T @ q)
            q = q @ linalg.solve_triangular(step, np.eye(len(step)))
            r = step @ r
    except linalg.LinAlgError:
        return None
    if np.abs(q.T @ q - np.eye(len(r))).max(initial=0.0) > ORTHONORMAL:
        return None
    return q, r
