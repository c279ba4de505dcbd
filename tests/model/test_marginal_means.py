"""Marginal means and comparisons against emmeans; degrees of freedom against t_test."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mvmeta import DataError, MetaMixedLM, MvmetaWarning, Random, SpecificationError
from mvmeta.inference.coefficients.multiplicity import METHODS, Family, adjusted, critical

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "marginal_means.json"
CELLS = "yi ~ outcome * design + x"

# Two algorithms for the distribution of the studentized range.
TUKEY = 1e-6
# ptukey of R is a quadrature accurate to 1e-10; qtukey searches to 1e-4 by default.
TUKEY_QUANTILE = 2e-4
SAME = 1e-8


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@cache
def frame():
    return pd.DataFrame(reference()["data"])


@cache
def fitted(formula=CELLS, **options):
    groups = Random("1 | study/id", fixed={"sigma2": reference()["sigma2"]})
    model = MetaMixedLM.from_formula(formula, frame(), variance="vi", random=groups)
    return model.fit(**(options or {"use_t": True}))


@cache
def with_empty_cell():
    data = frame().iloc[reference()["empty_cell"]["rows"]]
    groups = Random("1 | study/id", fixed={"sigma2": reference()["sigma2"]})
    with pytest.warns(MvmetaWarning, match="dropped a column"):
        model = MetaMixedLM.from_formula(CELLS, data, variance="vi", random=groups)
    return model.fit(use_t=True)


def numbers(values):
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def assert_means(ours, want):
    levels = [n for n in want if n not in {"mean", "se", "df", "lower", "upper", "1"}]
    table = ours.summary_frame()
    if levels:
        keys = zip(*(map(str, want[n]) for n in levels), strict=True)
        names = ["/".join(map(str, k if isinstance(k, tuple) else (k,))) for k in table.index]
        table = table.set_axis(names).loc[["/".join(k) for k in keys]]
    pairs = {
        "mean": "mean",
        "mean_se": "se",
        "df": "df",
        "mean_ci_lower": "lower",
        "mean_ci_upper": "upper",
    }
    for name, theirs in pairs.items():
        np.testing.assert_allclose(table[name], numbers(want[theirs]), rtol=SAME, err_msg=name)


@pytest.mark.parametrize(
    ("key", "specs", "options"),
    [
        ("equal", "outcome", {}),
        ("proportional", "outcome", {"weights": "proportional"}),
        ("cells", "outcome", {"weights": "cells"}),
        ("overall", None, {"weights": "proportional"}),
        ("both", ["outcome", "design"], {}),
        ("at", ["design", "x"], {"at": {"x": [-1, 2]}}),
    ],
)
def test_means_are_those_of_emmeans(key, specs, options):
    assert_means(fitted().marginal_means(specs, **options), reference()["means"][key])


@pytest.mark.parametrize("i", range(8))
def test_pairwise_differences_are_those_of_emmeans(i):
    want = reference()["pairs"][i]
    got = fitted().marginal_means("outcome").pairwise(want["adjust"].lower())
    table = got.summary_frame()
    assert list(table.index) == ["B - A", "C - A", "C - B"]
    loose = TUKEY if want["adjust"] == "tukey" else SAME
    np.testing.assert_allclose(table["estimate"], want["estimate"], rtol=SAME)
    np.testing.assert_allclose(table["se"], want["se"], rtol=SAME)
    np.testing.assert_allclose(table["statistic"], want["t"], rtol=SAME)
    np.testing.assert_allclose(table["pvalue"], want["p"], rtol=loose)
    if "lower" in want:
        loose = TUKEY_QUANTILE if want["adjust"] == "tukey" else SAME
        np.testing.assert_allclose(table["ci_lower"], want["lower"], rtol=loose)
        np.testing.assert_allclose(table["ci_upper"], want["upper"], rtol=loose)


def test_differences_within_levels_of_another_factor():
    want = reference()["pairs_by"]
    got = fitted().marginal_means("outcome", by="design").pairwise("tukey").summary_frame()
    assert got.index.names == ["design", "contrast"]
    assert got.index[0] == ("cohort", "B - A")
    np.testing.assert_allclose(got["estimate"], want["estimate"], rtol=SAME)
    np.testing.assert_allclose(got["pvalue"], want["p"], rtol=TUKEY)
    np.testing.assert_allclose(got["ci_upper"], want["upper"], rtol=TUKEY_QUANTILE)


@pytest.mark.parametrize("family", ["reference", "consecutive", "effects"])
def test_named_contrasts_are_those_of_emmeans(family):
    want = reference()["families"][family]
    got = fitted().marginal_means("outcome").contrast(family).summary_frame()
    for ours, theirs in (("estimate", "estimate"), ("se", "se"), ("pvalue", "p")):
        np.testing.assert_allclose(got[ours], want[theirs], rtol=SAME)


def test_equality_of_all_means():
    want = reference()["joint"]
    got = fitted().marginal_means("outcome").joint_test().loc["all"]
    expected = [want["F"], want["df1"], want["df2"], want["p"]]
    np.testing.assert_allclose(got[["statistic", "df", "df_denom", "pvalue"]], expected, rtol=SAME)
    within = fitted().marginal_means("outcome", by="design").joint_test()
    assert list(within.index) == ["cohort", "rct"]
    weights = fitted().marginal_means("outcome", by="design").weights.loc["rct"].to_numpy()
    f = fitted().f_test(np.diff(weights, axis=0))
    assert within.loc["rct", "statistic"] == pytest.approx(f.statistic, rel=1e-10)


def test_slopes_are_differences_of_means_one_unit_apart():
    want = reference()["slopes"]
    res = fitted("yi ~ outcome * x + design")
    got = res.marginal_means("x", by="outcome", at={"x": [0, 1]}).pairwise("none").summary_frame()
    assert got.index[0] == ("A", "1 - 0")
    np.testing.assert_allclose(got["estimate"], want["estimate"], rtol=SAME)
    np.testing.assert_allclose(got["se"], want["se"], rtol=SAME)


@pytest.mark.parametrize(
    ("key", "specs", "options"),
    [
        ("outcome", "outcome", {}),
        ("cells", "outcome", {"weights": "cells"}),
        ("design", "design", {}),
        ("both", ["outcome", "design"], {}),
    ],
)
def test_an_empty_cell_makes_the_means_nan_that_emmeans_calls_not_estimable(key, specs, options):
    want = reference()["empty_cell"][key]
    got = with_empty_cell().marginal_means(specs, **options)
    assert_means(got, want)
    lost = [v is None for v in want["mean"]]
    said = [n for n in got.notes if "do not determine" in n]
    assert bool(said) == any(lost)
    if key == "both":
        assert "outcome=C, design=rct" in said[0]
        assert "outcome[T.C]:design[T.rct], left out" in said[0]
        assert "do not determine" in repr(got)


def test_comparisons_with_a_mean_that_is_not_estimable():
    res = with_empty_cell()
    for adjust in METHODS:
        got = res.marginal_means("outcome").pairwise(adjust).summary_frame()
        assert list(got["pvalue"].isna()) == [False, True, True]
        assert list(got["ci_lower"].isna()) == [False, True, True]
        # One comparison is left: nothing to adjust.
        unadjusted = res.marginal_means("outcome").pairwise("none").summary_frame()
        np.testing.assert_allclose(got["pvalue"], unadjusted["pvalue"], rtol=1e-6)
    assert np.isnan(res.marginal_means("design").joint_test().loc["all", "statistic"])
    assert res.marginal_means("outcome").joint_test().loc["all", "df"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_t": True},
        {"df": "contain"},
        {"df": "satterthwaite"},
        {"df": "kenward-roger"},
        {"cov_type": "CR2"},
        {"cov_type": "knha", "use_t": True},
    ],
)
def test_covariance_and_df_are_those_of_the_fit(options):
    model = MetaMixedLM.from_formula(CELLS, frame(), variance="vi", groups="study/id")
    res = model.fit(**options)
    means = res.marginal_means("outcome")
    test, table = res.t_test(means.weights.to_numpy()), means.summary_frame()
    np.testing.assert_allclose(table["mean"], test.effect, rtol=1e-10)
    np.testing.assert_allclose(table["mean_se"], test.sd.ravel(), rtol=1e-10)
    np.testing.assert_allclose(table[["mean_ci_lower", "mean_ci_upper"]], test.conf_int())
    np.testing.assert_allclose(means.test()["pvalue"], test.pvalue, rtol=1e-10)
    pairs = means.pairwise("none")
    test = res.t_test(pairs.weights.to_numpy())
    np.testing.assert_allclose(pairs.summary_frame()["pvalue"], test.pvalue, rtol=1e-10)
    if options:
        df = np.broadcast_to(test.df_denom, 3)
        np.testing.assert_allclose(pairs.summary_frame()["df"], df, rtol=1e-10)


def test_pairwise_agrees_with_t_test_pairwise():
    """statsmodels' method, where there is nothing to average over."""
    res = fitted("yi ~ C(outcome) - 1")
    for method in ("holm", "hs", "fdr_bh"):
        ours = res.marginal_means("C(outcome)").pairwise(method).summary_frame()
        theirs = res.t_test_pairwise("C(outcome)", method=method).result_frame
        np.testing.assert_allclose(ours["estimate"], theirs["coef"], rtol=1e-10)
        np.testing.assert_allclose(ours["pvalue"], theirs[f"pvalue-{method}"], rtol=1e-10)


def test_contrasts_of_ones_own():
    means = fitted().marginal_means("outcome")
    by_level = means.contrast({"B or C against A": {"A": -1, "B": 0.5, "C": 0.5}, "A": {"A": 1}})
    by_place = means.contrast({"B or C against A": [-1, 0.5, 0.5], "A": [1, 0, 0]})
    pd.testing.assert_frame_equal(by_level.summary_frame(), by_place.summary_frame())
    assert list(by_level.summary_frame().index) == ["B or C against A", "A"]
    mean = means.summary_frame()["mean"]
    first = by_level.summary_frame()["estimate"].iloc[0]
    assert first == pytest.approx((mean["B"] + mean["C"]) / 2 - mean["A"], rel=1e-12)
    both = fitted().marginal_means(["outcome", "design"])
    cell = both.contrast({"d": {("A", "rct"): 1, ("A", "cohort"): -1}}).summary_frame()
    frame_ = both.summary_frame()["mean"]
    want = frame_[("A", "rct")] - frame_[("A", "cohort")]
    assert cell["estimate"].iloc[0] == pytest.approx(want, rel=1e-12)


def test_prediction_intervals_of_a_new_effect_at_each_level():
    """The variance of its level where the model has one for each; none over several of these."""
    inner = Random("outcome | study", struct="DIAG", fixed={"tau2": [0.1, 0.2, 0.3]})
    res = MetaMixedLM.from_formula("yi ~ outcome + design", frame(), variance="vi", random=inner)
    res = res.fit()
    got = res.marginal_means("outcome").summary_frame()
    z = stats.norm.isf(0.025)
    half = z * np.sqrt(got["mean_se"] ** 2 + [0.1, 0.2, 0.3])
    np.testing.assert_allclose(got["obs_ci_upper"] - got["mean"], half, rtol=1e-12)
    over = res.marginal_means("design").summary_frame()
    assert over["obs_ci_upper"].isna().all()
    assert over["mean_ci_upper"].notna().all()
    at = res.marginal_means("design", at={"outcome": "B"}).summary_frame()
    half = z * np.sqrt(at["mean_se"] ** 2 + 0.2)
    np.testing.assert_allclose(at["obs_ci_upper"] - at["mean"], half, rtol=1e-12)


def test_numeric_factors_booleans_and_transforms_of_moderators():
    data = frame().assign(dose=np.tile([1, 2, 4], 20), flag=np.arange(60) % 7 < 3)
    model = MetaMixedLM.from_formula(
        "yi ~ C(dose) + flag + center(x) + I(x ** 2)", data, variance="vi", groups="study"
    )
    res = model.fit()
    got = res.marginal_means("dose")
    assert list(got.index) == [1, 2, 4]
    x = data["x"].mean()
    new = pd.DataFrame({"dose": [1, 2, 4, 1, 2, 4], "flag": [True] * 3 + [False] * 3, "x": x})
    want = res.predict(new).to_numpy().reshape(2, 3).mean(axis=0)
    np.testing.assert_allclose(got.summary_frame()["mean"], want, rtol=1e-10)
    assert list(res.marginal_means("flag").index) == [False, True]


def test_means_on_another_scale():
    means = fitted().marginal_means("outcome")
    plain, ratio = means.summary_frame(), means.summary_frame(transform="exp")
    limits = ["mean", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
    np.testing.assert_allclose(ratio[limits], np.exp(plain[limits]), rtol=1e-12)
    pairs = means.pairwise("bonferroni")
    changed = pairs.summary_frame(transform=np.exp)
    limits = ["estimate", "ci_lower", "ci_upper"]
    np.testing.assert_allclose(changed[limits], np.exp(pairs.summary_frame()[limits]))
    np.testing.assert_allclose(changed["pvalue"], pairs.summary_frame()["pvalue"])
    with pytest.raises(SpecificationError, match="not monotone"):
        means.summary_frame(transform=np.square)


def test_tests_against_a_value():
    means = fitted().marginal_means("outcome")
    got = means.test(null=0.3, adjust="holm")
    t = (means.summary_frame()["mean"] - 0.3) / means.summary_frame()["mean_se"]
    np.testing.assert_allclose(got["statistic"], t, rtol=1e-12)
    raw = means.test(null=0.3)["pvalue"].to_numpy()
    assert got["pvalue"].iloc[raw.argmin()] == pytest.approx(3 * raw.min(), rel=1e-12)


def test_notes_on_interactions_and_adjustment():
    res = fitted()
    assert "outcome and design interact" in res.marginal_means("outcome").notes[0]
    assert res.marginal_means("outcome", by="design").notes == []
    assert fitted("yi ~ outcome + design").marginal_means("outcome").notes == []
    pairs = res.marginal_means("outcome").pairwise("holm")
    assert pairs.notes == ["P-values are adjusted by 'holm'; intervals are not adjusted."]
    assert "adjusted by 'holm'" in repr(pairs)
    assert res.marginal_means("design").pairwise("holm").notes == []


# -- adjustments -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bonferroni", "sidak", "holm", "holm-sidak", "bh", "by"])
def test_adjustments_are_those_of_statsmodels(method):
    from statsmodels.stats.multitest import multipletests

    t = np.array([0.3, 2.5, 1.9, -3.1, 2.0, -0.9])
    df = np.array([4.0, 9.0, np.inf, 12.0, 30.0, 7.0])
    theirs = {"bh": "fdr_bh", "by": "fdr_by"}.get(method, method)
    want = multipletests(2 * stats.t.sf(np.abs(t), df), method=theirs)[1]
    np.testing.assert_allclose(adjusted(t, df, method, Family(4, 3)), want, rtol=1e-12)
    np.testing.assert_allclose(adjusted(t, df, theirs, Family(4, 3)), want, rtol=1e-12)


@pytest.mark.parametrize("method", ["tukey", "scheffe", "bonferroni", "sidak", "none"])
@pytest.mark.parametrize("nu", [7.0, np.inf])
def test_intervals_touch_zero_where_p_is_alpha(method, nu):
    df, family = np.array([nu]), Family(4, 3)
    factor = critical(df, 0.05, method, family, 1)
    assert adjusted(factor, df, method, family)[0] == pytest.approx(0.05, rel=1e-5)


def test_two_means_leave_nothing_to_adjust():
    t, df = np.array([2.2]), np.array([11.0])
    plain = adjusted(t, df, "none", Family(2, 1))
    for method in METHODS:
        np.testing.assert_allclose(adjusted(t, df, method, Family(2, 1)), plain, rtol=1e-6)


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"specs": "outcom"}, r"specs: 'outcom' is no moderator.*did you mean 'outcome'"),
        ({"specs": "outcome", "by": "study"}, r"by=: 'study' is no moderator"),
        ({"specs": "outcome", "by": "outcome"}, "in specs and in by="),
        ({"specs": ["outcome", "C(outcome)"]}, "names a moderator twice"),
        ({"specs": "outcome", "weights": "rows"}, "it takes one of 'equal', 'proportional'"),
        ({"specs": "outcome", "at": {"y": 1}}, "at= names 'y', which is no moderator"),
        ({"specs": "outcome", "at": {"x": []}}, "at= gives no value for 'x'"),
        ({"specs": "outcome", "at": "x"}, "at= takes a mapping from moderators to values"),
        ({"specs": "x", "at": {"x": list(range(200_000))}}, "would have 1200000 combinations"),
    ],
)
def test_questions_that_cannot_be_answered(options, match):
    with pytest.raises(SpecificationError, match=match):
        fitted().marginal_means(**options)


def test_levels_that_do_not_occur():
    with pytest.raises(DataError, match=r"level 'D' of 'outcome'.*known levels: 'A', 'B', 'C'"):
        fitted().marginal_means("outcome", at={"outcome": ["A", "D"]})


@pytest.mark.parametrize("value", ["high", [0, np.nan], None])
def test_values_that_are_no_numbers(value):
    with pytest.raises(DataError, match="at= needs numbers for the moderator 'x', got"):
        fitted().marginal_means("outcome", at={"x": value})


@pytest.mark.parametrize("null", ["a", np.nan, None])
def test_null_hypotheses_that_are_no_numbers(null):
    with pytest.raises(SpecificationError, match="null= takes the number to test against"):
        fitted().marginal_means("outcome").test(null)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ("polynomial", "has no meaning; there are 'pairwise'"),
        ({"d": [1, -1]}, "needs a number for each of the 3 means A, B, C"),
        ({"d": {"A": 1, "D": -1}}, "there is no mean 'D'; there are A, B, C"),
        ({"d": [0, 0, 0]}, "not all 0"),
        ({"d": ["A", 0, 1]}, "contrast 'd' needs numbers for weights"),
        ({"d": {"A": "one"}}, "contrast 'd' needs numbers for weights, got 'one'"),
        ({}, "or a mapping from names"),
    ],
)
def test_contrasts_that_do_not_exist(weights, match):
    with pytest.raises(SpecificationError, match=match):
        fitted().marginal_means("outcome").contrast(weights)


def test_adjustments_that_do_not_exist_or_do_not_fit():
    means = fitted().marginal_means("outcome")
    with pytest.raises(SpecificationError, match="unknown adjust='tuckey'; takes one of 'none'"):
        means.pairwise("tuckey")
    for ask in (lambda: means.contrast("effects", "tukey"), lambda: means.test(adjust="tukey")):
        with pytest.raises(SpecificationError, match="for all pairwise differences"):
            ask()


def test_models_without_a_formula_or_without_data():
    data = frame()
    arrays = MetaMixedLM(data["yi"], None, data["vi"]).fit()
    with pytest.raises(SpecificationError, match="built from arrays"):
        arrays.marginal_means()
    res = MetaMixedLM.from_formula(
        "yi ~ outcome * design + x", data, variance="vi", groups="study"
    ).fit()
    at = {"x": 0.5}
    want = res.marginal_means("outcome", at=at).summary_frame()
    batched = MetaMixedLM.from_batches(
        "yi ~ outcome * design + x", lambda: iter([data]), variance="vi", groups="study"
    ).fit()
    res.remove_data()
    pd.testing.assert_frame_equal(res.marginal_means("outcome", at=at).summary_frame(), want)
    got = batched.marginal_means("outcome", at=at).summary_frame()
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for without in (res, batched):
        with pytest.raises(DataError, match=r"hold none of them; say where with at=\{'x': value"):
            without.marginal_means("outcome")
        with pytest.raises(DataError, match="take weights='equal'"):
            without.marginal_means("outcome", at=at, weights="cells")
    new = pd.DataFrame({"outcome": ["A"], "design": ["rct"], "x": [0.0], "study": [1]})
    with pytest.raises(DataError, match="reads its rows batch by batch"):
        batched.get_prediction(new, given="study")


def test_an_intercept_alone_has_one_mean():
    res = MetaMixedLM.from_formula("yi ~ 1", frame(), variance="vi", groups="study").fit()
    got = res.marginal_means().summary_frame()
    assert list(got.index) == ["all"]
    assert got["mean"].iloc[0] == pytest.approx(res.params.iloc[0])
    assert len(res.marginal_means().pairwise().summary_frame()) == 0
