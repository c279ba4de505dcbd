"""Predictions given random effects, for every layout and backend, against dense algebra."""

import numpy as np
import pytest
from dense_double import dense_m, make_fit

from mvmeta.errors import SpecificationError
from mvmeta.inference.fitted import probing
from mvmeta.inference.fitted.probing import one_per_cluster, quadratic_forms
from mvmeta.inference.prediction import blup, conditional
from mvmeta.inference.prediction.blup import effects_cov, true_effects
from mvmeta.inference.prediction.conditional import NO_LEVEL, Link, conditional_moments, own_link
from mvmeta.inference.prediction.predict import Prediction, row_df
from mvmeta.marginal.select import build_backend
from tests.problems import PROBLEMS, interior, make, matrices
from tests.tolerances import BACKEND

WITH_TERMS = [name for name in PROBLEMS if make(name).terms]


def fit_of(name):
    """A fit at interior components over the backend the layout gets."""
    problem = make(name)
    theta = interior(problem)
    factor = build_backend(problem, None).factorize(matrices(problem, theta))
    return make_fit(problem, theta, factor=factor)


def dense(fit, c, prior, x):
    """Prediction and variance of its error for effects with covariance c (n, m) with the data."""
    weight = np.linalg.inv(dense_m(fit.problem, fit.gs))
    mean = x @ fit.beta + c.T @ weight @ fit.resid
    r = x - c.T @ weight @ fit.problem.x
    return mean, np.sum(r @ fit.cov_beta * r, axis=1) + prior - np.sum(c * (weight @ c), axis=0)


def own_covariance(fit, terms):
    """Prior covariance (n, n) of what some terms add to the rows."""
    total = np.zeros((fit.problem.n, fit.problem.n))
    for t in terms:
        term = fit.problem.terms[t]
        z = term.sparse_z().toarray()
        total = total + z @ np.kron(np.eye(term.n_levels), fit.gs[t]) @ z.T
    return total


@pytest.mark.parametrize("name", WITH_TERMS)
@pytest.mark.parametrize("batch", [1, 1 << 22])
def test_fitted_rows_given_some_of_their_terms(name, batch, monkeypatch):
    monkeypatch.setattr(probing, "BATCH", batch)
    monkeypatch.setattr(conditional, "BATCH", batch)
    fit = fit_of(name)
    terms = list(zip(fit.problem.terms, fit.gs, strict=True))
    for chosen in {(0,), tuple(range(len(terms)))}:
        links = [own_link(t, g) if i in chosen else None for i, (t, g) in enumerate(terms)]
        mean, variance = conditional_moments(fit, fit.cov_beta, fit.problem.x, links)
        k = own_covariance(fit, chosen)
        want, error = dense(fit, k, np.diag(k), fit.problem.x)
        np.testing.assert_allclose(mean, want, rtol=0, atol=BACKEND * np.abs(want).max())
        np.testing.assert_allclose(variance, error, rtol=0, atol=BACKEND * error.max())
    total = true_effects(fit)
    np.testing.assert_allclose(mean, total.estimate, rtol=0, atol=BACKEND * np.abs(mean).max())


@pytest.mark.parametrize(
    "name", ["nested_two", "crossed_with_id", "random_slopes", "spatial_sites"]
)
@pytest.mark.parametrize("batch", [1, 1 << 22])
def test_joint_covariance_of_all_effects(name, batch, monkeypatch):
    monkeypatch.setattr(blup, "BATCH", batch)
    fit = fit_of(name)
    parts = list(zip(fit.problem.terms, fit.gs, strict=True))
    z = np.hstack([t.sparse_z().toarray() for t, _ in parts])
    prior = np.zeros((z.shape[1], z.shape[1]))
    start = 0
    for t, g in parts:
        size = t.n_levels * t.q
        prior[start : start + size, start : start + size] = np.kron(np.eye(t.n_levels), g)
        start += size
    x, weight = fit.problem.x, np.linalg.inv(dense_m(fit.problem, fit.gs))
    p = weight - weight @ x @ fit.cov_beta @ x.T @ weight
    want = prior - prior @ z.T @ p @ z @ prior
    got = effects_cov(fit, range(len(parts)))
    np.testing.assert_allclose(got, want, rtol=0, atol=BACKEND * np.abs(prior).max())
    assert effects_cov(fit, []).shape == (0, 0)


def test_a_new_level_adds_nothing():
    fit = fit_of("nested_two")
    x = fit.problem.x[:3]
    nobody = Link(np.full(3, NO_LEVEL), np.zeros(3, dtype=np.intp), fit.gs[0], np.diag(fit.gs[0]))
    mean, variance = conditional_moments(fit, fit.cov_beta, x, [nobody, None])
    np.testing.assert_allclose(mean, x @ fit.beta, rtol=1e-12)
    np.testing.assert_allclose(variance, np.einsum("mp,pq,mq->m", x, fit.cov_beta, x))


def test_levels_of_two_clusters_in_one_row():
    """A new row may join a study and a species that no chain of rows connects."""
    fit = fit_of("nested_two")
    two = make("nested_two")
    assert two.cluster.max() > 1
    study, row = fit.problem.terms
    far = int(np.flatnonzero(two.cluster != two.cluster[0])[0])
    x = np.array([[1.0, 0.3]])
    links = [
        Link(study.level[:1], np.zeros(1, dtype=np.intp), fit.gs[0], np.diag(fit.gs[0])),
        Link(row.level[[far]], np.zeros(1, dtype=np.intp), fit.gs[1], np.diag(fit.gs[1])),
    ]
    mean, variance = conditional_moments(fit, fit.cov_beta, x, links)
    c = own_covariance(fit, [0])[:, :1] + own_covariance(fit, [1])[:, [far]]
    prior = np.array([fit.gs[0][0, 0] + fit.gs[1][0, 0]])
    want, error = dense(fit, c, prior, x)
    np.testing.assert_allclose(mean, want, rtol=BACKEND)
    np.testing.assert_allclose(variance, error, rtol=BACKEND)


def test_an_impossible_covariance_is_refused():
    fit = fit_of("one_intercept")
    g = fit.gs[0]
    link = Link(fit.problem.terms[0].level[:1], np.zeros(1, dtype=np.intp), 9 * g, np.diag(g))
    with pytest.raises(SpecificationError, match="negative variance"):
        conditional_moments(fit, fit.cov_beta, fit.problem.x[:1], [link])


def test_quadratic_forms_share_columns_over_clusters():
    fit = fit_of("nested_two")
    n = fit.problem.n
    solves = []

    def columns(items, column, width):
        solves.append(width)
        out = np.zeros((n, width))
        out[items, column] = 1.0
        return out

    got = quadratic_forms(fit, fit.problem.cluster, columns)
    np.testing.assert_allclose(got, fit.factor.inverse_diagonal(), rtol=BACKEND)
    assert solves == [np.bincount(fit.problem.cluster).max()]
    assert one_per_cluster(np.empty(0, dtype=np.intp), 3) == []


def test_probabilities_of_an_effect_without_error():
    exact = Prediction(*(np.array(v) for v in ([1.0, 1.0], [0.0, 0.0], [0.0, np.nan], [5.0, 5.0])))
    np.testing.assert_array_equal(exact.probability_below(2.0), [1.0, np.nan])
    np.testing.assert_array_equal(exact.probability_below(0.0), [0.0, np.nan])
    np.testing.assert_array_equal(exact.probability_below(1.0), [0.5, np.nan])


def test_df_of_equal_rows_are_found_once():
    from test_wald import basis

    at = basis("b01_konst_3level_reml")
    calls = []

    class Counting(type(at.df)):
        def __init__(self):
            self.normal = False

        def contrasts(self, rows):
            calls.append(len(rows))
            return np.arange(1.0, len(rows) + 1)

    from dataclasses import replace

    counted = replace(at, df=Counting())
    x = np.array([[2.0], [1.0], [np.nan], [2.0]])
    np.testing.assert_array_equal(row_df(counted, x), [2.0, 1.0, np.nan, 2.0])
    assert calls == [2]
