"""Small-study effects against rma.mv with CR2 tests, and against metafor's regtest.

The numbers are made by tests/reference/generate/small_study.R.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mvmeta import DataError, MetaMixedLM, SpecificationError, datasets
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
