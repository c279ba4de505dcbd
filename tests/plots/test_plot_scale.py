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
