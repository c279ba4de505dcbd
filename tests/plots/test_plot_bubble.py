"""Bubble plot: line, bands, means and bubbles in the artists."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, Random, datasets, plots
from mvmeta.errors import DataError, SpecificationError
from tests.plots.fits import fit
from tests.plots.test_plot_orchard import ends, named

Z = stats.norm.isf(0.025)


@pytest.fixture(scope="session")
def mixed():
    return fit("yi ~ alloc + ablat + year", datasets.load("bcg"), "vi", "trial")


def line(ax, gid):
    return next(x for x in ax.lines if x.get_gid() == gid)


def band(ax):
    """Lowest and highest y of the band at every x of it."""
    frame = pd.DataFrame(named(ax, "confidence").get_paths()[0].vertices, columns=["x", "y"])
    return frame.groupby("x")["y"].agg(["min", "max"])


def by_hand(res, rows):
    """Mean, its standard error and that of a new true effect."""
    mean = rows @ res.params.to_numpy()
    se = np.sqrt(np.einsum("ij,jk,ik->i", rows, res.cov_params().to_numpy(), rows))
    return mean, se, np.sqrt(se**2 + res.vcomp["estimate"].sum())


def check(ax, res, rows):
    mean, se, new = by_hand(res, rows)
    np.testing.assert_allclose(line(ax, "mean").get_ydata(), mean)
    np.testing.assert_allclose(band(ax), np.c_[mean - Z * se, mean + Z * se])
    lower, upper = (x.get_ydata() for x in ax.lines if x.get_gid() == "prediction")
    np.testing.assert_allclose(lower, mean - Z * new)
    np.testing.assert_allclose(upper, mean + Z * new)


def test_line_and_bands_of_a_slope(trials):
    ax = plots.bubble(trials).axes[0]
    x = datasets.load("bcg")["ablat"].to_numpy()
    grid = line(ax, "mean").get_xdata()
    assert (grid[0], grid[-1]) == (x.min(), x.max())
    check(ax, trials, np.c_[np.ones(len(grid)), grid])
    assert ax.get_xlabel() == "ablat"


def test_bubbles_stand_at_their_moderator_with_areas_by_precision(trials):
    data = datasets.load("bcg")
    bubbles = named(plots.bubble(trials).axes[0], "estimates")
    np.testing.assert_allclose(bubbles.get_offsets(), data[["ablat", "yi"]])
    area = bubbles.get_sizes()
    precision = 1 / np.sqrt(data["vi"].to_numpy())
    large = area > area.min() + 1e-9
    np.testing.assert_allclose(area[large] / area.max(), precision[large] / precision.max())


def test_other_moderators_are_at_their_mean_and_factors_averaged(mixed):
    ax = plots.bubble(mixed, "ablat").axes[0]
    grid = line(ax, "mean").get_xdata()
    year = datasets.load("bcg")["year"].mean()
    one = np.ones(len(grid))
    check(ax, mixed, np.c_[one, one / 3, one / 3, grid, one * year])


def test_at_says_where_the_others_are(mixed):
    ax = plots.bubble(mixed, "ablat", at={"alloc": "random", "year": 1950}).axes[0]
    grid = line(ax, "mean").get_xdata()
    one = np.ones(len(grid))
    check(ax, mixed, np.c_[one, one, 0 * one, grid, one * 1950])


def test_a_curve_of_the_formula_is_one():
    res = fit("yi ~ ablat + I(ablat**2)", datasets.load("bcg"), "vi", "trial")
    ax = plots.bubble(res).axes[0]
    grid = line(ax, "mean").get_xdata()
    check(ax, res, np.c_[np.ones(len(grid)), grid, grid**2])


def test_columns_of_arrays_are_moderators():
    data = datasets.load("bcg")
    x = np.c_[np.ones(13), data["ablat"], data["year"]]
    frame = pd.DataFrame(x, columns=["const", "ablat", "year"])
    res = MetaMixedLM(data["yi"], frame, variance=data["vi"], groups=data["trial"]).fit()
    ax = plots.bubble(res).axes[0]
    grid = line(ax, "mean").get_xdata()
    rows = np.c_[np.ones(len(grid)), grid, np.full(len(grid), data["year"].mean())]
    check(ax, res, rows)
    ax = plots.bubble(res, "ablat", at={"year": 1950}).axes[0]
    check(ax, res, np.c_[rows[:, :2], np.full(len(grid), 1950)])
    with pytest.raises(SpecificationError, match="no moderator 'const'"):
        plots.bubble(res, "const")
    with pytest.raises(SpecificationError, match="at= names 'nobody'"):
        plots.bubble(res, "ablat", at={"nobody": 1})


def test_levels_stand_side_by_side_with_upright_intervals(mixed):
    ax = plots.bubble(mixed, "alloc").axes[0]
    data = datasets.load("bcg")
    rest = [data["ablat"].mean(), data["year"].mean()]
    rows = np.array([[1, 0, 0, *rest], [1, 1, 0, *rest], [1, 0, 1, *rest]])
    mean, se, new = by_hand(mixed, rows)
    np.testing.assert_allclose(named(ax, "means").get_offsets()[:, 1], mean)
    np.testing.assert_allclose(ends(ax, "confidence", 1), np.c_[mean - Z * se, mean + Z * se])
    np.testing.assert_allclose(ends(ax, "prediction", 1), np.c_[mean - Z * new, mean + Z * new])
    x, y = named(ax, "estimates").get_offsets().T
    np.testing.assert_allclose(y, data["yi"])
    np.testing.assert_array_equal(np.round(x), data["alloc"].astype("category").cat.codes)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["alternate", "random", "systematic"]


def test_the_band_is_of_the_degrees_of_freedom_of_the_fit():
    model = MetaMixedLM.from_formula(
        "yi ~ ablat", datasets.load("bcg"), variance="vi", groups="trial"
    )
    res = model.fit(use_t=True)
    ax = plots.bubble(res).axes[0]
    mean, se, _ = by_hand(res, np.array([[1.0, 13.0]]))
    np.testing.assert_allclose(band(ax)["max"].iloc[0], mean + stats.t.isf(0.025, 11) * se)


def test_exp_makes_the_axis_of_effects_logarithmic(trials):
    plain, changed = plots.bubble(trials).axes[0], plots.bubble(trials, transform=np.exp).axes[0]
    np.testing.assert_allclose(band(changed), np.exp(band(plain)))
    assert changed.get_yscale() == "log"
    assert changed.get_ylabel() == "exp(yi)"


def test_no_prediction_interval_where_its_variance_is_not_one_number(outcomes):
    data = datasets.load("berkey1998")
    res = fit(
        "yi ~ year", data, np.diag(data["vi"]), random=Random("outcome | trial", struct="DIAG")
    )
    ax = plots.bubble(res).axes[0]
    assert not [x for x in ax.lines if x.get_gid() == "prediction"]
    assert np.isfinite(band(ax)).all(axis=None)


@pytest.mark.parametrize("count", [2, 12])
def test_long_names_of_categories_do_not_collide(count):
    rng = np.random.default_rng(3)
    level = [f"the {w} kind of a long name" for w in "abcdefghijkl"[:count]]
    data = pd.DataFrame({"y": rng.normal(size=3 * count), "v": 0.5, "kind": 3 * level})
    figure = plots.bubble(fit("y ~ kind", data, "v"))
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    assert len(ticks) == count
    if ticks[0].get_rotation() == 0:
        boxes = sorted((t.get_window_extent().x0, t.get_window_extent().x1) for t in ticks)
        assert all(a[1] < b[0] for a, b in pairwise(boxes))
    else:
        at = [t.get_window_extent().x1 for t in ticks]
        assert np.diff(at).min() > ticks[0].get_fontsize()


def test_what_cannot_be_drawn_is_refused(mixed, schools):
    with pytest.raises(SpecificationError, match="no moderators"):
        plots.bubble(schools)
    with pytest.raises(SpecificationError, match="there are alloc, ablat, year"):
        plots.bubble(mixed, "nobody")
    with pytest.raises(SpecificationError, match="'ablat' is drawn"):
        plots.bubble(mixed, "ablat", at={"ablat": 1})
    with pytest.raises(DataError, match="which the fitted data do not have"):
        plots.bubble(mixed, "ablat", at={"alloc": "coin"})


def test_on_axes_of_the_user(mixed, plt):
    figure, (left, right) = plt.subplots(1, 2)
    assert mixed.plot_bubble("ablat", left) is figure
    assert mixed.plot_orchard("alloc", right) is figure
    assert left.collections
    assert right.collections
    assert not figure.legends


def test_small_axes_have_small_marks_and_fewer_names(plt):
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"y": rng.normal(size=120), "v": 0.5, "kind": [f"level {i:03d}" for i in range(60)] * 2}
    )
    res = fit("y ~ kind", data, "v")
    figure, (small, large) = plt.subplots(1, 2, width_ratios=(1, 5), figsize=(12, 5))
    plots.bubble(res, ax=small)
    plots.bubble(res, ax=large)
    area = [named(ax, "estimates").get_sizes().max() for ax in (small, large)]
    assert area[0] < area[1]
    assert len(small.get_xticks()) < len(large.get_xticks()) <= 60
    figure.draw_without_rendering()
    for ax in (small, large):
        right = [t.get_window_extent().x1 for t in ax.get_xticklabels()]
        across = np.diff(right) * np.sin(np.radians(ax.get_xticklabels()[0].get_rotation()))
        assert across.min() > ax.get_xticklabels()[0].get_fontsize() * figure.dpi / 72


def test_many_categories_make_a_wide_figure():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"y": rng.normal(size=80), "v": 0.5, "kind": [*range(40)] * 2})
    assert plots.bubble(fit("y ~ C(kind)", data, "v")).get_figwidth() > 15


def test_without_rows_there_is_nothing_to_draw():
    res = fit("yi ~ alloc + ablat", datasets.load("bcg"), "vi", "trial")
    res.remove_data()
    for draw in (plots.bubble, plots.orchard):
        with pytest.raises(DataError, match="data were removed"):
            draw(res)
