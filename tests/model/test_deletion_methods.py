"""Leave-one-out, cumulative fits and variance inflation against metafor's.

The numbers are made by tests/reference/generate/deletion.R; what metafor lacks (fits of several
levels, groups) is compared with fits to the rows themselves.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import DataError, MetaMixedLM, SpecificationError, datasets
from tests.tolerances import OPTIMUM

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "deletion.json"
TWO_OPTIMA = 1e-5
"""metafor's three-level optimum against ours, through the covariance of the coefficients."""


@cache
def reference():
    return json.loads(REFERENCE.read_text())


def bcg(formula="yi ~ 1", **kwargs):
    return MetaMixedLM.from_formula(
        formula, datasets.load("bcg"), variance="vi", groups="trial", **kwargs
    )


def schools():
    frame = datasets.load("konstantopoulos2011")
    frame["half"] = (frame["school"] % 3).map(dict(enumerate("abc")))
    return frame


def three_levels(frame):
    return MetaMixedLM.from_formula(
        "yi ~ year + half", frame, variance="vi", groups="district/school"
    )


def test_leave_one_out_is_metafors():
    found, want = bcg().fit().leave_one_out(), reference()["leave1out"]
    np.testing.assert_allclose(found.params["Intercept"], want["estimate"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.bse["Intercept"], want["se"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.vcomp["trial: sigma2"], want["tau2"], rtol=OPTIMUM)
    assert found.not_estimated == []


def test_influence_says_what_was_left_out():
    res = three_levels(schools()).fit()
    found = res.get_influence(groups="district", reestimate=True)
    assert repr(found).startswith(
        "influence of 11 groups of 56 rows (11, 12, 18, 27, 56 and 6 more) on Intercept, "
        "half[T.b], half[T.c], year, components estimated again; "
    )


def test_cumulative_is_metafors():
    found, want = bcg().fit().cumulative(_unique_years()), reference()["cumul"]
    np.testing.assert_allclose(found.params["Intercept"], want["estimate"], rtol=OPTIMUM)
    np.testing.assert_allclose(found.bse["Intercept"].iloc[1:], want["se"][1:], rtol=OPTIMUM)
    np.testing.assert_allclose(found.vcomp["trial: sigma2"].iloc[1:], want["tau2"][1:], rtol=1e-5)
    assert found.rows.tolist() == list(range(1, 14))


def _unique_years():
    """metafor lets studies of one year enter in the order of the rows."""
    return pd.Series(datasets.load("bcg")["year"] + np.arange(13) / 100)


def test_cov_ratio_is_metafors():
    influence = bcg("yi ~ ablat + year").fit().get_influence(reestimate=True)
    np.testing.assert_allclose(influence.cov_ratio, reference()["cov_r"], rtol=1e-5)


def test_vif_is_metafors():
    res, want = three_levels(schools()).fit(), reference()["vif"]
    table = res.vif()
    assert set(table.index) == {"year", "half"}
    np.testing.assert_allclose(table.loc[["year", "half"], "gvif"], want["gvif"], rtol=TWO_OPTIMA)
    np.testing.assert_allclose(table.loc[["year", "half"], "gsif"], want["gsif"], rtol=TWO_OPTIMA)
    assert table.loc["half", "df"] == 2


@pytest.mark.parametrize("reestimate", [True, False])
def test_groups_left_out_are_fits_without_them(reestimate):
    frame = schools()
    full = three_levels(frame).fit()
    found = full.leave_one_out("district", reestimate=reestimate)
    for district in (11, 644):
        rest = frame[frame["district"] != district]
        if reestimate:
            alone = three_levels(rest).fit()
        else:
            held = dict(zip(("district", "district/school"), full.sigma2, strict=True))
            alone = _held(rest, held).fit()
        np.testing.assert_allclose(found.params.loc[district], alone.params, rtol=1e-4)
        np.testing.assert_allclose(found.bse.loc[district], alone.bse, rtol=1e-4)
        assert found.rows[district] == len(rest)
    table = found.summary_frame(alpha=0.1)
    row = table.loc[(11, "year")]
    assert row["shift"] == pytest.approx(found.params.loc[11, "year"] - full.params["year"])
    assert row["upper"] - row["estimate"] == pytest.approx(1.6448536269514722 * row["se"])


def _held(frame, held):
    from mvmeta import Random

    terms = [Random("1 | district/school", fixed={"sigma2": list(held.values())})]
    return MetaMixedLM.from_formula("yi ~ year + half", frame, variance="vi", random=terms)


def test_intervals_use_t_where_the_fit_does():
    found = bcg().fit(use_t=True).leave_one_out().summary_frame()
    row = found.iloc[0]
    assert (row["upper"] - row["estimate"]) / row["se"] == pytest.approx(2.200985160082949)  # 11 df


def test_what_cannot_be_fitted_is_nan_and_listed():
    frame = pd.DataFrame(
        {"y": [0.0, 5.0, 10.0, 20.0, 25.0], "c": list("ABCAB"), "s": [1, 1, 1, 2, 2]}
    )
    res = MetaMixedLM.from_formula("y ~ c - 1", frame, variance=0.1, groups="s").fit()
    found = res.leave_one_out("s")
    assert found.not_estimated == [1]
    assert found.params.loc[1].isna().all()
    assert "not estimated: 1" in repr(found)
    assert res.cumulative("s").not_estimated == []


def test_bad_input():
    res = bcg("yi ~ ablat").fit()
    with pytest.raises(SpecificationError, match="1 coefficient besides the intercept"):
        res.vif()
    with pytest.raises(DataError, match="'nowhere'"):
        res.leave_one_out("nowhere")
    with pytest.raises(SpecificationError, match="values with an order"):
        res.cumulative(pd.Series([1, "a"] * 6 + [2], dtype=object))
    with pytest.raises(SpecificationError, match="alpha"):
        res.leave_one_out().summary_frame(alpha=2)


@pytest.mark.parametrize("method", ["leave_one_out", "cumulative"])
def test_bad_groups_are_called_what_the_user_calls_them(method):
    call = getattr(bcg().fit(), method)
    with pytest.raises(DataError, match="by='nowhere' is no column"):
        call("nowhere")
    with pytest.raises(DataError, match="by needs one value for each of the 13 rows"):
        call([1, 2])
    with pytest.raises(DataError, match="by is missing in 1 fitted rows, first in 12"):
        call([*range(12), None])


def offenders():
    frame = datasets.load("assink2016")
    return MetaMixedLM.from_formula("yi ~ deltype", frame, variance="vi", groups="study/esid").fit()


def test_chi_squares_without_each_study_are_metafors():
    influence = offenders().get_influence("study", reestimate=True)
    want = np.array(reference()["cluster_x2"], dtype=float)
    np.testing.assert_allclose(influence.cluster_chi2["statistic"], want, rtol=1e-4)
    assert influence.cluster_chi2["df"].tolist()[:4] == [6, 3, 10, 1]
    held = offenders().get_influence("study").cluster_chi2["statistic"]
    assert (held - want).abs().max() > 1.0


def test_chi_squares_of_rows_are_squared_studentized_residuals():
    influence = bcg("yi ~ ablat").fit().get_influence(reestimate=True)
    np.testing.assert_allclose(
        influence.cluster_chi2["statistic"], influence.resid_studentized_external**2, rtol=1e-10
    )


@pytest.mark.parametrize("reestimate", [False, True])
def test_groups_without_which_nothing_can_be_estimated_are_named(reestimate):
    """Study 16 alone has offences of one kind."""
    influence = offenders().get_influence("study", reestimate=reestimate)
    assert influence.not_estimated == [16]
    assert np.isnan(influence.cooks_distance).sum() == 1
    assert bcg().fit().get_influence(reestimate=reestimate).not_estimated == []
