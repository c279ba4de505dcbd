"""Residuals that are uncorrelated under the model: R e with R'R the inverse of M."""

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.layout import size_classes
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.fitted.stacks import marginal_stack


def cholesky_residuals(fit: Fit) -> Floats:
    """R e of shape (n,), R upper triangular with R'R = inv(M).

    They depend on the order of the rows: each is a residual given those after it in its cluster.

    Notes
    -----
    With U upper triangular and M = U U', R = inv(U).  M is block-diagonal over the independent
    clusters, whose rows keep their order, so that each block has its own factor.
    """
    out = np.empty(fit.problem.n)
    for rows in size_classes(fit.problem.cluster):
        m = marginal_stack(fit, rows)
        upper = np.linalg.cholesky(m[:, ::-1, ::-1])[:, ::-1, ::-1]
        out[rows] = np.linalg.solve(upper, fit.resid[rows][:, :, None])[:, :, 0]
    return out
