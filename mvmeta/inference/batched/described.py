"""What is asked of all rows after a fit, as sums over some of them: one pass over batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.inference.fitted.constancy import constancy, grouping_factors
from mvmeta.inference.fitted.within import within_triangle
from mvmeta.inference.heterogeneity.q_and_i2 import trace_inverse


@dataclass(frozen=True, eq=False)
class VAlone:
    """Additive statistics of the model without random effects.

    Attributes
    ----------
    logdet, trace : float
        log|V| and tr(inv(V)).
    gram : ndarray, shape (p + 1, p + 1)
        [Q e]'inv(V)[Q e].
    twice : ndarray, shape (p, p)
        Q'inv(V)inv(V)Q.
    """

    logdet: float
    trace: float
    gram: Floats
    twice: Floats

    def __add__(self, other: "VAlone") -> "VAlone":
        return VAlone(
            self.logdet + other.logdet,
            self.trace + other.trace,
            self.gram + other.gram,
            self.twice + other.twice,
        )

    @property
    def statistic(self) -> float:
        """Residual sum of squares under V alone."""
        return residual_quadratic(self.gram)

    @property
    def projector_trace(self) -> float:
        """tr(P_V)."""
        p = len(self.twice)
        return self.trace - float(np.trace(np.linalg.solve(self.gram[:p, :p], self.twice)))


def v_alone(problem: MetaProblem, columns: Floats) -> VAlone:
    """Statistics of some rows with `columns` [Q e] (n, p + 1)."""
    weighted = problem.v.solve(columns)
    q = weighted[:, :-1]
    return VAlone(
        problem.v.logdet(),
        trace_inverse(problem.v),
        columns.T @ weighted,
        q.T @ q,
    )


def loadings(problem: MetaProblem) -> tuple[Floats, ...]:
    """Sum over rows of z z' (q, q) of each term."""
    out = []
    for t in problem.terms:
        if t.z is not None:
            out.append(t.z.T @ t.z)
        elif t.inner is not None:
            out.append(np.diag(np.bincount(t.inner, minlength=t.q).astype(float)))
        else:
            out.append(np.array([[float(len(t.level))]]))
    return tuple(out)


@dataclass(frozen=True, eq=False)
class Described:
    """What is asked of all rows after the fit, in one pass; `+` adds rows.

    Attributes
    ----------
    loadings : tuple of ndarray (q, q)
        Sum over rows of z z' of each term.
    triangle : ndarray, shape (p + 1, p + 1)
        R of [1 X]: means of the columns of X, and what is left without them.
    constancy : Constancy
    within : ndarray, shape (m, p)
        R of the columns of X about their means in the groups of the first term.
    v : VAlone or None
        None where V is singular.
    """

    loadings: tuple[Floats, ...]
    triangle: Floats
    constancy: "Constancy"
    within: Floats
    v: VAlone | None

    def __add__(self, other: "Described") -> "Described":
        pairs = zip(self.loadings, other.loadings, strict=True)
        both = self.v is not None and other.v is not None
        return Described(
            tuple(a + b for a, b in pairs),
            _triangle(np.vstack([self.triangle, other.triangle])),
            self.constancy + other.constancy,
            _triangle(np.vstack([self.within, other.within])),
            self.v + other.v if both else None,  # type: ignore[operator]
        )


@dataclass(frozen=True, eq=False)
class Describe:
    """The question for `Described`."""

    singular: bool

    def __call__(self, piece: Any) -> Described:
        problem = piece.plan.problem
        v = None if self.singular else v_alone(problem, piece.orthonormal)
        triangle = _triangle(np.column_stack([np.ones(problem.n), problem.x]))
        within = triangle[:0, 1:]
        if problem.terms:
            within = within_triangle(problem.x, next(grouping_factors(problem.terms[0])))
        return Described(loadings(problem), triangle, Constancy.of(problem), within, v)


def _triangle(a: Floats) -> Floats:
    return np.asarray(np.linalg.qr(a, mode="r"))


def residual_quadratic(gram: Floats) -> float:
    """E'N e at the GLS coefficients, from [Q e]'N[Q e] (p + 1, p + 1) for any residuals e."""
    p = len(gram) - 1
    b = np.append(-np.linalg.solve(gram[:p, :p], gram[:p, p]), 1.0)
    return float(b @ gram @ b)


@dataclass(frozen=True, eq=False)
class Constancy:
    """Levels of each grouping factor, and which columns of X are constant within all of them."""

    levels: tuple[int, ...]
    constant: tuple[Bools, ...]

    def __add__(self, other: "Constancy") -> "Constancy":
        return Constancy(
            tuple(a + b for a, b in zip(self.levels, other.levels, strict=True)),
            tuple(a & b for a, b in zip(self.constant, other.constant, strict=True)),
        )

    @classmethod
    def of(cls, problem: MetaProblem) -> "Constancy":
        """That of some rows."""
        found = list(constancy(problem))
        return cls(tuple(n for n, _ in found), tuple(c for _, c in found))
