"""Fits without whole clusters by subtraction, against fits of the remaining rows anew."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.inference.influence import reestimate as module
from mvmeta.inference.influence.reestimate import reestimate
from mvmeta.likelihood.absorbed import AbsorbedObjective, FactorsOfAll
from mvmeta.likelihood.objective import Objective
from mvmeta.likelihood.remaining import WholeObjective
from mvmeta.marginal.select import build_backend
from tests.reference.loader import fitted_case

FIELDS = ("shift", "se", "theta", "covratio", "cooks_distance", "dfbetas", "studentized")
CASES = [
    "b01_konst_3level_reml",
    "b02_konst_3level_ml_year",
    "b03_assink_3level_mods_t",
    "c05_bcg_bivariate_un",
    "d01_ishak_har",
    "g01_obrien_gen",
]


def counted(monkeypatch):
    """Groups that were fitted anew."""
    anew, calls = module._anew, []
    monkeypatch.setattr(
        module, "_anew", lambda fit, backend, out: calls.append(out) or anew(fit, backend, out)
    )
    return calls


def by_subtraction(fit, backend, code, monkeypatch):
    with monkeypatch.context() as patch:
        calls = counted(patch)
        return reestimate(fit, backend, code), len(calls)


def anew(fit, backend, code, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_refitter", lambda f, b, _: lambda out: module._anew(f, b, out))
        return reestimate(fit, backend, code)


@pytest.mark.parametrize("name", CASES)
def test_subtracted_is_anew(name, monkeypatch):
    res = fitted_case(name)
    fit, backend = res.fit_, res.model.backend
    code = np.unique(fit.problem.cluster, return_inverse=True)[1]
    got, left = by_subtraction(fit, backend, code, monkeypatch)
    want = anew(fit, backend, code, monkeypatch)
    assert left < code.max() + 1
    for field in FIELDS:
        ours, theirs = getattr(got, field), getattr(want, field)
        size = np.nanmax(np.abs(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * size, err_msg=field)


def subtracted(problem, reml, out):
    return WholeObjective(build_backend(problem), reml).without(out)


def absorbed(problem, reml, out):
    return AbsorbedObjective(FactorsOfAll(build_backend(problem)), out)


@pytest.mark.parametrize(
    ("without", "reml"), [(subtracted, True), (subtracted, False), (absorbed, True)]
)
def test_gradient_and_information_without_rows(without, reml):
    """All of an evaluation but the constant of the likelihood, against the rows that remain."""
    fit = fitted_case("b03_assink_3level_mods_t").fit_
    problem = fit.problem
    out = np.flatnonzero(problem.cluster == problem.cluster[0])
    left = without(problem, reml, out)
    rest = problem.take(np.setdiff1d(np.arange(problem.n), out))
    other = Objective(build_backend(rest), reml)
    x = problem.to_working(fit.theta)
    ours, theirs = left.working(x), other.working(x)
    for field in ("gradient", "average", "expected", "beta", "cov_beta"):
        np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), rtol=1e-8)
    moved = x * 1.3
    change = left.working(moved).loglik - ours.loglik
    assert change == pytest.approx(other.working(moved).loglik - theirs.loglik, rel=1e-8)


def many_studies(n_studies, seed=2):
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(n_studies), 3)
    n = len(study)
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    v = rng.uniform(0.02, 0.2, n)
    y = rng.normal(0, 0.3, n_studies)[study] + rng.normal(0, 0.2, n)
    y += rng.normal(size=n) * np.sqrt(v)
    return MetaMixedLM(y, x, v, groups=np.column_stack([study, np.arange(n)])).fit(), study


def test_more_rows_than_the_information_is_exact_for(monkeypatch):
    res, study = many_studies(800)
    few = np.minimum(study, 60)  # what is over is one large group
    got, left = by_subtraction(res.fit_, res.model.backend, few, monkeypatch)
    want = anew(res.fit_, res.model.backend, few, monkeypatch)
    assert left <= 1
    for field in FIELDS:
        ours, theirs = getattr(got, field), getattr(want, field)
        size = np.nanmax(np.abs(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * size, err_msg=field)


def test_a_cluster_that_determines_a_coefficient_is_nan_and_named():
    """And all others are what they would be."""
    rng = np.random.default_rng(4)
    study = np.repeat(np.arange(8), 3)
    only = (study == 5) * 1.0
    data = {"y": rng.normal(size=24), "only": only, "study": study}
    res = MetaMixedLM.from_formula("y ~ only", data, variance=0.1, groups="study").fit()
    found = res.leave_one_out("study")
    assert found.not_estimated == [5]
    assert "not estimated: 5" in repr(found)
    assert found.params.drop(index=5).notna().all(axis=None)


def test_a_variance_that_becomes_zero():
    """Without the study that is far off the others agree: the bound is reached exactly."""
    y = np.array([0.1, 0.12, 0.08, 0.11, 0.09, 3.0, 3.1, 2.9])
    study = np.array([0, 0, 1, 1, 2, 3, 3, 3])
    res = MetaMixedLM(y, np.ones((8, 1)), np.full(8, 0.2), groups=study).fit()
    found = res.leave_one_out(study)
    assert res.vcomp["estimate"].iloc[0] > 1
    assert found.vcomp.iloc[3].tolist() == [0.0]


@pytest.mark.parametrize("reml", [True, False])
def test_linked_groups(reml, monkeypatch):
    """By columns of their own under REML, anew under ML."""
    rng = np.random.default_rng(1)
    study, species = np.repeat(np.arange(12), 4), rng.integers(0, 9, 48)
    y = rng.normal(size=48) + rng.normal(size=9)[species]
    data = {"y": y, "x": rng.normal(size=48), "study": study, "species": species}
    res = MetaMixedLM.from_formula(
        "y ~ x", data, variance=0.1, random=[Random("1 | study"), Random("1 | species")]
    ).fit(reml=reml)
    got, left = by_subtraction(res.fit_, res.model.backend, study, monkeypatch)
    assert left == (0 if reml else 12)
    want = anew(res.fit_, res.model.backend, study, monkeypatch)
    for field in FIELDS:
        ours, theirs = getattr(got, field), getattr(want, field)
        size = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * size, err_msg=field)
