"""QE against metafor; I2 against its definition with dense matrices."""

import numpy as np
import pytest
from dense_double import case_fit, case_names, load, make_fit, numbers

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import CovarianceError
from mvmeta.inference.heterogeneity.explained import explained, relative_heterogeneity
from mvmeta.inference.heterogeneity.q_and_i2 import heterogeneity, heterogeneity_test
from mvmeta.inference.heterogeneity.spread import SpreadMeasures


@pytest.mark.parametrize("name", case_names())
def test_qe_is_metafors(name):
    expected, got = load(name)["expected"], heterogeneity_test(case_fit(name))
    want = numbers([expected["QE"], expected["QE_df"], expected["QEp"]])
    assert got.df == expected["QE_df"]
    np.testing.assert_allclose(got.statistic, want[0], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(got.pvalue, want[2], rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize(
    "name", ["b03_assink_3level_mods_t", "c01_berkey_un_reml", "g01_obrien_gen"]
)
def test_i2_is_its_definition(name):
    fit = case_fit(name)
    x, v = fit.problem.x, fit.problem.v.toarray()
    n = np.linalg.inv(v)
    p = n - n @ x @ np.linalg.inv(x.T @ n @ x) @ x.T @ n
    typical = (fit.problem.n - fit.problem.p) / np.trace(p)
    between = []
    for term, g in zip(fit.problem.terms, fit.gs, strict=True):
        z = term.sparse_z().toarray()
        between.append(np.diag(z @ np.kron(np.eye(term.n_levels), g) @ z.T).mean())
    got = heterogeneity(fit)
    np.testing.assert_allclose(got.typical, typical, rtol=1e-9)
    np.testing.assert_allclose(got.variance, between, rtol=1e-12)
    np.testing.assert_allclose(got.i2, np.array(between) / (sum(between) + typical), rtol=1e-9)
    np.testing.assert_allclose(got.total_i2, got.i2.sum())


def test_one_term_and_equal_variances_is_the_textbook_i2():
    """With v_i = v the typical variance is v, so I2 = tau2 / (tau2 + v)."""
    fit = case_fit("a06_toy_intercept_study")
    v = SamplingCovariance.from_variances(np.full(fit.problem.n, 0.3))
    same = make_fit(MetaProblem(fit.problem.y, fit.problem.x, v, fit.problem.terms), [0.1])
    np.testing.assert_allclose(heterogeneity(same).i2, [0.25])


def test_singular_v_has_no_statistic():
    fit = case_fit("a06_toy_intercept_study")
    variances = np.full(fit.problem.n, 0.3)
    variances[0] = 0.0
    v = SamplingCovariance.from_variances(variances)
    singular = make_fit(MetaProblem(fit.problem.y, fit.problem.x, v, fit.problem.terms), [0.1])
    assert np.isnan(heterogeneity_test(singular).statistic)
    assert np.isnan(heterogeneity(singular).total_i2)
    with pytest.raises(CovarianceError, match="V is singular"):
        v.solve(np.ones((fit.problem.n, 1)))


@pytest.mark.parametrize("name", ["c01_berkey_un_reml", "d01_ishak_har", "b01_konst_3level_reml"])
def test_solving_with_v_block_by_block(name):
    v = case_fit(name).problem.v
    b = np.random.default_rng(1).standard_normal((v.n, 2))
    np.testing.assert_allclose(v.solve(b), np.linalg.solve(v.toarray(), b), rtol=1e-9)
    np.testing.assert_allclose(v.logdet(), np.linalg.slogdet(v.toarray())[1], rtol=1e-12)


MEASURED = [
    "b03_assink_3level_mods_t",
    "c01_berkey_un_reml",
    "c05_bcg_bivariate_un",
    "d01_ishak_har",
    "e01_lim_adj_phylo",
    "e02_moura_phylo",
    "g01_obrien_gen",
    "j003_crossed_num",
    "j008_spatial_none",
]
"""Correlated V, inner | outer structures, known matrices, random slopes, crossed terms."""


def dense_measures(fit):
    """Every measure from matrices of rows by rows: between-effects covariances term by term."""
    x, v = fit.problem.x, fit.problem.v.toarray()
    n = np.linalg.inv(v)
    p = n - n @ x @ np.linalg.inv(x.T @ n @ x) @ x.T @ n
    typical = (len(x) - x.shape[1]) / np.trace(p)
    added, shared = [], []
    for term, g in zip(fit.problem.terms, fit.gs, strict=True):
        z = term.sparse_z().toarray()
        covariance = z @ np.kron(np.eye(term.n_levels), g) @ z.T
        added.append(np.trace(covariance) / len(x))
        shared.append(term.n_levels < len(x))
    fitted = x @ fit.beta
    mean, fixed = abs(fitted.mean()), fitted.var(ddof=1)
    total = sum(added)
    names = [*(t.name for t in fit.problem.terms), "total"]
    out = {}
    for name, variance in zip(names, [*added, total], strict=True):
        sd = np.sqrt(variance)
        out["variance", name], out["i2", name] = variance, variance / (total + typical)
        out["cvh", name], out["m1", name] = sd / mean, sd / (mean + sd)
        out["m2", name] = variance / (mean**2 + variance)
    if np.ptp(x, axis=0).any():
        out["r2", "marginal"] = fixed / (fixed + total)
        common = sum(a for a, s in zip(added, shared, strict=True) if s)
        out["r2", "conditional"] = (fixed + common) / (fixed + total)
    return out


@pytest.mark.parametrize("name", MEASURED)
def test_measures_are_their_definitions(name):
    fit = case_fit(name)
    measures, want = SpreadMeasures(fit), dense_measures(fit)
    got = dict(zip(measures.names, measures.at(fit.beta, fit.theta), strict=True))
    assert set(got) == set(want)
    for key, value in want.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-8, err_msg=str(key))
    h = heterogeneity(fit)
    relative = relative_heterogeneity(fit.fitted.mean(), np.append(h.variance, h.variance.sum()))
    last = fit.problem.terms[-1].name
    np.testing.assert_allclose(relative.cvh[-2:], [want["cvh", last], want["cvh", "total"]])
    np.testing.assert_allclose(relative.m1[-1], want["m1", "total"])
    np.testing.assert_allclose(relative.m2[-1], want["m2", "total"])
    if ("r2", "marginal") in want:
        r2 = explained(fit, h.variance)
        np.testing.assert_allclose(r2.marginal, want["r2", "marginal"])
        np.testing.assert_allclose(r2.conditional, want["r2", "conditional"])
