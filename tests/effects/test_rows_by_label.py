"""Series given beside or instead of data are matched by their labels, never by position alone."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import (
    DataError,
    SpecificationError,
    conv_2x2,
    conv_fivenum,
    conv_sd,
    conv_wald,
    datasets,
    escalc,
    to_long,
    varms,
)

BCG = datasets.load("bcg").drop(columns=["yi", "vi"]).iloc[[3, 1, 7]]
CELLS = {"ai": "tpos", "bi": "tneg", "ci": "cpos", "di": "cneg"}
EXPECTED = escalc("RR", data=BCG, append=False, **CELLS)


def test_series_beside_data():
    mixed = {name: BCG[column].sort_index() for name, column in CELLS.items()}
    found = escalc("RR", data=BCG, append=False, **mixed)
    pd.testing.assert_frame_equal(found, EXPECTED)
    arrays = {name: BCG[column].to_numpy() for name, column in CELLS.items()}
    pd.testing.assert_frame_equal(escalc("RR", data=BCG, append=False, **arrays), EXPECTED)


def test_options_beside_data():
    labels = BCG["author"].sort_index()
    found = escalc("RR", data=BCG, slab=labels, flip=labels == "Ferguson & Simes", **CELLS)
    assert found.attrs["slab"] == tuple(BCG["author"])
    signs = np.where(BCG["author"] == "Ferguson & Simes", -1.0, 1.0)
    np.testing.assert_array_equal(found["yi"], signs * EXPECTED["yi"])
    some = escalc("RR", data=BCG, include=labels == "Ferguson & Simes", append=False, **CELLS)
    assert some["yi"].isna().tolist() == (signs > 0).tolist()


def test_series_without_data_keep_their_index():
    columns = {name: BCG[column] for name, column in CELLS.items()}
    columns["di"] = columns["di"].sort_index()
    pd.testing.assert_frame_equal(escalc("RR", **columns), EXPECTED)
    with pytest.raises(SpecificationError, match="no data was given"):
        escalc("RR", **columns, slab="author")


def test_labels_that_do_not_fit_are_errors():
    with pytest.raises(DataError, match="index of ai does not have rows 3, 7 of the data"):
        escalc("RR", data=BCG, **(CELLS | {"ai": BCG["tpos"].reset_index(drop=True)}))
    twice = pd.concat([BCG.head(1), BCG.head(1)])
    other = pd.Series([1, 2], index=[0, 1])
    with pytest.raises(DataError, match="ai and the data have different indexes with repeated"):
        escalc("RR", data=twice, **(CELLS | {"ai": other}))
    pd.testing.assert_frame_equal(
        escalc("RR", data=twice, append=False, **(CELLS | {"ai": twice["tpos"]})),
        escalc("RR", data=twice, append=False, **CELLS),
    )


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (conv_wald, {"out": [0.5, 0.8], "ci_lb": [0.3, 0.7], "ci_ub": [0.7, 0.9]}),
        (conv_sd, {"n": [25, 36], "sei": [1.0, 2.0]}),
        (conv_fivenum, {"q1": [8, 18], "median": [10, 20], "q3": [13, 23], "n": [60, 50]}),
        (conv_2x2, {"ori": [2.25, 1.0], "ni": [40, 40], "n1i": [20, 20], "n2i": [20, 20]}),
    ],
)
def test_conversions(function, given):
    series = {name: pd.Series(values, index=[5, 2]) for name, values in given.items()}
    first = next(iter(series))
    series[first] = series[first].sort_index()
    want = function(**given).set_axis([5, 2]).sort_index()
    pd.testing.assert_frame_equal(function(**series), want)


def test_reshaping_and_shared_arms():
    mixed = {name: BCG[column].sort_index() for name, column in CELLS.items()}
    plain = to_long("RR", data=BCG, append=False, **CELLS)
    pd.testing.assert_frame_equal(to_long("RR", data=BCG, append=False, **mixed), plain)
    frame = BCG.assign(arm="vaccine", control="none")
    design = {"cluster": "trial", "grp1": "arm", "grp2": "control", "data": frame}
    np.testing.assert_array_equal(
        varms("RR", **design, **mixed).variances, varms("RR", **design, **CELLS).variances
    )


@pytest.mark.parametrize("values", [["4", "5"], pd.to_datetime(["2020-01-01"] * 2), [1j, 2]])
def test_what_is_no_number_is_named(values):
    with pytest.raises(DataError, match="mi must be numeric, but row 0 holds"):
        escalc("MN", mi=values, sdi=[1, 1], ni=[10, 10])


def test_the_culprit_of_a_column_of_text_is_named():
    frame = pd.DataFrame({"r": ["0.1", "0.2", "n.r.", "0.3"], "n": 30})
    with pytest.raises(DataError, match=r"ri must be numeric, but row 2 holds 'n\.r\.'"):
        escalc("COR", ri="r", ni="n", data=frame)
    with pytest.raises(DataError, match=r"row 0 holds '0\.1'; convert it with pandas.to_numeric"):
        escalc("COR", ri="r", ni="n", data=frame.drop(index=2))


def test_columns_of_one_name():
    frame = pd.DataFrame([[4, 5]], columns=["m", "m"])
    with pytest.raises(DataError, match="mi='m' names 2 columns of data"):
        escalc("MN", mi="m", sdi=[1], ni=[10], data=frame)


def test_existing_columns_that_are_no_numbers():
    frame = pd.DataFrame({"r": [0.1], "yi": ["x"], "vi": [np.nan]})
    with pytest.raises(DataError, match="yi must be numeric, but row 0 holds 'x'"):
        escalc("COR", ri="r", ni=[9], data=frame, replace="ifna")
