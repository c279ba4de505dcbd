"""Sensitivity plot: the numbers of the table in its artists."""

import numpy as np
import pytest

from mvmeta import datasets, plots
from mvmeta.errors import SpecificationError
from tests.plots.fits import fit
from tests.plots.test_plot_others import labels, lines, points


@pytest.fixture(scope="module")
def found():
    data = datasets.load("assink2016")
    res = fit("yi ~ C(deltype)", data, "vi", "study/esid")
    return res.sensitivity([0, 0.6], True, ["z", "CR2"], False, contrasts="means")


def test_every_setting_of_every_coefficient_is_drawn(found):
    figure = plots.sensitivity(found)
    names = list(dict.fromkeys(found.frame["coefficient"]))
    assert [ax.get_xlabel() for ax in figure.axes] == names
    settings = list(dict.fromkeys(found.frame["setting"]))
    assert labels(figure.axes[0]) == settings
    for ax, name in zip(figure.axes, names, strict=True):
        part = found.frame[found.frame["coefficient"] == name]
        drawn = np.concatenate([p.get_offsets() for p in points(ax)])
        drawn = drawn[np.argsort(drawn[:, 1])]
        np.testing.assert_allclose(drawn[:, 0], part["estimate"])
        ends = np.concatenate([ends for ends in lines(ax) if len(ends)])
        ends = ends[np.argsort(ends[:, 0, 1])]
        np.testing.assert_allclose(ends[:, :, 0], part[["lower", "upper"]])


def test_changed_conclusions_are_hollow_and_in_another_colour(found):
    ax = plots.sensitivity(found, "deltype[overt]").axes[0]
    part = found.frame[found.frame["coefficient"] == "deltype[overt]"]
    changed = next(p for p in points(ax) if p.get_label() == "a conclusion changes")
    want = part.loc[part["changes"] != "", "estimate"]
    assert len(want)
    np.testing.assert_allclose(sorted(changed.get_offsets()[:, 0]), sorted(want))


def test_what_is_varied_stands_apart(found):
    ax = plots.sensitivity(found, "deltype[overt]").axes[0]
    heights = np.diff(ax.get_yticks())
    part = found.frame[found.frame["coefficient"] == "deltype[overt]"]
    same = part["aspect"].to_numpy()[1:] == part["aspect"].to_numpy()[:-1]
    np.testing.assert_allclose(heights[same], 1.0)
    assert (heights[~same] > 1.0).all()


def test_results_are_analysed_first():
    data = datasets.load("assink2016")
    res = fit("yi ~ 1", data, "vi", "study/esid")
    figure = res.plot_sensitivity(rho=[0.5], structures=False, inference=False, leave_out=False)
    assert labels(figure.axes[0]) == ["as fitted", "rho = 0.5"]


def test_on_axes_of_the_user(found):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, ax = plt.subplots()
    assert found.plot("deltype[general]", ax) is figure
    assert not figure.legends
    with pytest.raises(SpecificationError, match="one coefficient"):
        plots.sensitivity(found, ["deltype[general]", "deltype[overt]"], ax)


def test_bad_input(found):
    with pytest.raises(SpecificationError, match="takes deltype"):
        plots.sensitivity(found, "nobody")
    with pytest.raises(SpecificationError, match="drop rho"):
        plots.sensitivity(found, rho=[0.1])
