"""The second pass: the triangle of [X y], and what else the numerical core asks of all rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.inference.fitted.estimate import singular_marginal
from mvmeta.marginal.batched import PieceSource, total
from mvmeta.model.batched.pieces import Reduction, Rows
from mvmeta.model.specification.rank import independent_in_triangle

CONDITION = 1e3
"""Condition of X, columns scaled, above which Q is made orthonormal a second time."""


@dataclass(frozen=True, eq=False)
class Cross:
    """Additive statistics of rows.

    Attributes
    ----------
    triangle : ndarray, shape (p + 1, p + 1)
        R of [X y] (Golub & Van Loan 2013, Matrix Computations, section 5.2: the R factors of two
        sets of rows, one upon the other, have the R factor of all rows).
    n, n_lost : int
        Rows, and rows left out because a part of the formula is missing.
    levels : ndarray of int, shape (T,)
        Levels of each term.
    variance : float
        Sum of the sampling variances.
    zeros : tuple of str
        The first rows whose sampling variance is 0.
    n_zeros : int
    ones : ndarray of bool, shape (p,)
        Columns of X that are 1 everywhere.
    singular : int
        Rows of blocks of V that are only semi-definite.
    """

    triangle: Floats
    n: int
    n_lost: int
    levels: Ints
    variance: float
    zeros: tuple[str, ...]
    n_zeros: int
    ones: Bools
    singular: int

    def __add__(self, other: "Cross") -> "Cross":
        return Cross(
            _triangle(np.vstack([self.triangle, other.triangle])),
            self.n + other.n,
            self.n_lost + other.n_lost,
            self.levels + other.levels,
            self.variance + other.variance,
            (*self.zeros, *other.zeros)[:6],
            self.n_zeros + other.n_zeros,
            self.ones & other.ones,
            self.singular + other.singular,
        )


def cross(rows: Rows) -> Cross:
    """The question of the second pass.

    Raises
    ------
    CovarianceError
        If rows without sampling variance make M singular whatever the components are.
    """
    problem = rows.problem
    zero = problem.zero_variances
    same = problem.inseparable
    if len(same):
        names = {i: f"{rows.index[i]} of batch {rows.batch.number}" for i in same.tolist()}
        raise singular_marginal(same, names, bool(problem.terms))
    return Cross(
        _triangle(np.column_stack([problem.x, problem.y])),
        problem.n,
        rows.n_lost,
        np.array([t.n_levels for t in problem.terms], dtype=np.intp),
        float(problem.v.variances.sum()),
        tuple(f"{rows.index[int(i)]} of batch {rows.batch.number}" for i in zero[:6]),
        len(zero),
        np.asarray((problem.x == 1.0).all(axis=0)),
        len(problem.v.singular_rows),
    )


@dataclass(frozen=True, eq=False)
class Orthonormal:
    """What the reduction of X to Q needs, and what least squares gives.

    Attributes
    ----------
    keep : ndarray of bool (p_all,)
        Columns that do not depend on those to their left.
    reduction : Reduction
    r : ndarray, shape (p, p)
    residual_ss : float
    """

    keep: Bools
    reduction: Reduction
    r: Floats
    residual_ss: float


def orthonormalise(triangle: Floats) -> Orthonormal:
    """From the triangle of [X y] to X = Q R and least squares."""
    keep = independent_in_triangle(triangle[:-1, :-1])
    r, coefficients, residual_ss = _split(_triangle(triangle[:, np.append(keep, True)]))
    reduction = Reduction((_inverse(r),), coefficients)
    return Orthonormal(keep, reduction, r, residual_ss)


@dataclass(frozen=True, eq=False)
class SecondTriangle:
    """The question for the triangle of [Q e], Q and e by an earlier reduction."""

    reduction: Reduction

    def __call__(self, rows: Rows) -> "Triangle":
        return Triangle(_triangle(self.reduction.columns(rows.problem)))


@dataclass(frozen=True, eq=False)
class Triangle:
    """An R factor; `+` is that of both sets of rows."""

    r: Floats

    def __add__(self, other: "Triangle") -> "Triangle":
        return Triangle(_triangle(np.vstack([self.r, other.r])))


def refine(found: Orthonormal, source: PieceSource) -> Orthonormal:
    """Make Q orthonormal to rounding where X is ill-conditioned: one more pass then."""
    scaled = found.r / np.linalg.norm(found.r, axis=0)
    if np.linalg.cond(scaled) < CONDITION:
        return found
    again: Any = total(source.map(SecondTriangle(found.reduction)))
    r, step, residual_ss = _split(again.r)
    first = found.reduction
    coefficients = step + r @ first.coefficients
    reduction = Reduction((*first.roots, _inverse(r)), coefficients)
    return replace(found, reduction=reduction, r=r @ found.r, residual_ss=residual_ss)


def _split(triangle: Floats) -> tuple[Floats, Floats, float]:
    """R, Q'y and the residual sum of squares of the triangle of [X y]."""
    return triangle[:-1, :-1], triangle[:-1, -1], float(triangle[-1, -1] ** 2)


def _inverse(r: Floats) -> Floats:
    return np.asarray(np.linalg.inv(r), dtype=float)


def _triangle(a: Floats) -> Floats:
    """R (p, p) of a (n, p), rows of zeros below where n < p."""
    r = np.asarray(np.linalg.qr(a, mode="r"))
    missing = a.shape[1] - len(r)
    return r if missing <= 0 else np.vstack([r, np.zeros((missing, a.shape[1]))])
