"""Where estimates come from, as users see it: the founding example and the rules for rows."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from mvmeta import (
    DataError,
    MetaMixedLM,
    MvmetaWarning,
    SamplingCovariance,
    SpecificationError,
    datasets,
)
from mvmeta.model.evidence.evidence import Evidence
from mvmeta.model.evidence.families import families
from mvmeta.model.evidence.sentences import percent
from mvmeta.model.evidence.studies import indefinite, studies
from mvmeta.model.evidence.weight_sentences import weights_text
from mvmeta.model.evidence.weight_tables import contributions_frame, weights_frame
from mvmeta.model.preparation.study_weights import study_weights

COLUMNS = [
    "joint",
    "joint_se",
    "direct",
    "direct_se",
    "shift",
    "shift_se",
    "shift_z",
    "shift_p",
    "borrowed",
    "n_rows",
    "n_groups",
    "weight_outside",
    "within",
    "between",
]

FOUNDING_SENTENCES = [
    "A is seen in 2 studies of 2: its own rows alone give 10, and no other row changes that.",
    "B is seen in 2 studies of 2: its own rows alone give 15, and no other row changes that.",
    "C is seen in 1 study of 2 (Study 1): its own rows alone give 10, all rows together 19.9975, "
    "a shift of +9.9975, because the effects of Study 1 in A and B lie about 10 below average; "
    "50 % of what is known about C is borrowed from other rows.",
]


@cache
def fit(formula, data="toy", variance="Variance", groups="Study", **kwargs):
    frame = mixed() if data == "mixed" else datasets.load(data)
    return MetaMixedLM.from_formula(
        formula, frame, variance=variance, groups=groups, **kwargs
    ).fit()


def evidence(res, *args, **kwargs):
    return Evidence(res.fit_, res.model.prepared, res._inference.basis, *args, **kwargs)


@cache
def mixed():
    """Two factors and a moderator in eight studies."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "study": np.repeat(np.arange(8), 6),
            "a": rng.choice(list("xyz"), 48),
            "b": rng.choice(["u", "w"], 48),
            "q": rng.normal(size=48),
            "y": rng.normal(size=48),
            "v": rng.uniform(0.1, 1.0, 48),
        }
    )


def mixed_fit(formula):
    return fit(formula, "mixed", "v", "study")


# --- the founding example -----------------------------------------------------------------


# REML has sigma2 = 199.95 and v = 0.1; C alone has variance sigma2 + v = 200.05, and all rows
# together leave s + v - s^2 / (2 s + v) = 100.1, with s = sigma2; see the README for the rest.
def test_the_founding_table():
    frame = evidence(fit("d ~ C(Category) - 1")).frame
    assert list(frame.columns) == COLUMNS
    assert list(frame.index) == ["Category[A]", "Category[B]", "Category[C]"]
    c = frame.loc["Category[C]"]
    assert c["joint"] == pytest.approx(19.9975, abs=5e-7)
    assert c["direct"] == pytest.approx(10.0, rel=1e-12)
    assert c["direct_se"] ** 2 == pytest.approx(200.05, rel=1e-7)
    assert c["joint_se"] ** 2 == pytest.approx(100.1, rel=1e-6)
    assert c["shift"] == pytest.approx(9.9975, abs=5e-7)
    assert c["shift_se"] ** 2 == pytest.approx(200.05 - 100.1, rel=1e-5)
    assert c["borrowed"] == pytest.approx(1 - 100.1 / 200.05, rel=1e-5)
    assert (c["n_rows"], c["n_groups"]) == (1, 1)
    assert (frame.loc["Category[A]":"Category[B]", "borrowed"] == 0).all()


def test_the_founding_sentences_word_for_word():
    assert list(evidence(fit("d ~ C(Category) - 1")).sentences) == FOUNDING_SENTENCES


def test_the_founding_comparison_word_for_word():
    got = evidence(fit("d ~ C(Category) - 1"), "Category[C] - Category[A]")
    assert got.sentences.iloc[0] == (
        "Category[C] - Category[A] is compared within 1 study of 2 (Study 1): its own rows alone "
        "give 10, all rows together 9.9975, a shift of -0.0025; 13 % of what is known about it is "
        "borrowed from other rows, and more than 99 % comes from comparisons within studies."
    )


def test_the_founding_contributions():
    got = evidence(fit("d ~ C(Category) - 1"))
    by_row = got.contributions()
    toy = datasets.load("toy")
    np.testing.assert_allclose(by_row @ toy["d"].to_numpy(), got.frame["joint"], rtol=1e-10)
    for level in "ABC":
        sums = by_row.T.groupby(toy["Category"].to_numpy()).sum().T
        want = [float(name == f"Category[{level}]") for name in sums.index]
        np.testing.assert_allclose(sums[level], want, atol=1e-10)
    by_study = got.contributions("study")
    assert list(by_study.columns) == [1, 2]
    np.testing.assert_allclose(by_study.sum(axis=1), 1.0, rtol=1e-10)
    np.testing.assert_allclose(by_study.loc["Category[C]"], [0.5, 0.5], atol=5e-4)


def test_the_summary_has_the_table_and_the_sentences():
    text = evidence(fit("d ~ C(Category) - 1")).summary()
    assert "19.9975" in text
    assert "50%" in text
    flat = " ".join(text.split())
    for sentence in FOUNDING_SENTENCES:
        assert sentence in flat
    assert str(evidence(fit("d ~ C(Category) - 1"))) == text


def test_the_founding_carriers_word_for_word():
    lines = evidence(fit("d ~ C(Category) - 1")).summary().split("\n")
    at = lines.index("Share of each study in what is known, and its signed weight:")
    assert lines[at + 1 :] == [
        "- A: Study 1 50 % (+0.50), Study 2 50 % (+0.50)",
        "- B: Study 1 50 % (+0.50), Study 2 50 % (+0.50)",
        "- C: Study 1 50 % (+0.50), Study 2 50 % (+0.50)",
    ]
    pairs = evidence(fit("d ~ C(Category) - 1"), "Category[C] - Category[A]").summary()
    assert pairs.endswith("Category[C] - Category[A]: Study 1 93 %, Study 2 7 %")


def test_carriers_are_shares_of_the_information_and_signed_weights():
    res = mixed_fit("y ~ C(a) + q")
    got = evidence(res)
    carriers = got.carriers()
    assert list(carriers.index.names) == ["estimate", "study"]
    np.testing.assert_allclose(carriers["share"].groupby("estimate").sum(), 1.0, rtol=1e-10)
    wide = carriers["contribution"].unstack()
    pd.testing.assert_frame_equal(
        wide.loc[got.frame.index], got.contributions("study"), check_names=False
    )
    # independent studies: l'C (X_j'N_j X_j) C l / l'C l, from the definition
    data = mixed()
    one = (data["study"] == 3).to_numpy()
    m = np.diag(data["v"][one]) + res.sigma2[0]
    x, c = res.model.exog, np.asarray(res.cov_params())
    information = x[one].T @ np.linalg.inv(m) @ x[one]
    slope = np.eye(4)[3]
    want = slope @ c @ information @ c @ slope / c[3, 3]
    assert carriers.loc[("q", 3), "share"] == pytest.approx(want, rel=1e-9)


def test_rows_without_a_study_are_not_listed():
    text = evidence(fit("d ~ C(Category) - 1", groups=None)).summary()
    assert "Share of each" not in text


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 %"), (-0.004, "0 %"), (-0.02, "-2 %"), (0.004, "less than 1 %"), (1.0, "100 %")],
)
def test_shares_in_words(share, words):
    assert percent(share) == words


def test_studies_without_a_share_are_not_carriers():
    toy = datasets.load("toy")
    w = study_weights(toy["Variance"], toy["Study"])
    text = fit.__wrapped__("d ~ C(Category) - 1", weights=w).evidence_summary()
    # every mean is that of its own rows, and C is seen in study 1 only
    assert text.endswith("- C: Study 1 100 % (+1.00)")


def test_a_shift_of_next_to_nothing_has_no_reason():
    rng = np.random.default_rng(7)
    study = np.repeat(np.arange(12), 3)
    a = rng.choice(list("xyz"), 36)
    y = rng.normal(size=12)[study] + rng.normal(0, 0.2, 36)
    data = pd.DataFrame({"y": y, "v": 0.1, "study": study, "a": a})
    model = MetaMixedLM.from_formula("y ~ C(a) - 1", data, variance="v", groups="study")
    got = evidence(model.fit())
    shift = got.frame["shift"] / got.frame["joint_se"]
    # studies with y read low elsewhere and the shift is upwards, but by 0.02 standard errors
    assert 0 < shift["a[y]"] < 0.05
    assert "because" not in got.sentences["a[y]"]
    assert abs(shift["a[z]"]) > 0.05
    assert "because" in got.sentences["a[z]"]


def test_standard_errors_that_are_not_those_of_the_fit_are_said_so():
    res = mixed_fit("y ~ C(a) - 1")
    assert evidence(res).notes == []
    robust = res.get_robustcov_results("CR2", groups="study")
    got = evidence(robust)
    np.testing.assert_allclose(got.frame["joint_se"], res.bse, rtol=1e-10)
    assert np.abs(robust.bse / res.bse - 1).max() > 0.01
    assert "those of the model" in got.summary()
    assert "those of the model" in got._repr_html_()
    assert "those of the model" not in evidence(res).summary()


def test_html_is_escaped():
    frame = pd.DataFrame({"g": ["<a>", "b", "b"], "y": [0.0, 1, 2], "v": 0.1})
    res = MetaMixedLM.from_formula("y ~ g - 1", frame, variance="v", groups=None).fit()
    page = evidence(res)._repr_html_()
    assert "&lt;a&gt; is seen in" in page
    assert "<a>" not in page


@pytest.mark.parametrize(
    "formula",
    ["d ~ C(Category)", "d ~ Category", "d ~ C(Category, Sum)", "d ~ C(Category, Poly) - 1"],
)
def test_the_coding_of_a_factor_does_not_matter(formula):
    want = evidence(fit("d ~ C(Category) - 1"))
    got = evidence(fit(formula))
    pd.testing.assert_frame_equal(got.frame, want.frame, rtol=1e-6, atol=1e-9)
    assert list(got.sentences) == list(want.sentences)


@pytest.mark.parametrize(
    "contrast",
    ["Category[C] - Category[A]", "C(Category)[T.C]", {"Category[C] - Category[A]": [[0, 0, 1]]}],
)
def test_a_contrast_may_be_written_in_several_ways(contrast):
    want = evidence(fit("d ~ C(Category)"), "pairwise").frame.loc["Category[C] - Category[A]"]
    got = evidence(fit("d ~ C(Category)"), contrast).frame.iloc[0]
    np.testing.assert_allclose(got, want, rtol=1e-8)
    assert want["n_rows"] == 2
    assert want["direct"] == pytest.approx(10.0)


def test_contrasts_in_a_frame_keep_their_labels():
    weights = pd.DataFrame([[-1, 0, 1], [-1, 1, 0]], index=["C to A", "B to A"])
    got = evidence(fit("d ~ C(Category) - 1"), weights).frame
    assert list(got.index) == ["C to A", "B to A"]
    np.testing.assert_allclose(got["direct"], [10, 5])


# --- which rows are direct ----------------------------------------------------------------


def test_own_rows_with_a_moderator_are_those_of_the_level():
    res = mixed_fit("y ~ C(a) + q")
    got, data = evidence(res), mixed()
    assert list(got.frame.index) == ["a[x]", "a[y]", "a[z]", "q"]
    names = list(res.params.index)
    at_mean = res.params["Intercept"] + data["q"].mean() * res.params["q"]
    assert got.frame.loc["a[x]", "joint"] == pytest.approx(at_mean)
    assert got.frame.loc["a[y]", "joint"] == pytest.approx(at_mean + res.params["C(a)[T.y]"])
    # the same model on the rows of y: a line, read off at the mean of q over all rows
    own = (data["a"] == "y").to_numpy()
    m = np.diag(data["v"][own]) + res.sigma2[0] * np.equal.outer(
        data["study"][own].to_numpy(), data["study"][own].to_numpy()
    )
    x = np.column_stack([np.ones(own.sum()), data["q"][own]])
    cov = np.linalg.inv(x.T @ np.linalg.inv(m) @ x)
    line = cov @ x.T @ np.linalg.inv(m) @ data["y"][own].to_numpy()
    row = np.array([1, data["q"].mean()])
    assert got.frame.loc["a[y]", "direct"] == pytest.approx(row @ line, rel=1e-8)
    assert got.frame.loc["a[y]", "direct_se"] == pytest.approx(np.sqrt(row @ cov @ row), rel=1e-8)
    assert names == ["Intercept", "C(a)[T.y]", "C(a)[T.z]", "q"]


def test_a_slope_has_no_direct_evidence():
    got = evidence(mixed_fit("y ~ C(a) + q"))
    assert np.isnan(got.frame.loc["q", ["direct", "shift", "borrowed"]].astype(float)).all()
    assert got.reasons["q"] == "a slope: every row informs it"
    assert "a slope: every row informs it" in got.sentences["q"]
    assert evidence(mixed_fit("y ~ C(a) + q"), "2 * q").reasons.iloc[0] == got.reasons["q"]


def test_an_intercept_with_slopes_has_none_either():
    got = evidence(mixed_fit("y ~ q"))
    assert list(got.frame.index) == ["Intercept", "q"]
    assert got.frame["direct"].isna().all()
    assert got.reasons["Intercept"].startswith("the mean where every moderator is 0")


def test_an_intercept_alone_is_seen_by_every_row():
    got = evidence(mixed_fit("y ~ 1"))
    assert got.frame.loc["Intercept", "borrowed"] == 0
    assert got.frame.loc["Intercept", "n_groups"] == 8
    assert got.sentences.iloc[0].endswith(", the mean that every row observes.")


def test_levels_that_lack_a_level_of_another_factor():
    data = mixed().loc[lambda d: ~((d["a"] == "x") & (d["b"] == "u"))]
    res = MetaMixedLM.from_formula("y ~ C(a) + C(b)", data, variance="v", groups="study").fit()
    got = evidence(res)
    # x is seen with w only: its mean over u and w needs the difference of u and w from elsewhere
    assert np.isnan(got.frame.loc["a[x]", "direct"])
    assert got.frame.loc["a[x]", "borrowed"] == 1
    assert got.reasons["a[x]"] == "its own rows do not determine it"
    assert "its own rows alone do not determine it" in got.sentences["a[x]"]
    assert np.isfinite(got.frame.loc[["a[y]", "a[z]", "b[w]"], "direct"]).all()


@pytest.mark.parametrize(
    "formula", ["y ~ C(a, Sum) * C(b) + C(a):q", "y ~ C(a) + C(a):C(b) + C(b) + C(a, Sum):q"]
)
def test_cells_do_not_depend_on_the_coding_either(formula):
    want = evidence(mixed_fit("y ~ C(a) * C(b) + C(a):q")).frame
    got = evidence(mixed_fit(formula)).frame
    levels = [name for name in want.index if "q" not in name]
    assert len(levels) == 3 + 2 + 6
    pd.testing.assert_frame_equal(
        got.loc[levels], want.loc[levels], rtol=1e-5, atol=1e-7, check_like=True
    )


def test_means_are_the_average_of_predictions():
    res = mixed_fit("y ~ C(a, Sum) * C(b) + C(a):q")
    grid = pd.DataFrame({"a": "y", "b": ["u", "w"], "q": mixed()["q"].mean()})
    want = res.predict(grid).mean()
    assert evidence(res).frame.loc["a[y]", "joint"] == pytest.approx(want, rel=1e-10)


def test_means_of_empty_cells_are_left_out():
    data = mixed().loc[lambda d: ~((d["a"] == "x") & (d["b"] == "u"))]
    with pytest.warns(match="linearly dependent"):
        model = MetaMixedLM.from_formula("y ~ C(a) * C(b)", data, variance="v", groups="study")
    found = {f.name: f for f in families(model.prepared)}
    assert found["a"].labels == ["a[y]", "a[z]"]
    assert "b" not in found or found["b"].labels == ["b[w]"]
    assert len(found["a:b"].labels) == 5
    got = evidence(model.fit()).frame
    cells = data.groupby(["a", "b"]).size()
    assert got.loc["a[z]:b[u]", "n_rows"] == cells["z", "u"]
    assert (
        got.loc["a[z]:b[u]", "n_rows"] + got.loc["a[z]:b[w]", "n_rows"]
        == (got.loc["a[z]", "n_rows"])
    )


def test_factors_that_the_data_do_not_tell_apart_have_no_means():
    data = mixed().assign(again=lambda d: d["a"])
    with pytest.warns(MvmetaWarning, match="linearly dependent"):
        res = MetaMixedLM.from_formula(
            "y ~ a + again + q", data, variance="v", groups="study"
        ).fit()
    assert families(res.model.prepared) == []
    got = evidence(res)
    assert list(got.frame.index) == ["Intercept", "a[T.y]", "a[T.z]", "q"]
    np.testing.assert_allclose(got.frame["joint"], res.params, rtol=1e-12)
    assert got.frame["direct"].isna().all()
    assert "do not tell the factors apart" in got.sentences["a[T.y]"]
    assert "a slope" in got.sentences["q"]
    assert "levels" not in res.diagnose().passed
    found = res.sensitivity(False, ["CS"], False, False)
    assert found.skipped == {"structure, CS": "the formula has no factor"}


def test_a_comparison_no_study_makes():
    res = fit("yi ~ C(alloc)", "bcg", "vi", "trial")
    got = evidence(res, "pairwise")
    assert (got.frame["n_rows"] == 0).all()
    assert (got.frame["borrowed"] == 1).all()
    assert got.frame["direct"].isna().all()
    assert "is compared within no trial of 13:" in got.sentences.iloc[0]
    assert (got.frame["within"] == 0).all()


def test_what_is_no_combination_of_levels():
    res = mixed_fit("y ~ C(a) + C(b)")
    got = evidence(res, ["Intercept", "C(a)[T.y] - C(b)[T.w]"])
    assert got.frame["direct"].isna().all()
    assert got.reasons.str.startswith("no combination of the level means").all()


def test_arrays_with_indicators_have_levels():
    toy = datasets.load("toy")
    x = pd.get_dummies(toy["Category"]).astype(float)
    res = MetaMixedLM(toy["d"], x, variance=toy["Variance"], groups=toy["Study"]).fit()
    want = evidence(fit("d ~ C(Category) - 1")).frame
    got = evidence(res)
    np.testing.assert_allclose(got.frame, want, rtol=1e-8, atol=1e-10)
    assert got.sentences["C"] == FOUNDING_SENTENCES[2]


def test_arrays_without_indicators_have_none():
    data = mixed()
    x = np.column_stack([np.ones(48), data["q"]])
    res = MetaMixedLM(data["y"], x, variance=data["v"], groups=data["study"]).fit()
    got = evidence(res)
    assert list(got.frame.index) == ["const", "x1"]
    assert got.frame["direct"].isna().all()


# --- what a study is ----------------------------------------------------------------------


def test_the_outermost_grouping_is_the_study():
    data = datasets.load("konstantopoulos2011")
    nested = MetaMixedLM.from_formula("yi ~ 1", data, variance="vi", groups="district/school")
    assert studies(nested.prepared).name == "district"
    assert studies(nested.prepared).count == 11
    other = MetaMixedLM.from_formula(
        "yi ~ 1", data, variance="vi", random=["1 | study", "1 | district"]
    )
    assert studies(other.prepared).name == "district"
    asked = studies(nested.prepared, data["school"])
    assert (asked.name, asked.count) == ("school", data["school"].nunique())


def test_without_random_effects_rows_or_blocks_are_studies():
    toy = datasets.load("toy")
    plain = MetaMixedLM.from_formula("d ~ Category", toy, variance="Variance")
    assert studies(plain.prepared).name == "row"
    block = np.full((2, 2), 0.05) + np.eye(2) * 0.05
    v = SamplingCovariance.from_blocks([block, [[0.1]], block])
    linked = MetaMixedLM.from_formula("d ~ Category", toy, variance=v)
    assert studies(linked.prepared).count == 3
    assert (
        "is compared within no study, as the model tells none apart"
        in (evidence(plain.fit(), "pairwise").sentences.iloc[0])
    )


@pytest.mark.parametrize(
    ("name", "one", "more"),
    [
        ("Study", "study", "studies"),
        ("trial", "trial", "trials"),
        ("paper_id", "paper_id group", "paper_id groups"),
        ("country", "country", "countries"),
        ("species", "species group", "species groups"),
    ],
)
def test_words_for_studies(name, one, more):
    data = datasets.load("toy").rename(columns={"Study": name})
    res = MetaMixedLM.from_formula("d ~ 1", data, variance="Variance", groups=name)
    found = studies(res.prepared)
    assert (found.noun(1), found.noun(2)) == (one, more)


@pytest.mark.parametrize(
    ("word", "want"), [("study", "a study"), ("article", "an article"), ("V block", "a V block")]
)
def test_words_have_their_article(word, want):
    assert indefinite(word) == want


# --- what cannot be asked -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ("Category[C] = 3", "leave the number out"),
        (np.eye(2), "one weight for each of the 3 coefficients"),
        (np.zeros((1, 3)), "only zero weights"),
        ([[1, np.nan, 0]], "weights of the coefficients must be finite"),
        ("Category[Z]", "cannot be read"),
    ],
)
def test_contrasts_that_make_no_sense(contrasts, message):
    with pytest.raises(SpecificationError, match=message):
        evidence(fit("d ~ C(Category) - 1"), contrasts)


def test_unknown_summaries_are_refused():
    res = fit("d ~ C(Category) - 1")
    with pytest.raises(SpecificationError, match="'row' or 'study'"):
        evidence(res).contributions("column")
    with pytest.raises(SpecificationError, match="'row', 'study' or 'coefficient'"):
        weights_frame(res.fit_, res.model.prepared, "column")


# --- contributions and weights of coefficients --------------------------------------------


def test_contributions_of_the_coefficients():
    res = mixed_fit("y ~ C(a) + q")
    h = contributions_frame(res.fit_, res.model.prepared)
    assert list(h.index) == list(res.params.index)
    np.testing.assert_allclose(h @ mixed()["y"], res.params, rtol=1e-10)
    by_study = contributions_frame(res.fit_, res.model.prepared, "study")
    np.testing.assert_allclose(by_study[3], h.iloc[:, 18:24].sum(axis=1), rtol=1e-10)


def test_weights_of_studies():
    res = mixed_fit("y ~ 1")
    by_row = weights_frame(res.fit_, res.model.prepared)
    pd.testing.assert_frame_equal(by_row, res.weights())
    by_study = weights_frame(res.fit_, res.model.prepared, "study")
    assert list(by_study.index) == list(range(8))
    np.testing.assert_allclose(by_study.sum(), 100.0)
    np.testing.assert_allclose(by_study.loc[2], by_row.iloc[12:18].sum(), rtol=1e-12)
    coefficient = weights_frame(res.fit_, res.model.prepared, "coefficient")
    # independent studies: what a study's rows weigh together is its share of the information
    np.testing.assert_allclose(coefficient["Intercept"], by_study["rowsum"], rtol=1e-10)


def precise_and_noisy():
    """Two correlated rows of one study, one much noisier, and another study."""
    v = np.array([[0.1, 0.25, 0], [0.25, 1, 0], [0, 0, 0.3]])
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0], "s": [1, 1, 2]})
    return MetaMixedLM.from_formula("y ~ 1", data, variance=v)


def test_negative_weights_are_those_of_the_inverse_and_explained():
    res = precise_and_noisy().fit()
    w = res.weights()
    inverse = np.linalg.inv(res.model.prepared.problem.v.toarray())
    np.testing.assert_allclose(w["rowsum"], 100 * inverse.sum(axis=1) / inverse.sum(), rtol=1e-10)
    assert w["rowsum"].iloc[1] < 0
    (note,) = w.attrs["notes"]
    assert note.startswith("row 1 weighs -21 %: it goes with row 0 (correlation 0.79)")
    assert "(variance 1 against 0.1)" in note
    flat = " ".join(res.weights_summary().split())
    assert "Row 1 weighs -21 %" in flat
    # what the note says: the mean falls when the noisy row rises
    assert res.contributions().iloc[0, 1] == pytest.approx(w["rowsum"].iloc[1] / 100)


def test_the_text_of_weights_has_no_column_without_a_number():
    text = mixed_fit("y ~ C(a)").weights_summary()
    assert "rowsum" not in text.split("\n")[0]
    assert "contributions() has what each adds" in " ".join(text.split())
    mean = mixed_fit("y ~ 1").weights_summary()
    assert "rowsum" in mean.split("\n")[0]
    assert "-0.00" not in weights_text(pd.DataFrame({"share": [-1e-4, 100.0]}), [], "coefficient")
    assert "contributions()" not in mean


def test_weights_that_are_not_negative_need_no_words():
    res = mixed_fit("y ~ 1")
    for by in ("row", "study", "coefficient"):
        assert res.weights(by).attrs["notes"] == []
        assert res.weights_summary(by).count("In percent;") == 1


def test_negative_studies_are_explained():
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0], "s": ["p", "n", "o"]})
    v = precise_and_noisy().prepared.problem.v
    res = MetaMixedLM.from_formula("y ~ 1", data, variance=v).fit()
    by_study = res.weights("study", groups=data["s"])
    assert by_study.loc["n", "rowsum"] < 0
    assert by_study.attrs["notes"][0].startswith("s n: less than nothing")
    coefficient = res.weights("coefficient", groups=data["s"])
    assert coefficient.sum().iloc[0] == pytest.approx(100)
    assert len(coefficient.attrs["notes"]) == (coefficient["Intercept"] < 0).any()


def test_negative_weights_of_the_user_are_called_so():
    w = np.array([[1.0, -2.0, 0], [-2.0, 1.5, 0], [0, 0, 4]])
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0], "v": 0.1})
    res = MetaMixedLM.from_formula("y ~ 1", data, variance="v", weights=w).fit()
    assert "weights=" in res.weights().attrs["notes"][0]


# --- weights of the user ------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tau2"), [("equal", 0.0), ("precision", 0.0), ("precision", 0.4)])
def test_study_weights_do_not_depend_on_the_number_of_rows(kind, tau2):
    data = datasets.load("konstantopoulos2011")
    w = study_weights(data["vi"], data["district"], kind, tau2)
    assert w.index.equals(data.index)
    got = w.groupby(data["district"]).sum()
    mean = data.groupby("district")["vi"].mean()
    want = mean * 0 + 1 if kind == "equal" else 1 / (mean + tau2)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_standard_errors_under_study_weights_are_the_sandwich():
    data = mixed().iloc[:40]
    w = study_weights(data["v"], data["study"])
    res = MetaMixedLM.from_formula("y ~ q", data, variance="v", groups="study", weights=w).fit()
    x, dense = np.column_stack([np.ones(40), data["q"]]), np.diag(w)
    m = np.diag(data["v"]) + res.sigma2[0] * np.equal.outer(
        data["study"].to_numpy(), data["study"].to_numpy()
    )
    s = np.linalg.inv(x.T @ dense @ x)
    np.testing.assert_allclose(res.params, s @ x.T @ dense @ data["y"].to_numpy(), rtol=1e-10)
    want = s @ x.T @ dense @ m @ dense @ x @ s
    np.testing.assert_allclose(res.cov_params(), want, rtol=1e-9)


def test_equal_weights_make_every_study_count_the_same_in_a_mean():
    data = mixed()
    w = study_weights(data["v"], data["study"])
    res = MetaMixedLM.from_formula("y ~ 1", data, variance="v", groups="study", weights=w).fit()
    by_study = evidence(res).contributions("study").iloc[0]
    np.testing.assert_allclose(by_study, 1 / 8, rtol=1e-12)
    assert res.params.iloc[0] == pytest.approx(data.groupby("study")["y"].mean().mean())


@pytest.mark.parametrize("kind", ["diagonal", "matrix", "covariance"])
def test_variances_in_every_form(kind):
    v = np.array([0.1, 0.2, 0.4])
    given = {
        "diagonal": v,
        "matrix": np.diag(v) + 0.01,
        "covariance": SamplingCovariance.from_variances(v),
    }[kind]
    if kind == "matrix":
        given = given - 0.01 * np.eye(3)
    got = study_weights(given, ["s", "s", "t"], "precision")
    np.testing.assert_allclose(got, [1 / 0.3, 1 / 0.3, 2.5], rtol=1e-12)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (([0.1], ["a"], "sample size"), SpecificationError, "equal, precision"),
        (([0.1], ["a"], "precision", -1), SpecificationError, "tau2"),
        (([0.1, 0.1], ["a", None]), DataError, "missing in row 1 (.*) of 2; fill"),
        (([0.1], ["a", "b"], "precision"), DataError, "one value per row"),
        (([0.1, np.nan], ["a", "b"], "precision"), DataError, "finite"),
        (([0.1, 0.0], ["a", "b"], "precision"), DataError, "all 0"),
    ],
)
def test_study_weights_that_cannot_be_made(args, error, message):
    with pytest.raises(error, match=message):
        study_weights(*args)
