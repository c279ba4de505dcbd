"""The profile likelihood among the matrices G that are possible.

With one entry of G held, the others cannot always move one by one: with three correlations or
more, ranges of each do not say which of them go together.  Where a maximum within the ranges is no
covariance matrix, the likelihood is maximised in the working parameters of the fit, in which every
point is one, under the constraint that the component has its value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.design.problem import MetaProblem
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.likelihood.objective import Evaluation, Objective
from mvmeta.marginal.base import NotPositiveDefiniteError
from mvmeta.optimize.ridge import straightened
from mvmeta.structures import Kronecker

INDEFINITE = 1e-10
"""Negative eigenvalue of G, relative to the largest, that is rounding."""
NEGATIVE = 1e-8
"""The same, relative to the largest variance, for a matrix that is said to be indefinite."""
ACCURACY = 1e-12
"""Change of the log-likelihood at which the constrained optimiser stops."""
MOST_STEPS = 200
ON_VALUE = 1e-6
"""Distance of the component from its value, in its standard errors, that is no failure."""
WIDEST = 1e3
"""Unit of a working parameter relative to its size, where the data know little of it."""


def is_definite(problem: MetaProblem, theta: Floats) -> bool:
    """Whether every G is positive semi-definite at natural components (n_components,)."""
    for term, piece in zip(problem.terms, problem.split(theta), strict=True):
        values = np.linalg.eigvalsh(term.structure.matrix(piece))
        if values[0] < -INDEFINITE * values[-1]:
            return False
    return True


@dataclass(frozen=True)
class Indefinite:
    """A covariance matrix of random effects that is none.

    Attributes
    ----------
    term : RandomTerm
    smallest, largest : float
        Eigenvalues of its G, the smallest negative.
    variance : float
        The largest entry of its diagonal.
    """

    term: RandomTerm
    smallest: float
    largest: float
    variance: float


def indefinite_terms(problem: MetaProblem, theta: Floats) -> list[Indefinite]:
    """Terms whose G has a negative eigenvalue at natural components (n_components,).

    What cannot have one is not looked at; of R (x) G with a known R it is G that is.
    """
    found = []
    for term, piece in zip(problem.terms, problem.split(theta), strict=True):
        if not term.structure.may_be_indefinite:
            continue
        structure = term.structure
        g = (structure.structure if isinstance(structure, Kronecker) else structure).matrix(piece)
        variance = float(np.diag(g).max(initial=0.0))
        if variance == 0.0 or _has_factor(g + NEGATIVE * variance * np.eye(len(g))):
            continue
        values = np.linalg.eigvalsh(g)
        found.append(Indefinite(term, float(values[0]), float(values[-1]), variance))
    return found


def _has_factor(g: Floats) -> bool:
    """Whether g is positive definite; a Cholesky factor costs a tenth of the eigenvalues."""
    try:
        np.linalg.cholesky(g)
    except np.linalg.LinAlgError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class HeldPoint:
    """The maximum with a component held at a value.

    Attributes
    ----------
    theta : ndarray, shape (n_components,)
        Natural components.
    slope : float
        Derivative of the maximum by the value.
    evaluation : Evaluation
    """

    theta: Floats
    slope: float
    evaluation: Evaluation


def held_maximum(
    objective: Objective, component: int, value: float, theta: Floats, share: float
) -> HeldPoint | None:
    """The maximum with a component at `value`, among the G that are positive semi-definite.

    Parameters
    ----------
    objective : Objective
        Of the problem of the fit, in which the component is free.
    component : int
        Position in theta.
    value : float
    theta : ndarray, shape (n_components,)
        Natural components to start from, at which every G is positive semi-definite.
    share : float
        Factor below 1 on the correlations of the start: where a G is singular the likelihood is
        level across the edge, and a search would stay there.

    Returns
    -------
    HeldPoint or None
        None if the search fails.
    """
    from scipy import optimize  # slow to import, and wanted by few

    inside = _inward(objective.problem, theta, share)
    objective = straightened(objective, inside) or objective
    problem = objective.problem
    start = problem.to_working(inside)
    last: dict[bytes, Evaluation] = {}

    def evaluate(x: Floats) -> Evaluation:
        key = x.tobytes()
        if key not in last:
            last.clear()
            last[key] = objective.working(x)
        return last[key]

    held = _component(problem, component)
    try:
        unit = _units(evaluate(start), start)
        size = float(np.linalg.norm(held(start)[1] * unit)) or 1.0
        lower, upper = ((bound - start) / unit for bound in problem.working_bounds)
        minimize: Any = optimize.minimize  # the stubs know no bounds, constraints and gradient
        found = minimize(
            lambda s: -evaluate(start + s * unit).loglik,
            np.zeros(len(start)),
            jac=lambda s: -evaluate(start + s * unit).gradient * unit,
            method="SLSQP",
            bounds=optimize.Bounds(lower, upper),
            constraints={
                "type": "eq",
                "fun": lambda s: (held(start + s * unit)[0] - value) / size,
                "jac": lambda s: held(start + s * unit)[1] * unit / size,
            },
            options={"maxiter": MOST_STEPS, "ftol": ACCURACY},
        )
        x = start + found.x * unit
        at, (reached, along) = evaluate(x), held(x)
    except NotPositiveDefiniteError:
        return None
    if abs(reached - value) > ON_VALUE * size:
        return None
    return HeldPoint(problem.to_natural(x), _multiple(at.gradient * unit, along * unit), at)


def held_slope(objective: Objective, component: int, theta: Floats) -> float | None:
    """Derivative of a maximum by the value at which a component is held.

    None where its working parameters have bounds, or do not move it, or where G is kept in factors
    (those of scale terms, which can take any value); without bounds the gradient
    of the log-likelihood at the maximum is a multiple of that of the component, on the edge of
    the possible G as well.

    Parameters
    ----------
    objective : Objective
        Of the problem of the fit, in which the component is free.
    component : int
        Position in theta.
    theta : ndarray, shape (n_components,)
        Natural components at the maximum.
    """
    problem = objective.problem
    try:
        x = problem.to_working(theta)
    except SpecificationError:  # the correlations of a level without variance may be any
        return None
    term, _ = _place(problem, component)
    if problem.terms[term].structure.jacobian(problem.split(theta)[term]).dtype == object:
        return None
    along = _component(problem, component)(x)[1]
    lower, upper = problem.working_bounds
    if not along.any():
        return None
    if np.isfinite(lower[along != 0]).any() or np.isfinite(upper[along != 0]).any():
        return None
    return _multiple(np.where(along != 0, objective.working(x).gradient, 0.0), along)


def _multiple(a: Floats, b: Floats) -> float:
    return float(a @ b / (b @ b))


def _inward(problem: MetaProblem, theta: Floats, share: float) -> Floats:
    """Correlations a little smaller, so that no G is singular."""
    signed = [c.power == 0 and -np.inf < c.lower < 0 < c.upper for c in problem.components]
    free = np.array(signed, dtype=bool) & ~problem.fixed
    return np.where(free, share * theta, theta)


def _units(at: Evaluation, x: Floats) -> Floats:
    """About one standard error of each working parameter."""
    spread = 1.0 / np.sqrt(np.maximum(np.diag(at.expected), np.finfo(float).tiny))
    return np.minimum(spread, WIDEST * np.maximum(np.abs(x), 1e-8))


def _place(problem: MetaProblem, component: int) -> tuple[int, int]:
    """The term a component belongs to, and its position there."""
    ends = np.cumsum([len(t.structure.components) for t in problem.terms])
    term = int(np.searchsorted(ends, component, side="right"))
    return term, component - int(ends[term]) + len(problem.terms[term].structure.components)


def _component(problem: MetaProblem, component: int) -> Callable[[Floats], tuple[float, Floats]]:
    """A component as a function of working parameters (J,): its value and derivatives (J,).

    What G changes by when a working parameter does, the natural ones have to change it by, too.
    """
    term, place = _place(problem, component)
    structure = problem.terms[term].structure

    def function(x: Floats) -> tuple[float, Floats]:
        pieces = problem.split_working(x)
        theta = structure.to_natural(pieces[term])
        natural = structure.jacobian(theta).reshape(len(theta), -1)
        working = structure.working.jacobian(pieces[term])
        change = np.linalg.lstsq(natural.T, working.reshape(len(working), -1).T, rcond=None)[0]
        slopes = [np.zeros(len(piece)) for piece in pieces]
        slopes[term] = change[place]
        return float(theta[place]), problem.shared_working.add(np.concatenate(slopes))

    return function
