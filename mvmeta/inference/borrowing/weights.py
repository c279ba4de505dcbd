"""How much rows and studies count, in percent."""

from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.inference.borrowing.contributions import contributions, group_sums, variance_shares
from mvmeta.inference.fitted.fit import Fit


@dataclass(frozen=True, eq=False)
class RowWeights:
    """Two readings of the weight matrix (inv(M), or the user's W), each summing to 100.

    Attributes
    ----------
    diagonal : ndarray, shape (n,) or (J,)
        Diagonal of the weight matrix, or its sums over groups of rows.
    rowsum : ndarray, shape (n,) or (J,)
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


def group_weights(fit: Fit, groups: Ints) -> RowWeights:
    """`row_weights` summed over groups 0..J-1 (n,) of rows."""
    by_row = row_weights(fit)
    sums = group_sums(np.stack([by_row.diagonal, by_row.rowsum]), groups)
    return RowWeights(sums[0], sums[1])


def coefficient_weights(fit: Fit, groups: Ints) -> Floats:
    """Percentage weights (p, J) of groups of rows in each coefficient; rows sum to 100.

    Shares of the variance of the coefficient, see `contributions.variance_shares`: not negative
    for independent groups, negative for a group whose covariance with the others lowers it.
    Signed shares of the estimate itself are the sums of `contributions.contributions`.
    """
    return 100.0 * variance_shares(fit, contributions(fit), groups)
