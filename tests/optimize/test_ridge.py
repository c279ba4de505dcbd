"""Ridges: spatial data without a finite REML estimate, factors that turn along circles."""

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import maximize
from mvmeta.optimize.ridge import straightened
from mvmeta.optimize.status import Status
from mvmeta.structures import (
    Identity,
    OrnsteinUhlenbeck,
    SpatialExponential,
    SpatialGaussian,
    Unstructured,
)
from mvmeta.structures.base import CovarianceStructure
from mvmeta.structures.unstructured.orders import pivot_order

SITES = np.array([0.0, 0.7, 1.1, 2.0, 3.2, 3.9, 5.0, 6.4, 7.7, 9.0])
DISTANCE = np.abs(SITES[:, None] - SITES)
LABELS = tuple("abcdefghij")


def tree() -> np.ndarray:
    return 1.0 - DISTANCE / 20.0


STRUCTURES = [
    SpatialExponential(LABELS, DISTANCE),
    SpatialGaussian(LABELS, DISTANCE),
    OrnsteinUhlenbeck(LABELS, tree()),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.code)
def test_straight_chart_is_the_same_family(structure):
    straight = structure.straightened(np.array([1.0, 2.0]))
    theta = np.array([1.7, 2.3])
    x = straight.to_working(theta)
    np.testing.assert_allclose(straight.to_natural(x), theta, rtol=1e-13)
    np.testing.assert_allclose(straight.working.matrix(x), structure.matrix(theta), rtol=1e-13)


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.code)
def test_derivatives_of_the_straight_chart(structure):
    chart, x, h = structure.straightened(np.array([1.0, 2.0])).working, np.array([0.6, 1.3]), 1e-5
    for j in range(2):
        step = h * np.eye(2)[j]
        slope = (chart.matrix(x + step) - chart.matrix(x - step)) / (2 * h)
        np.testing.assert_allclose(chart.jacobian(x)[j], slope, atol=1e-9)
        bend = (chart.jacobian(x + step) - chart.jacobian(x - step)) / (2 * h)
        np.testing.assert_allclose(chart.hessian(x)[j], bend, atol=1e-9)


def test_no_variance_at_all_is_a_point_of_the_chart():
    straight = STRUCTURES[0].straightened(np.array([1.0, 2.0]))
    nothing = straight.to_working(np.array([0.0, 2.0]))
    assert not straight.working.matrix(nothing).any()
    assert straight.to_natural(nothing)[0] == 0
    assert straight.working.hessian(nothing) is None


def drifting(structure: CovarianceStructure) -> MetaProblem:
    """A trend over the sites: its contrasts grow with the distance, as in Brownian motion."""
    y = 3.0 * SITES + np.array([0.3, -0.2, 0.1, 0.4, -0.5, 0.2, -0.1, 0.3, -0.4, 0.1])
    everything = np.zeros(10, dtype=np.intp)
    term = RandomTerm("site", everything, ("",), structure, inner=np.arange(10))
    v = SamplingCovariance.from_variances(np.full(10, 0.1))
    return MetaProblem(y, np.ones((10, 1)), v, (term,))


def intrinsic_loglik(slope: float, problem: MetaProblem) -> float:
    """REML of contrasts of a process with variogram ``2 slope d``: the limit of the ridge."""
    n = problem.n
    contrasts = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    m = contrasts.T @ (np.diag(problem.v.variances) - slope * DISTANCE) @ contrasts
    e = contrasts.T @ problem.y
    quadratic = e @ np.linalg.solve(m, e)
    return -0.5 * float((n - 1) * np.log(2 * np.pi) + np.linalg.slogdet(m)[1] + quadratic)


def test_reaches_the_limit_of_an_endless_ridge():
    problem = drifting(STRUCTURES[0])
    found = maximize(Objective(build_backend(problem), reml=True))
    limit = max(intrinsic_loglik(s, problem) for s in np.exp(np.linspace(-3, 6, 20001)))
    assert found.status is Status.AT_INFINITY
    assert not found.status.converged
    assert found.theta.min() > 1e3
    assert found.evaluation.loglik == pytest.approx(limit, abs=2e-6)
    assert found.n_evaluations < 200


def test_only_where_a_ridge_can_be():
    flat = drifting(Identity(LABELS, "tau2"))
    assert straightened(Objective(build_backend(flat), reml=True), np.ones(1)) is None


# --- triangular factors with small leading pivots --------------------------------------------


def test_pivots_in_falling_order():
    g = np.array([[1e-8, 1e-5, 2e-5], [1e-5, 4.0, 1.0], [2e-5, 1.0, 9.0]])
    order = pivot_order(g)
    assert order.tolist() == [2, 1, 0]
    factor = np.linalg.cholesky(g[np.ix_(order, order)])
    assert (np.abs(factor) <= np.diag(factor) + 1e-12).all()


def test_no_order_for_a_matrix_without_variance():
    assert sorted(pivot_order(np.zeros((3, 3)))) == [0, 1, 2]


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_factor_in_another_order_is_the_same_family(order):
    structure = Unstructured(("a", "b", "c"))
    size = np.empty(3)
    size[order] = [9.0, 4.0, 1e-6]
    theta = np.concatenate([size, [0.3, -0.4, 0.5]])
    other = structure.straightened(theta)
    x = other.to_working(theta)
    np.testing.assert_allclose(other.to_natural(x), theta, rtol=1e-9)
    np.testing.assert_allclose(other.working.matrix(x), structure.matrix(theta), rtol=1e-12)
    assert other.straightened(theta) is None


def test_levels_in_good_order_are_left_alone():
    theta = np.array([4.0, 1.0, 0.3])
    assert Unstructured(("a", "b")).straightened(theta) is None


def test_a_first_level_without_variance_ends_soon():
    """The second and the third column of L could turn into the first for ever."""
    rng = np.random.default_rng(7)
    study, outcome = np.divmod(np.arange(24), 3)
    u = np.column_stack([np.zeros(8), rng.normal(size=(8, 2)) @ [[1.0, 0.2], [0.0, 0.9]]])
    v = SamplingCovariance.from_variances(np.full(24, 0.3))
    y = u[study, outcome] + 0.1 * rng.normal(size=24)
    structure = Unstructured(("a", "b", "c"))
    term = RandomTerm("o | s", study, tuple(range(8)), structure, inner=outcome)
    problem = MetaProblem(y, np.ones((24, 1)), v, (term,))
    start = np.array([1e-7, 1.0, 1.0, 0.9, 0.3, 0.5])
    found = maximize(Objective(build_backend(problem), reml=True), start=start)
    assert found.status.converged
    assert found.n_evaluations < 80
