"""Permutation test of moderators: their values dealt to the groups, or rows, in other orders.

Under the hypothesis that a moderator does nothing its values might as well have come with other
groups (or, if it varies within groups, with other rows of its group): Follmann & Proschan (1999,
Biometrics 55:732), Higgins & Thompson (2004, Stat Med 23:1663).  The components are estimated again
for every order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from math import factorial

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import ConvergenceError, CovarianceError, SpecificationError
from mvmeta.inference.estimate import estimate
from mvmeta.inference.fit import Fit
from mvmeta.marginal.select import build_backend
from mvmeta.progress import track

SAME = 1e-9
"""Relative difference of statistics that are one: an order counts against itself."""
MOST_ENUMERATED = 10
"""Groups up to which all orders may be taken: 10! is 3.6 million."""


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A test whose distribution is that over orders of the moderators.

    Attributes
    ----------
    statistic : float
        QM, the Wald chi-square of the tested coefficients in the data.
    df : int
        Number of tested coefficients.
    pvalue : float
        Share of orders with a statistic as large: among all orders, or (1 + count) / (n + 1).
    pvalue_error : float
        Its Monte Carlo standard error; 0 if all orders were taken.
    replicates : ndarray, shape (n,)
        The statistics; NaN where the likelihood of an order has no maximum.
    enumerated : bool
        All orders were taken.
    unit : str
        "groups": values were dealt to groups; "rows": within groups, or over all rows.
    n_units : int
        How many groups or rows there are.
    """

    statistic: float
    df: int
    pvalue: float
    pvalue_error: float
    replicates: Floats
    enumerated: bool
    unit: str
    n_units: int

    @property
    def n_failed(self) -> int:
        """Orders without a statistic, which are left out."""
        return int(np.isnan(self.replicates).sum())

    def __str__(self) -> str:
        how = "all" if self.enumerated else f"{len(self.replicates)} random"
        error = "" if self.enumerated else f" (+- {self.pvalue_error:.2g})"
        return (
            f"permutation test, {how} orders of {self.n_units} {self.unit}: QM({self.df}) = "
            f"{self.statistic:.4g}, p = {self.pvalue:.4g}{error}"
        )


def permutation_test(
    fit: Fit,
    columns: Ints,
    groups: Ints,
    n: int,
    rng: np.random.Generator,
) -> PermutationTest:
    """Deal the values of some columns of X in other orders; see `PermutationTest`.

    Parameters
    ----------
    fit : Fit
    columns : ndarray of int
        Columns of X to test.
    groups : ndarray of int, shape (n,)
        Group of each row, 0, 1, ...
    n : int
        Random orders; all are taken where there are no more.
    rng : Generator

    Raises
    ------
    SpecificationError
        Under user weights, or if some columns vary between groups alone and others within.
    """
    if fit.weights is not None:
        raise SpecificationError("permutation tests need generalized least squares, not weights")
    unit = _unit(fit.problem.x[:, columns], groups)
    count = int(groups.max()) + 1 if unit == "groups" else fit.problem.n
    single = unit == "groups" or groups.max() == 0 or len(np.unique(groups)) == len(groups)
    exact = single and count <= MOST_ENUMERATED and factorial(count) <= n
    orders = _all(count) if exact else _random(count, groups, unit, n, rng)
    total = factorial(count) if exact else n
    statistic = _statistic(fit.beta, fit.cov_beta, columns)
    values = np.full(total, np.nan)
    for b, order in enumerate(track(orders, "orders", total)):
        rows = _rows(order, groups) if unit == "groups" else order
        at = _refit(fit, columns, rows)
        if at is not None:
            values[b] = _statistic(at.beta, at.cov_beta, columns)
    found = values[np.isfinite(values)]
    larger = int((found >= statistic * (1.0 - SAME)).sum())
    p = larger / len(found) if exact else (larger + 1) / (len(found) + 1)
    error = 0.0 if exact else float(np.sqrt(p * (1.0 - p) / (len(found) + 1)))
    return PermutationTest(statistic, len(columns), float(p), error, values, exact, unit, count)


def _unit(x: Floats, groups: Ints) -> str:
    """What the values of the columns belong to: groups or rows."""
    first = np.unique(groups, return_index=True)[1][groups]
    constant = (x == x[first]).all(axis=0)
    if constant.all() and len(np.unique(groups)) < len(groups):
        return "groups"
    if constant.any() and len(np.unique(groups)) < len(groups):
        raise SpecificationError(
            "some of the tested moderators are constant within groups and some vary there: their "
            "values cannot be dealt in one order; test them one after the other by terms="
        )
    return "rows"


def _all(count: int) -> Iterator[Ints]:
    for order in permutations(range(count)):
        yield np.array(order)


def _random(
    count: int, groups: Ints, unit: str, n: int, rng: np.random.Generator
) -> Iterator[Ints]:
    if unit == "groups" or len(np.unique(groups)) == len(groups):
        for _ in range(n):
            yield rng.permutation(count)
        return
    members = [np.flatnonzero(groups == g) for g in range(int(groups.max()) + 1)]
    for _ in range(n):
        order = np.arange(count)
        for rows in members:
            order[rows] = rng.permutation(rows)
        yield order


def _rows(order: Ints, groups: Ints) -> Ints:
    """A row (n,) of the group whose values each row gets."""
    first = np.unique(groups, return_index=True)[1]
    return first[order[groups]]


def _refit(fit: Fit, columns: Ints, rows: Ints) -> Fit | None:
    x = fit.problem.x.copy()
    x[:, columns] = x[rows][:, columns]
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return None
    try:
        backend = build_backend(replace(fit.problem, x=x))
        return estimate(backend, reml=fit.reml, start=fit.theta)[0]
    except (ConvergenceError, CovarianceError):
        return None


def _statistic(beta: Floats, cov: Floats, columns: Ints) -> float:
    b = beta[columns]
    return float(b @ np.linalg.solve(cov[np.ix_(columns, columns)], b))
