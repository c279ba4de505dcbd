"""Random slopes that say the same: what is told before the fit is what the fit finds."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.errors import MvmetaWarning

STUDIES, EACH = 15, 4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = STUDIES * EACH
    out = pd.DataFrame({"study": np.repeat(np.arange(STUDIES), EACH), "x": rng.normal(size=n)})
    out["vi"] = rng.uniform(0.05, 0.2, n)
    out["one"], out["zero"], out["double"], out["line"] = 2.0, 0.0, 2 * out["x"], 3 * out["x"] + 1
    out["year"] = 2000.0 + rng.integers(0, 20, n)
    out["of_study"] = np.repeat(rng.normal(size=STUDIES), EACH)
    out["yi"] = 0.5 * rng.normal(size=STUDIES)[out["study"]] + 0.4 * rng.normal(size=n)
    return out


def told(data, formula, struct, **keywords):
    """The model, and what is said before it is fitted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        random = Random(f"{formula} | study", struct, **keywords)
        model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", random=random)
    return model, [str(w.message) for w in caught]


CASES = [
    ("one", "GEN", "'one' is constant"),
    ("one", "GDIAG", "'one' is constant"),
    ("x + one", "GEN", "'one' is constant"),
    ("x + line", "GEN", "'line' depends linearly on Intercept and x"),
    ("0 + x + double", "GEN", "'double' depends linearly on x"),
    ("0 + x + double", "GDIAG", "'double' depends linearly on x"),
    ("x + zero", "GEN", "'zero' is 0 in every row"),
    ("x + zero", "GDIAG", "'zero' is 0 in every row"),
    ("0 + zero", "GDIAG", "'zero' is 0 in every row"),
    ("x + double + zero", "GDIAG", "'double' depends linearly on x; 'zero' is 0 in every row"),
    ("x", "GEN", None),
    ("year", "GEN", None),
    ("of_study", "GEN", None),
    # (3 x + 1)(3 x' + 1) is no combination of 1 and x x'
    ("x + line", "GDIAG", None),
]


@pytest.mark.parametrize(("formula", "struct", "reason"), CASES)
def test_the_covariate_is_named_before_the_fit(data, formula, struct, reason):
    model, said = told(data, formula, struct)
    assert len(said) == (reason is not None)
    assert reason is None or (reason in said[0] and f"{formula} | study" in said[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        flat = model.fit().not_identified
    assert flat.any() == (reason is not None)


@pytest.mark.parametrize(
    ("formula", "struct", "fixed", "tell"),
    [
        ("one", "GEN", {"tau2": [None, 0]}, False),
        ("one", "GDIAG", {"tau2": [0.1, None]}, False),
        ("x + one", "GDIAG", {"tau2": [None, 0.1, None]}, True),
        ("one", "GDIAG", {"tau2": [0.1, 0.2]}, False),
    ],
)
def test_what_is_held_tells_the_rest(data, formula, struct, fixed, tell):
    model, said = told(data, formula, struct, fixed=fixed)
    assert bool(said) == tell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        assert model.fit().not_identified.any() == tell


def test_slopes_of_correlated_groups_too(data):
    labels = range(STUDIES)
    corr = pd.DataFrame(0.5 * np.eye(STUDIES) + 0.5, labels, labels)
    _, said = told(data, "one", "GEN", corr=corr)
    assert len(said) == 1
    assert "'one' is constant" in said[0]
