"""The wild cluster bootstrap against refitting every replicate, and what must hold exactly."""

from dataclasses import replace

import numpy as np
import pytest

from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.resampling.wild import DISTRIBUTIONS, wild_bootstrap
from mvmeta.inference.robust.sandwich import robust
from mvmeta.marginal.select import build_backend
from tests.inference.test_simulate import dense_m
from tests.problems import intercept, make
from tests.tolerances import ALGEBRA, BACKEND

GROUPS = 7


def fitted(name="nested_two", count=GROUPS, y=None):
    """A fit and `count` clusters of independent rows."""
    problem = make(name)
    if y is not None:
        problem = replace(problem, y=y)
    fit, _ = estimate(build_backend(problem))
    return fit, problem.cluster % count


def run(fit, groups, rows, rhs=None, **options):
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    rhs = np.zeros(len(rows)) if rhs is None else np.asarray(rhs, dtype=float)
    settings = {"n": 1999, "rng": np.random.default_rng(1)} | options
    return wild_bootstrap(fit, groups, rows, rhs, **settings)


def slow_statistics(fit, groups, rows, rhs, kind, patterns):
    """Every replicate built, estimated and studentised by its definition, densely."""
    problem = fit.problem
    w = np.linalg.inv(dense_m(problem, fit.theta))
    x = problem.x
    bread = np.linalg.inv(x.T @ w @ x)
    beta = bread @ x.T @ w @ problem.y
    middle = np.linalg.inv(rows @ bread @ rows.T)
    restricted = beta - bread @ rows.T @ middle @ (rows @ beta - rhs)
    residual = problem.y - x @ restricted
    out = []
    for signs in patterns:
        y = x @ restricted + signs[groups] * residual
        estimates = bread @ x.T @ w @ y
        again = replace(fit, problem=replace(problem, y=y), beta=estimates)
        cov = rows @ robust(again, groups, kind, "residual").cov @ rows.T
        gap = rows @ estimates - rhs
        out.append(gap @ np.linalg.solve(cov, gap) / len(rows))
    return np.array(out)


@pytest.mark.parametrize("kind", ["CR0", "CR2", "CR3"])
@pytest.mark.parametrize(("rows", "rhs"), [([[0.0, 1.0]], [-0.3]), (np.eye(2), [0.8, -0.4])])
def test_every_replicate_is_that_of_a_refit(kind, rows, rhs):
    fit, groups = fitted()
    rows, rhs = np.asarray(rows), np.asarray(rhs)
    found = run(fit, groups, rows, rhs, kind=kind)
    assert found.enumerated
    assert found.n_replicates == 2**GROUPS
    bits = np.arange(2**GROUPS)[:, None] >> np.arange(GROUPS)[::-1] & 1
    expected = slow_statistics(fit, groups, rows, rhs, kind, 1.0 - 2.0 * bits)
    power = 2 if len(rows) == 1 else 1  # |t| against F
    assert found.replicates**power == pytest.approx(expected, rel=BACKEND)
    assert abs(found.statistic) ** power == pytest.approx(expected[0], rel=BACKEND)
    share = (expected >= expected[0] * (1 - BACKEND)).mean()
    assert found.pvalue == pytest.approx(share, abs=ALGEBRA)


@pytest.mark.parametrize("weights", list(DISTRIBUTIONS))
def test_weights_have_mean_0_and_variance_1(weights):
    values, probabilities = (np.array(a) for a in DISTRIBUTIONS[weights])
    assert probabilities.sum() == pytest.approx(1, abs=ALGEBRA)
    assert values @ probabilities == pytest.approx(0, abs=ALGEBRA)
    assert values**2 @ probabilities == pytest.approx(1, abs=ALGEBRA)
    third = {"mammen": 1.0}.get(weights, 0.0)
    assert values**3 @ probabilities == pytest.approx(third, abs=ALGEBRA)


def test_sampling_tends_to_enumeration():
    fit, groups = fitted(count=10)
    exact = run(fit, groups, [0.0, 1.0], [-0.4])
    assert exact.enumerated
    assert exact.pvalue_error == 0
    samples = run(fit, groups, [0.0, 1.0], [-0.4], n=1000)
    assert not samples.enumerated
    assert 0.05 < exact.pvalue < 0.95
    assert abs(samples.pvalue - exact.pvalue) < 4 * samples.pvalue_error
    other = [run(fit, groups, [0.0, 1.0], [-0.4], weights=w).pvalue for w in ("webb", "mammen")]
    assert other == pytest.approx([exact.pvalue] * 2, abs=0.15)  # other weights, a similar answer


def test_the_level_is_exact_where_signs_of_clusters_are_exchangeable():
    """Without nuisance parameters the p-values of all sign-flipped data are uniform ranks."""
    problem = make("nested_two")
    one = replace(problem, x=np.ones((problem.n, 1)))
    fit, _ = estimate(build_backend(one))
    groups = problem.cluster % 6
    found = []
    for signs in 1.0 - 2.0 * (np.arange(64)[:, None] >> np.arange(6) & 1):
        y = signs[groups] * problem.y
        beta = fit.cov_beta @ one.x.T @ fit.factor.solve(y[:, None])
        flipped = replace(fit, problem=replace(one, y=y), beta=beta[:, 0])
        found.append(run(flipped, groups, [1.0]).pvalue)
    for p in np.unique(found):
        assert np.mean(np.array(found) <= p + 1e-12) == pytest.approx(p)


def test_what_must_not_change_the_p_value():
    fit, groups = fitted()
    rhs = [-0.4]
    base = run(fit, groups, [0.0, 1.0], rhs)
    rng = np.random.default_rng(2)

    def again(x=None, y=None, order=None):
        problem = fit.problem
        problem = replace(problem, x=problem.x if x is None else x, y=problem.y if y is None else y)
        if order is not None:
            problem = problem.take(order)
        return estimate(build_backend(problem), start=fit.theta)[0]

    relabelled = run(fit, rng.permutation(50)[groups], [0.0, 1.0], rhs)
    a = np.array([[2.0, 0.7], [0.0, -0.1]])  # X A has the coefficients inv(A) b
    turned = run(again(x=fit.problem.x @ a), groups, [[0.0, 1.0]] @ a, rhs)
    order = rng.permutation(fit.problem.n)
    permuted = run(again(order=order), groups[order], [0.0, 1.0], rhs)
    shifted = run(
        again(y=fit.problem.y + fit.problem.x @ [3.0, 0.25]), groups, [0.0, 1.0], [rhs[0] + 0.25]
    )
    scaled = run(fit, groups, [0.0, -5.0], [-5 * rhs[0]])
    for other in (relabelled, turned, permuted, shifted, scaled):
        assert other.pvalue == pytest.approx(base.pvalue, abs=ALGEBRA)
        assert abs(other.statistic) == pytest.approx(abs(base.statistic), rel=1e-5)
    assert scaled.statistic == pytest.approx(-base.statistic)


def test_clusters_that_are_linked_take_cr0():
    problem = make("crossed")
    fit, _ = estimate(build_backend(problem))
    groups = problem.terms[0].level
    found = run(fit, groups, [0.0, 1.0], n=399)
    assert 0 < found.pvalue <= 1
    rows, rhs = np.array([[0.0, 1.0]]), np.zeros(1)
    patterns = np.ones((1, len(np.unique(groups))))
    expected = slow_statistics(fit, groups, rows, rhs, "CR0", patterns)
    assert found.statistic**2 == pytest.approx(expected[0], rel=BACKEND)
    with pytest.raises(SpecificationError, match="or cov_type='CR0'"):
        run(fit, groups, [0.0, 1.0], kind="CR2")


def test_user_weights():
    problem = make("nested_two")
    w = problem.v.tosparse()
    fit, _ = estimate(build_backend(problem), weights=w)
    groups = problem.cluster % GROUPS
    found = run(fit, groups, [0.0, 1.0])
    cov = robust(fit, groups, "CR0", "residual").cov
    assert found.statistic == pytest.approx(fit.beta[1] / np.sqrt(cov[1, 1]), rel=BACKEND)


def test_many_clusters_and_chunks_give_the_same():
    rng = np.random.default_rng(3)
    problem = make("nested_two")
    terms = (intercept("id", np.arange(problem.n)),)
    fit, _ = estimate(build_backend(replace(problem, terms=terms)))
    found = run(fit, np.arange(problem.n), [0.0, 1.0], n=300, rng=np.random.default_rng(4))
    same = run(fit, rng.permutation(problem.n), [0.0, 1.0], n=300)
    assert found.n_clusters == problem.n
    assert abs(found.pvalue - same.pvalue) < 4 * np.hypot(found.pvalue_error, same.pvalue_error)


def test_refusals():
    fit, groups = fitted(count=2)
    with pytest.raises(SpecificationError, match="2 hypotheses need at least 3 clusters"):
        run(fit, groups, np.eye(2))
    with pytest.raises(SpecificationError, match="weights= takes one of rademacher"):
        run(fit, groups, [0.0, 1.0], weights="normal")
    with pytest.raises(SpecificationError, match="their p-value is that of CR0"):
        run(fit, groups, [0.0, 1.0], kind="CR1")
