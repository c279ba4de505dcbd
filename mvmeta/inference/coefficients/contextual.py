"""Moderators within and between groups of rows, and whether the two have one effect."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.select import build_backend

VARIES = 1e-8
"""Spread of a moderator, relative to its size, that counts as none."""

RANK_TOLERANCE = 1e-8
"""Part of a group mean, relative to its length, that must be new for it to be added."""


@dataclass(frozen=True, eq=False)
class Contextual:
    """Test of whether a moderator has the same effect within groups and between them.

    Attributes
    ----------
    difference, se : ndarray, shape (m,)
        Coefficients of the group means: effect between minus effect within groups.
    statistic : float
        Wald F of the m coefficients.
    df, df_denom : int
        m, and the number of groups less that of the columns constant within groups.
    pvalue : float
    """

    difference: Floats
    se: Floats
    statistic: float
    df: int
    df_denom: int
    pvalue: float


def group_means(x: Floats, groups: Ints) -> Floats:
    """Mean of each column of x (n, m) over the group of each row, shape (n, m)."""
    size = np.bincount(groups)
    sums = np.zeros((len(size), x.shape[1]))
    np.add.at(sums, groups, x)
    return np.asarray((sums / size[:, None])[groups])


def varies(x: Floats, groups: Ints) -> tuple[Bools, Bools]:
    """Which columns of x (n, m) vary within some group, and which have means that differ.

    Parameters
    ----------
    x : ndarray, shape (n, m)
    groups : ndarray of int, shape (n,)

    Returns
    -------
    within, between : ndarray of bool, shape (m,)
    """
    mean = group_means(x, groups)
    size = np.abs(x).max(axis=0)
    within = np.abs(x - mean).max(axis=0) > VARIES * size
    between = np.ptp(mean, axis=0) > VARIES * size
    return within, between


def contextual_test(fit: Fit, columns: Ints, groups: Ints) -> Contextual | None:
    """Add the group means of some columns of X and test them.

    Parameters
    ----------
    fit : Fit
    columns : ndarray of int, shape (c,)
        Columns of X that vary within and between groups.
    groups : ndarray of int, shape (n,)

    Returns
    -------
    Contextual or None
        None where the means are combinations of columns of X already, or where no group is
        left to test them against.

    Notes
    -----
    With the mean of the group as a further moderator the coefficient of the moderator itself
    is its effect within groups, that of the mean the difference between the effects between
    and within groups, 0 if they are the same (Mundlak 1978, Econometrica 46:69; Raudenbush &
    Bryk 2002, Hierarchical Linear Models, ch. 5).  Everything is fitted again, by the criterion
    of the fit.

    Raises
    ------
    ConvergenceError, CovarianceError
        If the larger model cannot be fitted.
    """
    x = fit.problem.x
    added = _new_part(x, group_means(x[:, columns], groups))
    m = added.shape[1]
    larger_x = np.column_stack([x, added])
    left = int(groups.max()) + 1 - int((~varies(larger_x, groups)[0]).sum())
    if not m or left < 1 or fit.problem.n <= larger_x.shape[1]:
        return None
    problem = replace(fit.problem, x=larger_x)
    larger, _ = estimate(build_backend(problem), reml=fit.reml, start=fit.theta)
    beta, cov = larger.beta[-m:], larger.cov_beta[-m:, -m:]
    f = float(beta @ np.linalg.solve(cov, beta)) / m
    pvalue = float(stats.f.sf(f, m, left))
    return Contextual(beta, np.sqrt(np.diag(cov)), f, m, left, pvalue)


def _new_part(x: Floats, means: Floats) -> Floats:
    """The columns of `means` (n, c) that are not combinations of x and those before, (n, m)."""
    basis = np.linalg.qr(x)[0]
    kept = []
    for column in means.T:
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > RANK_TOLERANCE * np.linalg.norm(column):
            kept.append(column)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return np.array(kept).reshape(len(kept), len(x)).T
