"""Cluster-robust inference against metafor and clubSandwich at the recorded components."""

import numpy as np
import pytest
from dense_double import case_fit, case_names, case_tolerance, load, make_fit, numbers
from scipy import sparse

from mvmeta.design.layout import recode
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.wald import Basis, coefficients, omnibus_rows, wald_test
from mvmeta.inference.robust.sandwich import KINDS, robust

CASES = [
    (name, i)
    for name in case_names(check="robust")
    for i in range(len(load(name)["checks"]["robust"]))
]


def groups(name, i):
    case = load(name)
    column = case["data"][case["checks"]["robust"][i]["cluster"]]
    labels = [str(column[j]) for j in case["design"]["rows_used"]]
    return np.unique(labels, return_inverse=True)[1]


def omnibus(fit):
    return np.eye(fit.problem.p)[omnibus_rows(fit.problem.x)]


def check(name, want, got, rtol):
    fit = case_fit(name)
    se = numbers(want["se"])
    np.testing.assert_allclose(np.sqrt(np.diag(got.cov)), se, rtol=rtol)
    np.testing.assert_allclose(got.cov, numbers(want["vcov"]), atol=rtol * np.max(se**2))
    assert got.n_clusters == want["n_clusters"]
    basis = Basis(fit.beta, got.cov, got.df)
    each, joint = coefficients(basis), wald_test(basis, omnibus(fit))
    np.testing.assert_allclose(each.statistic, numbers(want["stat"]), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(
        each.df, np.broadcast_to(numbers(want["df"]), each.df.shape), rtol=rtol
    )
    np.testing.assert_allclose(each.pvalue, numbers(want["pval"]), rtol=100 * rtol, atol=1e-10)
    np.testing.assert_allclose(joint.statistic, want["F"], rtol=rtol)
    np.testing.assert_allclose([joint.df, joint.df_denom], numbers(want["F_df"]), rtol=rtol)
    np.testing.assert_allclose(joint.pvalue, numbers(want["F_p"]), rtol=100 * rtol, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "i"), CASES)
def test_club_sandwich(name, i, kind):
    want = load(name)["checks"]["robust"][i][f"clubSandwich_{kind}"]
    if (name, kind) == ("b03_assink_3level_mods_t", "CR3"):
        # One study alone has one of the categories: clubSandwich divides rounding by rounding.
        with pytest.raises(SpecificationError, match="determines a coefficient by itself"):
            robust(case_fit(name), groups(name, i), kind)
        return
    got = robust(case_fit(name), groups(name, i), kind)
    check(name, want, got, 100 * case_tolerance(name))


@pytest.mark.parametrize(("adjust", "kind"), [("false", "CR0"), ("true", "CR1p")])
@pytest.mark.parametrize(("name", "i"), CASES)
def test_metafor(name, i, adjust, kind):
    want = load(name)["checks"]["robust"][i][f"metafor_adjust_{adjust}"]
    got = robust(case_fit(name), groups(name, i), kind, df="cluster")
    check(name, want, got, 100 * case_tolerance(name))


def dense(fit, code, contrast):
    """E and Var of the CR0 variance estimate of a contrast, by full n x n matrices."""
    x, m = fit.problem.x, fit.factor.m
    w = fit.factor.inverse if fit.weights is None else fit.weights.toarray()
    bread = np.linalg.inv(x.T @ w @ x)
    left = np.eye(fit.problem.n) - x @ bread @ x.T @ w
    indicator = (code[:, None] == np.arange(code.max() + 1)).astype(float)
    pick = (w @ x @ bread @ contrast)[:, None] * indicator
    omega = pick.T @ left @ m @ left.T @ pick
    return np.trace(omega), 2 * (omega**2).sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_satterthwaite_df_by_dense_algebra(weighted):
    base = case_fit("b03_assink_3level_mods_t")
    code = groups("b03_assink_3level_mods_t", 0)
    weights = None
    if weighted:
        rng = np.random.default_rng(4)
        half = 0.2 * rng.standard_normal((base.problem.n, 3)) * 1.0
        tie = np.where(code[:, None] == code[None], half @ half.T, 0.0)
        weights = sparse.csr_array(np.diag(rng.uniform(0.5, 2.0, base.problem.n)) + tie)
    fit = make_fit(base.problem, base.theta, weights=weights)
    got = robust(fit, code, "CR0").df
    for contrast in (np.array([1.0, 0.0, 0.0]), np.array([1.0, -2.0, 0.5])):
        e, variance = dense(fit, code, contrast)
        np.testing.assert_allclose(got.contrast(contrast), 2 * e**2 / variance, rtol=1e-8)


@pytest.mark.parametrize("kind", ["CR2", "CR3"])
def test_bias_reduction_is_exact_under_the_working_model(kind):
    """E V_CR2 = inv(X'N X) when M is right; CR3 errs on the large side."""
    fit = case_fit("d03_fine_ar_ml")
    got = robust(fit, groups("d03_fine_ar_ml", 0), kind).df
    expected = got.expected(np.eye(fit.problem.p))
    if kind == "CR2":
        np.testing.assert_allclose(expected, fit.cov_beta, atol=1e-8 * fit.cov_beta.max())
    else:
        assert (np.diag(expected) > np.diag(fit.cov_beta)).all()


def test_adjustment_under_user_weights_is_unbiased_too():
    base = case_fit("b01_konst_3level_reml")
    code = groups("b01_konst_3level_reml", 0)
    w = sparse.diags_array(np.random.default_rng(2).uniform(0.5, 2.0, base.problem.n)).tocsr()
    fit = make_fit(base.problem, base.theta, weights=w)
    got = robust(fit, code, "CR2").df
    np.testing.assert_allclose(got.expected(np.eye(1)), fit.cov_beta, rtol=1e-8)


def test_a_joint_test_does_not_depend_on_the_basis():
    fit = case_fit("d03_fine_ar_ml")
    got = robust(fit, groups("d03_fine_ar_ml", 0), "CR2")
    basis, rows = Basis(fit.beta, got.cov, got.df), np.eye(4)[1:]
    turned = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, -3.0]]) @ rows
    one, two = wald_test(basis, rows), wald_test(basis, turned)
    np.testing.assert_allclose(
        [one.statistic, one.df_denom], [two.statistic, two.df_denom], rtol=1e-8
    )


def test_crossed_groups_allow_the_plain_sandwich_only():
    fit = case_fit("b01_konst_3level_reml")
    crossed = np.arange(fit.problem.n) % 7
    with pytest.raises(SpecificationError, match="rows of different groups are correlated"):
        robust(fit, crossed, "CR2")
    x, n = fit.problem.x, fit.factor.inverse
    score = np.array([((n @ x)[crossed == j].T @ fit.resid[crossed == j]) for j in range(7)])
    want = fit.cov_beta @ score.T @ score @ fit.cov_beta
    np.testing.assert_allclose(robust(fit, crossed, "CR0", df="cluster").cov, want, rtol=1e-8)


@pytest.mark.parametrize(
    ("kind", "df", "count", "message"),
    [
        ("HC3", "satterthwaite", 11, "unknown cov_type"),
        ("CR2", "contain", 11, "unknown df"),
        ("CR0", "cluster", 1, "needs more groups"),
    ],
)
def test_errors_say_what_to_do(kind, df, count, message):
    fit = case_fit("b01_konst_3level_reml")
    code = np.arange(fit.problem.n) % count
    with pytest.raises(SpecificationError, match=message):
        robust(fit, code, kind, df)


def test_too_few_groups_for_their_own_df():
    fit = case_fit("d03_fine_ar_ml")
    code = recode(groups("d03_fine_ar_ml", 0))[0] // 5
    with pytest.raises(SpecificationError, match="groups minus coefficients"):
        robust(fit, code, "CR0", df="cluster")


def test_weights_that_tie_groups_are_refused():
    base = case_fit("b01_konst_3level_reml")
    w = np.eye(base.problem.n)
    w[0, -1] = w[-1, 0] = 0.1
    fit = make_fit(base.problem, base.theta, weights=sparse.csr_array(w))
    with pytest.raises(SpecificationError, match="tied by user weights"):
        robust(fit, groups("b01_konst_3level_reml", 0), "CR2")
