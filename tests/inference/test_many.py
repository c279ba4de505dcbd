"""Many outcomes at once against the solver of single fits, outcome by outcome."""

from dataclasses import replace

import numpy as np
import pytest

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.inference.coefficients.scaling import knapp_hartung_factor
from mvmeta.inference.fitted.estimate import estimate
from mvmeta.inference.heterogeneity.q_and_i2 import heterogeneity_test
from mvmeta.inference.many.fit_many import fit_many
from mvmeta.inference.many.outcomes import ManySpec, NotFitted
from mvmeta.likelihood.many import full_loglik, many_evaluation
from mvmeta.likelihood.objective import Objective
from mvmeta.likelihood.orthonormal import orthonormal_basis
from mvmeta.marginal.dense import DenseMarginal
from mvmeta.marginal.many import GROUP, ROW, ManyRows, many_plan, many_sums
from mvmeta.marginal.select import build_backend
from mvmeta.optimize.boxqp import box_step
from mvmeta.optimize.many import box_steps
from mvmeta.optimize.status import Status
from mvmeta.structures import Identity, Pinned
from tests.problems import PROBLEMS, compound_v, intercept, interior, make
from tests.tolerances import ALGEBRA, BACKEND, OPTIMUM

LOGLIK = 1e-8
"""Log-likelihood at the maximum from two solvers, absolute."""

BATCHED = {"no_terms_block_v", "wide_scale", "zero_variances", "spatial_sites"}
"""Layouts that need no or too long a test of going one by one."""

LAYOUTS = ["no_terms", "one_intercept", "nested_two", "singletons", "unbalanced"]


def random_design(rng, kind):
    k, p = int(rng.integers(5, 45)), int(rng.integers(1, 4))
    count = int(rng.integers(2, max(3, k // 2)))
    study = rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, k - count)]))
    x = np.column_stack([np.ones(k), rng.normal(size=(k, p - 1))])
    group, row = intercept("study", study), intercept("id", rng.permutation(k))
    terms = {"row": (row,), "group": (group,), "both": (group, row), "none": ()}[kind]
    return MetaProblem(np.zeros(k), x, SamplingCovariance(np.ones(k)), terms), study


def random_outcomes(rng, study, m):
    """Half of the variances are 0, so that half of the estimates are on the boundary."""
    k = len(study)
    v = rng.uniform(0.02, 0.3, (k, m)) * 10 ** rng.uniform(-3, 3)
    size = np.sqrt(v.mean())
    tau, omega = (rng.choice([0.0, 0.0, 0.3, 2.0], m) * size for _ in range(2))
    y = np.sqrt(v) * rng.normal(size=(k, m)) + omega * rng.normal(size=(k, m))
    return y + tau * rng.normal(size=(study.max() + 1, m))[study] + 10 * size, v


def single(problem, y, v, reml=True):
    """The fit of one outcome by itself, rows with missing values taken out."""
    rows = np.flatnonzero(~np.isnan(y))
    problem = replace(problem, y=np.nan_to_num(y), v=SamplingCovariance(v)).take(rows)
    return estimate(build_backend(problem), reml=reml)


def assert_same(found, c, fit, optimum):
    scale = np.sqrt(np.diag(fit.cov_beta))
    assert abs(found.loglik[c] - fit.loglik[fit.reml]) < LOGLIK
    assert (np.abs(found.beta[:, c] - fit.beta) < OPTIMUM * scale).all()
    assert (np.abs(found.cov_beta[..., c] - fit.cov_beta) < OPTIMUM * np.outer(scale, scale)).all()
    assert found.theta[:, c] == pytest.approx(
        fit.theta, rel=10 * OPTIMUM, abs=OPTIMUM * np.mean(fit.problem.v.variances)
    )
    assert (found.boundary[:, c] == fit.boundary).all()
    assert found.status[c] is optimum.status
    assert found.qe[c] == pytest.approx(heterogeneity_test(fit).statistic, rel=BACKEND)
    assert found.rss[c] == pytest.approx(knapp_hartung_factor(fit), rel=OPTIMUM, nan_ok=True)
    assert found.nobs[c] == fit.problem.n


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", LAYOUTS)
def test_kernel_is_the_dense_likelihood(name, reml):
    problem = make(name)
    q, _ = orthonormal_basis(problem.x)
    plan = many_plan(problem, q)
    theta = interior(problem)
    y = np.column_stack([problem.y, np.sin(problem.y), problem.y**2])
    y -= q @ (q.T @ y)
    v = np.column_stack([problem.v.variances, 2 * problem.v.variances, problem.v.variances])
    at = np.array([0.0 if t is None else theta[t] for t in plan.terms])
    free = np.array([t is not None for t in plan.terms])
    rows = ManyRows(plan, plan.pairs, y, v, np.full(3, at[ROW]), bool(free[ROW]))
    found = many_evaluation(many_sums(rows, np.full(3, at[GROUP]), free), reml)
    order = [t for t in plan.terms if t is not None]
    for c in range(3):
        one = replace(problem, y=y[:, c], v=SamplingCovariance(v[:, c]))
        exact = Objective(DenseMarginal(one), reml).natural(theta)
        loglik = full_loglik(found, np.full(3, problem.n), problem.p, reml)[c]
        assert loglik == pytest.approx(exact.loglik, rel=ALGEBRA)
        near = {"rel": ALGEBRA, "abs": ALGEBRA * (1 + np.abs(exact.observed).max(initial=0))}
        assert found.gradient[:, c] == pytest.approx(exact.gradient[order], **near)
        assert found.expected[..., c] == pytest.approx(exact.expected[np.ix_(order, order)], **near)
        assert found.observed[..., c] == pytest.approx(exact.observed[np.ix_(order, order)], **near)


@pytest.mark.parametrize("kind", ["row", "group", "both", "none"])
def test_same_maximum_as_single_fits(kind):
    rng = np.random.default_rng(list(kind.encode()))
    batched = 0
    for reml in (True, False) * 4:
        problem, study = random_design(rng, kind)
        y, v = random_outcomes(rng, study, 6)
        found = fit_many(ManySpec(problem, reml), y, v)
        batched += int(found.batched.sum())
        for c in range(6):
            assert_same(found, c, *single(problem, y[:, c], v[:, c], reml))
    assert batched >= 46  # the batch may hand on single outcomes, not all of them


def test_rows_missing_in_single_outcomes_are_left_out_of_those_only():
    rng = np.random.default_rng(3)
    problem, study = random_design(rng, "both")
    y, v = random_outcomes(rng, study, 6)
    y[rng.random(y.shape) < 0.2] = np.nan
    y[:, 5] = rng.normal(size=len(y))
    found = fit_many(ManySpec(problem), y, v)
    assert found.batched.any()
    for c in range(6):
        assert_same(found, c, *single(problem, y[:, c], v[:, c]))


@pytest.mark.parametrize("kind", ["row", "group", "both", "none"])
def test_shared_correlated_errors_within_groups(kind):
    """V = Q diag(v) Q' block by block: the same maxima as with the blocks as they are."""
    rng = np.random.default_rng([11, *kind.encode()])
    for reml in (True, False):
        problem, study = random_design(rng, kind)
        y, v = random_outcomes(rng, study, 5)
        y[2, 4] = np.nan
        problem = replace(problem, v=compound_v(v[:, 0], study, 0.4))
        found = fit_many(ManySpec(problem, reml), y)
        assert list(found.batched) == [True] * 4 + [False]
        again = fit_many(ManySpec(problem, reml), y[:, :1], 1.5 * v[:, 0])
        assert again.batched.all()
        for c in range(5):
            rows = np.flatnonzero(~np.isnan(y[:, c]))
            one = replace(problem, y=np.nan_to_num(y[:, c])).take(rows)
            fit, optimum = estimate(build_backend(one), reml=reml)
            assert_same(found, c, fit, optimum)
        wide = replace(problem, y=y[:, 0], v=problem.v.scaled(1.5))
        assert again.loglik[0] == pytest.approx(
            estimate(build_backend(wide), reml=reml)[0].loglik[reml], abs=LOGLIK
        )


def test_correlated_errors_across_groups_or_singular_are_fitted_one_by_one():
    rng = np.random.default_rng(12)
    problem, study = random_design(rng, "group")
    y, v = random_outcomes(rng, study, 1)
    across = compound_v(v[:, 0], np.arange(problem.n) // 3, 0.4)
    singular = compound_v(v[:, 0], study, 1.0)
    row = replace(problem, terms=(intercept("id", np.arange(problem.n)),), v=singular)
    for other in (replace(problem, v=across), row):
        found = fit_many(ManySpec(other), y)
        assert not found.batched.any()
        fit, _ = estimate(build_backend(replace(other, y=y[:, 0])))
        assert found.loglik[0] == pytest.approx(fit.loglik[True], abs=LOGLIK)


def test_outcomes_without_enough_rows_say_so():
    rng = np.random.default_rng(4)
    problem, study = random_design(rng, "both")
    x = np.column_stack([np.ones(problem.n), np.arange(problem.n) < 2])
    y, v = random_outcomes(rng, study, 4)
    y[:, 0] = np.nan
    y[1:, 1] = np.nan
    y[:2, 2] = np.nan
    found = fit_many(ManySpec(replace(problem, x=x)), y, v)
    expected = [NotFitted.TOO_FEW_ROWS, NotFitted.TOO_FEW_ROWS, NotFitted.RANK_DEFICIENT]
    assert list(found.status[:3]) == expected
    assert found.status[3].converged
    assert np.isnan(found.beta[:, :3]).all()
    assert not np.isnan(found.beta[:, 3]).any()


def test_pinned_variance_stays():
    rng = np.random.default_rng(5)
    problem, study = random_design(rng, "both")
    pinned = Pinned(Identity(kind="sigma2"), np.array([0.07]))
    problem = replace(
        problem, terms=(replace(problem.terms[0], structure=pinned), problem.terms[1])
    )
    y, v = random_outcomes(rng, study, 5)
    found = fit_many(ManySpec(problem), y, v)
    assert found.batched.all()
    for c in range(5):
        assert_same(found, c, *single(problem, y[:, c], v[:, c]))


def test_variance_without_influence_goes_to_the_single_solver():
    rng = np.random.default_rng(6)
    study = np.repeat(np.arange(4), 5)
    terms = (intercept("study", study), intercept("id", np.arange(20)))
    x = (study[:, None] == np.arange(4)).astype(float)  # the study means take all of its variance
    problem = MetaProblem(np.zeros(20), x, SamplingCovariance(rng.uniform(0.1, 1, 20)), terms)
    found = fit_many(ManySpec(problem), rng.normal(size=(20, 2)))
    assert not found.batched.any()
    assert all(s.converged for s in found.status)
    assert found.theta[0] == pytest.approx([0.0, 0.0])


def test_a_higher_likelihood_at_zero_is_not_missed():
    """Sampling variances over six orders of magnitude: two maxima, the lower one on the way."""
    rng = np.random.default_rng(13)
    handed_on = 0
    for _ in range(40):
        problem, _ = random_design(rng, "group")
        v = 10 ** rng.uniform(-6, 0, (problem.n, 100))
        spread = np.sqrt(v + np.median(v, axis=0))
        y = spread * rng.normal(size=v.shape)
        found = fit_many(ManySpec(problem, False), y, v)
        at_zero = fit_many(ManySpec(replace(problem, terms=()), False), y, v)
        assert (found.loglik > at_zero.loglik - LOGLIK).all()
        handed_on += int((~found.batched).sum())
    assert handed_on > 0


def test_zero_sampling_variance_and_perfect_fit_are_fitted_one_by_one():
    rng = np.random.default_rng(7)
    problem, study = random_design(rng, "both")
    y, v = random_outcomes(rng, study, 3)
    v[0, 0] = 0.0
    y[:, 1] = problem.x.sum(axis=1)
    found = fit_many(ManySpec(problem), y, v)
    assert list(found.batched) == [False, False, True]
    for c in range(3):
        fit, optimum = single(problem, y[:, c], v[:, c])
        assert found.loglik[c] == pytest.approx(fit.loglik[True], rel=BACKEND)
        assert found.status[c] is optimum.status
    assert np.isnan(found.qe[0])


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n not in {*BATCHED, *LAYOUTS}][::3])
def test_every_other_layout_is_fitted_one_by_one(name):
    problem = make(name)
    found = fit_many(ManySpec(problem), np.column_stack([problem.y, problem.y]))
    fit, optimum = estimate(build_backend(problem))
    assert not found.batched.any()
    for c in range(2):
        assert found.loglik[c] == pytest.approx(fit.loglik[True], rel=BACKEND)
        assert found.status[c] is optimum.status


def test_correlations_stay_when_variances_change():
    problem = make("scattered_blocks")
    factor = np.linspace(0.5, 2.0, problem.n)
    found = fit_many(ManySpec(problem), problem.y[:, None], problem.v.variances * factor)
    s = np.sqrt(factor)
    v = SamplingCovariance.from_matrix(problem.v.toarray() * np.outer(s, s))
    fit, _ = estimate(build_backend(replace(problem, v=v)))
    assert found.loglik[0] == pytest.approx(fit.loglik[True], rel=BACKEND)


def test_order_and_number_of_outcomes_change_nothing():
    rng = np.random.default_rng(8)
    problem, study = random_design(rng, "both")
    y, v = random_outcomes(rng, study, 700)  # more than there are slots
    whole = fit_many(ManySpec(problem), y, v)
    order = rng.permutation(700)
    other = fit_many(ManySpec(problem), y[:, order], v[:, order])
    few = fit_many(ManySpec(problem), y[:, :3], v[:, :3])
    assert other.loglik == pytest.approx(whole.loglik[order], rel=BACKEND)
    assert few.loglik == pytest.approx(whole.loglik[:3], rel=BACKEND)
    assert (other.status == whole.status[order]).all()
    assert {Status.INTERIOR, Status.BOUNDARY} <= set(whole.status)


def test_several_processes_give_the_same():
    problem = make("crossed")
    y = np.random.default_rng(9).normal(size=(problem.n, 4))
    one, two = (fit_many(ManySpec(problem), y, n_jobs=n) for n in (1, 2))
    assert (one.loglik == two.loglik).all()


def test_box_steps_are_those_of_the_active_set_method():
    rng = np.random.default_rng(10)
    a = rng.normal(size=(50, 2, 3))
    model = a @ a.transpose(0, 2, 1) + 0.1 * np.eye(2)
    g, low = 3 * rng.normal(size=(50, 2)), -rng.uniform(0, 1, (50, 2)) * rng.integers(0, 2, (50, 2))
    found, gain = box_steps(g.T, np.moveaxis(model, 0, 2), low.T)
    for c in range(50):
        s = box_step(g[c], model[c], low[c], np.full(2, np.inf))
        assert found[:, c] == pytest.approx(s, abs=ALGEBRA)
        assert gain[c] == pytest.approx(g[c] @ s - s @ model[c] @ s / 2, abs=ALGEBRA)
