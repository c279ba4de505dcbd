"""Permutation test of moderators: their values dealt to the groups, or rows, in other orders.

Under the hypothesis that a moderator does nothing its values might as well have come with other
groups (or, if it varies within groups, with other rows of its group): Follmann & Proschan (1999,
Biometrics 55:732), Higgins & Thompson (2004, Stat Med 23:1663).  The components are estimated again
for every order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import factorial, lgamma, prod

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.errors import ConvergenceError, CovarianceError, SpecificationError
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.marginal.select import build_backend
from mvmeta.progress import track

SAME = 1e-9
"""Relative difference of statistics that are one: an order counts against itself."""
SPANNED = 1e-8
"""Distance of the constant from the tested columns, relative to its length, that is rounding."""
MOST_LOG = 100.0
"""Logarithm of a number of orders that nobody takes all of."""


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A test whose distribution is that over orders of the moderators.

    Attributes
    ----------
    statistic : float
        Chi-square: QM of the tested coefficients in the data.
    df : int
        Number of tested coefficients.
    pvalue : float
        Share of orders with a statistic as large: among all orders, or (1 + count) / (n + 1).
    pvalue_error : float
        Monte Carlo standard error of the p-value; 0 if all orders were taken.
    replicates : ndarray, shape (n,)
        Chi-squares of the orders; NaN where the likelihood of an order has no maximum.
    enumerated : bool
        All orders were taken; those that give every row the same values count once.
    unit : str
        "groups": values were dealt to groups; "rows": within groups, or over all rows.
    n_units : int
        How many groups or rows there are.

    Examples
    --------
    >>> from mvmeta import MetaMixedLM, datasets
    >>> bcg = datasets.load("bcg")
    >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
    >>> test = model.fit().permutation_test(n=99, seed=1)
    >>> print(test)
    permutation test, 99 random orders of 13 rows: QM(1) = 16.36, p = 0.01 (+- 0.0099)
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
        """Orders without a statistic, which are left out.

        Examples
        --------
        >>> from mvmeta import MetaMixedLM, datasets
        >>> bcg = datasets.load("bcg")
        >>> model = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial")
        >>> test = model.fit().permutation_test(n=99, seed=1)
        >>> test.n_failed
        0
        """
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
        Random orders; all different ones are taken where there are no more.
    rng : Generator

    Raises
    ------
    SpecificationError
        Under user weights; if some columns vary between groups alone and others within, if there
        is no other order, or if the columns are means of categories.
    """
    if fit.weights is not None:
        raise SpecificationError("permutation tests need generalized least squares, not weights")
    _check_moderators(fit.problem.x, columns)
    dealing = _dealing(fit.problem.x[:, columns], groups)
    if dealing.arrangements == 1:
        raise SpecificationError(
            "the tested moderators have the same values in every order: there is nothing to deal"
        )
    exact = dealing.arrangements <= n
    orders = dealing.all() if exact else dealing.random(n, rng)
    total = int(dealing.arrangements) if exact else n
    statistic = _statistic(fit.beta, fit.cov_beta, columns)
    values = np.full(total, np.nan)
    for b, order in enumerate(track(orders, "orders", total)):
        at = _refit(fit, columns, dealing.rows(order))
        if at is not None:
            values[b] = _statistic(at.beta, at.cov_beta, columns)
    found = values[np.isfinite(values)]
    larger = int((found >= statistic * (1.0 - SAME)).sum())
    p = larger / len(found) if exact else (larger + 1) / (len(found) + 1)
    error = 0.0 if exact else float(np.sqrt(p * (1.0 - p) / (len(found) + 1)))
    unit, count = dealing.unit, len(dealing.values)
    return PermutationTest(statistic, len(columns), float(p), error, values, exact, unit, count)


def _check_moderators(x: Floats, columns: Ints) -> None:
    """QM asks whether the coefficients are 0, orders whether the values matter."""
    ones = np.ones((len(x), 1))

    def spans(part: Floats) -> bool:
        rest = ones - part @ np.linalg.lstsq(part, ones, rcond=None)[0]
        return bool(np.linalg.norm(rest) <= SPANNED * np.sqrt(len(x)))

    if spans(x[:, columns]) and not spans(np.delete(x, columns, axis=1)):
        raise SpecificationError(
            "the tested coefficients are means of categories, or the mean itself: other orders "
            "tell whether means differ, not whether they are 0; write the formula with an "
            "intercept (without '- 1' or '0 +') and test the term"
        )


@dataclass(frozen=True, eq=False)
class Dealing:
    """Which values are dealt to whom.

    Attributes
    ----------
    unit : str
        "groups" or "rows".
    values : ndarray of int, shape (U,)
        Code of the values of each unit: equal ones are exchanged without effect.
    blocks : list of ndarray of int
        Units among which values are dealt.
    source : ndarray of int, shape (U,)
        A row of each unit.
    member : ndarray of int, shape (n,)
        Unit of each row.
    """

    unit: str
    values: Ints
    blocks: list[Ints]
    source: Ints
    member: Ints

    @cached_property
    def arrangements(self) -> float:
        """Number of different ways to deal the values; infinite where it has hundreds of digits."""
        repeats = [np.unique(self.values[b], return_counts=True)[1].tolist() for b in self.blocks]
        if sum(lgamma(sum(m) + 1) - sum(lgamma(k + 1) for k in m) for m in repeats) > MOST_LOG:
            return np.inf
        return prod(factorial(sum(m)) // prod(map(factorial, m)) for m in repeats)

    def all(self) -> Iterator[Ints]:
        """Every way once, as the unit (U,) whose values each unit gets."""
        first = np.zeros(int(self.values.max()) + 1, dtype=np.intp)
        first[self.values[::-1]] = np.arange(len(self.values))[::-1]
        ways = (list(_distinct(sorted(self.values[b].tolist()))) for b in self.blocks)
        for dealt in product(*ways):
            order = np.arange(len(self.values))
            for block, codes in zip(self.blocks, dealt, strict=True):
                order[block] = first[list(codes)]
            yield order

    def random(self, n: int, rng: np.random.Generator) -> Iterator[Ints]:
        """`n` ways drawn with equal probabilities."""
        for _ in range(n):
            order = np.arange(len(self.values))
            for block in self.blocks:
                order[block] = rng.permutation(block)
            yield order

    def rows(self, order: Ints) -> Ints:
        """A row (n,) whose values each row gets."""
        return self.source[order[self.member]]


def _dealing(x: Floats, groups: Ints) -> Dealing:
    """Values of the columns belong to groups, or to rows."""
    n, count = len(x), int(groups.max()) + 1
    source = np.unique(groups, return_index=True)[1]
    constant = (x == x[source][groups]).all(axis=0)
    codes = np.unique(x, axis=0, return_inverse=True)[1].reshape(n)
    if constant.all() and count < n:
        return Dealing("groups", codes[source], [np.arange(count)], source, groups)
    if constant.any() and count < n:
        raise SpecificationError(
            "some of the tested moderators are constant within groups and some vary there: their "
            "values cannot be dealt in one order; test them one after the other by terms="
        )
    rows = np.arange(n)
    members = [rows] if count == n else [np.flatnonzero(groups == g) for g in range(count)]
    return Dealing("rows", codes, members, rows, rows)


def _distinct(values: list[int]) -> Iterator[tuple[int, ...]]:
    """Different orders of sorted values, each once, in lexicographic order."""
    values = list(values)
    while True:
        yield tuple(values)
        falls = [i for i in range(len(values) - 1) if values[i] < values[i + 1]]
        if not falls:
            return
        i = falls[-1]
        j = max(k for k in range(i + 1, len(values)) if values[k] > values[i])
        values[i], values[j] = values[j], values[i]
        values[i + 1 :] = reversed(values[i + 1 :])


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
