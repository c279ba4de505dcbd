"""The second worked example of Jackson, White, Price, Copas & Riley (2017): fully adjusted
estimates of 14 cohorts borrow strength from partially adjusted ones of 31.

Against their table 2, and the output of the program of one of the authors on the same data.

Their first and third examples (several outcomes; a network of treatments) are not here.  Of the
paper only the abstract was within reach when this was last looked up (November 2026), and it names
neither data nor numbers of these.  The public logs of the authors' Stata programs print study
weights and borrowing for these cohorts only, besides a meta-regression, for which they are defined
otherwise; the logs of `network` (smoking, thrombolytics) print none.
"""

import json

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from tests.reference.loader import ROOT

REFERENCE = json.loads((ROOT / "published" / "fibrinogen2009.json").read_text(encoding="utf-8"))

PUBLISHED, STATA = REFERENCE["published"], REFERENCE["stata"]

ADJUSTED = ["full", "partial"]

ROUNDED = 0.0051
"""Half a unit of the second decimal, in which hazard ratios and tau are printed."""

INPUT = 0.1
"""The data are printed with three decimals, percentages of the paper are those of the full data."""


@pytest.fixture(scope="module")
def rows():
    """One row per estimate, and V with the correlation of the two of a cohort."""
    data = pd.DataFrame(REFERENCE["data"])
    long = pd.concat(
        data[["cohort", "corr"]].assign(adjusted=a, yi=data[a], se=data[f"{a}_se"])
        for a in ADJUSTED
    )
    long = long[long["yi"].notna()].sort_values(["cohort", "adjusted"], ignore_index=True)
    se, cohort = long["se"].to_numpy(), long["cohort"].to_numpy()
    together = cohort[:, None] == cohort
    corr = np.where(together, long["corr"].to_numpy()[:, None], 0.0)
    np.fill_diagonal(corr, 1.0)
    return long, corr * np.outer(se, se)


@pytest.fixture(scope="module")
def joint(rows):
    long, v = rows
    term = Random("adjusted | cohort", struct="UN")
    return MetaMixedLM.from_formula("yi ~ 0 + adjusted", long, variance=v, random=term).fit()


@pytest.fixture(scope="module")
def alone(rows):
    long, _ = rows
    return {
        a: MetaMixedLM.from_formula(
            "yi ~ 1",
            long[long["adjusted"] == a].assign(vi=lambda d: d["se"] ** 2),
            variance="vi",
            groups="cohort",
        ).fit()
        for a in ADJUSTED
    }


def test_maximum_is_that_of_stata(joint):
    # the log-likelihood there leaves out log|X'X| / 2
    left_out = np.linalg.slogdet(joint.model.exog.T @ joint.model.exog)[1] / 2
    assert joint.llf - left_out == pytest.approx(STATA["llf"], abs=2e-6)
    wanted = [STATA["mean"][a] for a in ADJUSTED]
    np.testing.assert_allclose(joint.params, wanted, atol=2e-6)
    estimates = joint.vcomp.set_index(["component", "level"])["estimate"]
    for a in ADJUSTED:
        assert np.sqrt(estimates["tau2", a]) == pytest.approx(STATA["tau"][a], abs=2e-5)
    assert estimates["rho"].item() == pytest.approx(STATA["rho"], abs=1e-8)


def test_borrowing_of_strength(joint):
    borrowed = 100 * joint.evidence()["borrowed"]
    for a in ADJUSTED:
        found = borrowed[f"adjusted[{a}]"]
        assert found == pytest.approx(STATA["borrowed"][a], abs=0.051)
        assert found == pytest.approx(PUBLISHED["multivariate"][a]["borrowed"], abs=INPUT)


def test_weights_of_studies(joint):
    weights = joint.weights(by="coefficient")
    for a in ADJUSTED:
        np.testing.assert_allclose(weights[f"adjusted[{a}]"], STATA["weights"][a], atol=0.051)


@pytest.mark.parametrize("adjusted", ADJUSTED)
def test_table_of_the_paper(joint, alone, adjusted):
    def hazard_ratio(res, name):
        return np.exp([res.params[name], *res.conf_int().loc[name]])

    separate, together = PUBLISHED["univariate"][adjusted], PUBLISHED["multivariate"][adjusted]
    one, name = alone[adjusted], f"adjusted[{adjusted}]"
    np.testing.assert_allclose(hazard_ratio(one, "Intercept"), separate["hr"], atol=ROUNDED)
    np.testing.assert_allclose(hazard_ratio(joint, name), together["hr"], atol=ROUNDED)
    assert np.sqrt(one.sigma2[0]) == pytest.approx(separate["tau"], abs=ROUNDED)
