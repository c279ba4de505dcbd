"""Several maxima along a range or correlation: hills, and kinks of the linear correlation."""

from dataclasses import replace

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.likelihood.objective import Objective
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.maximize import Optimum, maximize
from mvmeta.optimize.moments import residual_covariance
from mvmeta.optimize.starts import box_of, start_values
from mvmeta.optimize.status import Status
from mvmeta.optimize.sweep import axes, hills, revived
from mvmeta.structures import (
    CovarianceStructure,
    Identity,
    Pinned,
    SpatialExponential,
    SpatialLinear,
    Unstructured,
)

N = 12
LABELS = tuple(f"s{i}" for i in range(N))


def sites(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of sites on a line, and y with a linear correlation up to a third of it."""
    rng = np.random.default_rng([5, seed])
    at = np.sort(rng.uniform(0.0, 9.0, N))
    distance = np.abs(at[:, None] - at)
    g = np.clip(1.0 - distance / 3.0, 0.0, None)
    return distance, np.linalg.cholesky(g + 1e-9 * np.eye(N)) @ rng.normal(size=N)


def problem_of(structure: CovarianceStructure, y: np.ndarray) -> MetaProblem:
    term = RandomTerm("site", np.zeros(N, np.intp), ("",), structure, inner=np.arange(N))
    v = SamplingCovariance.from_variances(np.linspace(0.05, 0.2, N))
    return MetaProblem(y, np.ones((N, 1)), v, (term,))


def found(problem: MetaProblem) -> Optimum:
    return maximize(Objective(build_backend(problem), reml=True))


def height(problem: MetaProblem, rho: float) -> float:
    """Log-likelihood at the range `rho`, the best variance there by a fine grid, dense."""
    r = np.clip(1.0 - problem.terms[0].structure.distance / rho, 0.0, None)
    tau2 = np.exp(np.linspace(-6.0, 3.0, 200))[:, None, None]
    m = np.diag(problem.v.variances) + tau2 * r
    m = m[np.linalg.eigvalsh(m)[:, 0] > 0]
    inverse = np.linalg.inv(m)
    ones = inverse.sum(axis=1)
    xnx = ones.sum(axis=1)
    rss = np.einsum("i,tij,j->t", problem.y, inverse, problem.y) - (ones @ problem.y) ** 2 / xnx
    deviance = np.linalg.slogdet(m)[1] + np.log(xnx / N) + rss + (N - 1) * np.log(2 * np.pi)
    return -0.5 * float(deviance.min(initial=np.inf))


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_range_on_a_fine_grid_is_better(seed):
    distance, y = sites(seed)
    problem = problem_of(SpatialLinear(LABELS, distance), y)
    optimum = found(problem)
    assert optimum.status.converged
    kinks = np.unique(distance[distance > 0])
    for rho in [*kinks[::4], *np.linspace(0.2, 20.0, 40)]:
        assert height(problem, rho) <= optimum.evaluation.loglik + 1e-9


def test_kinks_occur_and_are_said():
    """Where the status is KINK the range is a distance and the likelihood falls on both sides."""
    statuses = []
    for seed in SEEDS:
        distance, y = sites(seed)
        problem = problem_of(SpatialLinear(LABELS, distance), y)
        objective = Objective(build_backend(problem), reml=True)
        optimum = maximize(objective)
        statuses.append(optimum.status)
        tau2, rho = optimum.theta
        gap = np.abs(distance[distance > 0] / rho - 1.0).min()
        assert (gap < 1e-9) == (optimum.status is Status.KINK)
        for h in (1e-5, -1e-5):
            beside = objective.natural(np.array([tau2, rho * (1 + h)]))
            assert beside.loglik < optimum.evaluation.loglik
        if optimum.status is Status.KINK:
            left, right = (
                objective.natural(np.array([tau2, rho * (1 + h)])).gradient[1]
                for h in (-1e-7, 1e-7)
            )
            assert left > 0 > right
    assert Status.KINK in statuses


def test_both_hills_of_a_range():
    """Close sites alike, all sites alike by halves: a short and a long range explain y."""
    at = np.concatenate([np.arange(6.0), 30.0 + np.arange(6.0)])
    distance = np.abs(at[:, None] - at)
    y = np.repeat([2.0, -2.0], 6) + np.tile([0.8, 0.8, -0.8], 4)
    problem = problem_of(SpatialExponential(LABELS, distance), y)
    objective = Objective(build_backend(problem), reml=True)
    (axis,) = axes(objective)
    tops = hills(objective, list(start_values(objective))[:1], box_of(objective), axis)
    best = maximize(objective)
    assert len(tops) >= 1
    assert all(axis.sweep.values.min() <= x[1] <= axis.sweep.values.max() for x in tops)
    heights = [objective.working(x).loglik for x in tops]
    assert heights == sorted(heights, reverse=True)
    assert best.evaluation.loglik >= heights[0]


def test_a_pinned_range_is_not_swept():
    distance, y = sites(0)
    pinned = Pinned(SpatialExponential(LABELS, distance), np.array([np.nan, 2.0]))
    assert not axes(Objective(build_backend(problem_of(pinned, y)), reml=True))


def test_a_range_is_swept_where_the_variance_is_pinned():
    distance, y = sites(0)
    pinned = Pinned(SpatialExponential(LABELS, distance), np.array([1.0, np.nan]))
    (axis,) = axes(Objective(build_backend(problem_of(pinned, y)), reml=True))
    assert axis.index == 0


def test_a_variance_of_zero_is_looked_at_along_its_range():
    """At tau2 = 0 the range is without effect; the slope by tau2 is not."""
    distance, y = sites(1)
    problem = problem_of(SpatialExponential(LABELS, distance), y)
    objective = Objective(build_backend(problem), reml=True)
    (axis,) = axes(objective)
    nothing = objective.problem.to_working(np.array([0.0, 1e-3]))
    x = revived(objective, nothing, axis)
    assert x is not None
    assert x[axis.scale] == 0
    slope = objective.working(x).gradient[axis.scale]
    assert slope > 0
    for w in axis.sweep.values:
        beside = np.where(np.arange(2) == axis.index, w, x)
        assert objective.working(beside).gradient[axis.scale] <= slope + 1e-9


def test_a_variance_that_is_not_zero_is_left_alone():
    distance, y = sites(1)
    objective = Objective(build_backend(problem_of(SpatialExponential(LABELS, distance), y)), True)
    (axis,) = axes(objective)
    assert revived(objective, np.array([0.5, 0.5]), axis) is None


def test_residual_covariance_by_its_definition():
    rng = np.random.default_rng(3)
    level, inner = np.divmod(np.arange(60), 3)
    keep = np.array([i for i in range(60) if i not in (4, 11)])
    level, inner, n = level[keep], inner[keep], 58
    y, x, v = rng.normal(size=n), np.ones((n, 1)), rng.uniform(0.1, 0.2, n)
    structure = Unstructured(("a", "b", "c"))
    term = RandomTerm("o | s", level, tuple(range(20)), structure, inner=inner)
    problem = MetaProblem(y, x, SamplingCovariance.from_variances(v), (term,))
    r = y - y.mean()
    expected = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            pairs = [
                (r[i], r[j], v[i] if i == j else 0.0)
                for i in range(n)
                for j in range(n)
                if level[i] == level[j] and (inner[i], inner[j]) == (a, b)
            ]
            expected[a, b] = np.mean([p * q - s for p, q, s in pairs])
    assert np.linalg.eigvalsh(expected)[0] > 0
    assert (np.diag(expected) > 0.05 * (r**2).mean()).all()
    np.testing.assert_allclose(residual_covariance(problem, 0), expected, rtol=1e-10)


def test_no_residual_covariance_without_inner_levels():
    distance, y = sites(0)
    problem = problem_of(SpatialExponential(LABELS, distance), y)
    plain = RandomTerm("s", np.arange(N), LABELS, Identity(kind="sigma2"))
    assert residual_covariance(replace(problem, terms=(plain,)), 0) is None
