"""Joint and direct estimates against dense algebra, and the identities between them."""

import numpy as np
import pytest
from dense_double import dense_m, make_fit
from scipy import sparse, stats

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.inference.borrowing import evidence as module
from mvmeta.inference.borrowing.evidence import evidence, within_share
from mvmeta.inference.coefficients.degrees import given_df, normal_df
from mvmeta.structures import Unstructured
from tests.problems import correlated, diagonal_v, intercept, interior, make, problem_of


def levels_problem(seed=1, n=60, count=12, q=4):
    """Level means of an unbalanced factor in studies with an effect of their own."""
    rng = np.random.default_rng(seed)
    study = rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, n - count)]))
    level = rng.permutation(np.concatenate([np.arange(q), rng.integers(0, q, n - q)]))
    terms = (intercept("study", study), intercept("id", np.arange(n)))
    return problem_of(rng, diagonal_v(rng, n), terms, np.eye(q)[level])


def fit_of(problem, weights=None):
    return make_fit(problem, interior(problem), weights=weights)


def level_of(problem):
    return problem.x.argmax(axis=1)


def all_levels(fit, groups=None, df=None):
    level, p = level_of(fit.problem), fit.problem.p
    groups = fit.problem.terms[0].level if groups is None else groups
    direct = [level == a for a in range(p)]
    return evidence(fit, df or normal_df(fit), np.eye(p), direct, groups)


def dense_direct(fit, direct, row):
    """Estimate and variance of GLS on some rows, by pseudo-inverse."""
    m = dense_m(fit.problem, fit.gs)[np.ix_(direct, direct)]
    x, y = fit.problem.x[direct], fit.problem.y[direct]
    cov = np.linalg.pinv(x.T @ np.linalg.inv(m) @ x)
    return row @ cov @ x.T @ np.linalg.inv(m) @ y, row @ cov @ row


@pytest.mark.parametrize("name", ["multivariate_un", "multivariate_cs", "repeated_cells"])
def test_direct_is_gls_on_the_rows_of_the_level(name):
    fit = fit_of(make(name))
    got = all_levels(fit)
    for a in range(fit.problem.p):
        estimate, variance = dense_direct(fit, level_of(fit.problem) == a, np.eye(fit.problem.p)[a])
        assert got.direct[a] == pytest.approx(estimate, rel=1e-9)
        assert got.direct_se[a] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_contrasts_use_the_rows_of_both_levels():
    fit = fit_of(levels_problem())
    level, study = level_of(fit.problem), fit.problem.terms[0].level
    both = [j for j in range(12) if {0, 2} <= set(level[study == j])]
    direct = np.isin(study, both) & np.isin(level, [0, 2])
    row = np.array([-1.0, 0, 1, 0])
    got = evidence(fit, normal_df(fit), row[None], [direct], study)
    estimate, variance = dense_direct(fit, direct, row)
    assert got.direct[0] == pytest.approx(estimate, rel=1e-9)
    assert got.direct_se[0] == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert (got.n_rows[0], got.n_groups[0]) == (direct.sum(), len(both))


def test_the_variance_of_the_shift_is_the_difference_of_the_variances():
    got = all_levels(fit_of(levels_problem()))
    np.testing.assert_allclose(
        got.shift_se**2, got.direct_se**2 - got.joint_se**2, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(got.borrowed, got.shift_se**2 / got.direct_se**2, rtol=1e-9)
    np.testing.assert_allclose(got.shift, got.joint - got.direct, rtol=1e-12)
    assert (got.borrowed > 0).all()


def test_the_shift_is_tested_with_the_df_of_the_contrast():
    fit = fit_of(levels_problem())
    z, t = all_levels(fit), all_levels(fit, df=given_df(fit, np.array([3.0, 5, 7, 9])))
    np.testing.assert_allclose(z.shift_p, 2 * stats.norm.sf(abs(z.shift_z)), rtol=1e-12)
    np.testing.assert_allclose(t.shift_p, 2 * stats.t.sf(abs(z.shift_z), [3, 5, 7, 9]), rtol=1e-12)


def test_nothing_is_borrowed_without_random_effects_and_covariances():
    problem = levels_problem()
    fit = make_fit(MetaProblem(problem.y, problem.x, problem.v), np.empty(0))
    got = all_levels(fit, groups=problem.terms[0].level)
    np.testing.assert_array_equal(got.borrowed, 0.0)
    np.testing.assert_array_equal(got.shift, 0.0)
    np.testing.assert_array_equal(got.weight_outside, 0.0)
    assert np.isnan(got.shift_z).all()


# Every study has the same M_j = A, and X_j = I: GLS is ordinary least squares (Zyskind 1967).
def test_equal_designs_borrow_nothing():
    rng = np.random.default_rng(8)
    study, outcome = np.divmod(np.arange(30), 3)
    block = np.cov(rng.normal(size=(3, 9))) + np.eye(3)
    v = SamplingCovariance.from_blocks([block] * 10)
    term = correlated("outcome | study", study, outcome, Unstructured(("a", "b", "c")))
    got = all_levels(fit_of(problem_of(rng, v, (term,), np.eye(3)[outcome])))
    np.testing.assert_array_equal(got.borrowed, 0.0)
    np.testing.assert_allclose(got.joint, got.direct, rtol=1e-9)


def test_a_combination_its_rows_do_not_determine():
    fit = fit_of(levels_problem())
    level, study = level_of(fit.problem), fit.problem.terms[0].level
    row = np.array([[-1.0, 1, 0, 0]])
    got = evidence(fit, normal_df(fit), row, [level == 1], study)
    assert np.isnan([got.direct[0], got.direct_se[0], got.shift[0], got.shift_p[0]]).all()
    assert got.borrowed[0] == 1.0
    assert got.n_rows[0] == (level == 1).sum()


def test_no_direct_rows():
    fit = fit_of(levels_problem())
    nobody = np.zeros(60, dtype=bool)
    got = evidence(fit, normal_df(fit), np.eye(4)[:2], [nobody, None], fit.problem.terms[0].level)
    assert np.isnan(got.direct).all()
    assert got.borrowed[0] == 1.0
    assert np.isnan(got.borrowed[1])
    np.testing.assert_array_equal(got.n_rows, 0)
    assert got.weight_outside[0] == pytest.approx(abs(got.contributions[0]).sum())
    assert np.isnan(got.weight_outside[1])


def test_other_rows_of_the_direct_groups():
    fit = fit_of(levels_problem())
    level, study = level_of(fit.problem), fit.problem.terms[0].level
    near = np.isin(study, study[level == 3]) & (level != 3)
    m = np.diag(dense_m(fit.problem, fit.gs))
    want = (fit.resid[near] / m[near]).sum() / (1 / m[near]).sum()
    assert all_levels(fit).others[3] == pytest.approx(want, rel=1e-10)


def test_sets_of_rows_and_combinations_must_match():
    fit = fit_of(levels_problem())
    with pytest.raises(SpecificationError, match="one set of direct rows each"):
        evidence(fit, normal_df(fit), np.eye(4), [None], fit.problem.terms[0].level)


def test_user_weights_give_the_same_estimator_on_fewer_rows():
    problem = levels_problem()
    w = np.random.default_rng(2).uniform(0.5, 2.0, 60)
    fit = fit_of(problem, weights=sparse.csr_array(sparse.diags_array(w)))
    got = all_levels(fit)
    level = level_of(problem)
    want = [np.average(problem.y[level == a], weights=w[level == a]) for a in range(4)]
    np.testing.assert_allclose(got.direct, want, rtol=1e-10)
    # diagonal weights: no row outside a level has a say in its mean
    np.testing.assert_array_equal(got.borrowed, 0.0)
    assert np.isnan(got.within).all()


def test_shift_under_user_weights_that_tie_rows():
    problem = levels_problem()
    a = np.random.default_rng(5).uniform(-0.2, 0.2, (60, 60))
    w = np.eye(60) + (a + a.T) / 40
    fit = fit_of(problem, weights=sparse.csr_array(w))
    got = all_levels(fit)
    direct, x, m = level_of(problem) == 1, problem.x, dense_m(problem, fit.gs)
    h = (np.linalg.inv(x.T @ w @ x) @ x.T @ w)[1]
    d = np.zeros(60)
    own = w[np.ix_(direct, direct)].sum(axis=0)
    d[direct] = own / own.sum()
    assert got.direct[1] == pytest.approx(d @ problem.y, rel=1e-9)
    assert got.shift_se[1] == pytest.approx(np.sqrt((h - d) @ m @ (h - d)), rel=1e-9)
    assert got.borrowed[1] == pytest.approx(1 - (h @ m @ h) / (d @ m @ d), rel=1e-9)


# --- comparisons within groups ------------------------------------------------------------


def dense_within(fit, row, groups):
    """var(l b) / var(l b) with a column for every group added to X, by least squares."""
    inverse = np.linalg.inv(dense_m(fit.problem, fit.gs))
    x = fit.problem.x
    both = np.column_stack([x, np.eye(groups.max() + 1)[groups]])
    longer = np.concatenate([row, np.zeros(groups.max() + 1)])
    information = both.T @ inverse @ both
    cov = np.linalg.pinv(information, rcond=1e-10)
    if not np.allclose(longer @ cov @ information, longer, atol=1e-6):
        return 0.0
    return row @ np.linalg.inv(x.T @ inverse @ x) @ row / (longer @ cov @ longer)


@pytest.mark.parametrize("name", ["one_intercept", "nested_two", "crossed", "scattered_blocks"])
def test_within_share_of_a_slope(name):
    fit = fit_of(make(name))
    study = fit.problem.terms[0].level
    rows = np.eye(2)
    got = within_share(fit, rows, study)
    want = [dense_within(fit, row, study) for row in rows]
    np.testing.assert_allclose(got, want, rtol=1e-7)
    assert got[0] == 0.0
    assert 0 < got[1] < 1


def test_within_share_of_levels_and_contrasts():
    fit = fit_of(levels_problem())
    study = fit.problem.terms[0].level
    rows = np.array([[1.0, 0, 0, 0], [-1, 1, 0, 0], [0, -1, 0, 1]])
    got = within_share(fit, rows, study)
    np.testing.assert_allclose(got, [dense_within(fit, r, study) for r in rows], rtol=1e-7)
    assert got[0] == 0.0


def test_groups_of_one_row_have_nothing_within():
    fit = fit_of(levels_problem())
    row = np.array([[-1.0, 1, 0, 0]])
    assert within_share(fit, row, np.arange(60))[0] == 0.0


def test_too_many_linked_groups_are_left_alone(monkeypatch):
    monkeypatch.setattr(module, "MOST_LINKED_GROUPS", 3)
    fit = fit_of(make("crossed"))
    assert np.isnan(within_share(fit, np.eye(2), fit.problem.terms[0].level)).all()


def test_direct_rows_of_a_model_with_a_known_correlation():
    problem = make("known_correlation")
    level = np.random.default_rng(6).integers(0, 3, 45)
    fit = fit_of(MetaProblem(problem.y, np.eye(3)[level], problem.v, problem.terms))
    got = all_levels(fit)
    for a in range(3):
        estimate, variance = dense_direct(fit, level == a, np.eye(3)[a])
        assert got.direct[a] == pytest.approx(estimate, rel=1e-8)
        assert got.direct_se[a] == pytest.approx(np.sqrt(variance), rel=1e-8)
