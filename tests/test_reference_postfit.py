"""Intervals of components, likelihood ratios, deletion and robust tests against metafor's."""

from dataclasses import replace

import numpy as np
import pytest

from mvmeta import MvmetaWarning, SpecificationError
from mvmeta.inference.components.profile import Profile
from tests.reference.loader import (
    array,
    build_model,
    data_frame,
    fit_options,
    fitted_case,
    load_case,
    theta,
)
from tests.reference.parameters import AT_OPTIMUM, each_case
from tests.reference.tolerance import assert_close, tolerance_of

# Limits are where the deviance has dropped by 3.8415; the references bracket that to 1e-4.
LIMIT = 1e-3
ROBUST_KINDS = {
    "metafor_adjust_false": ("CR0", "cluster"),
    "metafor_adjust_true": ("CR1p", "cluster"),
}
# In this case one study determines a coefficient by itself: I - H is singular for it, and what
# clubSandwich 0.5.8 prints for CR3 is rounding error divided by rounding error.
CR3_UNDEFINED = {"b03_assink_3level_mods_t"}


def checked(key):
    return each_case(AT_OPTIMUM, checks=key)


def position(case, component, index):
    """Row of vcomp that metafor calls `component`[index]."""
    marks = {name: np.zeros(len(array(v))) for name, v in case["expected"]["components"].items()}
    marks[component][index] = 1.0
    return int(np.flatnonzero(theta(case, marks))[0])


@checked("confint")
def test_profile_intervals(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    ours = results.vcomp_conf_int()
    for item in case["checks"]["confint"]:
        if not item["ok"]:
            continue
        row = ours.iloc[position(case, item["component"], item["index"])]
        slack = 1e-6 * max(1, abs(item["est"])) + 1e-4 * abs(item["est"])
        for ours_name, theirs in (("lower", "lb"), ("upper", "ub")):
            assert row[ours_name] == pytest.approx(item[theirs], rel=LIMIT, abs=slack)
            assert row[f"{ours_name}_at_edge"] == item[f"{theirs}_at_edge"]


@checked("lrt")
def test_likelihood_ratio(folder, name):
    case, full = load_case(name, folder), fitted_case(name, folder)
    for item in case["checks"]["lrt"]:
        parts = {key: item["reduced"].get(key) for key in ("formula", "random", "fixed")}
        found = full.compare_lr_test(build_model(case, **parts).fit(**fit_options(case)))
        assert found.statistic == pytest.approx(item["LRT"], rel=1e-6, abs=1e-6)
        assert found.df_diff == item["df"]
        assert found.pvalue == pytest.approx(item["pval"], rel=1e-4, abs=1e-9)
        statistic, pvalue, df = found
        assert (statistic, pvalue, df) == (found.statistic, found.pvalue, found.df_diff)


@checked("influence")
@pytest.mark.parametrize("kind", ["components_held_fixed", "reestimated"])
def test_deletion(folder, name, kind):
    case, results = load_case(name, folder), fitted_case(name, folder)
    tolerance = 30 * tolerance_of(case).relative + (1e-3 if kind == "reestimated" else 0)
    frame = data_frame(case)
    for item in case["checks"]["influence"]:
        want = item.get(kind) or {}
        groups = None if item["cluster"] is None else frame[item["cluster"]]
        ours = results.get_influence(groups, reestimate=kind == "reestimated")
        pairs = {
            "cooks_distance": ours.cooks_distance,
            "dfbetas": ours.dfbetas.to_numpy(),
            "rstudent": ours.resid_studentized_external,
        }
        for key, value in pairs.items():
            if key in want:
                reference = array(want[key]["z"] if key == "rstudent" else want[key])
                size = tolerance * np.nanmax(np.abs(reference))
                assert_close(value, reference, absolute=size, relative=tolerance, what=key)


@checked("robust")
def test_cluster_robust(folder, name):
    case, results = load_case(name, folder), fitted_case(name, folder)
    frame, slack = data_frame(case), 20 * tolerance_of(case).relative + 1e-6
    for item in case["checks"]["robust"]:
        for label, want in item.items():
            if label == "cluster" or want is None:
                continue
            kind, df = ROBUST_KINDS.get(label, (label.rsplit("_", 1)[-1], "satterthwaite"))
            if kind == "CR3" and name in CR3_UNDEFINED:
                with pytest.raises(SpecificationError, match="determines a coefficient"):
                    results.get_robustcov_results(kind, frame[item["cluster"]], df)
                continue
            ours = results.get_robustcov_results(kind, frame[item["cluster"]], df)
            se = array(want["se"])
            assert_close(ours.bse, se, relative=slack, absolute=slack * se.max(), what=label)
            if df == "satterthwaite":
                test = ours.moderators_test()
                assert_close([test.statistic], [want["F"]], relative=slack, what=f"{label} F")
                df_each = np.broadcast_to(ours.df_inference, len(se))
                assert_close(df_each, want["df"], relative=slack, what=f"{label} df")


def test_pinned_components_have_no_interval():
    case = load_case("i01_konst_fixed_sigma2")
    results = fitted_case("i01_konst_fixed_sigma2")
    assert case["model"]["fixed"]["sigma2"][0] is not None
    limits = results.vcomp_conf_int()
    assert np.isnan(limits.loc[0, ["lower", "upper"]].astype(float)).all()
    with pytest.raises(SpecificationError, match="is fixed"):
        results.profile(0)
    with pytest.raises(SpecificationError, match="no component"):
        results.profile("no such")


def test_what_cannot_be_compared_is_refused():
    case = load_case("b02_konst_3level_ml_year")
    full = fitted_case("b02_konst_3level_ml_year")
    reml = build_model(case).fit()
    with pytest.raises(SpecificationError, match="REML"):
        full.compare_lr_test(reml)
    intercept = build_model(case, formula="yi ~ 1").fit()
    with pytest.raises(SpecificationError, match="other fixed effects"):
        reml.compare_lr_test(intercept)
    with pytest.raises(SpecificationError, match="fewer parameters"):
        full.compare_lr_test(full)
    other = fitted_case("b01_konst_3level_reml")
    assert other.nobs == full.nobs
    case_c = fitted_case("c01_berkey_un_reml")
    with pytest.raises(
        SpecificationError, match="the full model has 56 rows and the restricted model has 10"
    ):
        reml.compare_lr_test(case_c)


def test_boundary_p_value_halves_for_one_variance():
    """Self & Liang (1987): half of chi-square with 1 df where one variance is set to 0."""
    full = fitted_case("b01_konst_3level_reml")
    case = load_case("b01_konst_3level_reml")
    reduced = build_model(
        case,
        random=[
            {**case["model"]["random"][0], "groups": [["district"]], "formula": "1 | district"}
        ],
    ).fit()
    found = full.compare_lr_test(reduced)
    assert found.df_diff == 1
    assert found.pvalue_boundary == found.pvalue / 2


def test_a_profile_above_the_fit_is_said():
    """The profile of a fit that is only a local maximum: here one said to be 1 lower than it is."""
    results = fitted_case("b01_konst_3level_reml")
    fit = results.fit_
    lower = {key: value - 1.0 for key, value in fit.loglik.items()}
    profile = Profile(replace(fit, loglik=lower), results.model.backend, 0)
    with pytest.warns(MvmetaWarning, match="above that of the fit"):
        profile.at(profile.estimate * 1.01)
