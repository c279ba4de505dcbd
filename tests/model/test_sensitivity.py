"""Sensitivity: every setting against the same model written out by the user."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, MetaMixedLM, MvmetaWarning, Random, SpecificationError, datasets
from mvmeta.model.sensitivity.sensitivity import Sensitivity
from mvmeta.model.sensitivity.settings import GRID, INFERENCE

SAME = {"rtol": 1e-5, "atol": 1e-7}
"""Two fits of one model from different starts: OPTIMUM of the components, and some for the se."""


@cache
def assink():
    return datasets.load("assink2016")


@cache
def fitted(**options):
    return model().fit(**options)


def model(data=None, **changes):
    data = assink() if data is None else data
    keywords = {"variance": "vi", "groups": "study/esid"} | changes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        return MetaMixedLM.from_formula("yi ~ C(deltype)", data, **keywords)


@cache
def everything():
    return fitted().sensitivity()


def of(found, aspect, setting):
    frame = found.frame
    picked = frame[(frame["aspect"] == aspect) & (frame["setting"] == setting)]
    return picked.set_index("coefficient")


def same(row, res):
    np.testing.assert_allclose(row["estimate"], res.params, **SAME)
    np.testing.assert_allclose(row["se"], res.bse, **SAME)
    np.testing.assert_allclose(row[["lower", "upper"]], res.conf_int(), **SAME)
    np.testing.assert_allclose(row["pvalue"], res.pvalues, **SAME)


def correlated(data, rho):
    study = data["study"].to_numpy()
    r = np.where(np.equal.outer(study, study), rho, 0.0)
    np.fill_diagonal(r, 1.0)
    sd = np.sqrt(data["vi"].to_numpy())
    return np.outer(sd, sd) * r


# --- every setting ------------------------------------------------------------------------


def test_the_fit_itself_comes_first():
    frame = everything().frame
    assert (frame.loc[:2, "aspect"] == "fitted").all()
    same(of(everything(), "fitted", "as fitted"), fitted())
    assert (frame.loc[:2, "shift"] == 0).all()
    assert (frame.loc[:2, "changes"] == "").all()


@pytest.mark.parametrize("rho", GRID)
def test_correlations_in_v(rho):
    res = model(variance=correlated(assink(), rho)).fit()
    got = of(everything(), "rho", f"rho = {rho:g}")
    same(got, res)
    np.testing.assert_allclose(got["llf"], res.llf, rtol=1e-9)


def test_correlations_replace_those_of_v():
    res = model(variance=correlated(assink(), 0.3)).fit()
    found = res.sensitivity(rho=[0.6], structures=False, inference=False, leave_out=False)
    same(of(found, "rho", "rho = 0.6"), model(variance=correlated(assink(), 0.6)).fit())


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("no random effects", {"groups": None}),
        ("study", {"groups": "study"}),
        ("row", {"groups": None, "random": "1 | id"}),
        ("study/row", {}),
        (
            "deltype | study (CS)",
            {"groups": None, "random": Random("deltype | study", struct="CS")},
        ),
        (
            "deltype | study (UN)",
            {"groups": None, "random": Random("deltype | study", struct="UN")},
        ),
    ],
)
def test_other_random_effects(setting, changes):
    res = model(**changes).fit()
    got = of(everything(), "structure", setting)
    np.testing.assert_allclose(got["llf"], res.llf, rtol=1e-8)
    if not setting.endswith("(UN)"):  # its components are not all determined
        same(got, res)


@pytest.mark.parametrize("name", [n for n in INFERENCE if n != "CR2"])
def test_other_tests(name):
    same(of(everything(), "inference", name), fitted(**INFERENCE[name]))


def test_robust_standard_errors():
    res = fitted().get_robustcov_results("CR2", groups="study")
    same(of(everything(), "inference", "CR2"), res)


@pytest.mark.parametrize("study", [1, 11])
def test_leaving_out_a_study(study):
    data = assink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        res = model(data[data["study"] != study]).fit()
    same(of(everything(), "leave out", f"without study {study}"), res)


def test_what_is_no_longer_determined_says_so():
    # covert is seen in study 16 only, and every coefficient is a comparison with it
    robust = fitted(cov_type="CR2").sensitivity(False, False, False)
    for found in (everything(), robust):
        assert of(found, "leave out", "without study 16")["estimate"].isna().all()
    got = fitted().sensitivity(False, False, False, contrasts="means")
    row = of(got, "leave out", "without study 16").loc["deltype[covert]"]
    assert np.isnan(row["estimate"])
    assert row["note"] == "not determined by the rows that are left"
    assert row["changes"] == ""
    others = of(got, "leave out", "without study 16").drop("deltype[covert]")
    data = assink()[lambda d: d["study"] != 16]
    res = MetaMixedLM.from_formula(
        "yi ~ C(deltype) - 1", data, variance="vi", groups="study/esid"
    ).fit()
    np.testing.assert_allclose(others["estimate"], res.params, **SAME)
    np.testing.assert_allclose(others["se"], res.bse, **SAME)


@pytest.mark.parametrize(
    "options",
    [
        {"df": "satterthwaite"},
        {"df": 7.5},
        {"use_t": True},
        {"cov_type": "CR2"},
        {"cov_type": "knha"},
        {"reml": False},
    ],
)
def test_settings_are_tested_as_the_fit_is(options):
    res = fitted(**options)
    found = res.sensitivity([0.4], False, False, False)
    again = model(variance=correlated(assink(), 0.4)).fit(**options)
    same(of(found, "rho", "rho = 0.4"), again)


def test_several_groupings_at_once_stay():
    data = assink().assign(half=lambda d: d["esid"] % 5)
    groups = data[["study", "half"]]
    kwds = {"groups": groups, "df": "cluster", "repair": True}
    res = model(data).fit(cov_type="CR1", cov_kwds=kwds)
    found = res.sensitivity([0.4], False, False, False)
    again = model(data, variance=correlated(data, 0.4)).fit(cov_type="CR1", cov_kwds=kwds)
    same(of(found, "rho", "rho = 0.4"), again)


def test_models_from_arrays():
    data = assink()
    x = np.column_stack([np.ones(len(data)), data["year"]])
    res = MetaMixedLM(data["yi"], x, variance=data["vi"], groups=data["study"]).fit()
    found = res.sensitivity([0.4])
    again = MetaMixedLM(data["yi"], x, variance=correlated(data, 0.4), groups=data["study"]).fit()
    same(of(found, "rho", "rho = 0.4"), again)
    assert "no factor" in found.skipped["structure, CS"]
    assert "no-estimate-level-term" in res.diagnose()


def test_leaving_out_keeps_given_degrees_of_freedom():
    res = model().fit(df=np.array([4.0, 5.0, 6.0]))
    found = res.sensitivity(False, False, False, True)
    df = of(found, "leave out", "without study 1")["df"]
    assert list(df) == [4.0, 5.0, 6.0]


def test_user_weights_stay():
    w = assink()["vi"] ** -0.5
    res = model(weights=w).fit()
    found = res.sensitivity([0.4], False, False, True)
    same(
        of(found, "rho", "rho = 0.4"),
        model(variance=correlated(assink(), 0.4), weights=w).fit(),
    )
    keep = assink()["study"] != 3
    same(of(found, "leave out", "without study 3"), model(assink()[keep], weights=w[keep]).fit())


@pytest.mark.parametrize("unit", [1e-3, 100.0])
def test_the_unit_of_the_effects_does_not_matter(unit):
    other = assink().assign(yi=lambda d: d["yi"] * unit, vi=lambda d: d["vi"] * unit**2)
    got = model(other).fit().sensitivity([0.4], ["study", "CS"], ["CR2"], False).frame
    want = fitted().sensitivity([0.4], ["study", "CS"], ["CR2"], False).frame
    np.testing.assert_allclose(got["estimate"], unit * want["estimate"], rtol=1e-5)
    np.testing.assert_allclose(got["pvalue"], want["pvalue"], rtol=1e-4)
    assert list(got["changes"]) == list(want["changes"])


# --- flags --------------------------------------------------------------------------------


def test_flags_by_hand():
    found = fitted().sensitivity(beyond=0.5, contrasts="means")
    frame, base = found.frame, of(found, "fitted", "as fitted")
    for _, row in frame.iterrows():
        own = base.loc[row["coefficient"]]
        want = []
        if np.isfinite(row["estimate"]):
            inside = [r["lower"] <= 0 <= r["upper"] for r in (row, own)]
            far = [abs(r["estimate"]) >= 0.5 for r in (row, own)]
            changed = {
                "sign": row["estimate"] * own["estimate"] < 0 and not all(inside),
                "interval": inside[0] != inside[1],
                "beyond": far[0] != far[1],
            }
            want = [name for name, yes in changed.items() if yes]
        assert row["changes"] == ", ".join(want)
    assert len(found.changes) == (frame["changes"] != "").sum() > 0
    assert "beyond" in " ".join(found.changes["changes"])


def test_the_text_says_what_changes():
    text = fitted().sensitivity(contrasts="means").summary()
    flat = " ".join(text.split())
    assert "changes whether the interval includes 0: deltype[overt]" in flat
    assert "Leaving out each study (17 settings):" in flat
    assert max(map(len, text.split("\n"))) <= 78
    assert "no conclusion changes" in fitted().sensitivity([0.1], False, False, False).summary()


# --- rho from the data --------------------------------------------------------------------


def test_the_correlation_the_data_prefer():
    found = fitted().sensitivity("estimate", False, False, False)
    estimate = fitted().estimate_rho()
    assert found.rho.estimate == pytest.approx(estimate.estimate, abs=1e-5)
    labels = list(dict.fromkeys(found.frame["setting"]))
    assert labels[1] == f"rho = {estimate.estimate:.3g} (estimate)"
    assert str(estimate) in " ".join(found.summary().split())
    best = of(found, "rho", labels[1])["llf"].iloc[0]
    assert best == pytest.approx(estimate.frame["llf"].max(), abs=1e-7)
    assert best >= fitted().llf


def test_sentences_about_the_correlation():
    toy = datasets.load("toy")
    exact = MetaMixedLM.from_formula(
        "d ~ C(Category) - 1", toy, variance="Variance", groups="Study"
    ).fit()
    # the toy is additive without error, as if all its error were shared
    assert str(exact.estimate_rho()).startswith(
        "The data put the correlation of sampling errors within a study at 1.00 (95% interval"
    )
    even = assink().assign(vi=0.02)
    flat = model(even).fit().estimate_rho(bounds=(0, 0.9))
    assert flat.flat
    assert "say nothing" in str(flat)
    assert "say little" in str(fitted().estimate_rho())


# --- what is left out, and bad input ------------------------------------------------------


def test_what_makes_no_sense_is_said():
    toy = datasets.load("toy")
    res = MetaMixedLM.from_formula(
        "d ~ C(Category) - 1", toy, variance="Variance", groups="Study"
    ).fit()
    found = res.sensitivity()
    assert "6 components, more than there are studies (2)" in found.skipped["structure, UN"]
    assert "leave out, without Study 1" in found.skipped
    assert isinstance(found, Sensitivity)
    assert "Not tried:" in str(found)


def test_kenward_roger_needs_reml():
    found = fitted(reml=False).sensitivity(False, False, True, False)
    assert "REML" in found.skipped["inference, kenward-roger"]
    assert "kenward-roger" not in set(found.frame["setting"])


def test_many_studies_are_left_out_only_when_asked():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"study": np.arange(101), "y": rng.normal(size=101), "v": 0.1})
    res = MetaMixedLM.from_formula("y ~ 1", data, variance="v", groups="study").fit()
    found = res.sensitivity(False, False, False)
    assert "leave_out='all'" in found.skipped["leave out"]
    full = res.sensitivity(False, False, False, "all")
    assert (full.frame["aspect"] == "leave out").sum() == 101


def test_models_without_a_study():
    res = model(groups=None).fit()
    found = res.sensitivity()
    assert "no study" in found.skipped["rho"]
    assert "no studies" in found.skipped["structure, study"]
    named = res.sensitivity(groups=assink()["study"])
    assert "rho" not in named.skipped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": "guess"}, "numbers or 'estimate'"),
        ({"rho": ["a"]}, "numbers or 'estimate'"),
        ({"structures": ["AR"]}, "'none', 'study'"),
        ({"inference": "t"}, "'t contain'"),
        ({"leave_out": "some"}, "True, False or 'all'"),
        ({"beyond": -1}, "positive threshold"),
        ({"beyond": "large"}, "positive threshold, got 'large'"),
        ({"alpha": 0}, "alpha"),
        ({"structures": False, "inference": None}, "nothing is varied; leave at least one of rho="),
        ({"contrasts": "nonsense"}, "cannot be read"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(SpecificationError, match=message):
        fitted().sensitivity(**({"rho": False, "leave_out": False} | options))


def test_an_impossible_correlation_is_skipped_with_its_range():
    found = fitted().sensitivity([-0.9], False, False, False)
    assert "lies between" in found.skipped["rho, rho = -0.9"]


@pytest.mark.parametrize("method", ["diagnose", "sensitivity", "estimate_rho", "weights_summary"])
def test_rows_are_needed(method):
    res = model().fit()
    res.remove_data()
    with pytest.raises(DataError, match="fit again"):
        getattr(res, method)()


def test_a_factor_that_is_not_there():
    found = fitted().sensitivity(False, ["CS"], False, False, category="sex")
    assert found.skipped["structure, CS"].startswith("the formula has no factor 'sex'; it has del")


def test_a_factor_as_it_stands_in_the_formula():
    frames = [
        fitted().sensitivity(False, ["CS"], False, False, category=name).frame
        for name in ("deltype", "C(deltype)")
    ]
    pd.testing.assert_frame_equal(*frames)
    assert "deltype | study (CS)" in set(frames[0]["setting"])


def test_a_contrast_named_twice_is_refused():
    twice = ["deltype[covert] - deltype[general]"] * 2
    with pytest.raises(
        SpecificationError, match=r"contrasts= names 'deltype\[covert\] .*than once"
    ):
        fitted().sensitivity(False, False, False, False, contrasts=twice)
