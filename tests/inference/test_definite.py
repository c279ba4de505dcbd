"""Profiles where the bounds of the components do not keep G positive semi-definite."""

import json
import warnings

import numpy as np
import pytest

from mvmeta import MetaMixedLM, Random, datasets, vcalc
from mvmeta.inference.components.definite import held_maximum, held_slope, is_definite
from mvmeta.inference.components.profile import Profile
from mvmeta.likelihood.objective import Objective
from tests.reference.loader import ROOT

METAFOR = json.loads((ROOT / "metafor" / "confint.json").read_text(encoding="utf-8"))


def occasions(struct):
    frame = datasets.load("ishak2007")
    v = vcalc("vi", cluster="study", time1="time", phi=0.97, data=frame)
    random = Random("time | study", struct)
    return MetaMixedLM.from_formula("yi ~ C(time) - 1", frame, variance=v, random=random).fit()


@pytest.fixture(scope="module")
def unstructured():
    return occasions("UN")


@pytest.fixture(scope="module")
def intervals(unstructured):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of a likelihood that is higher elsewhere
        return unstructured.vcomp_conf_int()


def test_intervals_of_variances_are_those_of_metafor(unstructured, intervals):
    g = unstructured.fit_.gs[0]
    assert np.linalg.eigvalsh(g)[0] < 1e-8 * np.linalg.eigvalsh(g)[-1]  # singular
    assert unstructured.llf == pytest.approx(METAFOR["loglik"], abs=1e-6)
    np.testing.assert_allclose(intervals["lower"][:4], METAFOR["lower"], rtol=1e-4)
    np.testing.assert_allclose(intervals["upper"][:4], METAFOR["upper"], rtol=1e-4)


def test_at_a_limit_another_search_finds_the_same_maximum(unstructured, intervals):
    """Under a constraint in the working parameters of the fit, not with the component pinned."""
    drop = 1.920729410347062  # half the 95 % quantile of chi-square, 1 df
    objective = Objective(unstructured.model.backend, reml=True)
    theta = unstructured.fit_.theta
    for i, row in intervals.iterrows():
        for side in ("lower", "upper"):
            found = [held_maximum(objective, i, row[side], theta, s) for s in (0.95, 0.9, 0.8, 0.5)]
            best = max(f.evaluation.loglik for f in found if f is not None)
            if row[f"{side}_at_edge"]:
                assert unstructured.llf - best < drop
            else:
                assert unstructured.llf - best == pytest.approx(drop, abs=1e-4)


def test_points_of_a_profile_are_covariance_matrices(unstructured):
    profile, problem = unstructured.profile(4), unstructured.fit_.problem
    lower, upper = (profile.at(v) for v in (0.85, 0.8501))
    for point in (lower, upper, profile.at(0.2), profile.at(0.97)):
        assert point.loglik < unstructured.llf
        assert is_definite(problem, point.theta)
        assert point.theta[4] == point.value
    slope = (upper.loglik - lower.loglik) / (upper.value - lower.value)
    assert (lower.slope + upper.slope) / 2 == pytest.approx(slope, rel=1e-4)


def test_toeplitz_correlations():
    """Pinned, they have no working parameters of their own."""
    res = occasions("TOEP")
    table = res.vcomp_conf_int()
    for i, row in table.iterrows():
        profile = Profile(res.fit_, res.model.backend, i)
        for value in (row["lower"], row["upper"]):
            point = profile.at(value)
            assert is_definite(res.fit_.problem, point.theta)
            assert res.llf - point.loglik == pytest.approx(1.920729410347062, abs=1e-5)


def test_no_slope_where_working_parameters_have_bounds():
    res = MetaMixedLM.from_formula(
        "yi ~ 1", datasets.load("bcg"), variance="vi", groups="trial"
    ).fit()
    objective = Objective(res.model.backend, reml=True)
    assert held_slope(objective, 0, res.fit_.theta) is None
