"""Network graph: nodes, lines and counts against a count of pairs by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mvmeta import Random, datasets, plots
from mvmeta.errors import DataError, SpecificationError
from tests.plots.fits import fit
from tests.plots.test_plot_orchard import named


@pytest.fixture(scope="module")
def senn():
    return fit("yi ~ treatment", datasets.load("senn2013"), "vi", "study")


def places(ax):
    """Position of every level by its name."""
    names = [t.get_text().rsplit(" (", 1)[0] for t in ax.texts if " (" in t.get_text()]
    at = named(ax, "levels").get_offsets()
    return dict(zip(names, map(tuple, np.round(at, 9)), strict=True))


def drawn_lines(ax):
    """Width by pair of places."""
    lines = named(ax, "studies")
    ends = [frozenset(map(tuple, np.round(s, 9))) for s in lines.get_segments()]
    return dict(zip(ends, lines.get_linewidths(), strict=True))


def pairs_by_hand(data, column):
    count = {}
    for _, rows in data.groupby("study"):
        for pair in combinations(sorted(set(rows[column])), 2):
            count[pair] = count.get(pair, 0) + 1
    return count


def test_lines_join_what_studies_observe_together(senn):
    data = datasets.load("senn2013")
    ax = plots.network(senn).axes[0]
    at, lines = places(ax), drawn_lines(ax)
    expected = pairs_by_hand(data, "treatment")
    assert set(lines) == {frozenset((at[a], at[b])) for a, b in expected}
    most = max(expected.values())
    for (a, b), count in expected.items():
        width = lines[frozenset((at[a], at[b]))]
        assert width == pytest.approx(lines_widest(lines) * count / most, abs=0.01)
    counts = sorted(t.get_text() for t in ax.texts if " (" not in t.get_text())
    assert counts == sorted(map(str, expected.values()))


def lines_widest(lines):
    return max(lines.values())


def test_areas_and_names_say_how_many_estimates(senn):
    ax = plots.network(senn).axes[0]
    size = datasets.load("senn2013")["treatment"].value_counts().sort_index()
    names = [t.get_text() for t in ax.texts if " (" in t.get_text()]
    assert names == [f"{name} ({n})" for name, n in size.items()]
    area = named(ax, "levels").get_sizes()
    large = area > area.min() + 1e-9
    np.testing.assert_allclose((area / area.max())[large], (size / size.max())[large])
    assert not ax.get_title()


def test_inner_levels_of_the_random_terms_come_first():
    data = datasets.load("bakdash2021")
    res = fit("yi ~ 1", data, "vi", random=Random("measure | study", struct="CS"))
    assert set(places(plots.network(res).axes[0])) == set(data["measure"])


def test_parts_without_a_link_are_said():
    data = datasets.load("senn2013")
    data = data[data["treatment"] != "placebo"]
    ax = plots.network(fit("yi ~ treatment", data, "vi", "study")).axes[0]
    assert ax.get_title() == "5 parts that no study links"


def test_two_columns_are_the_sides_of_contrasts():
    data = pd.DataFrame(
        {
            "y": [0.1, 0.3, 0.2, 0.5],
            "v": 0.1,
            "study": [1, 1, 2, 3],
            "one": ["a", "c", "b", "c"],
            "two": ["b", "a", "a", "a"],
        }
    )
    res = fit("y ~ 1", data, "v", "study")
    ax = res.plot_network((data["one"], data["two"])).axes[0]
    at, lines = places(ax), drawn_lines(ax)
    assert set(lines) == {frozenset((at["a"], at["b"])), frozenset((at["a"], at["c"]))}
    names = [t.get_text() for t in ax.texts if " (" in t.get_text()]
    assert names == ["a (4)", "b (2)", "c (2)"]
    counts = [t.get_text() for t in ax.texts if " (" not in t.get_text()]
    assert counts == ["2", "2"]


def test_small_axes_have_no_counts(senn, plt):
    figure, ax = plt.subplots(figsize=(3, 2.5))
    assert plots.network(senn, ax=ax) is figure
    assert all(" (" in t.get_text() for t in ax.texts)
    assert not figure.legends


def test_what_cannot_be_drawn_is_refused(senn, schools):
    with pytest.raises(SpecificationError, match="factor= is needed"):
        plots.network(schools)
    with pytest.raises(DataError, match="no column the model uses"):
        plots.network(senn, "nobody")
    with pytest.raises(SpecificationError, match="tuple of two, not 3"):
        plots.network(senn, ("treatment", "treatment", "treatment"))


def test_long_names_leave_small_axes_their_circle(senn, plt):
    figure, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    plots.network(senn, ax=ax)
    figure.canvas.draw()
    nodes = ax.transData.transform(named(ax, "levels").get_offsets())
    assert np.ptp(nodes[:, 1]) > 0.5 * figure.bbox.height
    names = [t.get_window_extent() for t in ax.texts if "(" in t.get_text()]
    assert all(b.x0 >= -1 and b.x1 <= figure.bbox.x1 + 1 for b in names)
