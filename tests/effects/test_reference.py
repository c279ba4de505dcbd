"""Every measure and transformation against metafor (tests/reference/generate/escalc.R)."""

import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mvmeta import escalc, transf
from mvmeta.effects import MEASURES
from mvmeta.effects.layouts import LAYOUTS
from mvmeta.effects.zero_cells import CHOICES
from mvmeta.errors import MvmetaWarning

STORED = Path(__file__).parents[1] / "reference" / "metafor" / "escalc.json"
REFERENCE = json.loads(STORED.read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]
# Not in metafor 3.8: tested from their definitions, below and in test_beyond_metafor38.py.
DERIVED = {"ZPB", "ZPHI", "ZSPCOR", "ZTET", "ZBIS", "PRZ", "SMCRP", "SMCRPH", "HR", "HD"} | {
    *("CLES", "AUC", "CLESN", "AUCN", "CLESCN", "AUCCN", "R2", "ZR2", "R2F", "ZR2F")
}
# metafor's optimizer for RTET stops at about 1e-5; test_tetrachoric.py has the definition.
LOOSE = {"RTET": 2e-4}


def floats(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def case_id(case):
    options = [f"{name}={value}" for name, value in (case["options"] or {}).items()]
    return "-".join([case["measure"], *case["inputs"], *options])


def computed(case):
    inputs = {name: floats(values) for name, values in case["inputs"].items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        return escalc(case["measure"], **inputs, **(case["options"] or {}))


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_agrees_with_metafor(case):
    result = computed(case)
    expected_yi, expected_vi = floats(case["yi"]), floats(case["vi"])
    # metafor leaves the variance of a dropped study in place where it can be computed.
    expected_vi[np.isnan(expected_yi)] = np.nan
    rtol = LOOSE.get(case["measure"], 1e-10)
    np.testing.assert_allclose(result["yi"], expected_yi, rtol=rtol, atol=1e-13)
    if case["measure"] == "ZPCOR":
        # metafor 3.8: 1 / (n - m - 1); Fisher (1924): n - 3 less m - 1 variables held constant.
        expected_vi = 1 / (1 / expected_vi - 1)
    np.testing.assert_allclose(result["vi"], expected_vi, rtol=rtol)
    if case["ni"] is not None:
        np.testing.assert_allclose(result.attrs["ni"], floats(case["ni"]))


def test_every_measure_has_a_reference():
    assert {case["measure"] for case in CASES} == MEASURES.keys() - DERIVED


# Kinds of variance that metafor 3.8 does not have; tested in test_beyond_metafor38.py.
NEWER = {
    ("SMD", "H0"),
    ("SMD1", "H0"),
    ("COR", "H0"),
    ("ROM", "LS2"),
    ("VR", "LS2"),
    ("CVR", "LS2"),
}


@pytest.mark.parametrize("code", sorted(MEASURES.keys() - DERIVED))
def test_every_kind_of_variance_has_a_reference(code):
    stored = set()
    for case in CASES:
        if case["measure"] == code:
            options = (case["options"] or {}).get("vtype", MEASURES[code].vtypes[0])
            stored |= {options} if isinstance(options, str) else set(options)
    wanted = {kind for kind in MEASURES[code].vtypes if (code, kind) not in NEWER}
    assert wanted <= stored


@pytest.mark.parametrize(
    "code", sorted(c for c, m in MEASURES.items() if LAYOUTS[m.layout].cells and c not in DERIVED)
)
def test_every_zero_cell_rule_has_a_reference(code):
    stored = set()
    for case in CASES:
        if case["measure"] == code:
            options = case["options"] or {}
            stored.add((options.get("to"), "add" in options, options.get("drop00", False)))
    drops = (False, True) if LAYOUTS[MEASURES[code].layout].double_zero else (False,)
    assert set(product(CHOICES, (False, True), drops)) <= stored


@pytest.mark.parametrize("name", REFERENCE["transf"])
def test_transformations_agree_with_metafor(name):
    case = REFERENCE["transf"][name]
    arguments = [np.array(values, dtype=float) for values in case["args"]]
    result = getattr(transf, name.removesuffix("_n"))(*arguments)
    np.testing.assert_allclose(result, floats(case["value"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("code", "plain", "inputs"),
    [
        ("ZPHI", "PHI", {"ai": [4], "bi": [16], "ci": [7], "di": [13]}),
        ("ZTET", "RTET", {"ai": [4], "bi": [16], "ci": [7], "di": [13]}),
        ("ZPB", "RPB", {"di": [0.4], "n1i": [20], "n2i": [31]}),
        ("ZSPCOR", "SPCOR", {"ti": [2.1], "ni": [45], "mi": [3], "r2i": [0.3]}),
    ],
)
def test_fisher_z_forms_are_the_delta_method(code, plain, inputs):
    r = escalc(plain, **inputs)
    z = escalc(code, **inputs)
    np.testing.assert_allclose(np.tanh(z["yi"]), r["yi"], rtol=1e-14)
    # Derivative of atanh by central difference.
    step = 1e-5
    slope = (np.arctanh(r["yi"] + step) - np.arctanh(r["yi"] - step)) / (2 * step)
    np.testing.assert_allclose(z["vi"], r["vi"] * slope**2, rtol=1e-7)
