"""Random effects against metafor; true effects against dense algebra and conditional normals."""

from dataclasses import replace

import numpy as np
import pytest
from dense_double import (
    SPATIAL,
    DenseDouble,
    case_fit,
    case_names,
    case_tolerance,
    label,
    load,
    make_fit,
    numbers,
)
from scipy import sparse

from mvmeta.design.problem import MetaProblem
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.errors import SpecificationError
from mvmeta.inference.coefficients.containment import effect_df
from mvmeta.inference.coefficients.wald import critical_value
from mvmeta.inference.fitted import probing
from mvmeta.inference.prediction.blup import conditional_residuals, random_effects, true_effects


def terms_of(case):
    """The model's random terms, one per grouping."""
    for spec in case["model"]["random"]:
        for _ in spec.get("groups", [None]):
            yield spec


def pick(term, spec, item, case):
    """(level, inner) positions of the effects a record lists."""
    if "levels" in item:
        names = list(term.structure.labels if term.inner is not None else term.level_labels)
        where = [names.index(v) for v in item["levels"]]
        zero = [0] * len(where)
        return (zero, where) if term.inner is not None else (where, zero)
    if spec["struct"] in SPATIAL:
        return term.level, term.inner
    if spec["struct"] == "CAR":
        labels = [float(v) for v in term.structure.labels]
        inner = [int(np.argmin(np.abs(np.array(labels) - float(v)))) for v in item["inner"]]
    else:
        inner = [list(term.structure.labels).index(label(v)) for v in item["inner"]]
    return [list(term.level_labels).index(str(v)) for v in item["outer"]], inner


@pytest.mark.parametrize("name", case_names(check="ranef"))
def test_random_effects_are_metafors(name):
    case, fit = load(name), case_fit(name)
    got, rtol = random_effects(fit), 10 * case_tolerance(name)
    records = zip(got, terms_of(case), case["checks"]["ranef"], fit.problem.terms, strict=True)
    for i, (ours, spec, item, term) in enumerate(records):
        if "columns" in item:
            where = [list(term.level_labels).index(str(v)) for v in item["outer"]]
            want = numbers(item["est"])
            np.testing.assert_allclose(ours.effects[where], want, rtol=rtol, atol=1e-10)
            continue
        at = pick(term, spec, item, case)
        big = np.abs(numbers(item["est"])).max() + np.abs(numbers(item["se"])).max()
        np.testing.assert_allclose(ours.effects[at], numbers(item["est"]), atol=rtol * big)
        np.testing.assert_allclose(ours.se[at], numbers(item["se"]), atol=rtol * big)
        assert ours.observed[at].all()
        if case["model"]["dfs"] == "contain":
            half = critical_value(effect_df(fit)[i], 0.05) * ours.se[at]
            np.testing.assert_allclose(ours.effects[at] + half, numbers(item["pi_ub"]), atol=rtol)


@pytest.mark.parametrize("name", ["g01_obrien_gen", "e01_lim_adj_phylo", "c01_berkey_un_reml"])
def test_errors_of_prediction_by_dense_algebra(name):
    """var(u_hat - u) of every term from the full joint covariance of u, e and y."""
    fit = case_fit(name)
    n, x = fit.factor.inverse, fit.problem.x
    p = n - n @ x @ fit.cov_beta @ x.T @ n
    for got, term, g in zip(random_effects(fit), fit.problem.terms, fit.gs, strict=True):
        z, d = term.sparse_z().toarray(), np.kron(np.eye(term.n_levels), g)
        full = d - d @ z.T @ p @ z @ d
        levels, q = term.n_levels, term.q
        i = np.arange(levels)
        blocks = full.reshape(levels, q, levels, q)[i, :, i, :]
        np.testing.assert_allclose(got.cov, blocks, rtol=1e-7, atol=1e-10 * np.abs(d).max())
        u = d @ z.T @ p @ fit.problem.y
        np.testing.assert_allclose(got.effects.ravel(), u, atol=1e-9 * np.abs(u).max())


@pytest.mark.parametrize(
    "name",
    [
        "a01_toy_study_reml",
        "c01_berkey_un_reml",
        "c04_senn_network",
        "d01_ishak_har",
        "h01_assink_cs_diag",
    ],
)
@pytest.mark.parametrize("batch", [1, 1 << 22])
def test_true_effects_by_dense_algebra(name, batch, monkeypatch):
    monkeypatch.setattr(probing, "BATCH", batch)
    fit = case_fit(name)
    v, n, x = fit.problem.v.toarray(), fit.factor.inverse, fit.problem.x
    p = n - n @ x @ fit.cov_beta @ x.T @ n
    got = true_effects(fit)
    np.testing.assert_allclose(got.estimate, fit.problem.y - v @ p @ fit.problem.y, rtol=1e-8)
    np.testing.assert_allclose(got.se, np.sqrt(np.diag(v - v @ p @ v)), rtol=1e-8)


def test_true_effects_are_the_mean_plus_the_random_effects():
    fit = case_fit("h01_assink_cs_diag")
    total = fit.fitted
    for term, effect in zip(fit.problem.terms, random_effects(fit), strict=True):
        total = total + term.lift(effect.effects[:, :, None])[:, 0]
    np.testing.assert_allclose(true_effects(fit).estimate, total, rtol=1e-9)


def test_without_sampling_error_the_estimate_is_the_true_effect():
    """Rows with v = 0 are known; the se of the others stays below sqrt(v)."""
    base = case_fit("a06_toy_intercept_study").problem
    variances = base.v.variances.copy()
    variances[0] = 0.0
    v = SamplingCovariance.from_variances(variances)
    got = true_effects(make_fit(MetaProblem(base.y, base.x, v, base.terms), [0.1]))
    assert got.estimate[0] == base.y[0]
    assert got.se[0] == 0.0
    assert (got.se[1:] < np.sqrt(variances[1:])).all()


def test_zero_variance_gives_zero_effects():
    base = case_fit("a06_toy_intercept_study").problem
    (got,) = random_effects(make_fit(base, [0.0]))
    np.testing.assert_array_equal(got.effects, 0.0)
    np.testing.assert_array_equal(got.se, 0.0)


def test_only_the_verbs_of_the_contract_are_used():
    """A factor without the dense extras of the double serves as well."""
    fit = case_fit("c01_berkey_un_reml")
    double = fit.factor

    class Verbs:
        solve, level_gram = double.solve, double.level_gram
        inverse_diagonal = double.inverse_diagonal

    assert isinstance(double, DenseDouble)
    bare = replace(fit, factor=Verbs())
    np.testing.assert_array_equal(true_effects(bare).se, true_effects(fit).se)
    np.testing.assert_array_equal(random_effects(bare)[0].se, random_effects(fit)[0].se)


@pytest.mark.parametrize("function", [random_effects, true_effects])
def test_user_weights_are_refused(function):
    with pytest.raises(SpecificationError, match="user weights"):
        function(case_fit("i02_bcg_weights"))


def test_sparse_v_is_never_made_dense(monkeypatch):
    fit = case_fit("c01_berkey_un_reml")
    monkeypatch.setattr(SamplingCovariance, "toarray", None)
    assert sparse.issparse(fit.problem.v.covariances)
    assert np.isfinite(true_effects(fit).se).all()


@pytest.mark.parametrize("name", case_names(check="ranef"))
def test_conditional_residuals_are_what_blups_leave(name):
    """y - X b - Z u_hat, with u_hat compared with metafor's above; variance V P V written out."""
    fit = case_fit(name)
    got = conditional_residuals(fit)
    left = fit.resid.copy()
    for term, found in zip(fit.problem.terms, random_effects(fit), strict=True):
        left -= term.lift(found.effects[:, :, None])[:, 0]
    scale = np.abs(fit.problem.y).max()
    np.testing.assert_allclose(got.resid, left, atol=1e-8 * scale)
    x, v, n = fit.problem.x, fit.problem.v.toarray(), fit.factor.inverse
    p = n - n @ x @ np.linalg.inv(x.T @ n @ x) @ x.T @ n
    variance = np.diag(v @ p @ v)
    np.testing.assert_allclose(got.variance, variance, atol=1e-8 * fit.problem.v.variances.max())
    clear = variance > 1e-6 * fit.problem.v.variances
    np.testing.assert_allclose(
        got.studentized[clear], got.resid[clear] / np.sqrt(variance[clear]), rtol=1e-5
    )
