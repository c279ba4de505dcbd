"""Formulas: the caller's scope, new data, pickling, and patsy's own design as the reference."""

import pickle
import warnings

import numpy as np
import pandas as pd
import patsy
import pytest

from mvmeta.errors import DataError, MvmetaWarning, SpecificationError
from mvmeta.model.specification.build import prepare_formula


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "yi": rng.normal(size=9),
            "x": rng.uniform(1.0, 2.0, 9),
            "drug": list("bacbacbac"),
            "year": [2001, 2002, 2003] * 3,
            "flag": [True, False, True] * 3,
            "my col": rng.normal(size=9),
        }
    )


def prepare(formula, data, **kwargs):
    return prepare_formula(formula, data, 0.1, eval_env=1, **kwargs)


FORMULAS = [
    "yi ~ 1",
    "yi ~ x",
    "yi ~ drug",
    "yi ~ C(drug) - 1 + x",
    "yi ~ drug * x",
    "yi ~ C(year)",
    "yi ~ year + C(year)",
    "yi ~ C(drug, Treatment('b')) + C(drug)",
    "yi ~ C(drug, Sum)",
    "yi ~ flag",
    "yi ~ center(x) + standardize(year)",
    "yi ~ bs(x, df=4)",
    "yi ~ np.log(x) + I(x ** 2)",
    "yi ~ Q('my col')",
    "np.exp(yi) ~ x",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore:dropped")
def test_design_is_patsys_and_survives_pickling(formula, data):
    y, x = patsy.dmatrices(formula, data)
    p = prepare(formula, data)
    assert p.spec.column_names == x.design_info.column_names
    assert p.spec.term_slices == dict(x.design_info.term_name_slices)
    assert p.endog_name == y.design_info.column_names[0]
    np.testing.assert_array_equal(p.problem.y, np.asarray(y).ravel())
    new = data.iloc[[4, 0]]
    for spec in (p.spec, pickle.loads(pickle.dumps(p.spec)), pickle.loads(pickle.dumps(p)).spec):
        np.testing.assert_array_equal(spec.design(data), x)
        np.testing.assert_array_equal(spec.design(new), np.asarray(x)[[4, 0]])


def test_has_intercept(data):
    assert prepare("yi ~ x", data).has_intercept
    assert not prepare("yi ~ x - 1", data).has_intercept
    assert not prepare("yi ~ 0 + drug", data).has_intercept


def test_locals_of_the_caller_are_visible(data):
    def double(v):
        return 2 * v

    p = prepare_formula("yi ~ double(x)", data, 0.1)
    np.testing.assert_array_equal(p.problem.x[:, 1], 2 * data["x"])
    np.testing.assert_array_equal(p.design(data.iloc[:2])[:, 1], 2 * data["x"][:2])


def test_a_function_that_cannot_be_saved_stops_prediction_not_loading(data):
    shift = lambda v: v + 1  # noqa: E731, F841
    p = prepare_formula("yi ~ shift(x)", data, 0.1)
    q = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(q.problem.x, p.problem.x)
    with pytest.raises(SpecificationError, match="'shift' is not defined"):
        q.design(data)


def test_large_unrelated_locals_are_not_saved(data):
    ballast = np.zeros(10**6)
    assert len(pickle.dumps(prepare_formula("yi ~ np.log(x)", data, 0.1).spec)) < 10_000
    assert ballast.size


def test_columns_win_over_locals(data):
    x = "not this one"
    p = prepare_formula("yi ~ x", data, 0.1)
    np.testing.assert_array_equal(p.problem.x[:, 1], data["x"])
    assert x


@pytest.mark.parametrize(
    ("formula", "new", "match"),
    [
        ("yi ~ drug", {"drug": ["a", "z"]}, "'drug' has the level 'z'.*'a', 'b', 'c'"),
        ("yi ~ C(drug)", {"drug": ["z"]}, "'drug' has the level 'z'"),
        ("yi ~ C(year)", {"year": [1999]}, "'year' has the level 1999.*2001"),
        ("yi ~ C(year) + center(year)", {"year": [1999]}, "has the level 1999"),
        ("yi ~ drug + x", {"drug": ["a"]}, "column 'x'.*is not in the data"),
    ],
)
@pytest.mark.filterwarnings("ignore:dropped")
def test_new_data_that_do_not_fit(formula, new, match, data):
    spec = prepare(formula, data).spec
    with pytest.raises(DataError, match=match):
        spec.design(pd.DataFrame(new))


def test_missing_values_in_new_data_give_missing_rows(data):
    p = prepare("yi ~ drug + x", data)
    new = pd.DataFrame({"drug": ["a", None, "b"], "x": [1.0, 2.0, np.nan]}, index=[5, 5, 7])
    got = p.design(new)
    np.testing.assert_array_equal(got[0], [1, 0, 0, 1])
    assert np.isnan(got[1:]).all()


def test_new_data_may_be_categorical_a_dict_or_empty(data):
    p = prepare("yi ~ drug", data)
    new = pd.DataFrame({"drug": pd.Categorical(["c", "a"], categories=["c", "a"])})
    np.testing.assert_array_equal(p.design(new), [[1, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(p.design({"drug": ["b"]}), [[1, 1, 0]])
    intercept = prepare("yi ~ 1", data)
    np.testing.assert_array_equal(intercept.design(pd.DataFrame(index=["p", "q"])), [[1], [1]])


def test_redundant_columns_are_left_out_of_new_designs(data):
    data["twice"] = 2 * data["x"]
    with pytest.warns(UserWarning, match="twice"):
        p = prepare("yi ~ x + twice + drug", data)
    assert p.design(data).shape == (9, 4)


@pytest.mark.parametrize(
    ("formula", "error", "match"),
    [
        ("yi ~ x +", SpecificationError, r"cannot be read: .*\n +yi ~ x \+\n +\^"),
        ("yi ~ (x", SpecificationError, "cannot be read"),
        ("yi ~ np.log(x", SpecificationError, "cannot be read"),
        ("yi ~ x[", SpecificationError, "cannot be read"),
        ("~ x", SpecificationError, "no response"),
        ("x", SpecificationError, "no response"),
        ("yi ~ 0", SpecificationError, "no predictors"),
        (3, SpecificationError, "must be a string"),
        ("yi ~ X", DataError, "'X' in the formula.*did you mean 'x'"),
        ("yi ~ dru", DataError, "did you mean 'drug'.*columns yi, x, drug"),
        ("yi ~ id", DataError, "'id' in the formula"),
        ("yi ~ nolog(x)", DataError, "'nolog'"),
        ("y ~ x", DataError, "'y' in the formula.*did you mean 'yi'"),
        ("yi ~ np.nolog(x)", SpecificationError, "cannot be evaluated.*nolog"),
        ("drug ~ x", DataError, "one numeric column"),
        ("flag ~ x", DataError, "one numeric column"),
        ("yi + x ~ 1", DataError, "one numeric column"),
    ],
)
def test_formulas_that_cannot_be_used(formula, error, match, data):
    with pytest.raises(error, match=f"(?s){match}"):
        prepare(formula, data)


def test_term_columns_after_a_dropped_column(data):
    data["group"] = data["drug"]
    with pytest.warns(UserWarning, match="2 columns"):
        p = prepare("yi ~ drug + group + x", data)
    assert p.term_columns == {"Intercept": [0], "drug": [1, 2], "group": [], "x": [3]}


def test_numbers_stored_as_text_become_categories_and_that_is_said(data):
    data["year"] = data["year"].astype(str)
    with pytest.warns(MvmetaWarning, match=r"'year' is text that reads as numbers .*3 values"):
        p = prepare("yi ~ year", data)
    assert p.exog_names == ["Intercept", "year[T.2002]", "year[T.2003]"]
    prepare("yi ~ C(year)", data)
    data.loc[0, "year"] = "not reported"
    prepare("yi ~ year", data)


def test_a_response_stored_as_text_is_refused_without_advice_for_slopes(data):
    data["yi"] = data["yi"].astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"must be one numeric column.*stored as text"):
            prepare("yi ~ drug", data)
