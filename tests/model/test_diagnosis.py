"""Diagnosis: the expected findings of every reference case, and every finding provoked once."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, MvmetaWarning, Random, datasets
from mvmeta.model.diagnosis.diagnose import CHECKS
from mvmeta.model.diagnosis.findings import SEVERITIES, Diagnosis, Outcome
from tests.reference.loader import ROOT, case_names, fitted_case, load_case

EXPECTED = json.loads((ROOT / "diagnoses.json").read_text(encoding="utf-8"))
"""Case -> code -> why it is right."""

FITTED = [name for name in case_names() if "expected" in load_case(name)]


@cache
def simulated(seed=0, n_studies=30, size=4, tau=0.3, omega=0.3):
    """Effects of studies with a moderator that varies within and between them."""
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(n_studies), size)
    n = len(study)
    v = rng.uniform(0.02, 0.08, n)
    x = rng.normal(size=n_studies)[study] + rng.normal(size=n)
    y = 0.5 + rng.normal(0, tau, n_studies)[study] + rng.normal(0, omega, n)
    return pd.DataFrame(
        {
            "study": study,
            "id": np.arange(n),
            "x": x,
            "v": v,
            "y": y + rng.normal(0, np.sqrt(v)),
            "z": rng.normal(size=n_studies)[study],
            "w": np.tile(np.linspace(-1, 1, size), n_studies),
        }
    )


def fit(formula, data, variance="v", groups="study/id", **kwargs):
    fit_kwargs = {k: kwargs.pop(k) for k in ("use_t", "df", "cov_type", "maxiter") if k in kwargs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        model = MetaMixedLM.from_formula(formula, data, variance=variance, groups=groups, **kwargs)
        return model.fit(**fit_kwargs)


# --- the reference cases ------------------------------------------------------------------


def test_every_case_has_its_expected_findings_written_down():
    assert sorted(EXPECTED) == FITTED
    assert all(reason for codes in EXPECTED.values() for reason in codes.values())


@pytest.mark.parametrize("name", FITTED)
def test_findings_of_the_reference_cases(name):
    found = fitted_case(name).diagnose()
    assert sorted(found.codes) == sorted(EXPECTED[name])


# --- random effects -----------------------------------------------------------------------


def test_a_missing_estimate_level_term_and_the_ratio_that_decides():
    data = simulated()
    small, large = fit("y ~ x", data, groups="study"), fit("y ~ x", data)
    finding = small.diagnose()["no-estimate-level-term"]
    test = large.compare_lr_test(small)
    assert finding.evidence["likelihood ratio"] == pytest.approx(test.statistic, rel=1e-6)
    assert finding.evidence["P"] == pytest.approx(test.pvalue_boundary, rel=1e-5)
    assert finding.evidence["variance between rows"] == pytest.approx(large.sigma2[1], rel=1e-4)
    assert finding.severity == "problem"
    assert "no-estimate-level-term" not in large.diagnose()


def test_effects_of_a_study_that_are_all_the_same_need_no_term():
    found = fit("y ~ x", simulated(omega=0.0), groups="study").diagnose()
    assert "no-estimate-level-term" not in found
    assert "likelihood ratio" in found.passed["effects within studies"]


def test_no_random_effects_at_all():
    data = simulated()
    found = fit("y ~ x", data, groups=None).diagnose()["no-random-effects"]
    assert found.evidence["QE"] == pytest.approx(
        fit("y ~ x", data, groups=None).heterogeneity_test().statistic
    )
    same = fit("y ~ x", simulated(tau=0.0, omega=0.0), groups=None).diagnose()
    assert "no-random-effects" not in same
    assert "sampling error" in same.passed["random effects"]


def test_components_that_share_one_sum():
    # all but one study have one row: study and row are nearly the same thing
    all_rows = simulated(n_studies=80, tau=0.8, omega=0.3)
    first, second = (all_rows.groupby("study").nth(i) for i in (0, 1))
    twice = second.iloc[:1].assign(y=first["y"].iloc[:1].to_numpy() + 0.8)
    res = fit("y ~ 1", pd.concat([first, twice], ignore_index=True))
    finding = res.diagnose()["confounded"]
    assert "study: sigma2" in finding.what
    assert "what one gains the other loses" in finding.what
    signs = [d[0] for d in finding.evidence["direction"]]
    assert sorted(signs) == ["+", "-"]
    # along that direction the likelihood hardly moves, along either axis it does
    at = res.fit_.theta
    step = 0.2 * at.min() * np.array([1.0, -1.0])
    along = res.llf - res.model.loglike(at + step)
    axis = res.llf - res.model.loglike(at + np.abs(step))
    assert along < 0.2 * axis


def test_a_correlation_nobody_knows():
    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        {
            "study": [0, 0, 1, 1, *range(2, 30)],
            "outcome": ["a", "b", "a", "b", *np.tile(["a", "b"], 14)],
        }
    )
    data["v"] = 0.05
    data["y"] = rng.normal(0, 0.5, len(data))
    data.loc[:3, "y"] = [0.3, 0.35, -0.3, 0.2]
    res = fit("y ~ outcome - 1", data, groups=None, random=Random("outcome | study", struct="UN"))
    assert "as-good-as-unknown" in res.diagnose()
    known = fit(
        "y ~ C(w) - 1", simulated(tau=0.8), groups=None, random=Random("w | study", struct="CS")
    )
    assert "as-good-as-unknown" not in known.diagnose()


def test_a_component_the_likelihood_is_flat_in():
    data = pd.DataFrame({"study": [0, 1, 2, 3], "y": [0.0, 1.0, 3.0, 7.0], "v": 0.1})
    data["twin"] = data["study"]
    res = fit("y ~ 1", data, groups=None, random=["1 | study", "1 | twin"])
    codes = res.diagnose().codes
    assert "flat" in codes or "confounded" in codes


# --- moderators ---------------------------------------------------------------------------


def test_levels_that_one_study_observes():
    data = simulated().assign(kind=lambda d: np.where(d["study"] == 7, "rare", "usual"))
    finding = fit("y ~ C(kind)", data).diagnose()["level-in-one-study"]
    assert "kind[rare] is observed in one study only (study 7)" in finding.what
    everywhere = simulated().assign(kind=lambda d: np.where(d["w"] > 0, "rare", "usual"))
    assert "level-in-one-study" not in fit("y ~ C(kind)", everywhere).diagnose()


def test_moderators_between_and_within_studies():
    found = fit("y ~ x + z + w", simulated()).diagnose()
    assert found["between-only"].what.startswith("z varies between studies only")
    assert found["within-only"].what.startswith("w varies within studies only")


def test_one_row_per_study_has_no_inside():
    found = fit("y ~ z", simulated(size=1), groups="study").diagnose()
    assert "between-only" not in found


def test_one_finding_prints_as_in_the_diagnosis():
    found = fit("y ~ 1", simulated(n_studies=12)).diagnose()
    text = str(found["few-studies"])
    assert text.startswith("[caution] few-studies\n   There are 12 studies, few")
    assert f"\n{found.codes.index('few-studies') + 1}. {text}" in str(found)


def test_tests_for_few_studies_are_not_advised_where_they_are_used():
    data = simulated(n_studies=12).assign(kind=lambda d: np.where(d["study"] < 2, "rare", "usual"))
    res = fit("y ~ C(kind)", data, df="satterthwaite", cov_type="CR2")
    assert (res.df_inference < 4).all()
    finding = res.diagnose()["few-studies"]
    assert "tests of Intercept, C(kind)[T.usual] have fewer" in finding.what
    assert "satterthwaite" not in finding.advice


def test_the_advice_on_a_contextual_effect_fits_a_factor():
    rng = np.random.default_rng(8)
    data = simulated().assign(a=lambda d: np.where(rng.random(len(d)) < 0.5, "u", "v"))
    share = (data["a"] == "v").groupby(data["study"]).transform("mean")
    data["y"] += 2 * share
    advice = fit("y ~ C(a)", data).diagnose()["contextual-effect"].advice
    assert advice.startswith("add the share of each of its levels in each study as another")


def test_the_contextual_effect():
    data = simulated(seed=5)
    mean = data.groupby("study")["x"].transform("mean")
    data = data.assign(y=data["y"] + 0.6 * (data["x"] - mean), mean=mean)
    finding = fit("y ~ x", data).diagnose()["contextual-effect"]
    larger = fit("y ~ x + mean", data)
    wald = larger.tvalues["mean"] ** 2
    assert finding.evidence["F"] == pytest.approx(wald, rel=1e-5)
    # 30 studies, less the intercept and the mean, which are constant within studies
    assert finding.evidence["P"] == pytest.approx(stats.f.sf(wald, 1, 28), rel=1e-4)
    same = simulated(seed=5).assign(y=lambda d: d["y"] + 0.6 * d["x"])
    found = fit("y ~ x", same).diagnose()
    assert "contextual-effect" not in found
    assert "x (P =" in found.passed["contextual effects"]


# --- V ------------------------------------------------------------------------------------


def constant_v(data, rho):
    same = np.equal.outer(data["study"].to_numpy(), data["study"].to_numpy())
    sd = np.sqrt(data["v"].to_numpy())
    return np.outer(sd, sd) * np.where(np.eye(len(data), dtype=bool), 1.0, rho * same)


def test_one_correlation_everywhere():
    data = simulated()
    found = fit("y ~ 1", data, variance=constant_v(data, 0.6)).diagnose()
    assert found["one-correlation-in-V"].evidence["correlation"] == pytest.approx(0.6)
    varied = constant_v(data, 0.6)
    varied[:4, :4] = constant_v(data, 0.3)[:4, :4]
    assert "one-correlation-in-V" not in fit("y ~ 1", data, variance=varied).diagnose()


def test_variances_of_very_different_size():
    data = simulated()
    data = data.assign(v=np.where(data["id"] == 11, 1e-6, data["v"]))
    finding = fit("y ~ 1", data).diagnose()["variance-range"]
    assert "row 11" in finding.evidence["smallest"]


def test_independent_errors_matter_where_they_are_large():
    data = simulated(tau=0.05, omega=0.05)
    noisy = data.assign(v=data["v"] * np.linspace(1, 40, len(data)))
    finding = fit("y ~ 1", noisy).diagnose()["independent-errors"]
    tried = fit("y ~ 1", noisy, variance=constant_v(noisy, 0.5))
    assert f"{tried.params.iloc[0]:.4g}" in finding.evidence["Intercept"]
    assert "independent-errors" not in fit("y ~ 1", simulated(tau=2.0)).diagnose()


def test_the_data_may_speak_against_correlated_errors():
    res = fit("y ~ 1", simulated(omega=0.0), groups="study")
    tried = fit("y ~ 1", simulated(omega=0.0), constant_v(simulated(omega=0.0), 0.5), "study")
    told = res.diagnose().passed["independent errors"]
    pvalue = stats.chi2.sf(2 * (res.llf - tried.llf), 1)
    assert pvalue < 0.05
    assert f"(P = {pvalue:.2g})" in told


def test_rows_named_as_trials_have_people_of_their_own():
    bcg = datasets.load("bcg")
    res = fit("yi ~ 1", bcg, variance="vi", groups=None, random=["1 | alloc", "1 | trial"])
    assert "independent-errors" not in res.diagnose()


# --- studies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "few"),
    [
        ({}, True),
        ({"use_t": True}, True),
        ({"df": "satterthwaite"}, False),
        ({"df": "contain"}, False),
        ({"df": 3}, True),
        ({"cov_type": "CR2"}, False),
    ],
)
def test_few_studies_for_the_tests_that_were_chosen(options, few):
    res = fit("y ~ 1", simulated(n_studies=12), **options)
    assert ("few-studies" in res.diagnose()) == few


def test_degrees_of_freedom_that_count_studies_never_exceed_them():
    data = simulated(n_studies=12).assign(a=lambda d: np.array(list("uvw"))[d["id"] % 3])
    evidence = fit("y ~ a - 1", data).diagnose()["few-studies"].evidence
    # every level varies within studies, for which containment counts the 48 rows
    assert evidence["degrees of freedom that count them"] == 11
    wider = stats.t.isf(0.025, 11) / stats.norm.isf(0.025)
    assert evidence["95 % intervals with these"] == f"{wider:.2g} times as wide"
    between = fit("y ~ z", data).diagnose()["few-studies"].evidence
    assert between["degrees of freedom that count them"] == 10


def test_containment_that_counts_rows_for_a_mean_is_found():
    data = simulated(n_studies=12).assign(a=lambda d: np.array(list("uvw"))[d["id"] % 3])
    means, differences = fit("y ~ a - 1", data, df="contain"), fit("y ~ a", data, df="contain")
    assert means.df_inference == 45
    assert means.diagnose()["few-studies"].evidence["smallest df"] == 45
    # differences of levels are compared within studies, where rows are what counts
    assert differences.df_inference[0] < 12 < differences.df_inference[1]
    assert "few-studies" not in differences.diagnose()


def test_robust_covariances_without_correction_need_many_clusters():
    res = fit("y ~ 1", simulated())
    assert "few-studies" not in res.diagnose()
    plain = res.get_robustcov_results("CR0", df="cluster")
    assert "few-studies" in plain.diagnose()
    assert "few-studies" not in res.get_robustcov_results("CR2").diagnose()


def test_a_study_that_decides():
    data = simulated()
    data = data.assign(y=np.where(data["study"] == 3, data["y"] + 9, data["y"]))
    res = fit("y ~ 1", data)
    finding = res.diagnose()["influential-study"]
    assert finding.evidence["most"] == "study 3"
    left_out = res.get_influence(groups="study").dfbetas.loc[3, "Intercept"]
    assert finding.evidence["change in standard errors"] == pytest.approx(left_out)
    assert "influential-study" not in fit("y ~ 1", simulated()).diagnose()


def test_a_study_far_from_the_others_that_moves_little():
    data = simulated(n_studies=40, size=2)
    data = data.assign(y=np.where(data["study"] == 3, data["y"] + 3, data["y"]))
    res = fit("y ~ 1", data)
    found = res.diagnose()
    finding = found["outlying-study"]
    assert finding.evidence["most"] == "study 3"
    chi2 = res.get_influence(groups="study").cluster_chi2.loc[3]
    assert finding.evidence["chi-square"] == pytest.approx(chi2["statistic"])
    assert finding.evidence["P, times 40 studies"] == pytest.approx(
        40 * stats.chi2.sf(chi2["statistic"], chi2["df"])
    )
    assert finding.evidence["mean distance"] == pytest.approx(3, abs=1)
    assert "outlying-study" not in fit("y ~ 1", simulated()).diagnose()


def test_user_weights_leave_some_checks_out():
    data = simulated()
    found = fit("y ~ 1", data, weights=np.ones(len(data))).diagnose()
    assert "user weights" in found.skipped["influence"]


# --- the maximum --------------------------------------------------------------------------


def test_a_fit_that_did_not_converge():
    with pytest.warns(match="iteration limit"):
        res = fit("y ~ 1", simulated(), maxiter=1)
    finding = res.diagnose()["weak-certificate"]
    assert finding.severity == "problem"
    assert "iteration limit" in finding.what


# --- the object ---------------------------------------------------------------------------


def test_nothing_to_say_about_a_sound_fit():
    found = fit("y ~ 1", simulated(n_studies=40, tau=1.0), df="satterthwaite").diagnose()
    assert len(found) == 0
    assert "Nothing found" in str(found)
    assert found.to_frame().empty


def test_the_object():
    found = fitted_case("g01_obrien_gen").diagnose()
    assert isinstance(found, Diagnosis)
    assert "few-studies" in found
    assert [f.code for f in found] == found.codes
    ranks = [SEVERITIES.index(f.severity) for f in found]
    assert ranks == sorted(ranks)
    frame = found.to_frame()
    assert list(frame.index) == found.codes
    assert list(frame.columns) == ["severity", "what", "evidence", "why", "advice"]
    text = str(found)
    for f in found:
        assert f.code in text
        assert f.why.split()[0] in text
    assert max(len(line) for line in text.split("\n")) <= 78
    with pytest.raises(KeyError, match="there are: "):
        found["no such thing"]
    assert "&#x27;" in found._repr_html_() or "<pre>" in found._repr_html_()


def test_large_data_are_not_fitted_again_unless_asked():
    data = simulated(seed=1, n_studies=5500)
    slopes = Random("1 + x | study", struct="GDIAG", fixed={"tau2": [0.1, 0.01]})
    res = fit("y ~ x", data, groups=None, random=slopes)
    found = res.diagnose()
    assert "another fit" in found.skipped["effects within studies"]
    assert "another fit" in found.skipped["contextual effects"]
    assert "no-estimate-level-term" not in found
    # with nested intercepts fits are cheap, and the commonest mistake is looked for
    nested = fit("y ~ x", data, groups="study").diagnose()
    assert "no-estimate-level-term" in nested


def test_groups_pick_what_a_study_is():
    data = simulated().assign(lab=lambda d: d["study"] // 10)
    found = fit("y ~ 1", data).diagnose(groups=data["lab"])
    assert "3 labs" in found["few-studies"].what


@pytest.mark.parametrize("change", ["order", "unit", "labels"])
def test_what_must_not_change_a_diagnosis(change):
    data = datasets.load("assink2016")
    changed = {
        "order": data.sample(frac=1, random_state=3),
        "unit": data.assign(yi=data["yi"] * 1000, vi=data["vi"] * 1e6),
        "labels": data.assign(study="s" + data["study"].astype(str)),
    }[change]
    for groups in ("study", "study/esid"):
        want, got = (
            fit("yi ~ C(deltype) + year", d, "vi", groups).diagnose() for d in (data, changed)
        )
        assert got.codes == want.codes
        assert set(got.passed) == set(want.passed)
        for a, b in zip(got, want, strict=True):
            if "P" in b.evidence:
                assert a.evidence["P"] == pytest.approx(b.evidence["P"], rel=1e-3)


def test_every_code_is_documented():
    page = (Path(__file__).parents[2] / "docs/explanation/diagnosis.md").read_text("utf-8")
    codes = {code for expected in EXPECTED.values() for code in expected}
    codes |= {"flat", "as-good-as-unknown", "confounded", "contextual-effect"}
    codes |= {"weak-certificate", "independent-errors", "outlying-study", "indefinite-covariance"}
    assert all(f"`{code}`" in page for code in codes)


def test_checks_have_names_and_outcomes():
    subject_free = Diagnosis.of({name: Outcome(passed="fine") for name in CHECKS})
    assert list(subject_free.passed) == list(CHECKS)
