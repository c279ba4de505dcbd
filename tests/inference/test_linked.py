"""Sandwiches over groups the model links, and over several groupings, by dense algebra."""

import numpy as np
import pytest
from dense_double import dense_m, make_fit
from scipy import sparse

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.terms import RandomTerm
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import Basis, wald_test
from mvmeta.inference.robust.linked import (
    Jackknife,
    LinkedMoments,
    Sandwich,
    intersections,
)
from mvmeta.inference.robust.moments import RobustSatterthwaite
from mvmeta.inference.robust.sandwich import robust
from mvmeta.structures import Identity

THETA = [0.3, 0.2, 0.1]
SEED = 4
CONTRASTS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -2.0], [0.5, 0.0, 1.0]])


def intercept(name, codes):
    levels = tuple(range(int(codes.max()) + 1))
    return RandomTerm(name, codes.astype(np.intp), levels, Identity(kind="sigma2"))


@pytest.fixture(scope="module")
def problem():
    """Studies crossed with species, 40 rows, a moderator of each and their product."""
    rng = np.random.default_rng(SEED)
    study, species = rng.integers(0, 9, 40), rng.integers(0, 6, 40)
    study[:9], species[:6] = np.arange(9), np.arange(6)
    a, b = rng.standard_normal(9)[study], rng.standard_normal(40)
    x = np.column_stack([np.ones(40), a, b])
    terms = (
        intercept("study", study),
        intercept("species", species),
        intercept("row", np.arange(40)),
    )
    v = SamplingCovariance(rng.uniform(0.05, 0.3, 40))
    blank = MetaProblem(np.zeros(40), x, v, terms)
    m = dense_m(blank, [np.array([[t]]) for t in THETA])
    return MetaProblem(np.linalg.cholesky(m) @ rng.standard_normal(40), x, v, terms)


@pytest.fixture(scope="module")
def fit(problem):
    return make_fit(problem, THETA)


def weighted(problem):
    rng = np.random.default_rng(3)
    w = sparse.diags_array(rng.uniform(0.5, 2.0, problem.n)).tocsr()
    return make_fit(problem, THETA, weights=w)


def groupings(fit):
    return np.column_stack([t.level for t in fit.problem.terms[:2]])


def test_what_links_the_groups_is_crossed(fit):
    assert fit.problem.cluster.max() == 0


@pytest.mark.parametrize("column", [0, 1])
def test_cr3_leaves_out_a_group_and_fits_again(fit, column):
    code = groupings(fit)[:, column]
    m, x, y = dense_m(fit.problem, fit.gs), fit.problem.x, fit.problem.y
    want = np.zeros((3, 3))
    for g in range(code.max() + 1):
        keep = code != g
        n = np.linalg.inv(m[np.ix_(keep, keep)])
        beta = np.linalg.solve(x[keep].T @ n @ x[keep], x[keep].T @ n @ y[keep])
        want += np.outer(fit.beta - beta, fit.beta - beta)
    got = robust(fit, code, "CR3")
    np.testing.assert_allclose(got.cov, want, rtol=1e-9)
    assert not got.independent
    assert got.counts == (code.max() + 1,)


def selections(fit, codes, kind):
    """Matrices A_j (p, n) of the contributions x_j = A_j y, one for each group."""
    m, x = dense_m(fit.problem, fit.gs), fit.problem.x
    w = np.linalg.inv(m) if fit.weights is None else fit.weights.toarray()
    gls = np.linalg.solve(x.T @ w @ x, x.T @ w)
    out = []
    for g in range(codes.max() + 1):
        inside = codes == g
        if kind == "CR3":
            keep = ~inside
            n = np.linalg.inv(m[np.ix_(keep, keep)])
            without = np.zeros_like(gls)
            without[:, keep] = np.linalg.solve(x[keep].T @ n @ x[keep], x[keep].T @ n)
            out.append(gls - without)
        else:
            out.append((gls * inside) @ (np.eye(len(x)) - x @ gls))
    return np.array(out)


def signed(fit, codes, kind):
    """Weights and matrices of all terms of the inclusion-exclusion, the factors of CR1 included."""
    columns = [codes] if codes.ndim == 1 else [*codes.T]
    sets = [(1.0, c) for c in columns]
    if len(columns) == 2:
        both = np.unique(columns[0] * 100 + columns[1], return_inverse=True)[1]
        sets.append((-1.0, both))
    weights, matrices = [], []
    for sign, c in sets:
        j = c.max() + 1
        matrices.append(selections(fit, c, kind))
        weights += [sign * (j / (j - 1) if kind == "CR1" else 1.0)] * j
    return np.array(weights), np.concatenate(matrices)


def moments(weights, matrices, m, rows):
    """E and all covariances of D = sum w_j x_j x_j', straight from Cov(x_j, x_k) = A_j M A_k'."""
    a = np.einsum("qp,jpn->jqn", rows, matrices)
    cov = np.einsum("jqn,nm,krm->jkqr", a, m, a)
    mean = np.einsum("j,jjqr->qr", weights, cov)
    var = np.einsum("j,k,jkss,jktt->st", weights, weights, cov, cov)
    var += np.einsum("j,k,jkst,jkts->st", weights, weights, cov, cov)
    return mean, var


CHOICES = [("CR0", 0), ("CR1", 1), ("CR3", 0), ("CR3", 1), ("CR0", None), ("CR1", None)]


@pytest.mark.parametrize(("kind", "column"), CHOICES)
@pytest.mark.parametrize("weights", [False, True])
def test_covariance_df_and_expectation(problem, fit, kind, column, weights):
    if weights and kind == "CR3":
        with pytest.raises(SpecificationError, match="not defined under user weights"):
            robust(weighted(problem), groupings(fit)[:, column], kind)
        return
    at = weighted(problem) if weights else fit
    codes = groupings(fit) if column is None else groupings(fit)[:, column]
    w, matrices = signed(at, codes, kind)
    x = matrices @ at.problem.y
    got = robust(at, codes, kind)
    np.testing.assert_allclose(got.cov, np.einsum("j,jp,jq->pq", w, x, x), rtol=1e-8)
    m = dense_m(at.problem, at.gs)
    for row in CONTRASTS:
        mean, var = moments(w, matrices, m, row[None])
        np.testing.assert_allclose(got.df.contrast(row), (2 * mean**2 / var).item(), rtol=1e-7)
    mean, _ = moments(w, matrices, m, np.eye(3))
    np.testing.assert_allclose(got.expected, np.diag(mean) / np.diag(at.cov_beta), rtol=1e-8)


@pytest.mark.parametrize(("kind", "column"), CHOICES)
def test_joint_test(fit, kind, column):
    codes = groupings(fit) if column is None else groupings(fit)[:, column]
    w, matrices = signed(fit, codes, kind)
    m, rows = dense_m(fit.problem, fit.gs), CONTRASTS[:2]
    mean, _ = moments(w, matrices, m, rows)
    values, vectors = np.linalg.eigh(mean)
    _, var = moments(w, matrices, m, (vectors / np.sqrt(values)).T @ rows)
    eta = 6 / var.sum()
    got = robust(fit, codes, kind)
    np.testing.assert_allclose(got.df.joint(rows), eta - 1, rtol=1e-7)
    cov = rows @ got.cov @ rows.T
    gap = rows @ fit.beta
    test = wald_test(Basis(fit.beta, got.cov, got.df), rows)
    want = (eta - 1) / eta * gap @ np.linalg.solve(cov, gap) / 2
    np.testing.assert_allclose(test.statistic, want, rtol=1e-7)


@pytest.mark.parametrize("kind", ["CR0", "CR3"])
def test_of_independent_groups_both_routes_are_one(problem, kind):
    """The route for linked groups, on groups that are not."""
    fit = make_fit(MetaProblem(problem.y, problem.x, problem.v, problem.terms[::2]), [0.3, 0.1])
    code = problem.terms[0].level
    source = Jackknife(fit) if kind == "CR3" else Sandwich(fit)
    part = source.loadings(intersections([code])[0], 1.0)
    linked = RobustSatterthwaite(LinkedMoments(source.r, [part], source.cov_residuals))
    direct = robust(fit, code, kind)
    assert direct.independent
    np.testing.assert_allclose(linked.contrasts(CONTRASTS), direct.df.contrasts(CONTRASTS))
    np.testing.assert_allclose(linked.joint(CONTRASTS), direct.df.joint(CONTRASTS))
    np.testing.assert_allclose(linked.expected(np.eye(3)), direct.df.expected(np.eye(3)))


def test_both_factors_of_a_crossed_model_cover_its_covariances():
    """One grouping misses what the other shares; both together miss the leverage, O(1 / J)."""
    study, species = (a.ravel() for a in np.meshgrid(np.arange(24), np.arange(20)))
    n = len(study)
    terms = (intercept("study", study), intercept("species", species))
    blank = MetaProblem(np.zeros(n), np.ones((n, 1)), SamplingCovariance(np.full(n, 0.2)), terms)
    fit = make_fit(blank, THETA[:2])
    codes = np.column_stack([study, species])
    both = robust(fit, codes, "CR1", df="cluster").expected[0]
    assert both == pytest.approx(1.0, abs=0.1)
    shares = [robust(fit, c, "CR1", df="cluster").expected[0] for c in codes.T]
    # the variance of the mean of a balanced table: 0.3 / 24 + 0.2 / 20 + 0.2 / 480
    total = 0.3 / 24 + 0.2 / 20 + 0.2 / 480
    assert shares[0] == pytest.approx((0.3 / 24 + 0.2 / 480) / total, rel=1e-9)
    assert shares[1] == pytest.approx((0.2 / 20 + 0.2 / 480) / total, rel=1e-9)


def test_moments_of_many_coefficients_need_no_table(fit, monkeypatch):
    got = robust(fit, groupings(fit), "CR1").df
    tabulated = got.contrasts(CONTRASTS)
    monkeypatch.setattr("mvmeta.inference.robust.moments.MOST_TABULATED", 0)
    again = robust(fit, groupings(fit), "CR1").df
    np.testing.assert_allclose(again.contrasts(CONTRASTS), tabulated, rtol=1e-10)


def test_too_many_groups_for_their_covariances(fit, monkeypatch):
    monkeypatch.setattr("mvmeta.inference.robust.linked.MOST_PAIRS", 10)
    with pytest.raises(SpecificationError, match="use df='cluster' or df='residual'"):
        robust(fit, groupings(fit), "CR1")
    assert robust(fit, groupings(fit), "CR1", df="cluster").df.coefficients()[0] == 3.0


def test_groupings_have_a_limit(fit):
    with pytest.raises(SpecificationError, match="5 groupings at once; 4 are possible"):
        robust(fit, np.column_stack([groupings(fit)[:, 0]] * 5), "CR1")


@pytest.mark.parametrize("columns", [[0], [0, 1]])
def test_cr2_says_what_to_use_instead(fit, columns):
    codes = groupings(fit)[:, columns] if len(columns) == 2 else groupings(fit)[:, 0]
    with pytest.raises(SpecificationError, match=r"CR2 cannot handle.*with CR1.*CR3"):
        robust(fit, codes, "CR2")


def test_a_group_that_determines_a_coefficient(problem):
    alone = (problem.terms[0].level == 2).astype(float)
    x = np.column_stack([np.ones(problem.n), alone])
    fit = make_fit(MetaProblem(problem.y, x, problem.v, problem.terms), THETA)
    with pytest.raises(SpecificationError, match="determines a coefficient by itself"):
        robust(fit, problem.terms[0].level, "CR3")
