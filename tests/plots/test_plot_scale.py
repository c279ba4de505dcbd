"""Axes bear the name of the effect sizes that escalc made, on their scale and back from it."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, datasets, escalc, plots
from mvmeta.errors import SpecificationError
from mvmeta.model.results.backtransform import resolve


@pytest.fixture(scope="module")
def res():
    names = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
    effects = escalc("OR", data=datasets.load("bcg"), **names)
    return MetaMixedLM.from_formula("yi ~ ablat", effects, variance="vi", groups="trial").fit()


@pytest.mark.parametrize(
    ("plot", "label"),
    [(plots.forest, "xlabel"), (plots.orchard, "xlabel"), (plots.bubble, "ylabel")],
)
@pytest.mark.parametrize(
    ("transform", "told", "scale"),
    [
        (None, "Log odds ratio", "linear"),
        ("back", "Odds ratio", "log"),
        (np.exp, "Odds ratio", "log"),
        ("exp", "Odds ratio", "log"),
        ("ilogit", "ilogit(yi)", "linear"),
    ],
)
def test_names_and_scales(res, plot, label, transform, told, scale):
    axes = plot(res, transform=transform).axes[0]
    assert getattr(axes, f"get_{label}")() == told
    assert getattr(axes, f"get_{label[0]}scale")() == scale


def test_numbers_are_led_back(res):
    one, other = (plots.forest(res, transform=t).axes[0] for t in ("back", np.exp))
    assert one.get_xlim() == other.get_xlim()
    assert resolve("back", "exp") is np.exp


def where_nothing_happens(axes, which="x"):
    """Where the lines of no effect are drawn."""
    found = [line for line in axes.lines if line.get_gid() == "no effect"]
    return [np.unique(getattr(line, f"get_{which}data")()).tolist() for line in found]


def superior(formula):
    effects = escalc("CLES", ai=[0.6, 0.7, 0.55, 0.62], n1i=[20, 30, 40, 25], n2i=[20, 30, 40, 25])
    effects = effects.assign(study=range(4), kind=list("aabb"), dose=[1.0, 2.0, 3.0, 5.0])
    return MetaMixedLM.from_formula(formula, effects, variance="vi", groups="study").fit()


def test_the_line_of_no_effect_is_that_of_the_measure(res):
    assert where_nothing_happens(plots.forest(res).axes[0]) == [[0.0]]
    assert where_nothing_happens(plots.forest(res, transform="back").axes[0]) == [[1.0]]
    even = superior("yi ~ kind + dose")
    assert where_nothing_happens(plots.forest(even).axes[0]) == [[0.5]]
    assert where_nothing_happens(plots.orchard(even, transform=np.log).axes[0]) == [[np.log(0.5)]]
    assert where_nothing_happens(plots.bubble(even, "dose").axes[0], "y") == [[0.5]]


def test_a_proportion_has_no_line_of_no_effect():
    effects = escalc("PLO", xi=[12, 20, 7], ni=[30, 40, 50]).assign(study=[1, 2, 3])
    res = MetaMixedLM.from_formula("yi ~ 1", effects, variance="vi", groups="study").fit()
    for plot in (plots.forest, plots.orchard):
        for transform in (None, "back"):
            assert where_nothing_happens(plot(res, transform=transform).axes[0]) == []


def test_differences_of_means_have_no_effect_at_0():
    even = superior("yi ~ kind - 1")
    targets = {"a": "kind[a]", "a against b": "kind[a] - kind[b]"}
    axes = plots.evidence(even, targets).axes[0]
    (line,) = [line for line in axes.lines if line.get_gid() == "no effect"]
    # At 0.5 beside the mean, at 0 beside the difference.
    assert line.get_xydata().tolist() == [[0.5, -0.5], [0.5, 0.5], [0.0, 0.5], [0.0, 1.5]]


def test_limits_change_places_where_the_scale_decreases(res):
    plain, turned = (plots.forest(res, transform=t).axes[0] for t in (None, np.negative))
    own, other = ([t.get_text() for t in ax.texts] for ax in (plain, turned))
    assert len(own) == len(other) == 14
    for text, opposite in zip(own, other, strict=True):
        middle, lower, upper = _numbers(text)
        assert _numbers(opposite) == [-middle, -upper, -lower]
    means = plots.orchard(res, transform=np.negative).axes[0].texts[0].get_text().split("\n")[0]
    middle, lower, upper = _numbers(means)
    assert lower < middle < upper


def _numbers(cell):
    return [
        float(v)
        for v in cell.translate({ord("["): "", ord(","): " ", ord("]"): "", 0x2212: "-"}).split()
    ]


@pytest.mark.parametrize("plot", [plots.forest, plots.orchard, plots.bubble])
def test_values_off_the_scale_are_an_error(res, plot):
    with pytest.raises(SpecificationError, match=r"transform=sqrt is not defined at -\d"):
        plot(res, transform=np.sqrt)
    with pytest.raises(SpecificationError, match="is not monotone between -"):
        plot(res, transform=lambda x: np.sin(20 * x))
