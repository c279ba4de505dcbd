"""Influence panels, and the plots that hang on what results return."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, datasets, plots
from mvmeta.errors import SpecificationError
from mvmeta.plots import _axes
from tests.plots.fits import fit
from tests.plots.test_plot_others import labelled, labels, lines
from tests.tolerances import OPTIMUM

to_rgba = pytest.importorskip("matplotlib.colors").to_rgba
Z = stats.norm.isf(0.025)


def values(ax):
    """Values by height, marked or not."""
    drawn = [c.get_offsets() for c in ax.collections if c.get_gid() in ("marked", "unmarked")]
    found = np.concatenate(drawn)
    return found[np.argsort(found[:, 1]), 0]


def marked(ax):
    """Heights of the marked studies."""
    return next(c for c in ax.collections if c.get_gid() == "marked").get_offsets()[:, 1]


def test_estimates_are_those_of_fits_without_each_study(schools):
    ax = plots.influence(schools).axes[0]
    data = datasets.load("konstantopoulos2011")
    districts = data["district"].unique()
    assert labels(ax) == [str(d) for d in districts]
    ends = np.concatenate([e for e in lines(ax) if len(e)])
    ends = ends[np.argsort(ends[:, 0, 1]), :, 0]
    for i in (0, 6):
        part = fit("yi ~ 1", data[data["district"] != districts[i]], "vi", "district/school")
        assert values(ax)[i] == pytest.approx(part.params.iloc[0], rel=OPTIMUM)
        near = OPTIMUM * part.bse.iloc[0]  # one of the limits is close to 0
        np.testing.assert_allclose(ends[i], part.conf_int().iloc[0], rtol=OPTIMUM, atol=near)


def test_the_band_is_the_interval_of_all_rows(schools):
    ax = plots.influence(schools, reestimate=False).axes[0]
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    lower, upper = schools.conf_int().iloc[0]
    assert band.x0 == pytest.approx(lower)
    assert band.x1 == pytest.approx(upper)


def test_other_panels_are_the_diagnostics_by_study(schools):
    figure = plots.influence(schools, reestimate=False)
    found = schools.get_influence("district")
    _, cook, ratio, leverage = figure.axes
    np.testing.assert_allclose(values(cook), found.cooks_distance)
    np.testing.assert_allclose(values(ratio), found.cov_ratio)
    district = datasets.load("konstantopoulos2011")["district"]
    by_hand = pd.Series(found.hat_matrix_diag).groupby(district, sort=False).sum()
    np.testing.assert_allclose(values(leverage), by_hand)
    assert by_hand.sum() == pytest.approx(1.0)
    stems = np.concatenate([e for e in lines(ratio) if len(e)])
    assert (stems[:, 0, 0] == 1.0).all()


def test_marks_are_changed_conclusions_and_cuts(schools):
    figure = plots.influence(schools)
    table = schools.leave_one_out("district").summary_frame()
    assert schools.conf_int().iloc[0, 0] > 0
    np.testing.assert_array_equal(marked(figure.axes[0]), np.flatnonzero(table["lower"] < 0))
    found = schools.get_influence("district", reestimate=True)
    median = stats.chi2.median(1)
    cook = figure.axes[1]
    np.testing.assert_array_equal(marked(cook), np.flatnonzero(found.cooks_distance > median))
    assert len(marked(cook))
    assert median in [pytest.approx(x.get_xdata()[0]) for x in cook.lines]
    assert not len(marked(figure.axes[3]))
    points = next(c for c in cook.collections if c.get_gid() == "marked")
    assert points.get_edgecolors()[0].tolist() == list(to_rgba(_axes.ORANGE))
    assert points.get_facecolors()[0].tolist() == list(to_rgba("white"))


def test_a_study_the_others_cannot_do_without_is_a_gap_that_says_so():
    res = fit("yi ~ C(deltype)", datasets.load("assink2016"), "vi", "study/esid")
    figure = plots.influence(res, reestimate=False)
    first, cook, _, leverage = figure.axes
    (text,) = first.texts
    assert text.get_text() == "not estimable without it"
    assert labels(first)[int(text.get_position()[1])] == "16"
    assert len(values(cook)) == len(values(leverage)) - 1
    large = res.get_influence("study").leverage
    np.testing.assert_array_equal(marked(leverage), np.flatnonzero(large > 3 * large.mean()))
    assert len(marked(leverage)) == 2


def test_coefficients_groups_and_panels_by_choice(trials):
    data = datasets.load("bcg")
    figure = plots.influence(
        trials, "ablat", groups=data["alloc"], panels=["cov_ratio", "estimate"]
    )
    ratio, estimate = figure.axes
    assert labels(ratio) == list(data["alloc"].unique())
    assert estimate.get_xlabel() == "ablat"
    table = trials.leave_one_out(data["alloc"]).params["ablat"]
    np.testing.assert_allclose(values(estimate), table)


def test_single_rows_and_rows_with_missing_values():
    data = datasets.load("bcg")
    data.loc[3, "ablat"] = np.nan
    with pytest.warns(match="missing"):
        res = fit("yi ~ ablat", data, "vi", "trial")
    ax = plots.influence(res, reestimate=False).axes[0]
    assert len(values(ax)) == 12
    with pytest.warns(match="missing"):
        twice = fit("yi ~ ablat", pd.concat([data, data], ignore_index=True), "vi", "trial")
    ax = plots.influence(twice, reestimate=False).axes[0]
    assert labels(ax) == [str(t) for t in data["trial"].drop(3)]


def test_intervals_are_by_t_where_those_of_the_fit_are():
    data = datasets.load("bcg")
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="trial")
    res = model.fit(use_t=True)
    table = res.get_influence().leave_one_out()
    full = table.full_frame()
    np.testing.assert_allclose(full[["lower", "upper"]], res.conf_int())
    frame = table.summary_frame()
    half = stats.t.isf(0.025, 11) * frame["se"]
    np.testing.assert_allclose(frame["upper"], frame["estimate"] + half)
    pd.testing.assert_frame_equal(frame, res.leave_one_out(reestimate=False).summary_frame())


def test_hundreds_of_studies_get_labels_where_there_is_room(many):
    figure = plots.influence(many, reestimate=False, max_rows=50)
    assert len(values(figure.axes[0])) == 500
    assert len(labels(figure.axes[0])) <= 63
    assert figure.get_figheight() < 14


def test_larger_text_makes_a_wider_figure_that_holds_its_legend(schools, plt):
    usual = plots.influence(schools, reestimate=False).get_figwidth()
    with plt.rc_context({"font.size": 16}):
        figure = plots.influence(schools, reestimate=False)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert figure.get_figwidth() == pytest.approx(1.6 * usual)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("panels", [["estimate"], ["leverage"], ["cooks_distance", "cov_ratio"]])
def test_few_panels_hold_their_legend(schools, panels):
    figure = plots.influence(schools, reestimate=False, panels=panels)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_influence_draws_itself(schools, plt):
    found = schools.get_influence("district")
    figure, ax = plt.subplots()
    assert found.plot(ax=ax, panels="cooks_distance") is figure
    np.testing.assert_allclose(values(ax), found.cooks_distance)
    assert not figure.legends
    assert len(found.plot().axes) == 4
    assert len(schools.plot_influence(reestimate=False).axes) == 4


def test_what_cannot_be_drawn_is_refused(schools, plt):
    _, ax = plt.subplots()
    with pytest.raises(SpecificationError, match="there are Intercept"):
        plots.influence(schools, "nobody", reestimate=False)
    with pytest.raises(SpecificationError, match="panels= takes 'estimate'"):
        plots.influence(schools, panels=["hat"])
    with pytest.raises(SpecificationError, match="one panel"):
        plots.influence(schools, ax=ax, panels=["estimate", "leverage"])
    with pytest.raises(SpecificationError, match="has its groups"):
        plots.influence(schools.get_influence("district"), groups="school")


class TestProfileDrawsItself:
    def test_as_the_function_does(self, schools, plt):
        figure, ax = plt.subplots()
        found = schools.profile("district: sigma2")
        assert found.plot(ax, n=7) is figure
        other = plots.profile(schools, "district: sigma2", n=7).axes[0]
        for start in ("profile", "lower", "upper"):
            np.testing.assert_allclose(
                np.array(labelled(ax, start).get_data()),
                np.array(labelled(other, start).get_data()),
            )
        assert ax.get_xlabel() == found.name == "district: sigma2"
        assert ax.get_ylabel() == "restricted log-likelihood"
        assert not figure.legends

    def test_which_component_is_said_once(self, schools):
        with pytest.raises(SpecificationError, match="which component"):
            plots.profile(schools)
        with pytest.raises(SpecificationError, match="leave out 1"):
            plots.profile(schools.profile(0), 1)


def test_groups_in_the_place_of_the_coefficient_are_an_error(schools):
    districts = datasets.load("konstantopoulos2011")["district"]
    with pytest.raises(SpecificationError, match="what is left out together is groups="):
        plots.influence(schools, districts, reestimate=False)
