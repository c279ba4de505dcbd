"""Random terms whose components are equal: one parameter that stands in several places.

The numbers are made by tests/reference/generate/ties.R.  Small-sample results are compared with a
second way to write the model: u_a and u_b of equal variance are one effect per row with the known
matrix Z_a Z_a' + Z_b Z_b'.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from mvmeta import MetaMixedLM, Random, SpecificationError
from mvmeta.likelihood.objective import Objective
from tests.tolerances import DERIVATIVE, OBJECTIVE, OPTIMUM

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "ties.json"
AT_MAXIMUM = 1e-7
"""How far nlminb on a finite-difference gradient may stop below the maximum."""


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def data():
    return pd.DataFrame(reference()["data"])


def one(**kwargs):
    return MetaMixedLM.from_formula(
        "yi ~ x", data(), variance="vi", random=["1 | lab", "1 | rater"], **kwargs
    )


def un(**kwargs):
    terms = [Random("outcome | lab", "UN"), Random("outcome | rater", "UN")]
    return MetaMixedLM.from_formula("yi ~ x", data(), variance="vi", random=terms, **kwargs)


MODELS = {"one": (one, ["lab", "rater"]), "un": (un, ["outcome | lab", "outcome | rater"])}
CASES = [(name, method) for name in MODELS for method in ("REML", "ML")]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_likelihood_at_given_components(name, method):
    make, names = MODELS[name]
    case = reference()[name][method]
    at = np.tile(case["at"], 2)
    assert make(equal=names).loglike(at, reml=method == "REML") == pytest.approx(
        case["loglik"], rel=OBJECTIVE
    )


@pytest.mark.parametrize(("name", "method"), CASES)
def test_maximum(name, method):
    make, names = MODELS[name]
    best = reference()[name][method]["best"]
    res = make(equal=names).fit(reml=method == "REML")
    assert res.llf >= best["loglik"] - 1e-10
    assert res.llf < best["loglik"] + AT_MAXIMUM
    ours = res.vcomp["estimate"].to_numpy()
    np.testing.assert_array_equal(*np.split(ours, 2))
    # nlminb is this far from the maximum in its flat directions
    np.testing.assert_allclose(ours[: len(best["at"])], best["at"], rtol=1e-4)
    np.testing.assert_allclose(res.params, best["est"], rtol=1e-5)
    np.testing.assert_allclose(res.bse, best["se"], rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_in_the_shared_parameters(name):
    make, names = MODELS[name]
    model = make(equal=names)
    objective = Objective(model.backend, reml=True)
    x = model.prepared.problem.to_working(np.tile(reference()[name]["REML"]["at"], 2))
    at = objective.working(x)
    assert len(at.gradient) == len(x) == len(reference()[name]["REML"]["at"])
    slope = optimize.approx_fprime(x, lambda w: objective.working(w).loglik, 1e-6)
    np.testing.assert_allclose(at.gradient, slope, rtol=1e-4, atol=1e-5)
    bend = [
        (objective.working(x + h).gradient - objective.working(x - h).gradient) / 2e-5
        for h in 1e-5 * np.eye(len(x))
    ]
    np.testing.assert_allclose(
        -at.observed, bend, rtol=DERIVATIVE, atol=DERIVATIVE * np.abs(bend).max()
    )


def known():
    frame = data().assign(row=range(len(data())))
    same = sum(
        (np.equal.outer(frame[g].to_numpy(), frame[g].to_numpy())).astype(float)
        for g in ("lab", "rater")
    )
    corr = pd.DataFrame(same, index=frame["row"], columns=frame["row"])
    term = Random("1 | row", corr=corr, corr_scale="none")
    return MetaMixedLM.from_formula("yi ~ x", frame, variance="vi", random=term)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_small_sample_results_are_those_of_the_sum_as_one_known_matrix(df):
    ours, other = one(equal=["lab", "rater"]).fit(df=df), known().fit(df=df)
    np.testing.assert_allclose(ours.llf, other.llf, rtol=OBJECTIVE)
    np.testing.assert_allclose(ours.bse, other.bse, rtol=OPTIMUM)
    np.testing.assert_allclose(ours.df_inference, other.df_inference, rtol=OPTIMUM)
    np.testing.assert_allclose(ours.wald_test("x").pvalue, other.wald_test("x").pvalue, rtol=1e-6)


def test_interval_and_profile_are_those_of_the_sum_as_one_known_matrix():
    ours, other = one(equal=["lab", "rater"]).fit(), known().fit()
    both, alone = ours.vcomp_conf_int(), other.vcomp_conf_int()
    limits = ["lower", "upper"]
    np.testing.assert_allclose(both[limits], np.tile(alone[limits], (2, 1)), rtol=OPTIMUM)
    point = ours.profile("rater: sigma2").at(0.5)
    np.testing.assert_allclose(point.theta, [0.5, 0.5])
    assert point.slope == pytest.approx(other.profile(0).at(0.5).slope, rel=OPTIMUM)


def test_satterthwaite_under_user_weights():
    weights = np.linspace(1.0, 2.0, len(data()))
    ours = one(equal=["lab", "rater"], weights=weights).fit(df="satterthwaite")
    frame = data().assign(row=range(len(data())))
    term = known().prepared.problem.terms[0].structure
    corr = pd.DataFrame(term.matrix(np.ones(1)), index=frame["row"], columns=frame["row"])
    other = MetaMixedLM.from_formula(
        "yi ~ x",
        frame,
        variance="vi",
        random=Random("1 | row", corr=corr, corr_scale="none"),
        weights=weights,
    ).fit(df="satterthwaite")
    np.testing.assert_allclose(ours.df_inference, other.df_inference, rtol=OPTIMUM)


def test_what_is_equal_is_one_parameter():
    tied, free = one(equal=["lab", "rater"]).fit(), one().fit()
    assert (tied.k_vcomp, free.k_vcomp) == (1, 2)
    assert tied.aic == pytest.approx(-2 * tied.llf + 2 * 3)
    assert tied.llf <= free.llf
    assert "components of 'lab' and 'rater' equal" in tied.model.notes
    test = free.compare_lr_test(tied)
    assert test.df_diff == 1
    assert test.pvalue_boundary == test.pvalue  # equality is no boundary


def test_left_out_groups_keep_the_tie():
    theta = one(equal=["lab", "rater"]).fit().get_influence("lab", reestimate=True)
    assert np.isfinite(theta.cooks_distance).all()


def test_a_level_seen_once_takes_its_variance_from_the_other_term():
    frame = data().assign(whole="all")
    terms = ["1 | lab", "1 | whole"]
    free = MetaMixedLM.from_formula("yi ~ x - 1", frame, variance="vi", random=terms)
    tied = MetaMixedLM.from_formula(
        "yi ~ x - 1", frame, variance="vi", random=terms, equal=["lab", "whole"]
    )
    assert free.fit().vcomp["fixed"].tolist() == [False, True]
    vcomp = tied.fit().vcomp
    assert not vcomp["fixed"].any()
    assert vcomp["estimate"].nunique() == 1


def test_both_fixed_at_one_value():
    terms = [Random(f"1 | {g}", fixed={"sigma2": 0.3}) for g in ("lab", "rater")]
    res = MetaMixedLM.from_formula(
        "yi ~ x", data(), variance="vi", random=terms, equal=["lab", "rater"]
    ).fit()
    assert res.llf == pytest.approx(reference()["one"]["REML"]["loglik"], rel=OBJECTIVE)
    assert res.k_vcomp == 0


@pytest.mark.parametrize(
    ("equal", "message"),
    [
        (["lab", "nobody"], r"names the random term 'nobody', but there is none; .*'lab', 'rater'"),
        (["lab"], "two or more random terms"),
        ("lab", "two or more random terms"),
        ([], "two or more random terms"),
        ([["lab", "rater"], ["lab", "rater"]], "'lab' twice"),
        ({"lab": "rater"}, "two or more random terms"),
    ],
)
def test_refused(equal, message):
    with pytest.raises(SpecificationError, match=message):
        one(equal=equal)


def test_other_components_are_refused():
    terms = [Random("outcome | lab", "UN"), Random("outcome | rater", "HCS")]
    with pytest.raises(SpecificationError, match="their components differ"):
        MetaMixedLM.from_formula(
            "yi ~ x",
            data(),
            variance="vi",
            random=terms,
            equal=["outcome | lab", "outcome | rater"],
        )


def test_other_fixed_values_are_refused():
    terms = [Random("1 | lab", fixed={"sigma2": 0.3}), "1 | rater"]
    with pytest.raises(SpecificationError, match="give both the same fixed="):
        MetaMixedLM.from_formula(
            "yi ~ x", data(), variance="vi", random=terms, equal=["lab", "rater"]
        )
