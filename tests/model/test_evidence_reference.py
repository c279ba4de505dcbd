"""Direct evidence and borrowing of strength against two fits of metafor each.

The numbers come from `tests/reference/generate/borrowing.R`; components are held at the same
values in both programs.
"""

import json

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random, datasets
from tests.reference.loader import ROOT

REFERENCE = json.loads((ROOT / "metafor" / "borrowing.json").read_text(encoding="utf-8"))

NUMBERS = ["joint", "joint_se", "direct", "direct_se", "borrowed"]

CLOSE = {"rtol": 1e-8, "atol": 1e-10}
"""Two programs at the same components; shares of a variance lose digits where they are small."""


def compare(frame, rows):
    for (_, ours), theirs in zip(frame.iterrows(), rows, strict=True):
        np.testing.assert_allclose(
            ours[NUMBERS].astype(float), [theirs[n] for n in NUMBERS], **CLOSE
        )
        shift_se = np.sqrt(theirs["direct_se"] ** 2 - theirs["joint_se"] ** 2)
        assert ours["shift_se"] == pytest.approx(shift_se, rel=1e-6)
        assert ours["shift"] == pytest.approx(theirs["joint"] - theirs["direct"], rel=1e-6)


@pytest.mark.parametrize("name", ["berkey1998", "kalaian1996"])
def test_outcomes_of_a_study(name):
    case = REFERENCE["outcomes"][name]
    data = pd.DataFrame({k: case[k] for k in ("yi", "outcome", "study")})
    pins = {"tau2": case["tau2"], "rho": case["rho"]}
    term = Random("outcome | study", struct="UN", fixed=pins)
    res = MetaMixedLM.from_formula(
        "yi ~ outcome", data, variance=np.array(case["V"]), random=term
    ).fit()
    frame = res.evidence()
    assert list(frame.index) == [f"outcome[{level}]" for level in case["levels"]]
    compare(frame, case["rows"])
    assert (frame["borrowed"] > 0).all()


def test_a_network_of_treatments():
    case, data = REFERENCE["network"], datasets.load("senn2013")
    term = Random(
        "treatment | study", struct="CS", fixed={"tau2": case["tau2"], "rho": case["rho"]}
    )
    res = MetaMixedLM.from_formula(
        "yi ~ C(treatment) + C(study)", data, variance="vi", random=term
    ).fit()
    wanted = [f"treatment[{row['treatment']}] - treatment[placebo]" for row in case["rows"]]
    frame = res.evidence(wanted)
    compare(frame, case["rows"])
    assert list(frame["n_groups"]) == [row["n_groups"] for row in case["rows"]]
    assert list(frame["n_rows"]) == [row["n_rows"] for row in case["rows"]]
    # study means are fixed: everything is compared within studies
    np.testing.assert_allclose(frame["within"], 1.0, rtol=1e-6)


def test_ten_categories_most_studies_saw_one_of():
    case, data = REFERENCE["categories"], datasets.load("bakdash2021")
    study, effect = case["sigma2"]
    terms = [
        Random("1 | study", fixed={"sigma2": study}),
        Random("1 | effect", fixed={"sigma2": effect}),
    ]
    res = MetaMixedLM.from_formula("yi ~ C(measure)", data, variance="vi", random=terms).fit()
    frame = res.evidence()
    assert list(frame.index) == [f"measure[{row['measure']}]" for row in case["rows"]]
    compare(frame, case["rows"])
