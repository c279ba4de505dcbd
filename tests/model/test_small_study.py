"""Small-study effects against rma.mv with CR2 tests, and against metafor's regtest.

The numbers are made by tests/reference/generate/small_study.R.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mvmeta import CovarianceError, DataError, MetaMixedLM, SpecificationError, datasets, vcalc
from tests.tolerances import OPTIMUM

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "small_study.json"
TWO_OPTIMA = 2e-5
"""Tests by clubSandwich at metafor's optimum, five digits good, against ours."""


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def schools(formula="yi ~ 1"):
    return MetaMixedLM.from_formula(
        formula,
        datasets.load("konstantopoulos2011"),
        variance="vi",
        groups="district/school",
    ).fit()


@pytest.mark.parametrize("method", ["PET", "PEESE"])
def test_multilevel_regression_is_metafors(method):
    found, want = schools().small_study_effects(), reference()[method.lower()]
    fit = found.pet if method == "PET" else found.peese
    np.testing.assert_allclose(fit.params, want["est"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.bse, want["se"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.tvalues, want["t"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.df_inference, want["df"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.pvalues, want["p"], rtol=TWO_OPTIMA)
    row = found.adjusted.loc[(method, "Intercept")]
    assert row["estimate"] == fit.params.iloc[0]
    assert row["pvalue"] == fit.pvalues.iloc[0]


def test_one_level_is_eggers_test():
    bcg = datasets.load("bcg")
    res = MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="trial").fit()
    found, want = res.small_study_effects(cov_type="nonrobust"), reference()["egger"]
    np.testing.assert_allclose(found.test["statistic"], want["statistic"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.test["pvalue"], want["p"], rtol=OPTIMUM)
    assert found.test["df"] == want["df"]
    row = found.adjusted.loc[("PET", "Intercept")]
    np.testing.assert_allclose(row["estimate"], want["limit"], rtol=OPTIMUM)
    np.testing.assert_allclose(row[["lower", "upper"]].astype(float), want["ci"], rtol=OPTIMUM)


def test_the_rule_prefers_peese_where_pet_finds_an_effect():
    frame = datasets.load("konstantopoulos2011")
    assert schools().small_study_effects().chosen == "PEESE"  # one-sided P is 0.0451
    shifted = MetaMixedLM.from_formula(
        "I(yi - 0.15) ~ 1", frame, variance="vi", groups="district/school"
    ).fit()
    assert shifted.small_study_effects().chosen == "PET"
    assert schools("yi ~ year").small_study_effects().chosen is None


def test_another_measure_of_precision():
    frame = datasets.load("konstantopoulos2011")
    res = schools()
    found = res.small_study_effects(by=np.sqrt(frame["vi"]))
    assert found.peese is None
    assert found.chosen is None
    assert found.test.equals(res.small_study_effects().test)
    assert set(found.adjusted.index.get_level_values(0)) == {"unadjusted", "PET"}


def test_text_says_what_was_found_and_its_limits():
    text = str(schools().small_study_effects())
    assert text.startswith(
        "Small-study effects (CR2): with one unit of standard error more, estimates are 0.985 "
        "smaller (se 0.706, t(4.69) = -1.4, P = 0.2253)."
    )
    assert "PET finds an effect (one-sided 5 %): PEESE is preferred." in text
    assert "other reasons than missing studies" in text


def test_bad_input():
    res = schools()
    with pytest.raises(DataError, match="by='nowhere' is no column"):
        res.small_study_effects(by="nowhere")
    with pytest.raises(DataError, match="numbers >= 0"):
        res.small_study_effects(by=-np.ones(56))
    with pytest.raises(SpecificationError, match="the same in all rows"):
        res.small_study_effects(by=np.ones(56))
    toy = datasets.load("toy")
    flat = MetaMixedLM.from_formula("d ~ 1", toy, variance="Variance", groups="Study").fit()
    with pytest.raises(SpecificationError, match="the standard errors are the same in all rows"):
        flat.small_study_effects()
    with pytest.raises(SpecificationError, match="alpha"):
        res.small_study_effects(alpha=0)


@cache
def offenders():
    frame = datasets.load("assink2016")
    return frame, vcalc("vi", "study", obs="esid", data=frame, rho=0.6)


def offenders_fit(formula="yi ~ 1", groups="study/esid"):
    frame, v = offenders()
    return MetaMixedLM.from_formula(formula, frame, variance=v, groups=groups).fit()


def test_means_of_studies_are_aggregates():
    found = offenders_fit().small_study_effects(groups="study")
    want = reference()["studies"]
    assert list(found.studies.index) == want["study"]
    np.testing.assert_allclose(found.studies["estimate"], want["yi"], rtol=1e-12)
    np.testing.assert_allclose(found.studies["se"] ** 2, want["vi"], rtol=1e-12)
    np.testing.assert_array_equal(found.studies["precision"], found.studies["se"])
    assert found.studies["n_rows"].sum() == 100


def test_one_effect_of_studies_is_the_regression_of_aggregates():
    """The means are sufficient for what is constant within studies; rma.uni takes them alone."""
    res = offenders_fit(groups="study")
    found = res.small_study_effects(groups="study", cov_type="nonrobust").pet
    want = reference()["aggregated"]
    np.testing.assert_allclose(found.params, want["est"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.bse, want["se"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.vcomp["estimate"], want["tau2"], rtol=OPTIMUM)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("studies_pet", "yi ~ 1"),
        ("studies_peese", "yi ~ 1"),
        ("studies_year", "yi ~ year"),
        ("studies_other", "yi ~ 1"),
    ],
)
def test_precision_of_studies_in_the_model_of_rows(name, formula):
    by = np.array(reference()["other"]) if name == "studies_other" else None
    found = offenders_fit(formula).small_study_effects(by, groups="study")
    fit, want = found.peese if name == "studies_peese" else found.pet, reference()[name]
    np.testing.assert_allclose(fit.vcomp["estimate"], want["sigma2"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.params, want["est"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.bse, want["se"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.tvalues, want["t"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.df_inference, want["df"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(fit.pvalues, want["p"], rtol=TWO_OPTIMA)


def test_text_of_the_level_of_studies():
    text = str(offenders_fit().small_study_effects(groups="study"))
    assert text.startswith("Small-study effects between 17 studies (CR2): with one unit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({3: np.nan}, "it is nan in row 3; correct these values"),
        ({3: -0.5, 7: np.inf}, "it is -0.5 in row 3 and no such number in 1 more"),
        ({4: "low"}, "it is 'low' in row 4"),
    ],
)
def test_bad_precision_is_named(change, message):
    by = np.full(56, 0.1).astype(object)
    for row, value in change.items():
        by[row] = value
    with pytest.raises(DataError, match=message):
        schools().small_study_effects(by=by)


def test_groups_need_means_that_are_independent():
    frame = datasets.load("konstantopoulos2011")
    v = vcalc("vi", "district", obs="school", data=frame, rho=0.5)
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance=v, groups="district").fit()
    with pytest.raises(CovarianceError, match=r"groups=\): V links estimates of the studies"):
        res.small_study_effects(groups=frame["school"])
    with pytest.raises(DataError, match="groups='nowhere' is no column"):
        res.small_study_effects(groups="nowhere")
    zero = frame.assign(vi=frame["vi"].where(frame.index != 4, 0.0))
    res = MetaMixedLM.from_formula("yi ~ 1", zero, variance="vi", groups="district/school").fit()
    with pytest.raises(SpecificationError, match="singular within a study"):
        res.small_study_effects(groups="district")


def test_as_many_coefficients_as_rows_leave_nothing_to_test():
    frame = datasets.load("bcg").head(2)
    res = MetaMixedLM.from_formula("yi ~ 1", frame, variance="vi", groups="trial").fit()
    with pytest.raises(SpecificationError, match="2 rows determine the 2 coefficients"):
        res.small_study_effects()
