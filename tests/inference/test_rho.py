"""The correlation of sampling errors, against a dense likelihood over a grid."""

import numpy as np
import pytest
from scipy import optimize, stats

from mvmeta import CovarianceError, DataError, SpecificationError
from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.inference.components.rho import profile_rho
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.marginal.select import build_backend
from mvmeta.structures import Identity

GRID = np.linspace(-0.2, 0.98, 60)
STUDY = np.repeat(np.arange(12), 4)


def problem_of(rho=0.6, variances=None, rows=False, seed=3):
    """Twelve studies of four rows whose sampling errors are correlated."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 1.5, 48) if variances is None else variances
    common = np.repeat(rng.normal(size=12), 4)
    errors = np.sqrt(v) * (np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=48))
    y = np.repeat(rng.normal(0, 0.3, 12), 4) + errors
    x = np.column_stack([np.ones(48), np.tile([0.0, 1, 2, 3], 12)])
    terms = [RandomTerm("study", STUDY, range(12), Identity(("",), "sigma2"))]
    if rows:
        y = y + rng.normal(0, 0.3, 48)
        terms.append(RandomTerm("row", np.arange(48), range(48), Identity(("",), "sigma2")))
    return MetaProblem(y, x, SamplingCovariance.from_variances(v), tuple(terms))


def dense_profile(problem, rho, reml):
    """Largest log-likelihood over sigma2 >= 0, everything written out."""
    same = np.equal.outer(STUDY, STUDY)
    sd = np.sqrt(problem.v.variances)
    v = np.outer(sd, sd) * np.where(np.eye(48, dtype=bool), 1.0, rho * same)
    x, y = problem.x, problem.y

    def minus(sigma2):
        m = v + sigma2 * same
        inverse = np.linalg.inv(m)
        gram = x.T @ inverse @ x
        beta = np.linalg.solve(gram, x.T @ inverse @ y)
        r = y - x @ beta
        value = np.linalg.slogdet(m)[1] + r @ inverse @ r
        k = 48
        if reml:
            value += np.linalg.slogdet(gram)[1] - np.linalg.slogdet(x.T @ x)[1]
            k = 46
        return 0.5 * (value + k * np.log(2 * np.pi))

    found = optimize.minimize_scalar(
        minus, bounds=(0, 2), method="bounded", options={"xatol": 1e-10}
    )
    return -min(found.fun, minus(0.0))


def fit_of(problem, reml=True):
    return estimate(build_backend(problem), reml=reml)[0]


@pytest.mark.parametrize("reml", [True, False])
def test_the_profile_against_a_dense_grid(reml):
    problem = problem_of()
    found = profile_rho(fit_of(problem, reml), STUDY)
    dense = np.array([dense_profile(problem, r, reml) for r in GRID])
    np.testing.assert_allclose(
        found.loglik,
        [dense_profile(problem, r, reml) for r in found.rho],
        atol=1e-7,  # the dense search over sigma2 stops at 1e-10 of its square
    )
    step = GRID[1] - GRID[0]
    assert abs(found.estimate - GRID[dense.argmax()]) <= step
    inside = GRID[2 * (found.loglik.max() - dense) <= stats.chi2.isf(0.05, 1)]
    assert abs(found.lower - inside[0]) <= step
    assert abs(found.upper - inside[-1]) <= step
    assert not found.flat
    assert not found.lower_at_edge
    assert found.lower < 0.6 < found.upper  # what it was simulated with


def test_limits_are_where_the_deviance_has_dropped():
    problem = problem_of()
    found = profile_rho(fit_of(problem), STUDY, alpha=0.1)
    top = found.loglik.max()
    for limit in (found.lower, found.upper):
        drop = 2 * (top - dense_profile(problem, limit, True))
        assert drop == pytest.approx(stats.chi2.isf(0.1, 1), abs=1e-4)  # limits to 1e-6


# With equal variances V(rho) = v (1 - rho) I + v rho J: effects of row and study take it up.
def test_equal_variances_and_both_random_effects_say_nothing():
    problem = problem_of(variances=np.full(48, 0.04), rho=0.3, rows=True)
    fit = fit_of(problem)
    assert (fit.theta > 0.04).all()
    found = profile_rho(fit, STUDY, bounds=(0.0, 0.9))
    assert found.flat
    assert found.spread < 1e-6
    assert found.lower_at_edge
    assert found.upper_at_edge


def test_bounds_are_kept():
    found = profile_rho(fit_of(problem_of()), STUDY, bounds=(0.0, 0.3))
    assert found.estimate == pytest.approx(0.3, abs=1e-3)
    assert found.upper_at_edge
    assert found.range == (0.0, 0.3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bounds": (-0.9, 0.5)}, CovarianceError, r"lies in \[-0.3333, 1\] here"),
        ({"bounds": (0.5, 0.2)}, CovarianceError, "bounds 0.5 and 0.2"),
        ({"bounds": 3}, SpecificationError, "bounds= takes two numbers"),
        ({"bounds": (0, 0.5, 1)}, SpecificationError, "bounds= takes two numbers"),
        ({"alpha": 2}, SpecificationError, "alpha"),
        ({"groups": np.arange(48)}, DataError, "no group has two rows"),
    ],
)
def test_what_cannot_be_asked(options, error, message):
    groups = options.pop("groups", STUDY)
    with pytest.raises(error, match=message):
        profile_rho(fit_of(problem_of()), groups, **options)
