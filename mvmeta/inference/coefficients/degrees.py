"""Degrees of freedom of coefficients, contrasts and joint tests."""

from abc import ABC, abstractmethod

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.fit import Fit


class DegreesOfFreedom(ABC):
    """A rule that gives every test its reference distribution.

    Attributes
    ----------
    normal : bool
        True where z and chi-square are meant; False for t and F, even with infinite df.
    """

    normal: bool = False

    @abstractmethod
    def coefficients(self) -> Floats:
        """One df per coefficient, shape (p,)."""

    @abstractmethod
    def contrast(self, row: Floats) -> float:
        """Df of the linear combination ``row @ beta``, row (p,)."""

    @abstractmethod
    def joint(self, rows: Floats) -> float:
        """Denominator df of the joint test of ``rows @ beta``, rows (m, p), full row rank."""

    def scale(self, rows: Floats) -> float:
        """Factor by which the Wald F statistic of `rows` (m, p) is multiplied."""
        return 1.0

    def contrasts(self, rows: Floats) -> Floats:
        """`contrast` of every row of rows (m, p), shape (m,)."""
        return np.array([self.contrast(row) for row in rows], dtype=float)


class PerCoefficient(DegreesOfFreedom):
    """One given df per coefficient; combinations take the least of those they involve.

    Parameters
    ----------
    values : ndarray, shape (p,)
    normal : bool
        Refer to the normal and chi-square distributions.
    """

    def __init__(self, values: Floats, *, normal: bool = False) -> None:
        self._values = np.asarray(values, dtype=float)
        self.normal = normal

    def coefficients(self) -> Floats:
        return self._values.copy()

    def contrast(self, row: Floats) -> float:
        used = np.asarray(row) != 0
        return float(self._values[used].min()) if used.any() else float(self._values.min())

    def joint(self, rows: Floats) -> float:
        return self.contrast((np.asarray(rows) != 0).any(axis=0))


def normal_df(fit: Fit) -> PerCoefficient:
    """Z and chi-square tests: infinite df."""
    return PerCoefficient(np.full(fit.problem.p, np.inf), normal=True)


def residual_df(fit: Fit) -> PerCoefficient:
    """Give every test k - p degrees of freedom.

    Raises
    ------
    SpecificationError
        If no residual degree of freedom is left.
    """
    k, p = fit.problem.n, fit.problem.p
    if k <= p:
        raise SpecificationError(
            f"t tests on k - p residual degrees of freedom need more rows than coefficients; here "
            f"are {k} rows and {p} coefficients: use z tests, or give df= as a number"
        )
    return PerCoefficient(np.full(p, float(k - p)))


def given_df(fit: Fit, value: float | Floats) -> PerCoefficient:
    """A number for every test, or one per coefficient, shape (p,).

    Raises
    ------
    SpecificationError
        If the shape is wrong or a value is not positive.
    """
    values = np.asarray(value, dtype=float)
    if values.ndim and values.shape != (fit.problem.p,):
        raise SpecificationError(
            f"df= takes one number or one per coefficient ({fit.problem.p}), "
            f"got shape {values.shape}"
        )
    if not (values > 0).all():
        raise SpecificationError("df= must be positive")
    return PerCoefficient(np.broadcast_to(values, (fit.problem.p,)))
