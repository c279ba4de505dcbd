"""Caterpillar, funnel, profile, evidence and convergence plots: the numbers in their artists."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from mvmeta import MetaMixedLM, Random, datasets, plots
from mvmeta.errors import DataError, MvmetaWarning, SpecificationError
from mvmeta.plots import _axes
from tests.plots.fits import fit

artists = pytest.importorskip("matplotlib.collections")
to_rgba = pytest.importorskip("matplotlib.colors").to_rgba
LineCollection = artists.LineCollection
PathCollection = artists.PathCollection
Z = stats.norm.isf(0.025)


def points(ax):
    return [c for c in ax.collections if type(c) is PathCollection and len(c.get_offsets())]


def lines(ax):
    return [np.array(c.get_segments()) for c in ax.collections if type(c) is LineCollection]


def labels(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def labelled(ax, start):
    return next(line for line in ax.lines if line.get_label().startswith(start))


class TestCaterpillar:
    def test_effects_are_in_order_with_their_intervals(self, schools):
        ax = plots.caterpillar(schools, "district/school").axes[0]
        frame = schools.ranef()["district/school"].sort_values("estimate", ascending=False)
        assert labels(ax) == list(frame.index)
        drawn = np.concatenate([p.get_offsets() for p in points(ax)])
        drawn = drawn[np.argsort(drawn[:, 1])]
        np.testing.assert_allclose(drawn[:, 0], frame["estimate"])
        ends = np.concatenate(lines(ax))
        ends = ends[np.argsort(ends[:, 0, 1])]
        np.testing.assert_allclose(ends[:, :, 0], frame[["pi_lower", "pi_upper"]])

    def test_effects_apart_from_zero_are_filled_and_coloured(self, schools):
        ax = plots.caterpillar(schools).axes[0]
        frame = schools.ranef()["district"]
        apart = frame["estimate"][(frame["pi_lower"] > 0) | (frame["pi_upper"] < 0)]
        near, far = points(ax)
        np.testing.assert_allclose(sorted(far.get_offsets()[:, 0]), sorted(apart))
        assert far.get_facecolors()[0].tolist() == list(to_rgba(_axes.BLUE))
        assert near.get_facecolors()[0].tolist() == list(to_rgba("white"))

    def test_effects_of_inner_levels_name_both(self, outcomes):
        assert "3 · AL" in labels(plots.caterpillar(outcomes).axes[0])

    def test_a_group_that_holds_all_rows_is_not_named_in_every_label(self):
        fish = datasets.load("maire2019")
        near = Random("site_station | const", "SPGAU", distance=datasets.distance("maire2019"))
        res = MetaMixedLM.from_formula("yi ~ 1", fish, variance="vi", random=near).fit()
        assert set(labels(plots.caterpillar(res).axes[0])) == set(fish["site_station"])

    def test_hundreds_of_effects_get_labels_where_there_is_room(self, many):
        ax = plots.caterpillar(many, max_rows=50).axes[0]
        assert sum(len(p.get_offsets()) for p in points(ax)) == 500
        assert len(labels(ax)) <= 63

    def test_an_unknown_term_is_refused_with_those_there_are(self, schools):
        with pytest.raises(SpecificationError, match="there are district, district/school"):
            plots.caterpillar(schools, "school")

    def test_a_model_without_random_terms_is_refused(self):
        with pytest.raises(SpecificationError, match="no random terms"):
            plots.caterpillar(fit("d ~ 1", datasets.load("toy"), "Variance"))


class TestFunnel:
    def test_contours_stand_out_in_dark_styles_too(self, schools, plt):
        with plt.style.context("dark_background"):
            ax = plots.funnel(schools).axes[0]
        regions = [c for c in ax.collections if c.get_label() in ("90%", "95%", "99%")]
        greys = [rgba[3] for c in regions for rgba in c.get_facecolor()]  # white over black
        assert greys == [0.32, 0.20, 0.10]

    def test_levels_are_coverages(self, schools):
        one = plots.funnel(schools, levels=0.95).axes[0].get_legend_handles_labels()[1]
        assert one == ["95%", "estimate"]
        with pytest.raises(SpecificationError, match="levels= holds 95: a level is a coverage"):
            plots.funnel(schools, levels=(0.9, 95))

    def test_estimates_stand_over_their_standard_errors(self, schools):
        data = datasets.load("konstantopoulos2011")
        ax = plots.funnel(schools).axes[0]
        (drawn,) = points(ax)
        expected = np.column_stack([data["yi"], np.sqrt(data["vi"])])
        np.testing.assert_allclose(drawn.get_offsets(), expected)
        assert ax.get_ylim()[1] == 0.0
        assert ax.get_xlabel() == "yi"

    def test_contours_are_quantiles_about_the_mean(self, schools):
        ax = plots.funnel(schools, levels=(0.8, 0.95)).axes[0]
        bottom = ax.get_ylim()[0]
        edges = {round(float(line.get_xdata()[1]), 9) for line in ax.lines}
        mean = schools.params.iloc[0]
        for level in (0.8, 0.95):
            half = stats.norm.isf((1 - level) / 2) * bottom
            assert {round(mean - half, 9), round(mean + half, 9)} <= edges

    def test_with_moderators_residuals_stand_about_zero(self, trials):
        ax = plots.funnel(trials).axes[0]
        np.testing.assert_allclose(points(ax)[0].get_offsets()[:, 0], trials.resid)
        assert [0.0, 0.0] in [list(line.get_xdata()) for line in ax.lines]

    def test_by_study_every_study_is_one_point(self, schools):
        data = datasets.load("konstantopoulos2011")
        weight = 1 / data["vi"]
        total = weight.groupby(data["district"]).sum()
        mean = (weight * data["yi"]).groupby(data["district"]).sum() / total
        (drawn,) = points(plots.funnel(schools, by_study=True).axes[0])
        np.testing.assert_allclose(drawn.get_offsets(), np.c_[mean, total**-0.5])
        assert drawn.get_label() == "mean estimate of a study"

    def test_by_study_residuals_are_averaged_under_v(self, outcomes):
        (drawn,) = points(plots.funnel(outcomes, by_study=True).axes[0])
        data = datasets.load("berkey1998")
        for i, (_, rows) in enumerate(data.groupby("trial", sort=False)):
            inverse = np.linalg.inv(rows[["v1i", "v2i"]].to_numpy())
            mean = inverse.sum(axis=0) @ outcomes.resid.loc[rows.index] / inverse.sum()
            np.testing.assert_allclose(drawn.get_offsets()[i], [mean, inverse.sum() ** -0.5])

    def test_studies_without_a_mean_are_refused(self, schools):
        y = [0.1, 2.2, 4.4, 1.0, -1.5, 0.3]
        data = pd.DataFrame({"y": y, "study": list("aabbcd"), "row": range(6)})
        v = 0.2 * np.eye(6)
        v[0, 1] = v[1, 0] = 0.2
        res = fit("y ~ 1", data, v, "row")
        with pytest.raises(DataError, match=r"1 studies have no mean .* first 'a'"):
            plots.funnel(res, by_study=True, groups=data["study"])
        with pytest.raises(SpecificationError, match="by_study=True"):
            plots.funnel(schools, groups="district")


class TestProfile:
    def test_curve_cut_and_limits(self, schools):
        ax = plots.profile(schools, "district: sigma2", n=9).axes[0]
        interval = schools.profile(0).interval()
        curve = labelled(ax, "profile")
        cut = schools.llf - stats.chi2.isf(0.05, 1) / 2
        grid, height = curve.get_data()
        assert height.max() == pytest.approx(schools.llf, abs=1e-8)
        assert grid[height.argmax()] == pytest.approx(schools.vcomp["estimate"].iloc[0])
        assert labelled(ax, "cut").get_ydata()[0] == pytest.approx(cut)
        for side, limit in (("lower", interval.lower), ("upper", interval.upper)):
            assert labelled(ax, side).get_xdata()[0] == pytest.approx(limit)
            assert np.interp(limit, grid, height) == pytest.approx(cut, abs=1e-5)
            assert labelled(ax, side).get_markerfacecolor() == _axes.ORANGE

    def test_a_limit_at_an_edge_is_hollow_and_says_so(self, outcomes):
        ax = plots.profile(outcomes, 2, n=7).axes[0]
        upper = labelled(ax, "upper")
        assert upper.get_label() == "upper limit 1, an edge"
        assert upper.get_markerfacecolor() == to_rgba("white")

    def test_the_curve_is_the_highest_of_several_maxima(self, outcomes):
        # with the variance of AL at zero the correlation does not matter: a floor under the curve
        grid, height = labelled(plots.profile(outcomes, 2, n=15).axes[0], "profile").get_data()
        floor = outcomes.profile(2).at(-0.99).loglik
        assert height.min() >= floor - 1e-6
        assert (np.diff(height[grid < 0.6]) >= -1e-6).all()

    def test_limits_far_apart_make_the_axis_logarithmic(self, toy):
        ax = plots.profile(toy, 0, n=9).axes[0]
        assert ax.get_xscale() == "log"
        assert labelled(ax, "profile").get_xdata().min() > 0

    def test_too_few_points_are_refused(self, toy):
        with pytest.raises(SpecificationError, match="at least 5"):
            plots.profile(toy, 0, n=2)


class TestEvidence:
    def test_joint_and_direct_estimates_with_their_intervals(self, toy):
        ax = plots.evidence(toy).axes[0]
        joint, direct = points(ax)
        frame = toy.evidence()
        np.testing.assert_allclose(joint.get_offsets()[:, 0], frame["joint"])
        np.testing.assert_allclose(direct.get_offsets()[:, 0], [10.0, 15.0, 10.0])
        half = np.diff(lines(ax)[1][:, :, 0])[:, 0] / 2
        np.testing.assert_allclose(half, Z * frame["direct_se"])
        assert (direct.get_offsets()[:, 1] > joint.get_offsets()[:, 1]).all()

    def test_the_share_borrowed_is_written_beside(self, toy):
        texts = [t.get_text() for t in plots.evidence(toy).axes[0].texts]
        assert texts == ["0% borrowed", "0% borrowed", "50% borrowed"]

    def test_contrasts(self, toy):
        ax = plots.evidence(toy, "pairwise").axes[0]
        assert labels(ax) == list(toy.evidence("pairwise").index)

    def test_slopes_have_no_direct_estimate(self, trials):
        ax = plots.evidence(trials).axes[0]
        assert len(points(ax)) == 1
        assert {t.get_text() for t in ax.texts} == {"no direct estimate"}


class TestHistory:
    def test_distance_and_expected_gain_by_evaluations(self, schools):
        ax = plots.history(schools).axes[0]
        table = schools.history
        below, expected = ax.lines
        gap = table["llf"].max() - table["llf"]
        np.testing.assert_allclose(below.get_ydata(), gap[gap > 0])
        np.testing.assert_array_equal(expected.get_xdata(), table["evaluations"])
        np.testing.assert_allclose(expected.get_ydata(), table["decrement"] / 2)
        assert ax.get_yscale() == "log"
        assert ax.get_title(loc="left").replace("\n", " ") == schools.status.value


@pytest.mark.parametrize("name", ["forest", "caterpillar", "influence"])
def test_a_plot_has_room_for_a_row(name, schools, plt):
    with pytest.raises(
        SpecificationError,
        match="max_rows=0: a plot has room for a whole number of rows, at least 1",
    ):
        getattr(schools, f"plot_{name}")(max_rows=0)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", ["caterpillar", "funnel", "evidence", "history"])
def test_plots_draw_on_the_axes_they_are_given(name, schools, plt):
    figure, ax = plt.subplots()
    assert getattr(plots, name)(schools, ax=ax) is figure
    assert plt.get_fignums() == [figure.number]
    assert ax.get_xlabel()


@pytest.mark.parametrize("name", plots.__all__)
def test_a_model_that_is_not_fitted_is_told(name, schools):
    plot = getattr(plots, name)
    with pytest.raises(SpecificationError, match=rf"MetaMixedLM has not been fitted.*\.{name}"):
        plot(schools.model)
    with pytest.raises(SpecificationError, match=rf"plots\.{name} draws the .* got DataFrame"):
        plot(res=datasets.load("bcg"))
    ols = sm.OLS(np.arange(4.0), np.ones(4)).fit()
    with pytest.raises(SpecificationError, match=rf"plots\.{name} draws the .* got Regression"):
        plot(ols)


def test_many_outcomes_are_drawn_one_by_one(trials):
    many = trials.model.fit_many(np.column_stack([trials.model.endog] * 2))
    with pytest.raises(SpecificationError, match=r"plots.forest\(many.get_results\(outcome\)\)"):
        plots.forest(many)
    assert plots.forest(many.get_results(0)).axes


@pytest.mark.parametrize("name", ["forest", "influence", "sensitivity", "history"])
def test_axes_that_are_none_are_told(name, trials, plt):
    several = plt.subplots(1, 2)[1]
    with pytest.raises(SpecificationError, match=r"got ndarray: .* of which ax\[0\] is the first"):
        getattr(plots, name)(trials, ax=several)
    assert getattr(plots, name)(trials, ax=several[0]) is several[0].figure


@pytest.mark.parametrize("name", ["forest", "funnel", "orchard", "evidence", "network"])
def test_rows_that_came_in_batches_are_told(name):
    data = datasets.load("bcg")
    parts = [data.iloc[:6], data.iloc[6:]]
    model = MetaMixedLM.from_batches("yi ~ alloc", lambda: iter(parts), variance="vi")
    with pytest.raises(DataError, match="holds none of them"):
        getattr(plots, name)(model.fit())


def test_numbers_that_are_none_are_told(schools):
    with pytest.raises(SpecificationError, match=r"max_rows='all': .* None for all of them"):
        plots.forest(schools, max_rows="all")
    with pytest.raises(SpecificationError, match="levels='95%': levels are coverages between 0"):
        plots.funnel(schools, levels="95%")
    for alpha in (0.95, np.float64(0.95)):
        with pytest.warns(MvmetaWarning, match="alpha=0.95 asks for intervals that cover 5%"):
            plots.forest(schools, alpha=alpha)
