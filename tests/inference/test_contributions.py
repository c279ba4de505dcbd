"""What rows and studies contribute: against explicit inverses, and the sums that must hold."""

import numpy as np
import pytest
from dense_double import dense_m, make_fit
from scipy import sparse

from mvmeta.inference.borrowing.contributions import contributions, group_sums, variance_shares
from mvmeta.inference.borrowing.weights import coefficient_weights, group_weights, row_weights
from tests.problems import interior, make

NAMES = [
    "no_terms",
    "no_terms_block_v",
    "one_intercept",
    "nested_two",
    "crossed",
    "multivariate_un",
    "random_slopes",
    "scattered_blocks",
]


def fit_of(name, weights=None):
    problem = make(name)
    return make_fit(problem, interior(problem), weights=weights)


def some_rows(p, seed=3):
    return np.random.default_rng(seed).normal(size=(4, p))


def user_weights(n, seed=4):
    rng = np.random.default_rng(seed)
    a = np.diag(rng.uniform(0.5, 2.0, n))
    a[0, 1] = a[1, 0] = 0.2
    return sparse.csr_array(a)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_times_y_are_the_estimates(name):
    fit = fit_of(name)
    rows = some_rows(fit.problem.p)
    h = contributions(fit, rows)
    np.testing.assert_allclose(h @ fit.problem.y, rows @ fit.beta, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(h @ fit.problem.x, rows, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_are_the_textbook_formula(name):
    fit = fit_of(name)
    x, inverse = fit.problem.x, np.linalg.inv(dense_m(fit.problem, fit.gs))
    want = np.linalg.inv(x.T @ inverse @ x) @ x.T @ inverse
    np.testing.assert_allclose(contributions(fit), want, rtol=1e-9, atol=1e-11)


def test_contributions_under_user_weights():
    w = user_weights(40)
    fit = fit_of("one_intercept", weights=w)
    x, dense = fit.problem.x, w.toarray()
    want = np.linalg.inv(x.T @ dense @ x) @ x.T @ dense
    got = contributions(fit)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(got @ fit.problem.y, fit.beta, rtol=1e-10)


def test_a_level_mean_takes_one_from_its_level_and_nothing_from_the_others():
    fit = fit_of("multivariate_un")
    level = fit.problem.x.argmax(axis=1)
    sums = group_sums(contributions(fit), level)
    np.testing.assert_allclose(sums, np.eye(3), atol=1e-12)


def test_group_sums_keep_the_total():
    values = some_rows(6)
    groups = np.array([0, 2, 1, 0, 2, 2])
    sums = group_sums(values, groups)
    assert sums.shape == (4, 3)
    np.testing.assert_allclose(sums[:, 1], values[:, 2])
    np.testing.assert_allclose(sums[:, 0], values[:, [0, 3]].sum(axis=1))


# l'C (X_j'N_j X_j) C l / l'C l, with the information of every study on its own.
@pytest.mark.parametrize("name", ["nested_two", "multivariate_un", "unbalanced"])
def test_shares_decompose_the_information(name):
    fit = fit_of(name)
    x, m = fit.problem.x, dense_m(fit.problem, fit.gs)
    study = fit.problem.terms[0].level
    rows = some_rows(fit.problem.p)
    c = np.linalg.inv(x.T @ np.linalg.inv(m) @ x)
    want = []
    for j in range(study.max() + 1):
        at = np.flatnonzero(study == j)
        information = x[at].T @ np.linalg.inv(m[np.ix_(at, at)]) @ x[at]
        want.append(np.diag(rows @ c @ information @ c @ rows.T) / np.diag(rows @ c @ rows.T))
    got = variance_shares(fit, contributions(fit, rows), study)
    np.testing.assert_allclose(got, np.array(want).T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-12)
    assert (got >= 0).all()


def test_weights_of_a_mean_are_inverse_variance_weights():
    problem = make("one_intercept")
    problem = type(problem)(problem.y, np.ones((40, 1)), problem.v, ())
    fit = make_fit(problem, np.empty(0))
    precision = 1 / problem.v.variances
    want = 100 * precision / precision.sum()
    np.testing.assert_allclose(coefficient_weights(fit, np.arange(40))[0], want, rtol=1e-12)
    np.testing.assert_allclose(row_weights(fit).rowsum, want, rtol=1e-12)


def test_coefficient_weights_sum_to_a_hundred():
    fit = fit_of("crossed")
    got = coefficient_weights(fit, fit.problem.terms[0].level)
    assert got.shape == (2, 12)
    np.testing.assert_allclose(got.sum(axis=1), 100.0, rtol=1e-10)


def test_group_weights_are_sums_of_row_weights():
    fit = fit_of("nested_two")
    study = fit.problem.terms[0].level
    got, by_row = group_weights(fit, study), row_weights(fit)
    want = [by_row.diagonal[study == j].sum() for j in range(study.max() + 1)]
    np.testing.assert_allclose(got.diagonal, want, rtol=1e-12)
    assert got.diagonal.sum() == pytest.approx(100.0)
    assert np.isnan(got.rowsum).all()
