"""Deletion diagnostics against metafor's, and against fits without the rows."""

from dataclasses import replace

import numpy as np
import pytest
from dense_double import case_fit, case_names, case_tolerance, load, make_fit, numbers

from mvmeta.design.problem import MetaProblem
from mvmeta.errors import SpecificationError
from mvmeta.inference.influence.deletion import deletion, studentized_groups


def groups(case, item):
    """Codes of the groups of a record, in its order."""
    if item["cluster"] is None:
        return np.arange(len(case["design"]["rows_used"]))
    column = case["data"][item["cluster"]]
    order = [str(v) for v in item["levels"]]
    return np.array([order.index(str(column[i])) for i in case["design"]["rows_used"]])


@pytest.mark.parametrize("name", case_names(check="influence"))
def test_influence_is_metafors(name):
    case, fit, rtol = load(name), case_fit(name), 100 * case_tolerance(name)
    for item in case["checks"]["influence"]:
        code, want = groups(case, item), item["components_held_fixed"]
        got = deletion(fit, code)
        checks = [
            (got.cooks_distance, want["cooks_distance"]),
            (got.dfbetas, want["dfbetas"]),
            (got.resid, want["rstudent"]["resid"]),
            (got.resid_se, want["rstudent"]["se"]),
            (got.studentized, want["rstudent"]["z"]),
        ]
        if item["cluster"] is not None:
            checks.append((got.statistic, want["rstudent_cluster_X2"]))
            checks.append((studentized_groups(fit, code), item["rstandard_cluster_X2"]))
        for ours, theirs in checks:
            ref = numbers(theirs)
            np.testing.assert_allclose(ours, ref, atol=rtol * np.nanmax(np.abs(ref)), rtol=rtol)


def without(fit, keep):
    problem = fit.problem
    rows = np.flatnonzero(keep)
    terms = tuple(
        replace(
            t,
            level=t.level[rows],
            inner=None if t.inner is None else t.inner[rows],
            z=None if t.z is None else t.z[rows],
        )
        for t in problem.terms
    )
    small = MetaProblem(problem.y[rows], problem.x[rows], problem.v.take(rows), terms)
    return make_fit(small, fit.theta)


@pytest.mark.parametrize("name", ["b03_assink_3level_mods_t", "d03_fine_ar_ml", "j003_crossed_num"])
@pytest.mark.parametrize("by", ["row", "cluster", "across"])
def test_leaving_out_is_fitting_without(name, by):
    """`across`: groups whose rows are correlated with rows of other groups."""
    fit = case_fit(name)
    n = fit.problem.n
    code = {"row": np.arange(n), "cluster": fit.problem.cluster, "across": np.arange(n) % 9}[by]
    if code.max() == 0:
        pytest.skip("one cluster: nothing is left without it")
    got = deletion(fit, code)
    for j in np.unique(code)[:6]:
        if np.isnan(got.cooks_distance[j]):
            x = fit.problem.x[code != j]
            assert np.linalg.matrix_rank(x) < fit.problem.p
            continue
        small = without(fit, code != j)
        shift = fit.beta - small.beta
        se = np.sqrt(np.diag(fit.cov_beta))
        np.testing.assert_allclose(got.shift[j], shift, atol=1e-8 * np.abs(se).max())
        np.testing.assert_allclose(got.dfbetas[j], shift / se, atol=1e-8)
        cook = shift @ np.linalg.solve(fit.cov_beta, shift)
        np.testing.assert_allclose(got.cooks_distance[j], cook, rtol=1e-6, atol=1e-12)
        x, rows = fit.problem.x, np.flatnonzero(code == j)
        variance = fit.marginal_diagonal[rows] + np.einsum(
            "mp,pq,mq->m", x[rows], small.cov_beta, x[rows]
        )
        np.testing.assert_allclose(got.resid_se[rows], np.sqrt(variance), rtol=1e-7)
        np.testing.assert_allclose(
            got.resid[rows], fit.problem.y[rows] - x[rows] @ small.beta, atol=1e-8
        )
        assert got.size[j] == len(rows)


def test_a_group_that_determines_a_coefficient_is_nan():
    fit = case_fit("b03_assink_3level_mods_t")
    names = load("b03_assink_3level_mods_t")["data"]["study"]
    got = deletion(fit, np.array(names))
    lost = np.unique(names).tolist().index(16)
    assert np.isnan(got.cooks_distance[lost])
    assert np.isnan(got.dfbetas[lost]).all()
    assert np.isnan(got.studentized[np.array(names) == 16]).all()
    assert np.isfinite(np.delete(got.cooks_distance, lost)).all()


def test_user_weights_are_refused():
    fit = case_fit("i02_bcg_weights")
    with pytest.raises(SpecificationError, match="user weights"):
        deletion(fit, np.arange(fit.problem.n))
