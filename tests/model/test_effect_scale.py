"""What escalc notes of the scale of its effect sizes reaches plots and back-transformations."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, SpecificationError, datasets, escalc, transf
from mvmeta.effects.registry import MEASURES

TABLE = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}


def fitted(measure="RR", formula="yi ~ ablat", **options):
    data = datasets.load("bcg").drop(columns=["yi", "vi"])
    names = options.get("var_names", ("yi", "vi"))
    effects = escalc(measure, data=data, **TABLE, **options)
    effects = effects[effects["ablat"] > 14]  # subsets keep the scale
    return MetaMixedLM.from_formula(formula, effects, variance=names[1], groups="trial").fit()


def test_the_scale_reaches_the_results():
    expected = {"column": "yi", "label": "Log risk ratio", "back": "exp", "natural": "Risk ratio"}
    expected["no_effect"] = 0.0
    assert fitted().effect_scale == expected
    named = fitted(var_names=("lrr", "v"), formula="lrr ~ 1")
    assert named.effect_scale["column"] == "lrr"
    # Another column of the same data is not on that scale.
    assert fitted(formula="np.exp(yi) ~ 1").effect_scale == {}
    assert fitted("RD").effect_scale["back"] == ""


def superior(formula="yi ~ 1"):
    effects = escalc("CLES", ai=[0.6, 0.7, 0.55, 0.62], n1i=[20, 30, 40, 25], n2i=[20, 30, 40, 25])
    effects = effects.assign(study=range(4), kind=list("aabb"))
    return MetaMixedLM.from_formula(formula, effects, variance="vi", groups="study").fit()


def test_the_summary_says_where_there_is_no_effect_if_that_is_not_0():
    res = superior()
    assert res.effect_scale["no_effect"] == 0.5
    note = "no effect is 0.5 on this scale, which t_test takes: t_test('Intercept = 0.5')"
    assert note in " ".join(str(res.summary()).split())
    found = res.t_test("Intercept = 0.5")
    z = (res.params["Intercept"] - 0.5) / res.bse["Intercept"]
    assert float(np.squeeze(found.statistic)) == pytest.approx(z)
    assert "no effect is" not in str(fitted().summary())


def test_measures_of_one_group_have_no_value_without_an_effect():
    none = {code for code, measure in MEASURES.items() if measure.no_effect is None}
    assert none == {
        *("PR", "PLN", "PLO", "PRZ", "PAS", "PFT", "IR", "IRLN", "IRS", "IRFT"),
        *("ARAW", "AHW", "ABT", "MNLN", "SDLN", "CVLN"),
    }
    even = {code for code, measure in MEASURES.items() if measure.no_effect == 0.5}
    assert even == {"CLES", "AUC", "CLESN", "AUCN", "CLESCN", "AUCCN"}
    assert {m.no_effect for m in MEASURES.values()} == {None, 0.0, 0.5}


def test_intervals_are_led_back():
    res = fitted()
    rows = pd.DataFrame({"ablat": [20, 40]})
    found = res.get_prediction(rows).summary_frame(transform="back")
    pd.testing.assert_frame_equal(found, res.get_prediction(rows).summary_frame(transform=np.exp))
    means = fitted(formula="yi ~ alloc").marginal_means("alloc")
    pd.testing.assert_frame_equal(
        means.summary_frame(transform="back"), means.summary_frame(transform="exp")
    )
    pairs = means.pairwise()
    pd.testing.assert_frame_equal(
        pairs.summary_frame(transform="back"), pairs.summary_frame(transform="exp")
    )


def test_other_scales_and_names():
    effects = escalc("ZCOR", ri=[0.3, 0.5, 0.1], ni=[30, 40, 50]).assign(study=range(3))
    res = MetaMixedLM.from_formula("yi ~ 1", effects, variance="vi", groups="study").fit()
    assert res.transformation("back") is transf.ztor
    assert res.transformation("iarcsin") is transf.iarcsin
    assert res.transformation(np.exp) is np.exp


def test_nothing_to_undo_is_said():
    for res in (fitted("RD"), fitted(formula="np.exp(yi) ~ 1")):
        with pytest.raises(SpecificationError, match="nothing to undo"):
            res.transformation("back")
        with pytest.raises(SpecificationError, match="nothing to undo"):
            res.get_prediction().summary_frame(transform="back")
