"""What mixmeta for R and mvmeta for Stata print, as far as docs/coming-from does not show it.

The programs could not be run: numbers are those of public logs, with their sources in
tests/reference/published/mixmeta.json and stata.json.  mvmeta leaves log|X'X| / 2 out of restricted
log-likelihoods, and stops when they no longer change by much.
"""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

from mvmeta import MetaMixedLM, Random, datasets, stack_outcomes
from tests.reference.loader import ROOT


def read(name):
    return json.loads((ROOT / "published" / f"{name}.json").read_text(encoding="utf-8"))


STATA, MIXMETA = read("stata"), read("mixmeta")

STRUCTURES = STATA["structures"]["fits"]

STOPS = 8
"""Units of the last of eight digits of components, between where mvmeta stops and the maximum."""

BETWEEN = {
    "bscov(uns)": Random("outcome | study", "UN"),
    "ml": Random("outcome | study", "UN"),
    "bscov(prop I(2))": Random("outcome | study", "ID"),
    "bscov(equal I(2))": Random("outcome | study", "ID", fixed={"tau2": 1}),
    "bscov(corr P2)": Random("outcome | study", "UN", fixed={"rho": 0.5}),
    "bscov(exch 0.5)": Random("outcome | study", "CS", fixed={"rho": 0.5}),
    "bscov(exch)": Random("outcome | study", "CS"),
    "fixed": None,
}


def assert_printed(ours, printed, units=0.52):
    """Ours is what is printed, to so many units of the last digit of each number."""
    last = [10.0 ** Decimal(number).as_tuple().exponent for number in printed]
    off = np.abs(np.asarray(ours, float) - [float(number) for number in printed]) / last
    assert np.all(off <= units), list(zip(np.asarray(ours, float), printed, strict=True))


def llf_of_stata(res):
    return res.llf - np.linalg.slogdet(res.model.exog.T @ res.model.exog)[1] / 2


@pytest.fixture(scope="module")
def telomerase():
    """Logit sensitivity (z1) and specificity (z2), without the sensitivity of study 1."""
    counts = pd.DataFrame(STATA["data"]["telomerase"]).drop(columns="about").astype(float)
    counts.loc[(counts == 0).any(axis=1)] += 0.5
    wide = pd.DataFrame(
        {
            "study": np.arange(1, 11),
            "z1": np.log(counts["tp"] / counts["fn"]),
            "z2": np.log(counts["tn"] / counts["fp"]),
            "v1": 1 / counts["tp"] + 1 / counts["fn"],
            "v2": 1 / counts["tn"] + 1 / counts["fp"],
        }
    )
    wide.loc[0, ["z1", "v1"]] = None
    outcomes, variances = {"z1": "z1", "z2": "z2"}, {"z1": "v1", "z2": "v2"}
    return stack_outcomes(wide, study="study", yi=outcomes, vi=variances, rho=0)


def regression(rows_and_v, term):
    rows, v = rows_and_v
    random = {"groups": None} if term is None else {"random": term}
    formula = "yi ~ outcome:study + outcome - 1"
    return MetaMixedLM.from_formula(formula, rows, variance=v, **random)


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure_between_studies(telomerase, name):
    printed = STRUCTURES[name]
    res = regression(telomerase, BETWEEN[name]).fit(reml=name != "ml")
    order = ["outcome[z1]:study", "outcome[z1]", "outcome[z2]:study", "outcome[z2]"]
    assert_printed(res.params[order], printed["mean"], 1.0)
    if "se" in printed:
        assert_printed(res.bse[order], printed["se"])
    if "llf" in printed:
        ours = res.llf if name == "ml" else llf_of_stata(res)
        assert_printed([ours], [printed["llf"]], 1.0)
    if "sd" in printed:
        components = res.vcomp.set_index("component")["estimate"]
        sd = np.sqrt(np.atleast_1d(components["tau2"]))
        assert_printed(np.broadcast_to(sd, 2), printed["sd"], STOPS)
    if "corr" in printed:
        assert_printed([components["rho"]], [printed["corr"]], STOPS)
    assert_printed([res.QE], [STATA["structures"]["scalar_q"]])


def test_a_known_matrix_is_the_structure_it_is_made_of(telomerase):
    # bscov(prop P) with P the correlation of one half is bscov(exch 0.5)
    half = pd.DataFrame([[1, 0.5], [0.5, 1]], index=["z1", "z2"], columns=["z1", "z2"])
    res = regression(telomerase, Random("outcome | study", "PROP", corr=half)).fit()
    assert_printed([llf_of_stata(res)], [STRUCTURES["bscov(exch 0.5)"]["llf"]])


def test_one_mean_for_both_outcomes(telomerase):
    # commonparm: z1: study, _cons; the log-likelihood -27.32796 of the same log
    rows, v = telomerase
    res = MetaMixedLM.from_formula("yi ~ study", rows, variance=v, random=BETWEEN["ml"]).fit()
    assert_printed([llf_of_stata(res)], ["-27.32796"])
    assert_printed(res.params[["study", "Intercept"]], ["-.0384723", "1.572738"])


@pytest.fixture(scope="module")
def berkey():
    trials = datasets.load("berkey1998")
    return trials.assign(since=trials["year"] - 1983), datasets.covariance_blocks("berkey1998")


def fit_berkey(berkey, formula):
    trials, v = berkey
    term = Random("outcome | trial", "UN")
    return MetaMixedLM.from_formula(formula, trials, variance=v, random=term).fit()


def test_periodontal_trials_alone_and_by_year(berkey):
    trials, _ = berkey
    probing = trials[trials["outcome"] == "PD"]
    alone = MetaMixedLM.from_formula("yi ~ 1", probing, variance="vi", groups="trial").fit()
    ours = [llf_of_stata(alone), *alone.params, np.sqrt(alone.sigma2[0])]
    printed = [number for _, number in STATA["more"]["berkey1998_probing"]["numbers"]]
    assert_printed(ours, printed, STOPS)

    year = fit_berkey(berkey, "yi ~ outcome + outcome:since - 1")
    names = ["outcome[PD]:since", "outcome[PD]", "outcome[AL]:since", "outcome[AL]"]
    of = year.vcomp.set_index("level")["estimate"]
    ours = [llf_of_stata(year), *year.params[names], *np.sqrt(of[["PD", "AL"]]), of["PD~AL"]]
    printed = [number for _, number in STATA["more"]["berkey1998_year"]["numbers"]]
    assert_printed(ours, printed, STOPS)


def test_standard_errors_with_the_uncertainty_of_components(berkey):
    """Stata inverts the information of means, standard deviations and correlation together."""
    trials, blocks = berkey
    res = fit_berkey(berkey, "yi ~ outcome - 1")
    x, y, v = res.model.exog, res.model.endog, block_diag(*blocks)
    z = x  # a random effect for each mean
    together = trials["trial"].to_numpy()[:, None] == trials["trial"].to_numpy()

    def llf(at):
        mean, sd, rho = at[:2], at[2:4], np.tanh(at[4])
        g = np.outer(sd, sd) * [[1, rho], [rho, 1]]
        m = v + together * (z @ g @ z.T)
        weight, residual = np.linalg.inv(m), y - x @ mean
        logdets = np.linalg.slogdet(m)[1] + np.linalg.slogdet(x.T @ weight @ x)[1]
        return -(logdets + residual @ weight @ residual) / 2

    tau2, rho = res.tau2, res.rho[0]
    at, steps = np.array([*res.params, *np.sqrt(tau2), np.arctanh(rho)]), 1e-4 * np.eye(5)
    curvature = [
        [llf(at + i + j) - llf(at + i - j) - llf(at - i + j) + llf(at - i - j) for j in steps]
        for i in steps
    ]
    covariance = np.linalg.inv(-np.array(curvature) / 4e-8)
    assert list(res.params.index) == ["outcome[AL]", "outcome[PD]"]
    probing, attachment = STATA["analyses"]["berkey1998"]["se"]
    assert_printed(np.sqrt(np.diag(covariance)[:2]), [attachment, probing])
    assert np.all(res.bse < np.sqrt(np.diag(covariance)[:2]))


def test_an_outcome_most_studies_lack():
    """p53: the joint mean of disease-free survival lies far from that of its own studies."""
    wide = pd.DataFrame(STATA["data"]["p53"]).drop(columns="about").astype(float)
    outcomes, variances = {"os": "os", "dfs": "dfs"}, {"os": "os_v", "dfs": "dfs_v"}
    rows, v = stack_outcomes(wide, study="study", yi=outcomes, vi=variances, rho=0.7)
    term = Random("outcome | study", "UN")
    res = MetaMixedLM.from_formula("yi ~ outcome - 1", rows, variance=v, random=term).fit()
    of = res.vcomp.set_index("level")["estimate"]
    assert of[of.index.str.contains("~")].item() == pytest.approx(1.0, abs=1e-8)
    ours = [
        llf_of_stata(res),
        *res.params[["outcome[os]", "outcome[dfs]"]],
        *np.sqrt(of[["os", "dfs"]]),
    ]
    printed = [number for _, number in STATA["more"]["p53"]["numbers"]]
    assert_printed(ours, printed[:-1], STOPS)

    dfs = rows[rows["outcome"] == "dfs"]
    alone = MetaMixedLM.from_formula("yi ~ 1", dfs, variance="vi", groups="study").fit()
    printed = [number for _, number in STATA["more"]["p53_alone"]["numbers"]]
    assert_printed([llf_of_stata(alone), *alone.params, *alone.bse], printed)
    assert alone.sigma2[0] == 0


def test_where_meta_mvregress_stops_the_likelihood_is_lower():
    counts = pd.DataFrame(STATA["data"]["telomerase"]).drop(columns="about").astype(float)
    counts.loc[(counts == 0).any(axis=1)] += 0.5
    rows = pd.concat(
        pd.DataFrame(
            {
                "study": np.arange(1, 11),
                "outcome": outcome,
                "yi": np.log(counts[yes] / counts[no]),
                "vi": 1 / counts[yes] + 1 / counts[no],
            }
        )
        for outcome, yes, no in (("y1", "tp", "fn"), ("y2", "tn", "fp"))
    )
    res = regression((rows, "vi"), BETWEEN["bscov(uns)"]).fit()
    printed = dict(map(tuple, STATA["analyses"]["telomerase"]["numbers"]))
    at = [float(printed["sd(y1)"]) ** 2, float(printed["sd(y2)"]) ** 2, -1.0]
    assert 0 < res.llf - res.model.loglike(at) < 1e-6


def test_restricted_likelihood_of_mixmeta_has_the_constant():
    """Its data are printed to three digits: enough to tell, as the constant is 1.5."""
    case = MIXMETA["reml"]
    data = pd.DataFrame(case["data"])
    data["vi"] = data["se"] ** 2
    res = MetaMixedLM.from_formula("met ~ yr", data, variance="vi", groups="yr").fit()
    assert res.llf == pytest.approx(case["llf"], abs=0.03)
    assert res.aic == pytest.approx(case["aic"], abs=0.06)
    assert res.bic == pytest.approx(case["bic"], abs=0.06)
