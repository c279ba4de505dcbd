"""Residuals, leverage and weights against metafor at the recorded components."""

from dataclasses import replace

import numpy as np
import pytest
from dense_double import case_fit, case_names, case_tolerance, load, make_fit, numbers
from scipy import sparse

from mvmeta.errors import SpecificationError
from mvmeta.inference.borrowing.weights import row_weights
from mvmeta.inference.fitted.weighted import weighted_fixed_effects
from mvmeta.inference.influence.leverage import row_diagnostics

LEVERAGE_ONE = 1 - 1e-9


@pytest.mark.parametrize("name", case_names(check="residuals"))
def test_residuals_are_metafors(name):
    want, rtol = load(name)["checks"]["residuals"], 10 * case_tolerance(name)
    got = row_diagnostics(case_fit(name))
    for ours, theirs in (("resid", "response"), ("pearson", "pearson"), ("leverage", "hatvalues")):
        if want[theirs] is not None:
            ref = numbers(want[theirs])
            np.testing.assert_allclose(
                getattr(got, ours), ref, atol=rtol * np.abs(ref).max(), err_msg=ours
            )
    hat = numbers(want["hatvalues"]) if want["hatvalues"] else np.array([1.0])
    if want["rstandard"] and hat.max() < LEVERAGE_ONE:
        ref = numbers(want["rstandard"]["z"])
        np.testing.assert_allclose(got.studentized, ref, atol=rtol * np.abs(ref).max())


@pytest.mark.parametrize("name", case_names(check="residuals"))
def test_weights_are_metafors(name):
    want, got = load(name)["checks"]["residuals"], row_weights(case_fit(name))
    for ours, theirs in (("diagonal", "weights_diag_pct"), ("rowsum", "weights_rowsum_pct")):
        if want[theirs] is not None:
            ref = numbers(want[theirs])
            np.testing.assert_allclose(
                getattr(got, ours), ref, atol=case_tolerance(name) * np.abs(ref).max(), err_msg=ours
            )
    if case_fit(name).problem.p > 1:
        assert np.isnan(got.rowsum).all()


def test_a_row_alone_in_its_cell_has_no_studentized_residual():
    base = case_fit("b03_assink_3level_mods_t")
    x = base.problem.x.copy()
    x[:, 1] = 0.0
    x[4, 1] = 1.0
    # Without random effects: a correlated row would still be predicted by its cluster.
    problem = replace(base.problem, x=x, terms=())
    got = row_diagnostics(make_fit(problem, []))
    assert np.isnan(got.studentized[4])
    assert np.isfinite(np.delete(got.studentized, 4)).all()
    np.testing.assert_allclose(got.leverage[4], 1.0)


@pytest.mark.parametrize("dense", [False, True])
def test_user_weights_by_their_definition(dense):
    base = case_fit("b03_assink_3level_mods_t")
    n, rng = base.problem.n, np.random.default_rng(3)
    w = np.diag(rng.uniform(0.5, 2.0, n))
    if dense:
        half = 0.05 * rng.standard_normal((n, n))
        w = w + half @ half.T
    fit = make_fit(base.problem, base.theta, weights=sparse.csr_array(w))
    x, y, m = base.problem.x, base.problem.y, base.factor.m
    s = np.linalg.inv(x.T @ w @ x)
    np.testing.assert_allclose(fit.beta, s @ x.T @ w @ y, rtol=1e-9)
    np.testing.assert_allclose(fit.cov_beta, s @ x.T @ w @ m @ w @ x @ s, rtol=1e-9)
    h = x @ s @ x.T @ w
    left = np.eye(n) - h
    got = row_diagnostics(fit)
    np.testing.assert_allclose(got.leverage, np.diag(h), rtol=1e-8)
    np.testing.assert_allclose(got.resid_se, np.sqrt(np.diag(left @ m @ left.T)), rtol=1e-8)
    np.testing.assert_allclose(row_weights(fit).diagonal, 100 * np.diag(w) / np.trace(w))


def test_weights_that_leave_a_coefficient_open_are_refused():
    fit = case_fit("b03_assink_3level_mods_t")
    w = sparse.csr_array(np.diag(np.eye(fit.problem.n)[0]))
    with pytest.raises(SpecificationError, match="undetermined"):
        weighted_fixed_effects(fit.problem.x, fit.problem.y, w, fit.multiply)


def test_inverse_of_m_as_weights_is_gls():
    fit = case_fit("c01_berkey_un_reml")
    w = weighted_fixed_effects(
        fit.problem.x, fit.problem.y, sparse.csr_array(fit.factor.inverse), fit.multiply
    )
    np.testing.assert_allclose(w.beta, fit.beta, rtol=1e-9)
    np.testing.assert_allclose(w.cov, fit.cov_beta, rtol=1e-9)
