"""Impossible numbers give NaN with one warning that names rows; impossible calls an error."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mvmeta import conv_2x2, escalc
from mvmeta.errors import DataError, MvmetaError, MvmetaWarning, SpecificationError

GOOD = {"m1i": 5, "m2i": 4, "sd1i": 1, "sd2i": 2, "n1i": 10, "n2i": 12}


@pytest.mark.parametrize(
    ("measure", "good", "bad", "told"),
    [
        ("SMD", GOOD, {"sd1i": 0}, "sd1i is not positive"),
        ("MD", GOOD, {"sd2i": -1}, "sd2i is not positive"),
        ("SMD", GOOD, {"n2i": 1}, "n2i is less than 2"),
        ("SMD", GOOD, {"m1i": np.nan}, "m1i is missing"),
        ("SMD", GOOD, {"m1i": np.nan, "sd2i": np.nan}, "m1i, sd2i are missing"),
        ("MD", GOOD, {"m1i": np.nan}, "m1i is missing"),
        ("MD", GOOD, {"m1i": np.inf}, "m1i is infinite"),
        ("ROM", GOOD, {"m1i": -5}, "m1i = -5, m2i = 4: .* means of one sign"),
        ("OR", {"ai": 1, "bi": 2, "ci": 3, "di": 4}, {"ci": -1}, "ci is negative"),
        ("RR", {"ai": 1, "n1i": 9, "ci": 3, "n2i": 8}, {"ai": 10}, "ai exceeds n1i"),
        (
            "OR",
            {"ai": 1, "bi": 8, "n1i": 9, "ci": 3, "n2i": 8},
            {"bi": 7},
            r"ai \+ bi is not n1i",
        ),
        ("PR", {"xi": 2, "ni": 8}, {"xi": 9}, "xi exceeds ni"),
        ("IRR", {"x1i": 1, "t1i": 9.5, "x2i": 3, "t2i": 8}, {"t1i": 0}, "t1i is not positive"),
        ("COR", {"ri": 0.5, "ni": 20}, {"ri": 1.0}, "ri is not between"),
        ("ZCOR", {"ri": 0.5, "ni": 20}, {"ni": 3}, r"ni = 3: the variance 1 / \(n - 3\) needs"),
        ("COR", {"pi": 0.5, "ni": 20}, {"pi": 1.5}, "pi is not a"),
        ("PCOR", {"ti": 0.5, "ni": 20, "mi": 3}, {"mi": 19}, "ni is not above"),
        ("MC", {**GOOD, "ri": 0.5}, {"ri": -1.0}, "ri is not between"),
        ("SMCC", {**GOOD, "ri": 0.5}, {"sd2i": 0}, "sd2i is 0 but ri is not"),
        ("ABT", {"ai": 0.8, "mi": 10, "ni": 50}, {"ai": 1.0}, "ai is not below 1"),
        ("GEN", {"yi": 0.8, "sei": 0.1}, {"sei": -0.1}, "sei is negative"),
    ],
)
def test_bad_row_is_nan_and_named(measure, good, bad, told):
    good = dict(good)
    if "ri" in good and "n1i" in good:
        del good["n1i"], good["n2i"]
        good["ni"] = 20
    frame = pd.DataFrame([good, {**good, **bad}, good], index=["a", "b", "c"])
    with pytest.warns(MvmetaWarning, match=rf"1 of 3 rows .*row b: .*{told}") as caught:
        result = escalc(measure, data=frame, **{name: name for name in good})
    assert len(caught) == 1
    assert result.loc["b", ["yi", "vi"]].isna().all()
    # The other rows are what they are without it.
    alone = escalc(measure, data=frame.drop("b"), **{name: name for name in good})
    np.testing.assert_array_equal(result.loc[["a", "c"], ["yi", "vi"]], alone[["yi", "vi"]])


def test_bad_rows_do_not_enter_averages():
    with pytest.warns(MvmetaWarning, match="1 of 3"):
        result = escalc("PR", xi=[2, 50, 4], ni=[10, 40, 30], vtype="AV")
    expected = escalc("PR", xi=[2, 4], ni=[10, 30], vtype="AV")
    np.testing.assert_array_equal(result["vi"].to_numpy()[[0, 2]], expected["vi"])


def test_many_bad_rows_are_counted_once():
    with pytest.warns(MvmetaWarning, match=r"7 of 7 rows .*; and 2 more") as caught:
        escalc("COR", ri=np.full(7, 2.0), ni=20)
    assert len(caught) == 1


def test_labels_name_the_rows():
    with pytest.warns(MvmetaWarning, match="row Smith: ri"):
        result = escalc("COR", ri=[0.1, 1.1], ni=20, slab=["Jones", "Smith"])
    assert result.attrs["slab"] == ("Jones", "Smith")


def test_zero_cells_without_correction_are_named():
    with pytest.warns(MvmetaWarning, match="row 1: .*a count is 0 and nothing was added"):
        escalc("OR", ai=[1, 0], bi=[5, 5], ci=[2, 2], di=[4, 4], to="none")


def test_dropped_studies_are_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = escalc("OR", ai=[1, 0], bi=[5, 5], ci=[2, 0], di=[4, 4], drop00=True)
    assert result["yi"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ({"measure": "XYZ", "ri": 1}, SpecificationError, "ZCOR"),
        ({"measure": pd.Series(["OR"]), "ri": 1}, SpecificationError, "no measure of type Series"),
        ({"measure": "SMD", "m1i": 1, "n1i": 2, "n2i": 3}, SpecificationError, "lacks di"),
        ({"measure": "OR", "ai": 1, "bi": 2, "ci": 3}, SpecificationError, "lacks di"),
        ({"measure": "OR", "ai": 1, "xi": 2}, SpecificationError, "does not use xi"),
        ({"measure": "OR"}, SpecificationError, "needs ai"),
        ({"measure": "COR", "ri": "r", "ni": 3}, SpecificationError, "no data"),
        ({"measure": "COR", "ri": [0.1, 0.2], "ni": [3, 4, 5]}, DataError, "ri has 2"),
        ({"measure": "COR", "ri": ["x"], "ni": [3]}, DataError, "row 0 holds 'x'"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "vtype": "UB"}, SpecificationError, "LS, AV"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "to": "some"}, SpecificationError, "only0"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "add": -1}, SpecificationError, "non-negative"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "add": "x"}, SpecificationError, "non-negative"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "flip": [True, True]}, DataError, "flip"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "flip": 0}, DataError, "flip has a number that"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "flip": "x"}, SpecificationError, "no data"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "replace": "x"}, SpecificationError, "ifna"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "include": [4]}, SpecificationError, "include="),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "correct": "no"}, SpecificationError, "correct="),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "drop00": 1}, SpecificationError, "drop00="),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "cutoff": "x"}, SpecificationError, "cutoff="),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "cutoff": -1}, SpecificationError, "cutoff="),
        (
            {"measure": "COR", "ri": 0.1, "ni": 9, "var_names": "yi"},
            SpecificationError,
            "two names",
        ),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "slab": ["a", "b"]}, DataError, "slab"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "vtype": ["LS", "AV"]}, DataError, "vtype"),
        ({"measure": "COR", "ri": 0.1, "ni": 9, "data": 3}, DataError, "a frame in memory"),
    ],
)
def test_impossible_calls(call, error, told):
    with pytest.raises(error, match=told):
        escalc(**call)


def test_unknown_column_lists_the_columns():
    with pytest.raises(DataError, match="its columns are r, n"):
        escalc("COR", ri="rho", ni="n", data=pd.DataFrame({"r": [0.1], "n": [9]}))


def test_result_appends_to_the_data_and_keeps_it():
    frame = pd.DataFrame({"r": [0.1, 0.4], "n": [9, 30]}, index=["x", "y"])
    result = escalc("ZCOR", ri="r", ni="n", data=frame, var_names=("z", "v"), flip=[True, False])
    assert list(result) == ["r", "n", "z", "v"]
    assert list(frame) == ["r", "n"]
    assert result.index.tolist() == ["x", "y"]
    np.testing.assert_allclose(result["z"], [-np.arctanh(0.1), np.arctanh(0.4)])
    scale = result.attrs.pop("scale")
    assert scale["column"] == "z"
    assert result.attrs == {"measure": "ZCOR", "ni": (9.0, 30.0), "slab": None}
    assert list(escalc("ZCOR", ri="r", ni="n", data=frame, append=False)) == ["yi", "vi"]


def test_other_data_frames_and_nullable_columns():
    expected = escalc("COR", ri=[0.1, 0.4], ni=[9, 30])
    polars = pl.DataFrame({"r": [0.1, 0.4], "n": [9, 30]})
    result = escalc("COR", ri="r", ni="n", data=polars, append=False)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(
        escalc("COR", ri="r", ni="n", data={"r": [0.1, 0.4], "n": [9, 30]}, append=False), expected
    )
    with pytest.raises(DataError, match="cannot be made a data frame"):
        escalc("COR", ri="r", ni="n", data={"r": [0.1], "n": [9, 30]})
    nullable = pd.DataFrame({"r": [0.1, 0.4], "n": pd.array([9, None], dtype="Int64")})
    with pytest.warns(MvmetaWarning, match="row 1: ni is missing"):
        escalc("COR", ri="r", ni="n", data=nullable)


def test_sd_of_changes_reported_directly():
    whole = escalc("SMCC", m1i=5, m2i=4, sd1i=2, sd2i=1, ri=0.5, ni=20)
    sd = np.sqrt(4 + 1 - 2)
    reported = escalc("SMCC", m1i=1, m2i=0, sd1i=sd, sd2i=0, ri=0, ni=20)
    np.testing.assert_allclose(reported, whole, rtol=1e-14)


def test_ready_made_estimates_keep_their_measure():
    result = escalc("SMD", yi=[0.2], sei=[0.1], ni=[40])
    assert result.attrs["measure"] == "SMD"
    np.testing.assert_allclose(result["vi"], 0.01)


def test_attributes_survive_subsets_concatenation_and_copies():
    one = escalc("COR", ri=[0.1, 0.4], ni=[9, 30], slab=["a", "b"])
    assert one[one["yi"] > 0.2].copy().attrs["ni"] == (9.0, 30.0)
    assert pd.concat([one, one]).attrs["slab"] == ("a", "b")


def test_only_some_rows_are_computed():
    frame = pd.DataFrame(
        {"r": [0.1, 2.0, 0.4], "n": [9, 9, 30], "yi": 7.0, "vi": [1.0, 1.0, np.nan]}
    )
    found = escalc("COR", ri="r", ni="n", data=frame, include=[0])
    assert found["yi"].tolist() == [0.1, 7.0, 7.0]
    new = escalc("COR", ri="r", ni="n", data=frame, include=frame["r"] < 1, append=False)
    assert new["yi"].tolist() == [0.1, 7.0, 0.4]
    # Rows left out do not count for averages.
    some = escalc("COR", ri=[0.1, 0.9, 0.4], ni=[9, 9, 30], vtype="AV", include=[0, 2])
    both = escalc("COR", ri=[0.1, 0.4], ni=[9, 30], vtype="AV")
    np.testing.assert_array_equal(some["vi"].dropna(), both["vi"])


@pytest.mark.parametrize(
    ("measure", "numbers", "told"),
    [
        ("CVLN", {"mi": -2, "sdi": 1, "ni": 9}, "mi = -2: a logarithm needs a positive mean"),
        ("SMN", {"mi": 2, "sdi": 1, "ni": 2}, "ni = 2: the bias correction needs a size of 3"),
        ("SMD1", {**GOOD, "n2i": 2}, "n2i = 2: the bias correction"),
        ("UCOR", {"ri": 0.1, "ni": 2}, "ni = 2: the unbiased estimate is not defined for so"),
        ("ZPCOR", {"ri": 0.1, "ni": 5, "mi": 3}, "ni = 5, mi = 3: .* needs n above m"),
        ("SPCOR", {"ri": 0.6, "r2i": 0.3, "mi": 2, "ni": 20}, "ri = 0.6, r2i = 0.3: R2 of the"),
        ("AS", {"ai": 0, "bi": 0, "ci": 2, "di": 3}, "n1i = 0, n2i = 5: a group has no people"),
        ("R2", {"r2i": 0, "mi": 2, "ni": 20}, "r2i = 0: this variance is 0 where R2 is 0"),
        ("REH", {"ai": 0, "bi": 2, "ci": 3, "to": "none"}, "ai = 0, .* all three genotypes"),
        ("CLES", {"ai": 1, "n1i": 9, "n2i": 9}, "ai = 1: 0 and 1 have no such variance; vtype='H0"),
        ("PHI", {"ai": 1, "bi": 0, "ci": 2, "di": 0}, "di = 0: a row or a column"),
        ("ZPHI", {"ai": 3, "bi": 0, "ci": 0, "di": 2}, "di = 2: a perfect association"),
        ("ZBIS", {"di": 4, "n1i": 9, "n2i": 9}, "di = 4, n1i = 9, n2i = 9: groups so far apart"),
        ("IRLN", {"xi": 0, "ti": 9, "to": "none"}, "xi = 0: a count is 0 and nothing was added"),
    ],
)
def test_what_a_measure_is_not_defined_for_is_told_with_its_numbers(measure, numbers, told):
    with pytest.warns(MvmetaWarning, match=f"{measure}: 1 of 1 rows .*row 0: .*{told}"):
        found = escalc(measure, **numbers)
    assert found[["yi", "vi"]].isna().all(axis=None)


def test_filled_rows_hold_two_numbers_of_one_origin():
    frame = pd.DataFrame(
        {
            "r": [0.1, 0.4, 0.4, 2.0, 0.4, 0.4],
            "n": [9, 30, 30, 30, 30, 30],
            "yi": [7.0, 7.0, np.nan, 7.0, np.nan, 0.4],
            "vi": [1.0, np.nan, 1.0, np.nan, np.nan, np.nan],
        },
        index=list("abcdef"),
    )
    told = (
        "COR: 2 of 6 rows lacked part of yi, vi, which belong together; all are new: row b: "
        "yi was 7, is 0.4; row c: vi was 1, is 0.0243"
    )
    with pytest.warns(MvmetaWarning) as warned:
        found = escalc("COR", ri="r", ni="n", data=frame, replace="ifna")
    assert [str(w.message)[: len(told)] for w in warned][1] == told
    vi = (1 - 0.16) ** 2 / 29
    # Row d has numbers that give no correlation, and keeps what it has.
    np.testing.assert_array_equal(found["yi"], [7.0, 0.4, 0.4, 7.0, 0.4, 0.4])
    np.testing.assert_allclose(found["vi"], [1.0, vi, vi, np.nan, vi, vi])


def test_conversions_fill_rows_as_a_whole():
    frame = pd.DataFrame({"ai": [3.0, np.nan], "bi": [np.nan, np.nan], "ci": 8, "di": 12})
    frame[["ori", "ni", "n1i", "n2i"]] = [2.25, 40, 20, 20]
    names = {name: name for name in ("ori", "ni", "n1i", "n2i")}
    with pytest.warns(MvmetaWarning, match="1 of 2 rows lacked part .* row 0: ai was 3, is 12$"):
        found = conv_2x2(data=frame, **names)
    assert found[["ai", "bi", "ci", "di"]].to_numpy().tolist() == [[12.0, 8.0, 8.0, 12.0]] * 2


def test_large_standardized_differences_are_doubted():
    groups = {**GOOD, "sd1i": [1.0, 0.3], "sd2i": [2.0, 0.3]}
    with pytest.warns(
        MvmetaWarning, match="1 of 2 rows are beyond 2 standard .*row 1: 3.2"
    ) as told:
        found = escalc("SMD", **groups)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(escalc("SMD", **groups, cutoff=None), found)
        escalc("SMD", **groups, cutoff=4)
        escalc("MD", **groups)


def test_flip_by_numbers_changes_the_unit():
    plain = escalc("MD", **GOOD)
    inches = escalc("MD", **GOOD, flip=[-2.54])
    np.testing.assert_allclose(inches, plain * [-2.54, 2.54**2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: escalc("lnRR", mi=1), "no measure 'lnRR'; did you mean 'ROM'? the measures are"),
        (lambda: escalc("Hedges", di=1), "did you mean 'SMD'?"),
        (lambda: escalc("ZCORR", ri=0.1), "no measure 'ZCORR'; did you mean 'ZCOR' or 'Z"),
        (lambda: escalc("QQQQ", ri=0.1), "no measure 'QQQQ'; the measures are ABT"),
        (
            lambda: escalc("PR", xi="event", ni="n", data={"events": [1], "n": [9]}),
            "xi='event' is not a column of data; did you mean 'events'? its columns are events, n",
        ),
        (
            lambda: escalc("MN", mi=["1,5", "2"], sdi=1, ni=9),
            "mi must be numeric, but row 0 holds '1,5'; is that a decimal comma? read ",
        ),
    ],
)
def test_messages_say_what_may_be_meant(call, message):
    with pytest.raises(MvmetaError, match=re.escape(message)):
        call()


def test_proportions_in_place_of_counts_are_doubted():
    told = r"PR: 1 of 3 rows have counts between 0 and 1 \(are these .* row b: xi = 0.3$"
    frame = pd.DataFrame({"x": [3, 0.3, 0.5], "n": 50}, index=list("abc"))
    with pytest.warns(MvmetaWarning, match=told) as warned:
        found = escalc("PR", xi="x", ni="n", data=frame)
    assert len(warned) == 1
    np.testing.assert_allclose(found["yi"], [0.06, 0.006, 0.01])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a probability of superiority is no count
        escalc("CLES", ai=0.7, n1i=20, n2i=20)
        escalc("PR", xi="x", ni="n", data=frame, include=[0, 2])
