"""The same specification on other data, against a model built from scratch."""

import pickle

import numpy as np
import pandas as pd
import patsy
import pytest

from mvmeta import DataError, MetaMixedLM, SpecificationError, datasets
from tests.tolerances import OPTIMUM

SPECIFICATION = {"variance": "vi", "groups": "district/school"}


@pytest.fixture
def schools():
    frame = datasets.load("konstantopoulos2011")
    frame["kind"] = np.where(frame["year"] < 1980, "early", "late")
    frame["size"] = np.linspace(1.0, 3.0, len(frame))
    return frame


@pytest.fixture
def half(schools):
    return schools.iloc[::2]


def built(frame, formula="yi ~ kind + size", **options):
    return MetaMixedLM.from_formula(formula, frame, **(SPECIFICATION | options))


def assert_same(found, expected):
    pd.testing.assert_series_equal(found.params, expected.params, rtol=OPTIMUM)
    pd.testing.assert_frame_equal(found.vcomp, expected.vcomp, rtol=OPTIMUM)
    assert found.llf == pytest.approx(expected.llf, rel=OPTIMUM)
    pd.testing.assert_series_equal(found.pvalues, expected.pvalues, rtol=OPTIMUM)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reml": False},
        {"df": "satterthwaite"},
        {"cov_type": "knha"},
        {"cov_type": "CR2"},
    ],
)
def test_other_rows_give_what_a_new_model_gives(schools, half, options):
    found = built(schools).fit(**options).refit(half)
    expected = built(half).fit(**options)
    assert_same(found, expected)
    assert found.cov_type == expected.cov_type
    assert found.df_method == expected.df_method
    assert found.nobs == len(half)
    pd.testing.assert_series_equal(found.predict(schools), expected.predict(schools))
    assert list(found.ranef()) == list(expected.ranef())


def test_the_formula_is_not_read_again(schools, half, monkeypatch):
    res = built(schools).fit()
    expected = built(half).fit()

    def refuse(*_args, **_kwargs):
        raise AssertionError

    monkeypatch.setattr(patsy.ModelDesc, "from_formula", refuse)
    monkeypatch.setattr(patsy, "dmatrices", refuse)
    assert_same(res.refit(half), expected)


def test_transforms_keep_what_they_took_from_the_first_data(schools, half):
    found = built(schools, "yi ~ center(size)").fit().refit(half)
    shifted = half.assign(size=half["size"] - schools["size"].mean())
    expected = built(shifted, "yi ~ size").fit()
    np.testing.assert_allclose(found.params, expected.params, rtol=OPTIMUM)


def test_a_response_may_be_an_expression(schools, half):
    shift = 3.0
    res = MetaMixedLM.from_formula("np.exp(yi / shift) ~ size", schools, **SPECIFICATION).fit()
    assert shift
    expected = MetaMixedLM.from_formula("np.exp(yi / shift) ~ size", half, **SPECIFICATION).fit()
    found = res.refit(half)
    assert_same(found, expected)
    assert found.model.endog_names == "np.exp(yi / shift)"


def test_missing_values_are_dropped_as_in_the_first_model(schools, half):
    half = half.copy()
    half.iloc[3, half.columns.get_loc("yi")] = np.nan
    half.iloc[5, half.columns.get_loc("size")] = np.nan
    with pytest.warns(UserWarning, match="2 of 28 rows dropped"):
        found = built(schools).fit().refit(half)
    assert found.nobs == 26
    with pytest.raises(DataError, match="missing values"):
        built(schools, missing="raise").fit().refit(half)


def test_it_survives_pickling_and_refits_of_refits(schools, half):
    res = pickle.loads(pickle.dumps(built(schools).fit()))
    assert_same(res.refit(half).refit(schools), built(schools).fit())


def test_arrays_have_to_be_given_again(schools, half):
    res = built(schools, variance=schools["vi"].to_numpy()).fit()
    with pytest.raises(SpecificationError, match="variance of the model was given as arrays"):
        res.refit(half)
    assert_same(res.refit(half, variance=half["vi"].to_numpy()), built(half).fit())


def test_what_cannot_be_refitted_says_so(schools, half):
    arrays = MetaMixedLM(schools["yi"], None, schools["vi"]).fit()
    with pytest.raises(SpecificationError, match="built by from_formula"):
        arrays.refit(half)
    res = built(schools).fit()
    with pytest.raises(DataError, match=r"'kind' has the level 'never'"):
        res.refit(half.assign(kind="never"))
    with pytest.raises(DataError, match="'vi'"):
        res.refit(half.drop(columns="vi"))
    robust = built(schools).fit(cov_type="CR1", cov_kwds={"groups": "kind"})
    with pytest.raises(SpecificationError, match="robust over groups of their own"):
        robust.refit(half)
