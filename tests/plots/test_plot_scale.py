"""Axes bear the name of the effect sizes that escalc made, on their scale and back from it."""

import numpy as np
import pytest

from mvmeta import MetaMixedLM, datasets, escalc, plots
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
