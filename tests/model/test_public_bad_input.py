"""What a user may hand to `MetaMixedLM` that cannot be used, or looks as if it could not.

The message says what is wrong, where, and what to do; nothing is repaired silently.
"""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    MvmetaError,
    MvmetaWarning,
    Random,
    SamplingCovariance,
    SpecificationError,
)
from mvmeta.optimize.status import Status

N = 8
LABELS = [f"r{i}" for i in range(N)]


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "yi": [0.3, 0.1, 0.8, 0.6, -0.4, 0.2, 0.5, 0.9],
            "vi": [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.04, 0.02],
            "x": [1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 1.5, 2.5],
            "kind": list("aabbabab"),
            "study": list("ppqqrrss"),
            "id": range(N),
        },
        index=LABELS,
    )


def build(data, formula="yi ~ x", **options):
    options = {"variance": "vi", "groups": "study"} | options
    return MetaMixedLM.from_formula(formula, data, **options)


def fit(data, formula="yi ~ x", **options):
    return build(data, formula, **options).fit()


def assert_equal_fits(found, expected):
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-7)
    np.testing.assert_allclose(found.vcomp["estimate"], expected.vcomp["estimate"], rtol=1e-6)
    assert found.llf == pytest.approx(expected.llf, rel=1e-9)


# -- values that are missing or infinite -----------------------------------------------------


@pytest.mark.parametrize("column", ["yi", "vi", "x", "study", "kind"])
def test_a_missing_value_is_dropped_or_complained_of(column, data):
    formula = "yi ~ x + kind"
    whole = fit(data.drop(index="r2"), formula)
    data.loc["r2", column] = None if column in ("study", "kind") else np.nan
    with pytest.warns(MvmetaWarning, match=rf"1 of 8 rows dropped.*{column} \(row r2\)"):
        model = build(data, formula)
    assert_equal_fits(model.fit(), whole)
    assert model.dropped.to_dict("records") == [{"row": "r2", "reason": f"missing {column}"}]
    with pytest.raises(DataError, match=rf"{column} \(row r2\).*drop or fill.*missing='drop'"):
        build(data, formula, missing="raise")


@pytest.mark.parametrize(
    ("column", "error", "match"),
    [
        ("yi", DataError, r"infinite.*yi \(row r4\); correct them"),
        ("x", DataError, r"infinite.*x \(row r4\)"),
        ("vi", CovarianceError, r"infinite in row r4"),
    ],
)
@pytest.mark.parametrize("missing", ["drop", "raise"])
def test_infinite_values_are_never_dropped(column, error, match, missing, data):
    data.loc["r4", column] = np.inf
    with pytest.raises(error, match=match):
        build(data, missing=missing)


def test_arrays_complain_of_missing_values_by_default(data):
    y = data["yi"].to_numpy().copy()
    y[3] = np.nan
    with pytest.raises(DataError, match=r"missing values in y \(row 3\).*missing='drop'"):
        MetaMixedLM(y, None, 0.1)


# -- variances and V -------------------------------------------------------------------------


def test_negative_variances(data):
    data.loc[["r1", "r6"], "vi"] = -0.1
    with pytest.raises(CovarianceError, match=r"negative in rows r1, r6"):
        build(data)


@pytest.mark.parametrize("variance", [-1.0, np.inf])
def test_a_scalar_that_is_no_variance(variance, data):
    with pytest.raises(CovarianceError, match=r"negative|infinite"):
        build(data, variance=variance)


def test_text_as_variances(data):
    data["vi"] = data["vi"].astype(str)
    with pytest.raises(DataError, match=r"'vi' must be numeric.*row r0 holds '0.01'.*to_numeric"):
        build(data)


def test_zero_variances_are_legal_where_m_stays_positive_definite(data):
    data.loc["r3", "vi"] = 0.0
    result = fit(data, groups="study/id")
    assert result.converged
    assert np.isfinite(result.llf)
    assert np.isfinite(result.bse).all()
    assert np.isnan(result.QE)
    assert result.heterogeneity()["i2"].isna().all()
    text = str(result.summary())
    assert "nan" in text
    # the dense textbook likelihood at these components
    same = np.equal.outer(data["study"].to_numpy(), data["study"].to_numpy())
    m = np.diag(data["vi"]) + result.sigma2[0] * same + result.sigma2[1] * np.eye(N)
    x, y = result.model.exog, data["yi"].to_numpy()
    information = x.T @ np.linalg.solve(m, x)
    r = y - x @ result.params
    logs = [np.linalg.slogdet(a)[1] for a in (m, information, x.T @ x)]
    quadratic = r @ np.linalg.solve(m, r)
    llf = -0.5 * ((N - 2) * np.log(2 * np.pi) + logs[0] + logs[1] - logs[2] + quadratic)
    assert result.llf == pytest.approx(llf, rel=1e-9)


@pytest.mark.parametrize("groups", [None, "study"])
def test_zero_variances_that_make_m_singular(groups, data):
    data.loc[["r2", "r3"], "vi"] = 0.0
    match = r"M is singular: 2 sampling variances are 0 .*give variances > 0"
    with pytest.raises(CovarianceError, match=match):
        fit(data, groups=groups)


@pytest.mark.parametrize("size", [1e45, 1e200, 1e-45])
@pytest.mark.parametrize("struct", ["UN", "ID"])
def test_units_that_arithmetic_cannot_take(struct, size, data):
    part = data.assign(yi=data["yi"] * size, vi=data["vi"] * min(size, 1.0) ** 2)
    with pytest.raises(DataError, match=r"of the size .*another unit"):
        fit(part, groups=None, random=Random("kind | study", struct))


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_units_that_are_merely_odd(size, data):
    found = fit(data.assign(yi=data["yi"] * size, vi=data["vi"] * size**2))
    expected = fit(data)
    np.testing.assert_allclose(found.params / size, expected.params, rtol=1e-7)
    np.testing.assert_allclose(found.sigma2 / size**2, expected.sigma2, rtol=1e-6)


@pytest.mark.parametrize("backend", [None, "dense", "blocks", "woodbury", "nested"])
def test_a_singular_m_is_refused_whatever_rounding_makes_of_it(backend, data):
    """The factor of ``tau2 [[1, 1], [1, 1]]`` exists or not by the last bit of tau2."""
    for rows in (["r0", "r1"], ["r2", "r3"], ["r0", "r1", "r2", "r3"]):
        part = data.assign(vi=data["vi"].mask(data.index.isin(rows), 0.0))
        with pytest.raises(CovarianceError, match=rf"{len(rows)} sampling .*row.*{rows[-1]}"):
            fit(part, groups="study", backend=backend)


def test_a_term_fixed_at_zero_does_not_separate_rows(data):
    data.loc[["r2", "r3"], "vi"] = 0.0
    random = ["1 | study", Random("1 | study:id", fixed={"sigma2": 0})]
    with pytest.raises(CovarianceError, match="no random effect reaches"):
        fit(data, groups=None, random=random)


def _v(data):
    v = np.diag(data["vi"])
    v[0, 1] = v[1, 0] = 0.005
    return v


def test_v_of_the_wrong_size(data):
    for wrong in (_v(data)[:6, :6], [_v(data)[:6, :6]], sparse.csr_array(_v(data)[:6, :6])):
        with pytest.raises(DataError, match=r"6 rows, the data have 8.*before any are dropped"):
            build(data, variance=wrong)
    with pytest.raises(DataError, match="variance has 7 rows, the data have 8"):
        build(data, variance=np.ones(7))
    with pytest.raises(CovarianceError, match=r"square \(n, n\) matrix, got shape \(8, 6\)"):
        build(data, variance=_v(data)[:, :6])
    with pytest.raises(CovarianceError, match=r"block 0 of V must be square, got shape \(8, 6\)"):
        build(data, variance=[_v(data)[:, :6]])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, lambda v: [v]])
def test_v_that_is_not_symmetric(form, data):
    v = _v(data)
    v[0, 1] = 0.003
    with pytest.raises(CovarianceError, match=r"not symmetric.*r0.*r1"):
        build(data, variance=form(v))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, lambda v: [v]])
def test_v_that_is_not_positive_definite(form, data):
    v = _v(data)
    v[4, 5] = v[5, 4] = 0.5
    with pytest.raises(CovarianceError, match=r"not positive.*r4.*r5"):
        build(data, variance=form(v))


def test_a_missing_covariance_is_no_missing_row(data):
    v = _v(data)
    v[0, 1] = v[1, 0] = np.nan
    with pytest.raises(CovarianceError, match=r"r0.*r1"):
        build(data, variance=v)


def test_forms_of_v_agree(data):
    v = _v(data)
    expected = fit(data, variance=v)
    labelled = pd.DataFrame(v, index=LABELS, columns=LABELS).iloc[::-1, ::-1]
    for form in (
        sparse.csr_array(v),
        sparse.coo_matrix(v),
        [v[:2, :2], v[2:, 2:]],
        [v[:2, :2], *(v[i : i + 1, i : i + 1] for i in range(2, N))],
        SamplingCovariance.from_matrix(v),
        labelled,
        v.tolist(),
    ):
        assert_equal_fits(fit(data, variance=form), expected)
    diagonal = fit(data)
    for form in (data["vi"].to_numpy(), data["vi"][::-1], list(data["vi"]), np.diag(data["vi"])):
        assert_equal_fits(fit(data, variance=form), diagonal)
    constant = data.assign(vi=0.02)
    assert_equal_fits(fit(data, variance=0.02), fit(constant))


def test_no_variance_at_all(data):
    with pytest.raises(TypeError, match="variance"):
        MetaMixedLM.from_formula("yi ~ x", data)
    with pytest.raises(DataError, match="variance= is missing"):
        build(data, variance=None)


# -- names and formulas ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"formula": "yi ~ kid"}, r"'kid' in the formula 'yi ~ kid'.*did you mean.*'kind'"),
        ({"formula": "y ~ x"}, r"'y' in the formula.*it has the columns yi, vi"),
        ({"variance": "v"}, r"'v' wanted for variance.*did you mean 'vi'"),
        ({"groups": "studdy"}, r"'studdy' wanted for the random term.*did you mean 'study'"),
        ({"groups": "study/ids"}, r"'ids' wanted.*did you mean 'id'"),
        ({"random": "1 | site"}, r"'site' wanted for the random term '?site"),
        ({"weights": "w"}, r"'w' wanted for weights"),
        ({"subset": "keep"}, r"'keep' wanted for subset"),
    ],
)
def test_unknown_columns(options, match, data):
    with pytest.raises(DataError, match=match):
        build(data, **options)


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("yi ~ x +", "cannot be read"),
        ("yi ~ (x", "cannot be read"),
        ("yi ~ x ~ kind", "cannot be read"),
        ("yi ~ log(x", "cannot be read"),
        ("x + kind", r"no response; write 'y ~ x \+ kind'"),
        ("yi ~ 0", r"no predictors.*'y ~ 1'"),
        (3, "must be a string"),
    ],
)
def test_formulas_that_do_not_parse(formula, match, data):
    with pytest.raises(SpecificationError, match=match):
        build(data, formula)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"groups": "1 | study"}, "given as random="),
        ({"random": "1 | study"}, "given twice"),
        ({"random": "study"}, r"\|"),
    ],
)
def test_random_terms_that_do_not_exist(options, match, data):
    with pytest.raises(SpecificationError, match=match):
        build(data, **options)


def test_a_structure_that_does_not_exist():
    with pytest.raises(SpecificationError, match=r"unknown covariance structure 'XX'.*UN"):
        Random("kind | study", struct="XX")


def test_unknown_level_in_new_data(data):
    result = fit(data, "yi ~ kind")
    for ask in (result.predict, result.get_prediction):
        with pytest.raises(DataError, match=r"'kind' has the level 'z'.*known levels: 'a', 'b'"):
            ask(pd.DataFrame({"kind": ["a", "z"]}))


def test_a_numeric_level_is_unknown_too(data):
    data["year"] = [2001, 2002] * 4
    result = fit(data, "yi ~ C(year)")
    with pytest.raises(DataError, match=r"level 2009.*known levels: 2001, 2002"):
        result.predict(pd.DataFrame({"year": [2009]}))


# -- designs ---------------------------------------------------------------------------------


def test_redundant_columns_are_dropped_and_named(data):
    data["twice"] = 2 * data["x"]
    with pytest.warns(MvmetaWarning, match=r"dropped a column.*linearly dependent.*: twice"):
        result = fit(data, "yi ~ x + twice")
    assert list(result.params.index) == ["Intercept", "x"]
    assert result.model.exog.shape == (N, 2)
    assert "Redundant columns left out: twice." in str(result.summary())
    assert_equal_fits(result, fit(data))
    new = pd.DataFrame({"x": [1.0], "twice": [2.0]})
    assert result.predict(new)[0] == pytest.approx(fit(data).predict(new)[0])


def test_a_design_of_zeros(data):
    with pytest.raises(SpecificationError, match="all columns of the design matrix are zero"):
        build(data.assign(x=0.0), "yi ~ x - 1")


def test_more_coefficients_than_rows(data):
    data["label"] = LABELS
    with pytest.warns(MvmetaWarning, match=r"dropped a column.*x"):
        result = fit(data, "yi ~ label + x", groups="id")
    assert result.df_resid == 0
    np.testing.assert_allclose(result.fittedvalues, data["yi"], atol=1e-9)
    assert (result.QE, result.heterogeneity_test().pvalue) == (0.0, 1.0)
    with pytest.raises(SpecificationError, match="8 rows and 8 coefficients"):
        result.model.fit(use_t=True)
    with pytest.raises(SpecificationError, match="k = p rows leave none"):
        result.model.fit(cov_type="knha")
    assert str(result.summary())
    assert result.to_json()


# -- few rows, no variation ------------------------------------------------------------------


def test_no_rows_are_left(data):
    for none in (data.iloc[:0], data.assign(yi=np.nan)):
        with pytest.raises(DataError, match=r"no usable row is left \(0 of [08]\)"):
            build(none)
    with pytest.raises(DataError, match=r"no usable row is left.*subset="):
        build(data, subset=data["x"] > 100)


def test_one_row(data):
    with pytest.raises(DataError, match=r"fewer than two usable rows are left \(1 of 1\)"):
        build(data.iloc[:1])


def test_one_study(data):
    data["study"] = "p"
    model = build(data)
    (note,) = model.notes
    assert "study" in note
    assert "level" in note
    result = model.fit()
    assert list(result.vcomp["fixed"]) == [True]
    assert list(result.vcomp["estimate"]) == [0.0]
    assert result.status is Status.NOTHING_TO_ESTIMATE
    assert note in str(result.summary()).replace("\n    ", " ")
    np.testing.assert_allclose(result.params, fit(data, groups=None).params, rtol=1e-9)


def test_one_study_with_many_estimates_keeps_its_inner_level(data):
    data["study"] = "p"
    result = fit(data, groups="study/id")
    assert list(result.vcomp["fixed"]) == [True, False]
    assert result.sigma2[1] > 0


def test_a_constant_response(data):
    result = fit(data.assign(yi=0.7), "yi ~ x")
    assert result.converged
    np.testing.assert_allclose(result.params, [0.7, 0.0], atol=1e-12)
    assert result.sigma2[0] == 0.0
    assert list(result.vcomp["boundary"]) == [True]
    assert result.QE == pytest.approx(0.0, abs=1e-20)
    zero = fit(data.assign(yi=0.0), "yi ~ 1")
    assert zero.params.iloc[0] == 0.0
    assert zero.sigma2[0] == 0.0
    for text in (str(result.summary()), str(zero.summary())):
        assert "boundary" in text


@pytest.mark.parametrize("response", [list("abcdefgh"), [True, False] * 4])
def test_a_response_that_is_no_number(response, data):
    with pytest.raises(DataError, match=r"response.*numeric|yi.*numeric"):
        build(data.assign(yi=response))


# -- indexes ---------------------------------------------------------------------------------


def test_series_in_another_order_are_matched_by_label(data):
    expected = fit(data)
    shuffled = data.sample(frac=1, random_state=2)
    found = MetaMixedLM(
        data["yi"],
        shuffled[["x"]].assign(const=1.0)[["const", "x"]],
        shuffled["vi"],
        groups=data["study"][::-1],
    ).fit()
    assert_equal_fits(found, expected)
    assert list(found.resid.index) == LABELS


def test_labels_that_do_not_match(data):
    other = data["vi"].set_axis([*LABELS[:-1], "zz"])
    with pytest.raises(DataError, match=r"index of variance does not have row r7.*to_numpy\(\)"):
        build(data, variance=other)
    with pytest.raises(DataError, match=r"index of groups 'study' does not have"):
        MetaMixedLM(data["yi"], None, 0.1, groups=data["study"].reset_index(drop=True))


def test_repeated_labels(data):
    expected = fit(data)
    data.index = ["a", "a", "b", "b", "c", "c", "d", "d"]
    found = MetaMixedLM(
        data["yi"], data[["x"]].assign(const=1.0)[["const", "x"]], data["vi"], data["study"]
    )
    assert_equal_fits(found.fit(), expected)
    with pytest.raises(DataError, match=r"repeated labels, so rows cannot be matched.*to_numpy"):
        MetaMixedLM(data["yi"], None, data["vi"][::-1])


# -- kinds of columns and frames -------------------------------------------------------------


def test_nullable_columns(data):
    expected = fit(data, "yi ~ x + kind")
    nullable = data.astype({"yi": "Float64", "vi": "Float64", "x": "Float64", "id": "Int64"})
    nullable = nullable.astype({"kind": "string", "study": "string"})
    assert_equal_fits(fit(nullable, "yi ~ x + kind"), expected)
    nullable.loc["r2", "x"] = pd.NA
    nullable.loc["r4", "study"] = pd.NA
    with pytest.warns(MvmetaWarning, match="2 of 8 rows dropped"):
        found = fit(nullable, "yi ~ x + kind")
    assert_equal_fits(found, fit(data.drop(index=["r2", "r4"]), "yi ~ x + kind"))


def test_arrow_columns(data):
    arrow = data.convert_dtypes(dtype_backend="pyarrow")
    assert_equal_fits(fit(arrow, "yi ~ x + kind"), fit(data, "yi ~ x + kind"))


def test_categories_without_rows(data):
    expected = fit(data, "yi ~ kind")
    data["kind"] = pd.Categorical(data["kind"], categories=["never", "a", "b", "z"])
    data["study"] = pd.Categorical(data["study"], categories=["none", "s", "r", "q", "p"])
    found = fit(data, "yi ~ kind")
    assert_equal_fits(found, expected)
    assert list(found.params.index) == ["Intercept", "kind[T.b]"]
    assert list(found.vcomp["n_levels"]) == [4]
    assert sorted(found.ranef()["study"].index) == list("pqrs")
    only = fit(data, "yi ~ kind", subset=data["study"] != "p")
    assert list(only.vcomp["n_levels"]) == [3]


@pytest.mark.parametrize("kind", ["polars", "categorical polars", "dict"])
def test_other_frames(kind, data):
    expected = fit(data, "yi ~ x + kind", groups="study")
    frame = {
        "polars": pl.from_pandas(data),
        "categorical polars": pl.from_pandas(data).with_columns(
            # in order of appearance b would come first
            pl.col("kind").cast(pl.Categorical)
        )[::-1],
        "dict": data.to_dict("list"),
    }[kind]
    found = fit(frame, "yi ~ x + kind", groups="study")
    assert_equal_fits(found, expected)
    assert list(found.params.index) == list(expected.params.index)
    new = frame if kind == "dict" else frame[:3]
    assert np.isfinite(found.get_prediction(new).summary_frame()).all(axis=None)


def test_polars_missing_values(data):
    frame = pl.from_pandas(data).with_columns(
        pl.when(pl.col("id") == 2).then(None).otherwise(pl.col("x")).alias("x")
    )
    with pytest.warns(MvmetaWarning, match=r"x \(row 2\)"):
        found = fit(frame)
    assert_equal_fits(found, fit(data.drop(index="r2")))


def test_frames_that_are_not_in_memory(data):
    with pytest.raises(DataError, match=r"frame.collect\(\)"):
        build(pl.from_pandas(data).lazy())
    with pytest.raises(DataError, match="must be a frame in memory"):
        build("data.csv")


# -- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"missing": "ignore"}, "'drop', 'raise', 'none'"),
        ({"subset": [0, 0, 1]}, "selects rows twice"),
        ({"subset": np.array([0, 99])}, r"outside 0\.\.7"),
        ({"subset": np.array([True, False])}, "2 rows, the data have 8"),
        ({"weights": -np.ones(N)}, "negative weights in rows r0"),
    ],
)
def test_options_that_do_not_fit(options, match, data):
    with pytest.raises(DataError, match=match):
        build(data, **options)


def test_every_error_is_ours_and_a_value_error():
    for error in (DataError, CovarianceError, SpecificationError):
        assert issubclass(error, MvmetaError)
        assert issubclass(error, ValueError)
    assert issubclass(MvmetaWarning, UserWarning)


def test_good_data_give_no_warning(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit(data, "yi ~ x + kind", groups="study/id")
        result.summary(), result.ranef(), result.get_influence().summary_frame()
