"""Mistakes that would answer another question, or fail with a stranger's error."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import (
    CovarianceError,
    DataError,
    MetaMixedLM,
    MvmetaError,
    Random,
    SpecificationError,
)


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "yi": [0.3, 0.1, 0.8, 0.6, -0.4, 0.2, 0.5, 0.9],
            "vi": [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 0.04, 0.02],
            "x": [1.5, 3.0, 2.0, 5.0, 4.0, 6.0, 1.5, 2.5],
            "level": [1, 2, 1, 2, 1, 2, 1, 2],
            "kind": list("abababab"),
            "study": list("ppqqrrss"),
            "east": [8.5, 2.3, -0.1, 13.4, 8.5, 2.3, -0.1, 13.4],
            "north": [47.4, 48.9, 51.5, 52.5, 47.4, 48.9, 51.5, 52.5],
        },
        index=[f"r{i}" for i in range(8)],
    )


def build(data, formula="yi ~ 1", **options):
    return MetaMixedLM.from_formula(formula, data, **{"variance": "vi"} | options)


@pytest.mark.parametrize(
    "formula", ["yi ~ 1 + (1|level)", "yi ~ x + (x | study)", "yi ~ (1 || level)", "yi ~ level|x"]
)
def test_random_terms_do_not_belong_in_the_formula(data, formula):
    with pytest.raises(SpecificationError, match=r"random terms go into groups= or random="):
        build(data, formula)


def test_a_logical_or_inside_a_call_is_no_random_term(data):
    model = build(data, "yi ~ I((x > 4) | (level > 1))")
    assert model.exog[:, 1].tolist() == ((data["x"] > 4) | (data["level"] > 1)).tolist()


def test_a_measurement_is_no_factor_unless_the_user_says_so(data):
    with pytest.raises(SpecificationError, match=r"'x' is a measurement.*GEN.*slopes.*'CS'.*level"):
        build(data, random="x | study")
    said = build(data, random=Random("x | study", struct="CS"))
    assert said.prepared.problem.terms[0].q == data["x"].nunique()


@pytest.mark.parametrize(
    "levels",
    [
        pd.Series([1, 2] * 4),
        pd.Series(["a", "b"] * 4),
        pd.Series([True, False] * 4),
        pd.Series([1.5, 2.5] * 4, dtype="category"),
        pd.Series([1, 2] * 4, dtype="Int64"),
        pd.Series([1.0, 2.0] * 3 + [1.0, np.nan]),  # integers, before pandas met a missing value
    ],
    ids=["integer", "text", "boolean", "category", "nullable", "missing"],
)
@pytest.mark.filterwarnings("ignore:1 of 8 rows dropped")
def test_other_columns_stay_factors(data, levels):
    model = build(data.assign(level=levels.set_axis(data.index)), random="level | study")
    assert model.prepared.problem.terms[0].q == 2


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("east", 200.0, r"longitude 'east' is outside \[-180, 180\] in rows r1, r5"),
        ("north", -91.0, r"latitude 'north' is outside \[-90, 90\] in rows r1, r5"),
    ],
)
def test_degrees_out_of_range_name_their_rows(data, column, value, message):
    data.loc[["r1", "r5"], column] = value
    term = Random("east + north | const", struct="SPEXP", distance="gcd")
    with pytest.raises(DataError, match=message):
        build(data, random=term)


@pytest.mark.parametrize("tau2", [None, [1.0, 1.0, 1.0]])
def test_fixed_correlations_of_no_variables_are_refused(data, tau2):
    data["kind"] = list("abcabcab")
    fixed = {"rho": [0.9, 0.9, -0.9]} | ({} if tau2 is None else {"tau2": tau2})
    # 1 - 2 * 0.9 by symmetry: the signs make an odd cycle
    with pytest.raises(SpecificationError, match=r"no co.* matrix \(smallest.*-0.8\)"):
        build(data, random=Random("kind | study", struct="UN", fixed=fixed))


@pytest.mark.parametrize("bad", ["a", ["a"], [np.inf], [np.nan], [None], [1 + 1j]])
def test_components_that_are_no_finite_numbers(data, bad):
    model = build(data, groups="study")
    with pytest.raises(SpecificationError, match=r"components must be numbers|must be finite"):
        model.loglike(bad)
    with pytest.raises(SpecificationError, match=r"components must be numbers|must be finite"):
        model.fit(start=bad)


@pytest.mark.parametrize("bad", [np.inf, True, [np.True_]])
def test_fixed_components_are_finite_numbers(bad):
    with pytest.raises(SpecificationError, match="takes finite numbers"):
        Random("1 | study", fixed={"sigma2": bad})


def test_only_results_can_be_compared(data):
    result = build(data, groups="study").fit()
    with pytest.raises(SpecificationError, match=r"restricted model: takes .* NoneType"):
        result.compare_lr_test(None)


@pytest.mark.parametrize("shape", ["column", "vector", "matrix", "blocks"])
def test_complex_variances(data, shape):
    v = data["vi"].to_numpy() + 0.1j
    data["vc"] = v
    forms = {"column": "vc", "vector": v, "matrix": np.diag(v), "blocks": [np.diag(v)]}
    with pytest.raises(DataError, match=r"numeric|real numbers"):
        build(data, variance=forms[shape])


def test_complex_effects_and_moderators(data):
    data["yc"] = data["yi"] + 1j
    for formula in ("yc ~ 1", "yi ~ yc"):
        with pytest.raises(MvmetaError, match=r"'yc'.*complex"):
            build(data, formula)
    with pytest.raises(DataError, match="endog must be numeric"):
        MetaMixedLM(data["yc"], None, data["vi"])


def test_names_of_coefficients_are_as_many(data):
    result = build(data, "yi ~ x").fit()
    with pytest.raises(SpecificationError, match=r"2 coefficients \(Intercept, x\); got 1"):
        result.summary(xname=["a"])


def test_likelihood_where_there_is_none(data):
    data["id"] = range(8)
    data.loc["r5", "vi"] = 0.0
    model = build(data, groups="id")
    assert np.isfinite(model.loglike([0.1]))
    with pytest.raises(CovarianceError, match=r"not positive definite at the components 0"):
        model.loglike([0.0])


def test_sampling_variances_of_0_are_named_by_their_rows(data):
    data.loc["r5", "vi"] = 0.0
    with pytest.raises(CovarianceError, match=r"1 sampling variance is 0 \(row r5\)"):
        build(data).fit()
    data.loc["r6", "vi"] = 0.0
    with pytest.raises(CovarianceError, match=r"2 sampling variances are 0 \(rows r5, r6\)"):
        build(data).fit()


def test_what_a_study_is(data):
    result = build(data, groups="study").fit()
    for ask in (result.weights, result.contributions):
        with pytest.raises(SpecificationError, match=r"'study'.*outermost grouping.*groups="):
            ask(by="kind")
