"""V with given variances and one correlation between the errors of rows of a group."""

import numpy as np
from scipy import sparse

from mvmeta._typing import Floats, Ints
from mvmeta.design.layout import size_classes
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import CovarianceError


def lowest_correlation(groups: Ints) -> float:
    """The smallest common correlation the largest group can have: -1 / (m - 1) for m rows."""
    largest = int(np.bincount(groups).max())
    return -1.0 / (largest - 1) if largest > 1 else -1.0


def exchangeable(variances: Floats, groups: Ints, rho: float) -> SamplingCovariance:
    """``V(rho) = D^(1/2) R(rho) D^(1/2)``, R with `rho` between rows of a group and 0 elsewhere.

    Parameters
    ----------
    variances : ndarray, shape (n,)
        The diagonal D.
    groups : ndarray of int, shape (n,)
        Group 0..J-1 (study) of each row.
    rho : float
        At least -1 / (m - 1) for m rows in the largest group, at most 1.

    Returns
    -------
    SamplingCovariance

    Raises
    ------
    CovarianceError
        For a correlation with which V is not positive semi-definite.
    """
    lowest = lowest_correlation(groups)
    if not lowest <= rho <= 1.0:
        raise CovarianceError(
            f"a common correlation within groups must lie in [{lowest:.4g}, 1] here, as the "
            f"largest group has {int(np.bincount(groups).max())} rows; got {rho:g}"
        )
    if rho == 0.0:
        return SamplingCovariance(variances)
    sd = np.sqrt(variances)
    i, j = _pairs(groups)
    n = len(variances)
    off = sparse.csr_array((rho * sd[i] * sd[j], (i, j)), shape=(n, n))
    off.eliminate_zeros()
    return SamplingCovariance(variances, off if off.nnz else None)


def _pairs(groups: Ints) -> tuple[Ints, Ints]:
    """Row and column of every entry outside the diagonal and inside a group."""
    i, j = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    for rows in size_classes(groups):
        m = rows.shape[1]
        a, b = np.nonzero(~np.eye(m, dtype=bool))
        i.append(rows[:, a].ravel())
        j.append(rows[:, b].ravel())
    return np.concatenate(i), np.concatenate(j)
