"""What the summary says of components, tests and rows that are out of the ordinary."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import MetaMixedLM, MvmetaWarning, Random, datasets
from mvmeta.inference.coefficients.satterthwaite import linked_terms


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    n = 40
    return pd.DataFrame(
        {
            "yi": rng.normal(0.3, 1.0, n) + np.repeat(rng.normal(0, 1, n // 2), 2),
            "vi": 0.2,
            "x": rng.normal(0, 1, n),
            "kind": ["a", "b"] * (n // 2),
            "study": np.repeat(np.arange(n // 2), 2),
        }
    )


def fit(data, formula="yi ~ x", variance="vi", cov_type="nonrobust", **options):
    model = MetaMixedLM.from_formula(formula, data, variance=variance, **options)
    return model.fit(cov_type=cov_type)


def text(result):
    return " ".join(str(result.summary()).split())


@pytest.mark.parametrize("struct", ["UN", "DIAG"])
def test_i2_of_several_variances_is_not_that_of_the_first(data, struct):
    result = fit(data, random=Random("kind | study", struct=struct))
    share = result.heterogeneity().loc["kind | study", "i2"]
    printed = text(result)
    assert f"I2 of 'kind | study', all its levels together: {100 * share:.1f}%." in printed
    assert printed.count(f"{100 * share:.1f}%") == 1


def test_i2_of_one_variance_stays_in_its_row(data):
    result = fit(data, random="kind | study")
    share = f"{100 * result.heterogeneity().loc['kind | study', 'i2']:.1f}%"
    assert share in text(result)
    assert "all its levels" not in text(result)


def test_large_test_statistics_are_printed_in_full(data):
    data["vi"] = 1e-6
    result = fit(data, groups="study")
    q = result.heterogeneity_test().statistic
    assert q > 1e6
    assert f"{q:.0f}" in text(result)


def test_singular_sampling_covariance_is_why_qe_is_missing(data):
    v = np.kron(np.eye(len(data) // 2), np.full((2, 2), 0.2))
    data["row"] = np.arange(len(data))
    result = fit(data, variance=v, groups="study/row")
    assert np.isnan(result.heterogeneity_test().statistic)
    assert "No QE and no I2: the sampling covariance V is singular." in text(result)


def test_one_row_was_left_out(data):
    data.loc[0, "x"] = np.nan
    with pytest.warns(MvmetaWarning, match="1 of 40 rows dropped"):
        result = fit(data, groups="study")
    assert "1 of 40 rows was left out" in text(result)


@pytest.mark.parametrize("formula", ["yi ~ 1", "yi ~ x"])
def test_knapp_hartung_of_a_perfect_fit_has_no_test(data, formula):
    data["yi"] = 0.5
    result = fit(data, formula, groups="study", cov_type="knha")
    test = result.moderators_test()
    assert np.isnan(test.statistic)
    assert np.isnan(test.pvalue)
    assert "No test of moderators: their estimates have a standard error of 0." in text(result)
    assert np.isnan(result.to_dict()["moderators_test"]["statistic"])
    assert '"statistic": null' in result.to_json()


def test_a_component_the_likelihood_does_not_depend_on_is_shown(data):
    data["row"] = np.arange(len(data))  # with two rows in a study, which has its own mean:
    with pytest.warns(MvmetaWarning, match=r"not identified.*does not depend on study: sigma2"):
        result = fit(data, "yi ~ 0 + C(study)", groups="study/row")
    expected = {"study: sigma2": True, "study/row: sigma2": False}
    assert result.not_identified.to_dict() == expected
    assert result.to_dict()["not_identified"] == ["study: sigma2"]
    rows = [line for line in str(result.summary()).splitlines() if line.startswith("study")]
    assert ["not identified" in line for line in rows] == [True, False]
    assert "Not identified, the likelihood does not depend on: study: sigma2." in text(result)


def test_ordinary_components_are_identified(data):
    result = fit(data, groups="study")
    assert not result.not_identified.any()
    assert "ot identified" not in text(result)


# -- few studies ---------------------------------------------------------------------------


def studies(count, per_study=2, seed=1):
    rng = np.random.default_rng(seed)
    study = np.repeat(np.arange(count), per_study)
    n = len(study)
    y = rng.normal(0, 0.7, count)[study] + rng.normal(0, 0.5, n)
    z = rng.normal(0, 1, count)[study]
    return pd.DataFrame({"yi": y, "vi": 0.1, "study": study, "z": z, "w": rng.normal(0, 1, n)})


def hint(result):
    return [note for note in result.notes if note.startswith("Few studies")]


def test_few_studies_call_for_more_than_z():
    model = MetaMixedLM.from_formula("yi ~ z", studies(8), variance="vi", groups="study")
    (note,) = hint(model.fit())
    # 8 levels - 2 coefficients; t(6) / z at 97.5 %: 2.4469 / 1.9600
    assert (
        "by containment, 6 df, the 95% intervals of Intercept, z would be up to 25% wider" in note
    )
    assert note in " ".join(str(model.fit().summary()).split())
    (by_rows,) = hint(model.fit(use_t=True))
    assert "t tests by residual df" in by_rows


def test_a_level_mean_counts_studies_though_the_level_varies_within_them():
    data = studies(8, per_study=4).assign(level=["a", "b"] * 16)
    by_level = MetaMixedLM.from_formula("yi ~ level - 1", data, variance="vi", groups="study/w")
    (note,) = hint(by_level.fit())
    # 8 studies - 1, where containment has 32 rows - 2; t(7) / z at 97.5 %: 2.3646 / 1.9600
    assert "by the number of studies, 7 df, the 95% intervals of level[a], level[b]" in note
    assert "up to 21% wider" in note
    # the difference of the levels is known from within studies
    difference = MetaMixedLM.from_formula("yi ~ level", data, variance="vi", groups="study/w")
    assert "level[T.b]" not in "".join(hint(difference.fit()))


def test_batches_say_the_same_as_rows_that_are_held():
    data = studies(8, per_study=4).assign(level=["a", "b"] * 16)
    for formula in ("yi ~ level - 1", "yi ~ level", "yi ~ z", "yi ~ level:z"):
        held = MetaMixedLM.from_formula(formula, data, variance="vi", groups="study").fit()
        parts = [data[data["study"] % 2 == k] for k in (0, 1)]
        batched = MetaMixedLM.from_batches(
            formula, lambda parts=parts: iter(parts), variance="vi", groups="study"
        ).fit()
        assert hint(batched) == hint(held)
        assert len(hint(held)) == 1


def test_one_group_that_holds_all_sites_is_not_counted():
    fish, km = datasets.load("maire2019"), datasets.distance("maire2019")
    rivers = Random("site_station | const", "SPGAU", distance=km)
    model = MetaMixedLM.from_formula("yi ~ 1", fish, variance="vi", random=rivers)
    (note,) = hint(model.fit())
    assert "by Satterthwaite's method, 16.7 df" in note  # not 34 stations - 1, and not 1 - 1
    # metafor's dfs="contain" gives 1 as well (tests/inference/containment.R, second line)
    contained = model.fit(df="contain")
    assert contained.df_inference == 1
    (note,) = contained.notes
    assert note.startswith("One level of site_station | const holds all rows")
    assert "Intercept has 1 df" in note
    few = fish.iloc[:15]
    short = MetaMixedLM.from_formula("yi ~ 1", few, variance="vi", random=rivers).fit()
    evidence = short.diagnose()["few-studies"].evidence
    assert evidence["degrees of freedom that count them"] == 14  # stations, not the one "const"


def test_related_species_are_fewer_than_there_are():
    animals, tree = datasets.load("lim2014"), datasets.correlation("lim2014")
    related = ["1 | species", Random("1 | species", corr=tree)]
    model = MetaMixedLM.from_formula(
        "yi ~ 1", animals, variance="vi", groups="article/effect", random=related
    )
    res = model.fit()
    df = float(model.fit(df="satterthwaite").df_inference)
    wider = stats.t.isf(0.025, df) / stats.norm.isf(0.025)
    (note,) = hint(res)
    assert f"as levels of a term are correlated, by Satterthwaite's method, {df:.1f} df" in note
    assert f"up to {100 * (wider - 1):.0f}% wider" in note
    finding = res.diagnose()["few-studies"]
    assert "85 articles, but levels of species (corr) are correlated" in finding.what
    assert finding.evidence["smallest df (Satterthwaite)"] == round(df, 2)
    assert finding.evidence["95 % intervals with these"] == f"{wider:.2g} times as wide"
    assert not hint(model.fit(df="satterthwaite"))
    unrelated = MetaMixedLM.from_formula("yi ~ 1", animals, variance="vi", groups="article/effect")
    assert not hint(unrelated.fit())


@pytest.mark.parametrize("df", ["contain", "satterthwaite", "kenward-roger", 6.0])
def test_who_allows_for_few_studies_needs_no_hint(df):
    model = MetaMixedLM.from_formula("yi ~ z", studies(8), variance="vi", groups="study")
    assert not hint(model.fit(df=df))
    assert not hint(model.fit(cov_type="CR2"))


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (studies(30), {"groups": "study"}),
        (studies(8), {}),
        (studies(8), {"random": Random("1 | study", fixed={"sigma2": 0.4})}),
    ],
    ids=["many studies", "no random effects", "known components"],
)
def test_the_hint_is_not_raised_falsely(data, options):
    assert not hint(MetaMixedLM.from_formula("yi ~ z", data, variance="vi", **options).fit())


def test_the_hint_names_what_varies_between_studies_only():
    data = studies(10, per_study=30)
    model = MetaMixedLM.from_formula("yi ~ z + w", data, variance="vi", groups="study")
    (note,) = hint(model.fit())
    assert "intervals of Intercept, z would be" in note


def test_one_effect_per_study_t_by_residual_df_is_by_containment():
    data = studies(9, per_study=1)
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study")
    assert hint(model.fit())
    assert not hint(model.fit(use_t=True))


def test_why_there_is_no_joint_test():
    data = studies(3, per_study=12)
    data["kind"] = ["a", "b", "c", "d"] * 9
    model = MetaMixedLM.from_formula("yi ~ C(kind)", data, variance="vi", groups="study")
    robust = model.fit(cov_type="CR0", cov_kwds={"df": "residual"})
    assert np.isnan(robust.moderators_test().pvalue)
    assert "3 clusters are too few to test 3 coefficients at once" in text(robust)


def test_where_kenward_and_roger_break_down():
    """A joint test of three means over three studies: their denominator df would be below 2."""
    data = studies(3, per_study=2, seed=4)
    data["kind"] = ["a", "b"] * 3
    random = Random("kind | study", struct="UN")
    model = MetaMixedLM.from_formula("yi ~ C(kind) - 1", data, variance="vi", random=random)
    result = model.fit(df="kenward-roger")
    test = result.moderators_test()
    assert np.isnan([test.pvalue, test.df_denom]).all()
    assert "formulas of Kenward and Roger break down" in text(result)
    assert np.isfinite(result.pvalues).all()
    for joint in (result.wald_test(np.eye(2)), result.f_test(np.eye(2))):
        assert joint.distribution == "F"
        assert np.isnan([float(joint.pvalue), float(joint.df_denom)]).all()
    assert np.isnan(result.wald_test_terms().table.loc["C(kind)", "pvalue"])


def test_one_level_without_anything_to_correlate_is_not_taken_for_related_levels():
    """A grouping factor with a single level, and effects of it that are independent."""
    data = studies(8, per_study=4).assign(lab="x", arm=[*"abcd"] * 8)
    alone = fit(data, "yi ~ 1", groups="study")
    for more in ("1 | lab", Random("arm | lab", "DIAG")):
        res = fit(data, "yi ~ 1", groups="study", random=more)
        (note,) = hint(res)
        assert "correlated" not in note
        assert linked_terms(res.fit_) == []
    assert hint(fit(data, "yi ~ 1", groups="study", random="1 | lab")) == hint(alone)
    at = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    sites = pd.DataFrame(at, [*"abcd"], [*"abcd"])
    near = Random("arm | lab", "SPEXP", distance=sites, fixed={"tau2": 0.1, "rho": 2.0})
    (term,) = linked_terms(fit(data, "yi ~ 1", groups="study", random=near).fit_)
    assert term.name == "arm | lab"


@pytest.mark.parametrize(
    ("options", "weights"),
    [({}, None), ({"cov_type": "knha"}, None), ({"reml": False}, None), ({}, "vi")],
)
def test_what_is_advised_can_be_called(options, weights):
    """Kenward and Roger's method is for REML and its own covariance, without user weights."""
    data = studies(6, per_study=4)
    model = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="study", weights=weights)
    res = model.fit(**options)
    advised = {
        df
        for said in (hint(res)[0], res.diagnose()["few-studies"].advice)
        for df in re.findall(r"df='([\w-]+)'", said)
    }
    assert ("kenward-roger" in advised) == (not options and weights is None)
    assert "satterthwaite" in advised
    for df in advised:
        assert not hint(model.fit(df=df, **options))
