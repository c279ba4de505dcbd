"""The forest plot: what is where, how heavy, and how it is called."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, MvmetaError, datasets, plots
from mvmeta.errors import DataError, SpecificationError
from mvmeta.plots import _axes, evidence, forest, sensitivity
from tests.plots.fits import fit

artists = pytest.importorskip("matplotlib.collections")
to_rgba = pytest.importorskip("matplotlib.colors").to_rgba
LineCollection = artists.LineCollection
PathCollection = artists.PathCollection
PolyCollection = artists.PolyCollection
Z = stats.norm.isf(0.025)


def collections(ax, kind):
    return [c for c in ax.collections if type(c) is kind]


def segments(ax, gid):
    found = next(c for c in collections(ax, LineCollection) if c.get_gid() == gid)
    return np.array(found.get_segments())


def points(ax):
    """The markers of the rows: the legend's stand-ins have no points."""
    return next(c for c in collections(ax, PathCollection) if len(c.get_offsets()))


def shapes(ax):
    """Left, top, right and bottom corners (n, 4, 2) of each set of diamonds."""
    return [
        np.array([p.vertices[:4] for p in c.get_paths()]) for c in collections(ax, PolyCollection)
    ]


def labels(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def test_rows_have_intervals_of_their_sampling_error(schools):
    ax = forest(schools).axes[0]
    data = datasets.load("konstantopoulos2011")
    y, se = data["yi"].to_numpy(), np.sqrt(data["vi"].to_numpy())
    lines = segments(ax, "rows")
    np.testing.assert_allclose(lines[:, 0, 0], y - Z * se)
    np.testing.assert_allclose(lines[:, 1, 0], y + Z * se)
    np.testing.assert_allclose(points(ax).get_offsets()[:, 0], y)
    np.testing.assert_array_equal(points(ax).get_offsets()[:, 1], lines[:, 0, 1])


def test_areas_are_row_sum_weights(schools):
    sizes = points(forest(schools).axes[0]).get_sizes()
    weights = schools.weights()["rowsum"].to_numpy()
    np.testing.assert_allclose(sizes / sizes.max(), weights / weights.max())


def test_rows_that_count_negatively_are_hollow():
    v = np.diag([0.01, 1.0, 0.04])
    v[0, 1] = v[1, 0] = 0.08  # the second repeats the first, with noise of its own
    data = pd.DataFrame({"y": [0.1, 0.3, 0.2], "s": list("aab")})
    res = fit("y ~ 1", data, v)
    weights = np.linalg.solve(v, np.ones(3))
    assert (weights < 0).tolist() == [False, True, False]
    faces = points(forest(res, groups=data["s"]).axes[0]).get_facecolors()
    assert (faces[:, 3] == 0).tolist() == [False, True, False]


def test_study_diamonds_are_means_under_the_sampling_covariance(schools):
    data = datasets.load("konstantopoulos2011")
    w = 1 / data["vi"]
    total = w.groupby(data["district"]).sum()
    mean = (w * data["yi"]).groupby(data["district"]).sum() / total
    ax = forest(schools).axes[0]
    drawn, bottom = shapes(ax)
    np.testing.assert_allclose(drawn[:, 1, 0], mean)
    np.testing.assert_allclose(drawn[:, 2, 0], mean + Z / np.sqrt(total))
    assert len(bottom) == 1
    heights = drawn[:, 0, 1]
    # summaries and studies come first, rows of the same name after them
    named = dict(zip(labels(ax)[::-1], ax.get_yticks()[::-1], strict=True))
    np.testing.assert_allclose(heights, [named[str(d)] for d in mean.index])


def test_study_diamonds_see_correlated_errors_within_studies_only():
    v = np.diag([0.2, 0.3, 0.1, 0.4])
    v[0, 1] = v[1, 0] = 0.1
    v[1, 2] = v[2, 1] = 0.05
    data = pd.DataFrame({"y": [0.1, 0.9, 0.2, 0.6], "s": list("aabb")})
    drawn, _ = shapes(forest(fit("y ~ 1", data, v), groups=data["s"]).axes[0])
    for at, rows in enumerate(([0, 1], [2, 3])):
        inverse = np.linalg.inv(v[np.ix_(rows, rows)])
        mean = inverse.sum(axis=0) @ data["y"].to_numpy()[rows] / inverse.sum()
        np.testing.assert_allclose(drawn[at, 1, 0], mean)
        np.testing.assert_allclose(drawn[at, 0, 0], mean - Z / np.sqrt(inverse.sum()))


def test_no_study_diamond_where_moderators_differ_within_it(toy, outcomes):
    for res in (toy, outcomes):
        assert len(shapes(forest(res).axes[0])) == 1


def test_overall_mean_and_prediction_interval(schools):
    ax = forest(schools).axes[0]
    bottom = shapes(ax)[-1]
    np.testing.assert_allclose(bottom[0, [0, 2], 0], schools.conf_int().iloc[0])
    expected = schools.get_prediction(pd.DataFrame(index=[0])).summary_frame()
    bar = segments(ax, "prediction")[0, :, 0]
    np.testing.assert_allclose(bar, expected[["obs_ci_lower", "obs_ci_upper"]].iloc[0])
    assert labels(ax)[0] == "Overall"


def test_level_means_with_prediction_intervals_of_their_own(outcomes):
    ax = forest(outcomes).axes[0]
    assert labels(ax)[:2] == ["outcome[AL]", "outcome[PD]"]
    np.testing.assert_allclose(shapes(ax)[-1][:, 1, 0], outcomes.params)
    tau2 = outcomes.vcomp.loc[outcomes.vcomp["component"] == "tau2", "estimate"].to_numpy()
    half = Z * np.sqrt(tau2 + outcomes.bse.to_numpy() ** 2)
    if list(outcomes.vcomp["level"][:2]) != ["AL", "PD"]:
        half = Z * np.sqrt(tau2[::-1] + outcomes.bse.to_numpy() ** 2)
    np.testing.assert_allclose(np.diff(segments(ax, "prediction")[:, :, 0])[:, 0], 2 * half)


def test_treatment_coding_draws_level_means_too(toy):
    coded = fit("d ~ C(Category)", datasets.load("toy"), "Variance", "Study")
    np.testing.assert_allclose(
        shapes(forest(coded).axes[0])[-1], shapes(forest(toy).axes[0])[-1], rtol=1e-6, atol=1e-6
    )


def test_robust_results_show_robust_intervals(schools):
    robust = schools.get_robustcov_results("CR2")
    bottom = shapes(forest(robust).axes[0])[-1]
    np.testing.assert_allclose(bottom[0, [0, 2], 0], robust.conf_int().iloc[0])


def test_slopes_give_the_mean_at_average_moderators(trials):
    ax = forest(trials).axes[0]
    x = datasets.load("bcg")["ablat"].mean()
    assert labels(ax)[0] == "At average moderators"
    np.testing.assert_allclose(shapes(ax)[-1][0, 1, 0], trials.params @ [1.0, x])


def test_studies_of_one_row_are_one_line_each(trials):
    author = datasets.load("bcg")["author"]
    ax = forest(trials, groups=author + " (" + author.index.astype(str) + ")").axes[0]
    assert len(labels(ax)) == 14
    assert labels(ax)[1] == "Aronson (0)"
    np.testing.assert_array_equal(points(ax).get_offsets()[:, 1], np.arange(13))


def test_rows_stand_under_their_study_wherever_they_are_in_the_data(toy):
    groups = pd.Series(list("abaab"), index=toy.resid.index)[::-1]  # matched by label
    ax = forest(toy, groups=groups, labels="Category").axes[0]
    order = np.argsort(points(ax).get_offsets()[:, 1])
    assert order.tolist() == [0, 2, 3, 1, 4]
    below = sorted(zip(ax.get_yticks(), labels(ax), strict=True))
    assert [name for _, name in below[:7]] == ["a", "A", "C", "A", "b", "B", "B"]


def test_names_of_rows_come_from_the_inner_levels(outcomes, schools):
    assert labels(forest(outcomes).axes[0]).count("PD") == 5
    assert "11" in labels(forest(schools).axes[0])


def test_transform_moves_everything_and_exp_makes_the_axis_logarithmic(schools):
    plain, changed = forest(schools).axes[0], forest(schools, transform=np.exp).axes[0]
    for gid in ("rows", "prediction"):
        expected = np.exp(segments(plain, gid)[:, :, 0])
        np.testing.assert_allclose(segments(changed, gid)[:, :, 0], expected)
    np.testing.assert_allclose(shapes(changed)[0][:, :, 0], np.exp(shapes(plain)[0][:, :, 0]))
    assert changed.get_xscale() == "log"
    assert changed.get_xlabel() == "exp(yi)"


def test_text_beside_a_row_says_its_estimate_and_interval(schools):
    texts = [t.get_text() for t in forest(schools).axes[0].texts]
    assert "−0.18 [−0.85, 0.49]" in texts
    assert texts[0] == "0.18 [0.02, 0.35]"


def test_a_limit_below_zero_keeps_its_sign_when_it_is_rounded_to_zero(schools):
    figure = forest(schools.model.fit(df="satterthwaite"))  # from -0.0045, P = 0.055
    assert figure.axes[0].texts[0].get_text() == "0.18 [−0.00, 0.37]"


def test_thousands_of_rows_are_few_artists_with_labels_that_do_not_touch(many):
    figure = forest(many, max_rows=60)
    ax = figure.axes[0]
    assert len(segments(ax, "rows")) == 2000
    assert len(ax.collections) < 10
    assert figure.get_figheight() < 16
    figure.draw_without_rendering()
    boxes = sorted(t.get_window_extent().y0 for t in ax.get_yticklabels())
    height = ax.get_yticklabels()[0].get_window_extent().height
    assert 40 < len(boxes) <= 75
    assert np.diff(boxes).min() > 0.9 * height
    assert labels(ax)[0] == "Overall"


def test_long_labels_keep_what_tells_them_apart():
    long = [f"a kind of outcome that was called {w} by the authors" for w in ("open", "hidden")]
    assert _axes.short(["x", *long]) == ["x", "…open…", "…hidden…"]
    name = "The long history of everything that was ever measured, 1987"
    assert _axes.short([name]) == ["The long history of…ured, 1987"]
    assert len(_axes.short([name])[0]) <= _axes.LONGEST
    assert _axes.short(["two\nlines"]) == ["two lines"]
    assert _axes.short(["deltype[covert]", "deltype[overt]"], 8) == ["…covert…", "…overt…"]
    assert _axes.short(["dose 0.25 mg a day", "dose 0.27 mg a day"], 9) == ["…0.25…", "…0.27…"]


@pytest.mark.parametrize("draw", [forest, evidence, sensitivity])
def test_names_with_dollar_signs_are_no_mathematics(draw, plt):
    toy = datasets.load("toy").replace({"Category": {"A": "$10_{ to $20"}})
    model = MetaMixedLM.from_formula(
        "d ~ Category - 1", data=toy, variance="Variance", groups="Study"
    )
    draw(model.fit())
    figure = plt.gcf()
    figure.draw_without_rendering()
    texts = [t.get_text() for a in figure.axes for t in (*a.get_yticklabels(), a.xaxis.label)]
    assert any(r"\$10_{ to \$20" in t for t in texts)


def test_small_axes_of_the_user_get_fewer_and_smaller_labels(schools, plt):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    assert forest(schools, left) is figure
    assert not right.collections
    assert len(labels(left)) < 40
    assert left.get_yticklabels()[0].get_fontsize() < 10
    assert left.get_legend() is None
    assert not figure.legends


def test_colours_follow_the_style_of_the_user(schools, plt):
    with plt.style.context("dark_background"):
        ax = forest(schools).axes[0]
        rows = next(c for c in collections(ax, LineCollection) if c.get_gid() == "rows")
        assert rows.get_colors()[0].tolist() == list(to_rgba("white", _axes.MUTED))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": "nothing"}, "no column the model uses"),
        ({"groups": [1, 2]}, "one value for each of the 5 fitted rows"),
        ({"groups": ["a", None, "b", "b", "b"]}, "missing in 1 fitted rows, first in 1"),
        ({"labels": ["a"]}, "labels needs one value"),
    ],
)
def test_groups_and_labels_that_do_not_fit_are_refused(toy, options, message):
    with pytest.raises(DataError, match=message):
        forest(toy, **options)


def test_without_matplotlib_the_error_says_what_to_install(toy, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(MvmetaError, match=r'pip install "mvmeta\[plot\]"'):
        forest(toy)


def texts_of(ax, gid):
    return [t for t in ax.texts if t.get_gid() == gid]


def test_columns_of_text_stand_in_their_rows_under_their_heading():
    data = datasets.load("bcg")
    res = fit("yi ~ 1", data, "vi", "trial")
    ax = plots.forest(res, columns={"Year": data["year"], "how": data["alloc"]}).axes[0]
    headings = [t.get_text() for t in texts_of(ax, "heading")]
    assert headings == ["Year", "how"]
    years, ways = texts_of(ax, "Year"), texts_of(ax, "how")
    order = np.argsort([t.xy[1] for t in years])
    assert [years[i].get_text() for i in order] == data["year"].astype(str).tolist()
    assert sorted(t.get_text() for t in ways) == sorted(data["alloc"])
    # all of a column begin at one place, right of the column before
    assert len({t.xyann[0] for t in years}) == len({t.xyann[0] for t in ways}) == 1
    assert ways[0].xyann[0] > years[0].xyann[0] > 0


def test_cells_of_missing_values_are_empty_and_headings_are_no_mathematics():
    data = datasets.load("bcg")
    res = fit("yi ~ 1", data, "vi", "trial")
    cost = pd.Series(["low", None, *["high"] * 11])
    ax = plots.forest(res, columns={"cost $US$": cost}).axes[0]
    (heading,) = texts_of(ax, "heading")
    assert heading.get_text() == r"cost \$US\$"
    cells = sorted((t.xy[1], t.get_text()) for t in texts_of(ax, heading.get_text()))
    assert [text for _, text in cells] == ["low", *["high"] * 11]
    assert cells[1][0] - cells[0][0] == pytest.approx(2 * (cells[2][0] - cells[1][0]))


def test_columns_do_not_touch(plt):
    data = datasets.load("bcg")
    res = fit("yi ~ 1", data, "vi", "trial")
    long = data["author"] + " and many others"
    figure = plots.forest(res, columns={"a heading longer than years": data["year"], "who": long})
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    page = figure.bbox
    assert all(page.x0 <= b.x0 and b.x1 <= page.x1 + 1 for b in boxes)
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_what_all_rows_of_a_study_share_stands_beside_its_name(schools):
    data = datasets.load("konstantopoulos2011")
    ax = plots.forest(schools, columns={"year": data["year"]}).axes[0]
    for code, rows in data.groupby("district"):
        shown = [t.get_text() for t in texts_of(ax, "year") if t.get_text()]
        assert str(rows["year"].iloc[0]) in shown, code
    once = data.groupby("district")["year"].nunique() == 1
    sizes = data.groupby("district").size()
    assert len(texts_of(ax, "year")) == int(once.sum() + sizes[~once].sum())


def test_weights_are_row_sums_and_add_up_by_study(schools):
    ax = plots.forest(schools, weights=True).axes[0]
    shown = [float(t.get_text().rstrip("%").replace("−", "-")) for t in texts_of(ax, "weight")]
    rows = schools.weights()["rowsum"]
    data = datasets.load("konstantopoulos2011")
    by_study = rows.groupby(data["district"].to_numpy()).sum()
    expected = sorted([100.0, *rows, *by_study])
    np.testing.assert_allclose(sorted(shown), expected, atol=0.0501)


def test_weights_of_several_means_are_refused(outcomes, schools):
    with pytest.raises(SpecificationError, match=r"weights=True .* 2 means"):
        plots.forest(outcomes, weights=True)
    with pytest.raises(DataError, match="columns='nothing' is no column"):
        plots.forest(schools, columns="nothing")


def test_long_names_leave_small_axes_their_width(plt):
    data = datasets.load("bcg")
    data["name"] = data["author"] + " with a long list of collaborators " + data["year"].astype(str)
    res = fit("yi ~ 1", data, "vi", "name")
    draws = [
        lambda ax: plots.forest(res, ax, transform=np.exp),
        lambda ax: plots.influence(res, ax=ax),
        lambda ax: plots.caterpillar(res, ax=ax),
    ]
    for draw in draws:
        figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
        draw(ax)
        figure.canvas.draw()
        assert ax.get_window_extent().width > 0.5 * figure.bbox.width
        # older versions of matplotlib make labels beyond the limits, too, and do not draw them
        low, high = ax.get_xlim()
        boxes = [
            label.get_window_extent()
            for at, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if label.get_text() and low <= at <= high
        ]
        assert len(boxes) > 2
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_estimates_are_lighter_on_dark(schools, plt):
    with plt.style.context("dark_background"):
        points = plots.forest(schools).axes[0].collections[1]
    assert points.get_edgecolors()[0].tolist() == list(to_rgba(_axes.SKY))
    points = plots.forest(schools).axes[0].collections[1]
    assert points.get_edgecolors()[0].tolist() == list(to_rgba(_axes.BLUE))


def test_every_line_gets_its_height_up_to_many_rows_and_beyond_the_figure_says_so(many):
    few = many.model.data.frame.iloc[:180]
    res = fit("yi ~ 1", few, "vi", "study")
    figure = forest(res)
    assert len(labels(figure.axes[0])) == 180 + 45 + 1  # rows, studies of four, the mean
    assert figure.axes[0].get_title("left") == ""
    crowded = forest(many)
    assert crowded.axes[0].get_title("left") == "names and numbers where there is room"
    assert crowded.get_figheight() == pytest.approx(figure.get_figheight(), rel=0.2)
    grown = forest(many, max_rows=None)
    assert grown.get_figheight() > 2500 * _axes.line_height()
    assert len(labels(grown.axes[0])) == 2000 + 500 + 1
    assert grown.axes[0].get_title("left") == ""


def test_names_are_those_of_summaries_then_studies_then_rows_from_the_top(many):
    overall, *others = forest(many, max_rows=300).axes[0].get_yticklabels()
    assert overall.get_text() == "Overall"
    studies = [int(t.get_text()) for t in others if t.get_fontweight() == "bold"]
    assert studies == sorted(studies)
    assert studies[0] == 0
    # A study takes 5.4 lines of 9 to a name: every other one, and hardly any row between these.
    assert np.diff(studies).max() <= 2
    assert len(others) < 1.1 * len(studies)


def test_one_line_for_each_study_is_its_mean_with_what_its_rows_count():
    data = datasets.load("konstantopoulos2011").iloc[::-1]  # not in the order of the labels
    res = fit("yi ~ 1", data, "vi", "district/school")
    ax = forest(res, rows="studies", weights=True, columns="district").axes[0]
    w = 1.0 / data["vi"]
    by = data.groupby("district", sort=False)
    mean = (w * data["yi"]).groupby(data["district"], sort=False).sum() / by["vi"].agg(
        lambda v: (1.0 / v).sum()
    )
    half = Z / np.sqrt(by["vi"].agg(lambda v: (1.0 / v).sum()))
    lines = segments(ax, "rows")
    order = np.argsort(lines[:, 0, 1])
    np.testing.assert_allclose(points(ax).get_offsets()[order, 0], mean)
    np.testing.assert_allclose(lines[order, 0, 0], mean - half)
    np.testing.assert_allclose(lines[order, 1, 0], mean + half)
    assert labels(ax) == ["Overall", *map(str, mean.index)]
    rowsum = 100 * res.contributions().iloc[0].groupby(data["district"], sort=False).sum()
    told = [float(t.get_text().rstrip("%")) for t in texts_of(ax, "weight")]
    np.testing.assert_allclose(told, [100.0, *rowsum], atol=0.0501)
    assert [t.get_text() for t in texts_of(ax, "district")] == list(map(str, mean.index))
    np.testing.assert_allclose(points(ax).get_sizes()[order], 70 * rowsum / rowsum.max())
    label = next(c.get_label() for c in ax.collections if c.get_label().startswith("mean of a st"))
    assert label == "mean of a study, 95% interval; area: weight"


def test_studies_without_a_mean_of_their_own_have_no_line(toy, outcomes):
    for res in (toy, outcomes):
        with pytest.raises(SpecificationError, match="first '1': moderators differ among its rows"):
            forest(res, rows="studies")


def test_some_rows_are_drawn_and_the_estimates_are_those_of_all(schools):
    data = datasets.load("konstantopoulos2011")
    early = data["district"] < 30
    figure = forest(schools, rows=early, weights=True, columns={"year": data["year"]})
    ax, whole = figure.axes[0], forest(schools).axes[0]
    assert len(segments(ax, "rows")) == early.sum()
    shown = sorted(points(ax).get_offsets()[:, 0])
    np.testing.assert_allclose(shown, sorted(data.loc[early, "yi"]))
    assert ax.get_title("left") == f"{early.sum()} of 56 rows"
    assert figure.get_figheight() < 0.5 * whole.figure.get_figheight()
    np.testing.assert_allclose(shapes(ax)[-1][0, :, 0], shapes(whole)[-1][0, :, 0])
    np.testing.assert_array_equal(points(ax).get_sizes(), points(whole).get_sizes()[early])
    percents = [float(t.get_text().rstrip("%")) for t in texts_of(ax, "weight")]
    assert len(percents) == 1 + early.sum() + data.loc[early, "district"].nunique()
    # One row of a study stands under the mean of all of them.
    one = np.arange(56) == 0
    assert labels(forest(schools, rows=one).axes[0]) == ["Overall", "11", "1"]
    np.testing.assert_allclose(
        shapes(forest(schools, rows=one).axes[0])[0][0], shapes(whole)[0][0], atol=1e-9
    )


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ("study", SpecificationError, "rows='study': a forest has 'all' rows, one line for each"),
        (np.zeros(56, dtype=bool), SpecificationError, "rows= chooses none of the fitted rows"),
        ([0, 1, 2], DataError, "rows needs one value for each of the 56 fitted rows"),
        (np.arange(56), DataError, "True or False for each of the 56 fitted rows"),
    ],
)
def test_rows_that_cannot_be_drawn_are_told(rows, error, message, schools):
    with pytest.raises(error, match=message):
        forest(schools, rows=rows)
