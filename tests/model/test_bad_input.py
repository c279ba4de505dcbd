"""Data that cannot be used: the message says what, where, and what to do."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mvmeta.errors import CovarianceError, DataError, SpecificationError
from mvmeta.model.specification.build import prepare_arrays, prepare_formula


@pytest.fixture
def data():
    return pd.DataFrame(
        {"yi": [0.1, 0.2, 0.3], "vi": [1.0, 1.0, 1.0], "x": [1.0, 2.0, 4.0], "w": 1.0},
        index=["a", "b", "c"],
    )


@pytest.mark.parametrize("column", ["yi", "x"])
def test_infinite_values_name_column_and_rows(data, column):
    data.loc[["a", "c"], column] = np.inf
    with pytest.raises(DataError, match=rf"infinite.*{column} \(rows a, c\)"):
        prepare_formula("yi ~ x", data, "vi")


def test_infinite_design_columns_are_named(data):
    data.loc["b", "x"] = 0.0
    with np.errstate(divide="ignore"), pytest.raises(DataError, match=r"np.log\(x\) \(row b\)"):
        prepare_formula("yi ~ np.log(x)", data, "vi")


@pytest.mark.parametrize(("value", "what"), [(-1.0, "negative"), (np.inf, "infinite")])
def test_bad_variances(data, value, what):
    data.loc["b", "vi"] = value
    with pytest.raises(CovarianceError, match=f"{what} in row b"):
        prepare_formula("yi ~ x", data, "vi")


def test_text_is_no_number(data):
    data["vi"] = ["1", "2", "3"]
    with pytest.raises(DataError, match=r"'vi' must be numeric.*row a holds '1'.*to_numeric"):
        prepare_formula("yi ~ x", data, "vi")
    with pytest.raises(DataError, match="endog must be numeric"):
        prepare_arrays(["a", "b"], None, 1.0)
    with pytest.raises(DataError, match="exog 'x1' must be numeric"):
        prepare_arrays([1.0, 2.0], np.array(["a", "b"]), 1.0)
    data["vi"] = pd.Categorical([1.0, 1.0, 2.0])
    with pytest.raises(DataError, match="is categorical"):
        prepare_formula("yi ~ x", data, "vi")


@pytest.mark.parametrize(("subset", "left"), [([], "no usable row"), ([1], "fewer than two")])
def test_too_few_rows(data, subset, left):
    with pytest.raises(DataError, match=left):
        prepare_formula("yi ~ 1", data, "vi", subset=np.array(subset, dtype=int))


def test_nothing_left_after_missing_values(data):
    data["yi"] = np.nan
    with pytest.raises(DataError, match=r"no usable row is left \(0 of 3\)"):
        prepare_formula("yi ~ x", data, "vi")
    with pytest.raises(DataError, match="0 of 0"):
        prepare_formula("yi ~ x", data.iloc[:0], "vi")


def test_all_columns_zero(data):
    data["x"] = 0.0
    with pytest.raises(SpecificationError, match="all columns of the design matrix are zero"):
        prepare_formula("yi ~ x - 1", data, "vi")


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ("ww", "did you mean 'w'"),
        (-np.ones(3), "negative weights in rows a, b, c"),
        (np.array([1, np.inf, 1]), "infinite weights in row b"),
        (np.zeros(3), "all weights are zero"),
        (np.ones(4), "has 4 rows"),
        (np.ones((2, 2)), "got shape"),
        (np.triu(np.ones((3, 3))), "not symmetric: 1 in row a, column b, but 0 in row b, column a"),
        (np.where(np.eye(3), 1, np.nan), "6 missing .* the first in row a, column b; give it"),
    ],
)
def test_weights_that_cannot_be_used(data, weights, match):
    with pytest.raises(DataError, match=match):
        prepare_formula("yi ~ x", data, "vi", weights=weights)


def test_data_that_are_no_frame(data):
    with pytest.raises(DataError, match="must be a frame in memory"):
        prepare_formula("yi ~ x", 3, "vi")
    with pytest.raises(DataError, match=r"frame.collect\(\)"):
        prepare_formula("yi ~ x", pl.from_pandas(data).lazy(), "vi")
    with pytest.raises(DataError, match="do not make a table"):
        prepare_formula("yi ~ 1", {"yi": [1, 2], "vi": [1]}, "vi")


def test_a_dask_frame_is_to_be_computed_first():
    lazy = type("DataFrame", (), {"__module__": "dask.dataframe", "compute": lambda self: None})()
    with pytest.raises(DataError, match=r"ddf.compute\(\)"):
        prepare_formula("yi ~ x", lazy, "vi")


def test_repeated_column_names(data):
    data = pd.concat([data, data[["vi"]]], axis=1)
    with pytest.raises(DataError, match="2 columns named 'vi'"):
        prepare_formula("yi ~ x", data, "vi")


@pytest.mark.parametrize(
    ("endog", "exog", "match"),
    [
        (np.zeros((3, 2)), None, "endog must have one value per row"),
        (np.zeros(3), np.zeros((2, 1)), "exog has 2 rows"),
        (np.zeros(3), np.zeros((3, 0)), "no columns"),
        (pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0], index=[5, 6]), "does not have rows 0, 1"),
    ],
)
def test_arrays_that_do_not_fit(endog, exog, match):
    with pytest.raises(DataError, match=match):
        prepare_arrays(endog, exog, 1.0)


def test_column_names_need_data():
    with pytest.raises(DataError, match="'vi' wanted for variance is not in the data"):
        prepare_arrays(np.zeros(3), None, "vi")


@pytest.mark.parametrize("groups", ["study", "study/id"])
@pytest.mark.parametrize("kind", ["float64", "object", "category", "Float64"])
def test_infinite_groups_name_column_and_rows(data, groups, kind):
    study = pd.Series([-np.inf, 1.0, np.inf], index=data.index).astype(kind)
    with pytest.raises(DataError, match=r"infinite.*study \(rows a, c\)"):
        prepare_formula("yi ~ 1", data.assign(study=study, id=range(3)), "vi", groups=groups)


def test_infinite_groups_of_rows_that_are_not_used_do_no_harm(data):
    frame = data.assign(study=[1.0, 2.0, np.inf])
    assert prepare_formula("yi ~ 1", frame, "vi", groups="study", subset=[0, 1]).problem.n == 2
