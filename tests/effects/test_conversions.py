"""Conversions of what studies report, against the statistics they were made from."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import (
    MvmetaWarning,
    SpecificationError,
    conv_2x2,
    conv_fivenum,
    conv_sd,
    conv_wald,
    escalc,
)

TABLES = np.array([[12, 8, 5, 30], [3, 40, 9, 31], [1, 19, 2, 18], [25, 25, 25, 25], [7, 1, 6, 90]])


def margins():
    a, b, c, d = TABLES.T
    return {"ni": a + b + c + d, "n1i": a + b, "n2i": a + c}


def statistics():
    a, b, c, d = TABLES.T.astype(float)
    product = np.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    chi2 = np.array([stats.chi2_contingency(t.reshape(2, 2), correction=False)[0] for t in TABLES])
    return {
        "ori": a * d / (b * c),
        "ri": (a * d - b * c) / product,
        "x2i": np.sign(a * d - b * c) * chi2,
    }


@pytest.mark.parametrize("name", ["ori", "ri", "x2i"])
def test_tables_come_back(name):
    found = conv_2x2(**{name: statistics()[name]}, **margins(), correct=False)
    np.testing.assert_array_equal(found.to_numpy(), TABLES)


def test_tables_come_back_from_yates_chi_square():
    a, b, c, d = TABLES.T.astype(float)
    n = a + b + c + d
    kept = np.abs(a * d - b * c) > n / 2  # where the correction is not cut off at 0
    table = (np.abs(a * d - b * c) - n / 2) ** 2 * n
    chi2 = table / ((a + b) * (c + d) * (a + c) * (b + d))
    found = conv_2x2(x2i=np.sign(a * d - b * c) * chi2, **margins())
    np.testing.assert_array_equal(found.to_numpy()[kept], TABLES[kept])


def test_each_row_uses_what_it_has_and_keeps_what_it_had():
    s = {k: v.copy() for k, v in statistics().items()}
    s["ori"][1:], s["ri"][:1], s["x2i"][:] = np.nan, np.nan, np.nan
    own = pd.DataFrame({"ai": [np.nan, 99], "bi": [np.nan, 98], "ci": 97, "di": 96})
    frame = pd.DataFrame(margins() | s).join(own)
    names = {k: k for k in (*s, "ni", "n1i", "n2i")}
    with pytest.warns(MvmetaWarning, match="row 0: ci was 97, is "):
        found = conv_2x2(**names, data=frame)
    np.testing.assert_array_equal(found["ai"], [12, 99, 1, 25, 7])
    np.testing.assert_array_equal(found["ci"], [TABLES[0, 2], 97, *TABLES[2:, 2]])
    again = conv_2x2(**names, data=frame, replace="all")
    np.testing.assert_array_equal(again["ai"], TABLES[:, 0])
    some = conv_2x2(**names, data=frame.drop(columns=own), include=[0, 2], append=False)
    assert some["bi"].isna().tolist() == [False, True, False, True, True]


def test_tables_with_an_empty_cell_by_odds_ratio():
    found = conv_2x2(ori=[0.0, np.inf, 0.0], ni=[40] * 3, n1i=[20, 20, 30], n2i=[20, 20, 25])
    want = [[0, 20, 20, 0], [20, 0, 0, 20], [15, 15, 10, 0]]
    np.testing.assert_array_equal(found, want)


def test_tables_that_do_not_exist():
    bad = {"ori": [2.0, 2.0, -1.0], "ni": [20, 20, 20], "n1i": [25, 10, 10], "n2i": [10, 10, 10]}
    with pytest.warns(MvmetaWarning, match="2 of 3 rows have no table.*row 0: n1i is above ni"):
        found = conv_2x2(**bad)
    assert found["ai"].isna().tolist() == [True, False, True]
    with pytest.warns(MvmetaWarning, match="no table with these margins"):
        conv_2x2(ri=[0.95], ni=[20], n1i=[5], n2i=[15])
    with pytest.raises(SpecificationError, match="needs ni, n1i and n2i"):
        conv_2x2(ori=[1.0], ni=[10])
    with pytest.raises(SpecificationError, match="replace="):
        conv_2x2(ori=[1.0], ni=[10], n1i=[5], n2i=[5], replace="never")


def test_intervals_and_tests_give_the_variance_they_were_made_with():
    y, v = np.array([0.3, -0.5, 1.2]), np.array([0.04, 0.09, 0.01])
    se = np.sqrt(v)
    z = stats.norm.ppf(0.975)
    for given in (
        {"ci_lb": y - z * se, "ci_ub": y + z * se},
        {"out": y, "zval": y / se},
        {"out": y, "pval": 2 * stats.norm.sf(np.abs(y) / se)},
    ):
        found = conv_wald(**given)
        np.testing.assert_allclose(found["yi"], y, rtol=1e-12)
        np.testing.assert_allclose(found["vi"], v, rtol=1e-9)
    half = stats.norm.ppf(0.95) * se
    np.testing.assert_allclose(
        conv_wald(out=y, ci_lb=y - half, ci_ub=y + half, level=90)["vi"], v, rtol=1e-9
    )


def test_intervals_by_t_and_on_the_logarithm():
    y, se, n = np.array([0.3, -0.5]), np.array([0.2, 0.3]), np.array([12, 25])
    half = stats.t.ppf(0.975, n - 1) * se
    found = conv_wald(out=y, ci_lb=y - half, ci_ub=y + half, n=n)
    np.testing.assert_allclose(found["vi"], se**2, rtol=1e-12)
    p = 2 * stats.t.sf(np.abs(y) / se, n - 1)
    np.testing.assert_allclose(conv_wald(out=y, pval=p, n=n)["vi"], se**2, rtol=1e-9)
    effects = escalc("OR", ai=[12, 7], bi=[88, 33], ci=[20, 9], di=[80, 31])
    z = stats.norm.ppf(0.975)
    ratio, low, high = (np.exp(effects["yi"] + k * np.sqrt(effects["vi"])) for k in (0, -z, z))
    found = conv_wald(out=ratio, ci_lb=low, ci_ub=high, transf=np.log)
    np.testing.assert_allclose(found, effects, rtol=1e-9)


def test_odd_intervals_are_said():
    with pytest.warns(MvmetaWarning, match="1 of 2 rows look odd: row 1: is not near the middle"):
        found = conv_wald(out=[0.5, 0.5], ci_lb=[0.0, 0.25], ci_ub=[1.0, 1.0])
    assert found["vi"].notna().all()
    with pytest.warns(MvmetaWarning, match="row 0: ci_lb is not below ci_ub; row 1: lacks"):
        found = conv_wald(ci_lb=[1.0, np.nan], ci_ub=[0.0, 1.0])
    assert found["vi"].isna().all()
    with pytest.warns(MvmetaWarning, match="pval is not between 0 and 1"):
        conv_wald(out=[0.1], pval=[1.5])
    with pytest.raises(SpecificationError, match="ci_lb and ci_ub, or out with zval or pval"):
        conv_wald(out=[0.1], n=[10])
    with pytest.raises(SpecificationError, match="level="):
        conv_wald(ci_lb=[0.0], ci_ub=[1.0], level=5)


def test_only_what_is_missing_is_filled():
    frame = pd.DataFrame(
        {"yi": [0.1, np.nan], "vi": [0.2, np.nan], "lo": [np.nan, 0.0], "hi": [np.nan, 1.0]}
    )
    found = conv_wald(ci_lb="lo", ci_ub="hi", data=frame)
    assert found["yi"].tolist() == [0.1, 0.5]
    assert found["vi"].iloc[0] == 0.2


def quantiles(n):
    """Expected order statistics of a standard normal sample, by Blom's approximation."""
    q = np.array([1.0, 0.25 * n + 0.75, 0.5 * n + 0.5, 0.75 * n + 0.25, n])
    return stats.norm.ppf((q - 0.375) / (n + 0.25))


@pytest.mark.parametrize("which", [("min", "max"), ("q1", "q3"), ("min", "q1", "q3", "max")])
@pytest.mark.parametrize("n", [25, 101, 1001])
def test_five_numbers_of_a_normal_sample(which, n):
    """Where all order statistics are where they are expected."""
    values = dict(zip(("min", "q1", "median", "q3", "max"), 10 + 2 * quantiles(n), strict=True))
    given = {k: values[k] for k in (*which, "median")}
    found = conv_fivenum(n=n, **{k: [v] for k, v in given.items()})
    assert found["mean"].iloc[0] == pytest.approx(10.0)
    assert found["sd"].iloc[0] == pytest.approx(2.0)


def test_formulas_by_hand():
    """Luo et al. (2018), eqs 7, 11, 15; Wan et al. (2014), eqs 9, 16; Shi et al. (2020)."""
    n, (low, q1, m, q3, high) = 40, (2.0, 8.0, 10.0, 13.0, 21.0)
    xi = 2 * stats.norm.ppf((n - 0.375) / (n + 0.25))
    eta = 2 * stats.norm.ppf((0.75 * n - 0.125) / (n + 0.25))
    w = 4 / (4 + n**0.75)
    first = conv_fivenum(min=[low], median=[m], max=[high], n=[n], test=False)
    np.testing.assert_allclose(first.iloc[0], [w * 11.5 + (1 - w) * m, 19 / xi])
    w = 0.7 + 0.39 / n
    second = conv_fivenum(q1=[q1], median=[m], q3=[q3], n=[n])
    np.testing.assert_allclose(second.iloc[0], [w * 10.5 + (1 - w) * m, 5 / eta])
    w1, w2, w3 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55, 1 / (1 + 0.07 * n**0.6)
    third = conv_fivenum(min=[low], q1=[q1], median=[m], q3=[q3], max=[high], n=[n])
    mean = w1 * 11.5 + w2 * 10.5 + (1 - w1 - w2) * m
    np.testing.assert_allclose(third.iloc[0], [mean, w3 * 19 / xi + (1 - w3) * 5 / eta])


def test_log_normal():
    n = 200
    values = dict(zip(("min", "q1", "median", "q3", "max"), 1 + 0.5 * quantiles(n), strict=True))
    given = {k: [np.exp(v)] for k, v in values.items()}
    logs = conv_fivenum(n=n, dist="lnorm", transf=False, **given)
    np.testing.assert_allclose(logs.iloc[0], [1.0, 0.5])
    s2 = logs["sd"].iloc[0] ** 2
    found = conv_fivenum(n=n, dist="lnorm", **given)
    mean = np.exp(logs["mean"].iloc[0] + s2 / 2)
    np.testing.assert_allclose(found.iloc[0], [mean, mean * np.sqrt(np.exp(s2) - 1)])


def test_doubtful_and_impossible_numbers_are_said():
    with pytest.warns(MvmetaWarning, match="look skewed"):
        conv_fivenum(q1=[9.9], median=[10.0], q3=[20.0], n=[200])
    with pytest.warns(MvmetaWarning, match="row 0: q1 is above median; row 1: n is less than 5"):
        found = conv_fivenum(q1=[11.0, 8.0], median=[10.0, 10.0], q3=[12.0, 12.0], n=[50, 4])
    assert found["sd"].isna().all()
    with pytest.warns(MvmetaWarning, match="is not positive"):
        conv_fivenum(q1=[-1.0], median=[10.0], q3=[12.0], n=[50], dist="lnorm")
    with pytest.raises(SpecificationError, match="needs n and median"):
        conv_fivenum(q1=[1.0], q3=[2.0], n=[50])
    with pytest.raises(SpecificationError, match="dist="):
        conv_fivenum(q1=[1.0], median=[1.5], q3=[2.0], n=[50], dist="gamma")


SDS = np.array([2.5, 11.0, 0.4])


@pytest.mark.parametrize("second", [None, np.array([20.0, 9.0, np.nan])])
@pytest.mark.parametrize("dist", ["t", "norm"])
def test_standard_deviations_come_back(second, dist):
    """From the error, interval and tests of one mean, and of a difference where there are two."""
    n, mean = np.array([25.0, 8.0, 140.0]), np.array([1.2, -7.0, 0.1])
    two = np.zeros(3, bool) if second is None else ~np.isnan(second)
    other = np.where(two, 0.0 if second is None else np.nan_to_num(second), 0.0)
    se = SDS * np.sqrt(1 / n + np.divide(1, other, out=np.zeros(3), where=two))
    df = n - 1 + np.where(two, other - 1, 0)
    t = stats.t(df) if dist == "t" else stats.norm()
    half = t.ppf(0.95) * se
    sizes = {"n": n} if second is None else {"n": n, "n2": second}
    for given in (
        {"sei": se},
        {"ci_lb": mean - half, "ci_ub": mean + half, "level": 90},
        {"out": mean, "tval": mean / se},
        {"out": mean, "pval": 2 * t.sf(np.abs(mean) / se)},
    ):
        found = conv_sd(**sizes, **given, dist=dist)
        np.testing.assert_allclose(found["sd"], SDS, rtol=1e-8)


@pytest.mark.parametrize("which", [("min", "max"), ("q1", "q3"), ("min", "q1", "q3", "max")])
def test_standard_deviations_from_quartiles_and_ranges(which):
    values = dict(zip(("min", "q1", "median", "q3", "max"), 10 + 2 * quantiles(60), strict=True))
    found = conv_sd(n=60, **{k: [values[k]] for k in which})
    assert found["sd"].iloc[0] == pytest.approx(2.0)
    whole = conv_fivenum(n=60, median=[values["median"]], **{k: [values[k]] for k in which})
    assert found["sd"].iloc[0] == whole["sd"].iloc[0]


def test_each_row_uses_what_it_has_for_its_standard_deviation():
    frame = pd.DataFrame(
        {
            "n": [16, 16, 16, 16, 16, 1],
            "se": [0.5, np.nan, np.nan, np.nan, np.nan, 0.5],
            "m": [np.nan, 3.0, 3.0, np.nan, np.nan, np.nan],
            "t": [np.nan, 6.0, np.nan, np.nan, np.nan, np.nan],
            "lo": [1.0, np.nan, np.nan, 2.0, np.nan, np.nan],
            "hi": [9.0, np.nan, np.nan, 1.0, np.nan, np.nan],
            "sd": [np.nan, np.nan, np.nan, np.nan, 7.0, np.nan],
        },
        index=list("abcdef"),
    )
    told = "row c: lacks what .*; row d: ci_lb is not below ci_ub; row f: n is less than 2"
    with pytest.warns(MvmetaWarning, match=f"conv_sd: 3 of 6 rows have no .*{told}"):
        found = conv_sd(
            n="n", sei="se", out="m", tval="t", ci_lb="lo", ci_ub="hi", data=frame, level=95
        )
    np.testing.assert_allclose(found["sd"], [2.0, 2.0, np.nan, np.nan, 7.0, np.nan])


def test_impossible_standard_deviations():
    with pytest.warns(MvmetaWarning, match="row 0: sei is not positive"):
        conv_sd(n=[9], sei=[0.0])
    with pytest.warns(MvmetaWarning, match=r"pval is not in \(0, 1\]"):
        conv_sd(n=[9], out=[1.0], pval=[0.0])
    with pytest.warns(MvmetaWarning, match="row 0: q1 is above q3; row 1: lacks"):
        conv_sd(n=[9, 4], q1=[3.0, 1.0], q3=[2.0, 2.0])
    with pytest.warns(MvmetaWarning, match="lacks what"):  # p = 1: the difference is 0
        conv_sd(n=[9], out=[0.0], pval=[1.0])
    with pytest.raises(SpecificationError, match="conv_sd needs n, and sei"):
        conv_sd(n=[9], q1=[1.0])
    with pytest.raises(SpecificationError, match="dist="):
        conv_sd(n=[9], sei=[1.0], dist="z")


def test_an_estimate_outside_the_domain_of_its_transformation():
    with pytest.warns(MvmetaWarning, match="row 0: transf of out is not finite"):
        found = conv_wald(out=[-0.5, 0.5], ci_lb=[0.4, 0.4], ci_ub=[0.6, 0.625], transf=np.log)
    assert found["yi"].isna().tolist() == [True, False]
    with pytest.warns(MvmetaWarning, match="row 0: out is not finite"):
        conv_wald(out=[np.inf], zval=[2.0])
    with pytest.raises(SpecificationError, match=r"transf= takes a function such as numpy\.log"):
        conv_wald(out=[0.5], zval=[2.0], transf="log")


def test_numbers_without_spread_have_no_standard_deviation():
    with pytest.warns(MvmetaWarning, match="row 0: shows no spread"):
        found = conv_fivenum(q1=[3, 2], median=[3, 3], q3=[3, 4], n=[30, 30])
    assert found.isna().all(axis=1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("function", "given", "count"),
    [
        (conv_wald, {"out": [0.5], "zval": [2.0]}, "two"),
        (conv_fivenum, {"q1": [8], "median": [10], "q3": [13], "n": [60]}, "two"),
        (conv_2x2, {"ori": [2.0], "ni": [40], "n1i": [20], "n2i": [20]}, "four"),
    ],
)
def test_names_of_the_new_columns(function, given, count):
    for names in (("a",), ("a", "a", "b", "c"), "ab", ("a", "b", "c", "d", "e")):
        with pytest.raises(SpecificationError, match=f"takes {count} names that differ"):
            function(**given, var_names=names)
    with pytest.raises(SpecificationError, match="append= takes True or False, got 'no'"):
        function(**given, append="no")
