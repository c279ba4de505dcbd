"""Models against each other: metafor's numbers, mixtures, the bootstrap, and refusals."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats

from mvmeta import (
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    Random,
    SpecificationError,
    compare,
    datasets,
)
from tests.reference.loader import ROOT

LOGLIK = 1e-6
"""metafor's nlminb stops at a relative change of 1e-10 of the log-likelihood."""


@pytest.fixture(scope="module")
def metafor():
    return json.loads((ROOT / "metafor" / "comparison.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def schools():
    return datasets.load("konstantopoulos2011")


def fit(data, formula="yi ~ 1", groups=None, random=None, reml=True, variance="vi", **options):
    model = MetaMixedLM.from_formula(
        formula, data, variance=variance, groups=groups, random=random, **options
    )
    return model.fit(reml=reml)


def models(schools, reml):
    out = {
        "three": fit(schools, groups="district/school", reml=reml),
        "two": fit(schools, groups="district", reml=reml),
        "fixed": fit(schools, reml=reml),
    }
    if not reml:
        out["year"] = fit(schools, "yi ~ year", "district/school", reml=False)
    return out


@pytest.mark.parametrize("reml", [True, False])
def test_tables_are_metafors(schools, metafor, reml):
    expected = metafor["reml" if reml else "ml"]
    table = compare(**models(schools, reml))
    assert set(table.index) == set(expected)
    for name, row in table.iterrows():
        for key in ("llf", "aic", "bic", "aicc"):
            assert row[key] == pytest.approx(expected[name][key], abs=LOGLIK)
    assert table["aicc"].is_monotonic_increasing
    assert table["delta"].iloc[0] == 0
    assert table["weight"].sum() == pytest.approx(1)
    relative = np.exp(-(table["aicc"] - table["aicc"].min()) / 2)
    assert table["weight"].to_numpy() == pytest.approx((relative / relative.sum()).to_numpy())
    by_bic = compare(*models(schools, reml).values(), criterion="bic")
    assert list(by_bic.index[:1]) == ["model 1"]
    assert by_bic["bic"].is_monotonic_increasing


def test_tests_are_metafors(schools, metafor):
    reml, ml = models(schools, True), models(schools, False)
    berkey = datasets.load("berkey1998")
    un, diag = (
        fit(berkey, "yi ~ outcome - 1", random=Random("outcome | trial", s)) for s in ("UN", "DIAG")
    )
    for name, full, restricted in (
        ("three_two", reml["three"], reml["two"]),
        ("year_three", ml["year"], ml["three"]),
        ("un_diag", un, diag),
    ):
        found, expected = full.compare_lr_test(restricted), metafor["lrt"][name]
        assert found.statistic == pytest.approx(expected["statistic"], abs=LOGLIK)
        assert found.df_diff == expected["df"]
        assert found.pvalue == pytest.approx(expected["pvalue"], rel=1e-5)


def test_which_mixture(schools):
    reml, ml = models(schools, True), models(schools, False)
    one = reml["three"].compare_lr_test(reml["two"])
    assert one.reference == "0.5 chi2(0) + 0.5 chi2(1)"
    assert one.pvalue_boundary == one.pvalue / 2
    inside = ml["year"].compare_lr_test(ml["three"])
    assert inside.reference == "chi2(1)"
    assert inside.pvalue_boundary == inside.pvalue
    both = ml["year"].compare_lr_test(ml["two"])
    assert both.reference == "0.5 chi2(1) + 0.5 chi2(2)"
    two = reml["three"].compare_lr_test(reml["fixed"])
    assert two.reference.count("chi2") == 3
    assert two.pvalue_boundary < two.pvalue


def test_mixture_of_structures():
    rng = np.random.default_rng(1)
    berkey = datasets.load("berkey1998")
    berkey["dose"] = rng.normal(size=len(berkey))
    berkey["yi"] = berkey["yi"] + rng.normal(size=5)[berkey["trial"] - 1] * berkey["dose"]

    def with_random(*terms):
        return fit(berkey, "yi ~ dose", random=list(terms))

    slopes, intercepts = with_random(Random("1 + dose | trial", "GEN")), with_random("1 | trial")
    found = slopes.compare_lr_test(intercepts)
    assert not intercepts.vcomp["boundary"].any()
    assert found.reference == "0.5 chi2(1) + 0.5 chi2(2)"
    separate = with_random(Random("1 + dose | trial", "GDIAG"))
    assert separate.compare_lr_test(intercepts).reference == "0.5 chi2(0) + 0.5 chi2(1)"
    nothing = fit(berkey, "yi ~ dose")
    unknown = slopes.compare_lr_test(nothing)
    assert np.isnan(unknown.pvalue_boundary)
    assert "method='bootstrap'" in unknown.reference
    pinned = with_random(Random("1 | trial", fixed={"sigma2": 0.02}))
    assert intercepts.compare_lr_test(pinned).reference == "chi2(1)"
    zero = with_random(Random("1 | trial", fixed={"sigma2": 0.0}))
    assert intercepts.compare_lr_test(zero).reference == "0.5 chi2(0) + 0.5 chi2(1)"


def test_no_mixture_where_a_nuisance_component_is_on_the_boundary(schools):
    flat = schools.assign(yi=np.random.default_rng(3).normal(0, np.sqrt(schools["vi"])))
    flat["yi"] -= flat.groupby("district")["yi"].transform("mean")  # nothing left between them
    restricted = fit(flat, groups="district")
    assert restricted.vcomp["boundary"].all()
    found = fit(flat, groups="district/school").compare_lr_test(restricted)
    assert np.isnan(found.pvalue_boundary)


def test_bootstrap_agrees_with_the_mixture_under_the_hypothesis():
    """100 groups of 4: the bootstrap distribution is close to half chi2(0), half chi2(1)."""
    rng = np.random.default_rng(4)
    study = np.repeat(np.arange(100), 4)
    y = rng.normal(0, 0.5, 400) + rng.normal(0, 0.15, 100)[study]
    full = MetaMixedLM(y, None, 0.1, groups=np.column_stack([study, np.arange(400)])).fit()
    restricted = MetaMixedLM(y, None, 0.1, groups=np.arange(400)).fit()
    found = full.compare_lr_test(restricted, "bootstrap", n=600, seed=5)
    assert found.statistic > 0.5
    assert found.n_replicates == 600
    assert found.n_failed == 0
    error = found.bootstrap_error
    assert error == pytest.approx(
        np.sqrt(found.pvalue_bootstrap * (1 - found.pvalue_bootstrap) / 601)
    )
    # 0.03 is what 100 groups leave between the finite and the limiting distribution
    assert abs(found.pvalue_bootstrap - found.pvalue_boundary) < 4 * error + 0.03
    again = full.compare_lr_test(restricted, "bootstrap", n=600, seed=5)
    assert again == found
    assert tuple(found) == (found.statistic, found.pvalue, found.df_diff)
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, 1))


def test_bootstrap_of_other_structures_counts_failures():
    berkey = datasets.load("berkey1998")
    un = fit(berkey, "yi ~ outcome - 1", random=Random("outcome | trial", "UN"))
    nothing = fit(berkey, "yi ~ outcome - 1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MvmetaWarning)
        found = un.compare_lr_test(nothing, "bootstrap", n=9, seed=1)
    assert found.n_replicates + found.n_failed == 9
    assert found.pvalue_bootstrap == pytest.approx(1 / (found.n_replicates + 1))


def test_fits_in_batches_are_compared_by_what_is_known_of_them():
    frame = datasets.load("konstantopoulos2011")
    order = frame["district"].map(lambda d: d % 2)

    def batches():
        return iter([frame[order == 0], frame[order == 1]])

    def in_batches(formula, groups, reml=True):
        return MetaMixedLM.from_batches(formula, batches, variance="vi", groups=groups).fit(reml)

    full, two = in_batches("yi ~ 1", "district/school"), in_batches("yi ~ 1", "district")
    held = fit(frame, groups="district")
    for restricted in (two, held):
        found = full.compare_lr_test(restricted)
        expected = fit(frame, groups="district/school").compare_lr_test(held)
        assert found.statistic == pytest.approx(expected.statistic, abs=LOGLIK)
        assert found.reference == expected.reference
    with pytest.raises(SpecificationError, match=r"REML .* Intercept, year and Intercept; fit"):
        in_batches("yi ~ year", "district/school").compare_lr_test(two)
    with pytest.raises(SpecificationError, match="different data: rows, mean of y"):
        full.compare_lr_test(fit(frame.iloc[1:], groups="district"))
    with pytest.raises(DataError, match="batch by batch"):
        full.compare_lr_test(two, "bootstrap", n=3)


def test_a_full_model_below_the_restricted_one_is_said():
    """Not nested, which no rule of X can see: other groups."""
    frame = datasets.load("konstantopoulos2011")
    pairs = frame.assign(pair=np.arange(56) // 2, odd=np.arange(56) % 7)
    full, other = fit(pairs, groups=["odd"], random="1 | pair"), fit(pairs, groups="district")
    with pytest.warns(MvmetaWarning, match="below that of the restricted one"):
        found = full.compare_lr_test(other)
    assert found.statistic == 0
    assert np.isnan(found.pvalue_boundary)


def test_refusals_say_what_differs(schools):
    full = fit(schools, groups="district/school")
    two = fit(schools, groups="district")
    ml = fit(schools, groups="district", reml=False)

    def refused(other, match, using=full):
        for call in (using.compare_lr_test, lambda r: compare(a=using, b=r)):
            with pytest.raises(SpecificationError, match=match):
                call(other)

    refused(ml, r"fitted by REML and .* by ML: fit both by the same criterion")
    refused(fit(schools.iloc[2:], groups="district"), r"has 56 rows and .* has 54 \(0, 1 only in")
    refused(
        fit(schools.assign(yi=schools["yi"] + 1), groups="district"),
        r"the response .* differs in 56 of 56 rows \(first in row 0: ",
    )
    other_v = schools["vi"].where(schools.index != 4, 9.0)
    refused(
        fit(schools.assign(vi=other_v), groups="district"),
        r"sampling variances .* differ in 1 rows \(first in row 4: .* and 9\)",
    )
    v = np.diag(schools["vi"])
    v[2, 3] = v[3, 2] = 0.01
    refused(fit(schools, groups="district", variance=v), r"covariances .* rows 2 and 3")
    weighted = fit(schools, groups="district", weights=np.ones(56))
    refused(weighted, "user weights")
    refused(
        fit(schools, "yi ~ 1", groups="district"),
        r"other fixed effects.*only .* has year: fit all with reml=False",
        fit(schools, "yi ~ year", groups="district/school"),
    )
    with pytest.raises(SpecificationError, match="fewer parameters: the restricted model has 3"):
        two.compare_lr_test(full)
    crossed = fit(schools, "yi ~ I(year > 1990)", "district", reml=False)
    with pytest.raises(SpecificationError, match="is not nested in"):
        fit(schools, "yi ~ year", "district/school", reml=False).compare_lr_test(crossed)
    with pytest.raises(SpecificationError, match="asymptotic, bootstrap"):
        full.compare_lr_test(two, "exact")
    with pytest.raises(SpecificationError, match="number of replicates"):
        full.compare_lr_test(two, "bootstrap", n=0)
    with pytest.raises(SpecificationError, match="two models or more"):
        compare(full)
    with pytest.raises(SpecificationError, match="criterion= takes one of"):
        compare(full, two, criterion="cp")
    with pytest.raises(SpecificationError, match="a: takes the results"):
        compare(a=1, b=full)
