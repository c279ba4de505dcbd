"""Tests and intervals of the fixed effects against metafor's at the recorded components."""

from dataclasses import replace

import numpy as np
import pytest
from dense_double import case_fit, case_names, case_tolerance, load, make_fit, numbers
from scipy import stats

from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.containment import containment_df
from mvmeta.inference.coefficients.degrees import given_df, normal_df, residual_df
from mvmeta.inference.coefficients.scaling import knapp_hartung_factor, scaled_cov
from mvmeta.inference.coefficients.wald import (
    Basis,
    coefficients,
    contrasts,
    f_pvalue,
    omnibus_rows,
    wald_test,
)
from mvmeta.inference.heterogeneity.q_and_i2 import heterogeneity_test


def basis(name):
    fit, model = case_fit(name), load(name)["model"]
    rule = containment_df if model["dfs"] == "contain" else residual_df
    df = normal_df(fit) if model["test"] == "z" else rule(fit)
    return Basis(fit.beta, fit.cov_beta, df)


@pytest.mark.parametrize("name", case_names())
def test_coefficients_are_metafors(name):
    expected, rtol = load(name)["expected"]["coefficients"], case_tolerance(name)
    got = coefficients(basis(name))
    np.testing.assert_allclose(got.se, numbers(expected["se"]), rtol=rtol)
    np.testing.assert_allclose(got.statistic, numbers(expected["stat"]), rtol=rtol, atol=1e-8)
    np.testing.assert_allclose(got.pvalue, numbers(expected["pval"]), rtol=100 * rtol, atol=1e-12)
    alpha = 1 - load(name)["model"]["level"] / 100
    lower, upper = got.interval(alpha)
    np.testing.assert_allclose(lower, numbers(expected["ci_lb"]), rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(upper, numbers(expected["ci_ub"]), rtol=rtol, atol=1e-9)
    if expected["ddf"] is not None:
        np.testing.assert_array_equal(got.df, numbers(expected["ddf"]))


@pytest.mark.parametrize("name", case_names())
def test_omnibus_test_is_metafors(name):
    expected, at, rtol = load(name)["expected"], basis(name), 10 * case_tolerance(name)
    rows = omnibus_rows(case_fit(name).problem.x)
    np.testing.assert_array_equal(rows, expected["btt"])
    got = wald_test(at, np.eye(len(at.beta))[rows])
    np.testing.assert_allclose(got.statistic, expected["QM"], rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(got.pvalue, expected["QMp"], rtol=100 * rtol, atol=1e-12)
    assert got.df == expected["QM_df"][0]
    np.testing.assert_equal(got.df_denom, numbers(expected["QM_df"][1]))


@pytest.mark.parametrize("name", case_names(check="contrasts"))
def test_contrasts_are_metafors(name):
    at, rtol = basis(name), 10 * case_tolerance(name)
    for item in load(name)["checks"]["contrasts"]:
        rows = numbers(item["L"]) if item.get("L") else np.eye(len(at.beta))[item["btt"]]
        rhs = numbers(item["rhs"]) if item.get("rhs") else 0.0
        joint = wald_test(at, rows, rhs)
        np.testing.assert_allclose(joint.statistic, item["QM"], rtol=rtol)
        np.testing.assert_allclose(joint.pvalue, item["QMp"], rtol=100 * rtol, atol=1e-12)
        if item.get("se") is None:
            continue
        each = contrasts(at, rows, rhs)
        np.testing.assert_allclose(each.estimate - rhs, numbers(item["est_minus_rhs"]), rtol=rtol)
        np.testing.assert_allclose(each.se, numbers(item["se"]), rtol=rtol)
        np.testing.assert_allclose(each.statistic, numbers(item["stat"]), rtol=rtol)
        np.testing.assert_allclose(each.pvalue, numbers(item["pval"]), rtol=100 * rtol, atol=1e-12)


def test_least_df_of_the_coefficients_a_combination_uses():
    fit = case_fit("c01_berkey_un_reml")
    df = given_df(fit, np.array([3.0, 5.0]))
    assert df.contrast(np.array([0.0, 2.0])) == 5.0
    assert df.contrast(np.array([1.0, -1.0])) == 3.0
    assert df.joint(np.eye(2)) == 3.0
    assert df.joint(np.array([[0.0, 1.0]])) == 5.0
    assert df.scale(np.eye(2)) == 1.0


def test_t_and_f_with_infinite_df_are_z_and_chi_square():
    fit = case_fit("c01_berkey_un_reml")
    z = Basis(fit.beta, fit.cov_beta, normal_df(fit))
    t = Basis(fit.beta, fit.cov_beta, given_df(fit, np.inf))
    np.testing.assert_allclose(coefficients(t).pvalue, coefficients(z).pvalue, rtol=1e-12)
    chi2, f = wald_test(z, np.eye(2)), wald_test(t, np.eye(2))
    np.testing.assert_allclose(f.statistic * 2, chi2.statistic)
    np.testing.assert_allclose(f.pvalue, chi2.pvalue)
    np.testing.assert_allclose(f_pvalue(3.0, 2, 1e9), stats.chi2.sf(6.0, 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "statistic"),
    [("knha", knapp_hartung_factor), ("adhoc", lambda f: max(1.0, knapp_hartung_factor(f)))],
)
def test_scaling_by_the_weighted_residual_sum_of_squares(kind, statistic):
    fit = case_fit("b03_assink_3level_mods_t")
    m = fit.factor.m
    e = fit.problem.y - fit.problem.x @ fit.beta
    s2w = e @ np.linalg.solve(m, e) / (fit.problem.n - fit.problem.p)
    np.testing.assert_allclose(knapp_hartung_factor(fit), s2w, rtol=1e-10)
    np.testing.assert_allclose(scaled_cov(fit, kind), fit.cov_beta * statistic(fit))
    assert scaled_cov(fit, "nonrobust") is fit.cov_beta


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, f: wald_test(b, np.array([[1.0, 0.0], [2.0, 0.0]])), "linearly dependent"),
        (lambda b, f: contrasts(b, np.ones((1, 3))), "one weight per coefficient"),
        (lambda b, f: given_df(f, np.ones(3)), "one per coefficient"),
        (lambda b, f: given_df(f, 0.0), "positive"),
        (lambda b, f: scaled_cov(f, "HC3"), "unknown scaling"),
    ],
)
def test_errors_say_what_to_do(call, message):
    fit = case_fit("c01_berkey_un_reml")
    with pytest.raises(SpecificationError, match=message):
        call(Basis(fit.beta, fit.cov_beta, normal_df(fit)), fit)


def test_rank_of_hypotheses_ignores_the_units_of_coefficients():
    fit = case_fit("c01_berkey_un_reml")
    unit = np.diag([1.0, 1e12])
    at = Basis(unit @ fit.beta, unit @ fit.cov_beta @ unit, normal_df(fit))
    plain = wald_test(Basis(fit.beta, fit.cov_beta, normal_df(fit)), np.eye(2))
    np.testing.assert_allclose(wald_test(at, np.eye(2)).statistic, plain.statistic, rtol=1e-9)


def saturated():
    """As many coefficients as rows."""
    base = case_fit("a06_toy_intercept_study").problem
    return make_fit(replace(base, x=np.eye(base.n)), [0.1])


@pytest.mark.parametrize("call", [residual_df, lambda f: scaled_cov(f, "knha")])
def test_nothing_to_scale_or_count_without_residual_df(call):
    with pytest.raises(SpecificationError, match=r"k [-=] p"):
        call(saturated())


def test_heterogeneity_of_a_saturated_model():
    got = heterogeneity_test(saturated())
    assert (got.statistic, got.df, got.pvalue) == (0.0, 0, 1.0)
