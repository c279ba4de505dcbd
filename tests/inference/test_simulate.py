"""Simulated observations against the moments of the dense M; all seeds are fixed."""

import numpy as np
import pytest

from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.fitted.fit import Fit
from mvmeta.inference.prediction.blup import true_effects
from mvmeta.inference.resampling.simulate import Simulator, error_root
from mvmeta.marginal.dense import DenseMarginal
from mvmeta.marginal.select import build_backend
from tests.problems import PROBLEMS, interior, make, matrices
from tests.tolerances import ALGEBRA

DRAWS = 20_000
STANDARD_ERRORS = 5.5
"""Monte Carlo standard errors within which all moments must lie: of 2,000 of them one leaves it
by chance with a probability below 1e-4."""


def fit_at(problem, theta):
    gs = matrices(problem, theta)
    beta = np.linspace(1.0, -0.5, problem.p)
    none = np.zeros(len(theta), dtype=bool)
    factor = build_backend(problem).factorize(gs)
    return Fit(problem, True, theta, none, factor, beta, np.eye(problem.p), {})


def dense_m(problem, theta):
    plan = DenseMarginal(problem)
    pieces = [plan.embed(t, g) for t, g in enumerate(matrices(problem, theta))]
    return problem.v.toarray() + sum(pieces, np.zeros((problem.n, problem.n)))


def assert_moments(draws, mean, m):
    count = draws.shape[1]
    sd = np.sqrt(np.diag(m))
    assert (np.abs(draws.mean(axis=1) - mean) < STANDARD_ERRORS * sd / np.sqrt(count)).all()
    centred = draws - mean[:, None]
    error = np.sqrt((np.outer(sd, sd) ** 2 + m**2) / count)
    assert (np.abs(centred @ centred.T / count - m) < STANDARD_ERRORS * error).all()


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_moments_of_every_layout(name):
    problem = make(name)
    theta = interior(problem)
    fit = fit_at(problem, theta)
    draws = Simulator(fit).draw(DRAWS, np.random.default_rng(1))
    assert_moments(draws, fit.fitted, dense_m(problem, theta))


def test_root_of_a_singular_v():
    v = np.zeros((6, 6))
    v[np.ix_([0, 4], [0, 4])] = [[1.0, 2.0], [2.0, 4.0]]
    v[np.ix_([1, 2], [1, 2])] = [[1.0, 0.3], [0.3, 0.5]]
    v[5, 5] = 2.0
    root = error_root(SamplingCovariance.from_matrix(v))(np.eye(6))
    assert root @ root.T == pytest.approx(v, abs=ALGEBRA)


@pytest.mark.parametrize("name", ["nested_two", "multivariate_un", "scattered_blocks"])
def test_conditional_draws_scatter_about_the_predicted_effects(name):
    problem = make(name)
    fit, _ = estimate(build_backend(problem))
    simulator = Simulator(fit, conditional=True)
    assert simulator._mean == pytest.approx(true_effects(fit).estimate, rel=ALGEBRA)
    draws = simulator.draw(DRAWS, np.random.default_rng(3))
    assert_moments(draws, true_effects(fit).estimate, problem.v.toarray())


def test_same_seed_same_draws():
    fit = fit_at(make("crossed"), interior(make("crossed")))
    one, two, other = (Simulator(fit).draw(3, np.random.default_rng(s)) for s in (4, 4, 5))
    assert (one == two).all()
    assert (one != other).all()


def test_conditional_draws_need_best_predictions():
    problem = make("nested_two")
    fit = fit_at(problem, interior(problem))
    weighted = Fit(**{**fit.__dict__, "weights": problem.v.tosparse()})
    with pytest.raises(SpecificationError, match="conditional=False"):
        Simulator(weighted, conditional=True)
