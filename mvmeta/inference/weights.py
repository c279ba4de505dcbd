"""How much each row counts, in percent."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats
from mvmeta.inference.fit import Fit


@dataclass(frozen=True, eq=False)
class RowWeights:
    """Two readings of the weight matrix (inv(M), or the user's W), each summing to 100.

    Attributes
    ----------
    diagonal : ndarray, shape (n,)
        Diagonal of the weight matrix.
    rowsum : ndarray, shape (n,)
        Its row sums: what the rows contribute to the estimate of an intercept-only model, where
        they may be negative; NaN for any other model.
    """

    diagonal: Floats
    rowsum: Floats


def row_weights(fit: Fit) -> RowWeights:
    """Weights of the rows in the fixed effects."""
    one = np.ones((fit.problem.n, 1))
    if fit.weights is None:
        diagonal = fit.factor.inverse_diagonal()
    else:
        diagonal = fit.weights.diagonal()
    rowsum = np.full(fit.problem.n, np.nan)
    if fit.problem.p == 1 and (fit.problem.x == 1.0).all():
        rowsum = (fit.factor.solve(one) if fit.weights is None else fit.weights @ one)[:, 0]
    return RowWeights(100.0 * diagonal / diagonal.sum(), 100.0 * rowsum / rowsum.sum())
