"""One mask for everything: subset, missing values, alignment by index, and what is said of it."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from mvmeta.errors import DataError, MvmetaWarning
from mvmeta.model.specification.build import prepare_arrays, prepare_formula
from mvmeta.model.specification.random import Random


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    n = 12
    return pd.DataFrame(
        {
            "yi": rng.normal(size=n),
            "vi": rng.uniform(0.1, 1.0, n),
            "x": rng.normal(size=n),
            "study": np.repeat([1, 2, 3, 4], 3),
            "outcome": ["A", "B", "C"] * 4,
            "w": rng.uniform(1.0, 2.0, n),
        },
        index=[f"r{i}" for i in range(n)],
    )


def test_a_missing_value_anywhere_drops_the_row_everywhere(data):
    v = np.diag(data["vi"])
    v[0, 1] = v[1, 0] = 0.01
    v[9, 9] = np.nan
    data["study"] = data["study"].astype(float)
    data.loc["r2", "yi"] = data.loc["r3", "x"] = data.loc["r4", "study"] = np.nan
    data.loc["r5", "outcome"] = None
    data.loc["r6", "w"] = np.nan
    with pytest.warns(MvmetaWarning, match="6 of 12 rows dropped for missing values") as said:
        p = prepare_formula(
            "yi ~ x", data, v, groups="study", random=Random("outcome | study", "DIAG"), weights="w"
        )
    reasons = {"yi": "r2", "x": "r3", "study": "r4", "outcome": "r5", "w": "r6", "variance": "r9"}
    for name, row in reasons.items():
        assert f"{name} (row {row})" in str(said[0].message)
    kept = [0, 1, 7, 8, 10, 11]
    assert list(p.rows) == kept
    assert list(p.index) == [f"r{i}" for i in kept]
    assert p.n_given == 12
    np.testing.assert_array_equal(p.problem.y, data["yi"].to_numpy()[kept])
    np.testing.assert_array_equal(p.problem.x[:, 1], data["x"].to_numpy()[kept])
    np.testing.assert_array_equal(p.problem.v.toarray(), v[np.ix_(kept, kept)])
    np.testing.assert_array_equal(p.problem.terms[0].level, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(p.problem.terms[1].inner, [0, 1, 1, 2, 1, 2])
    np.testing.assert_array_equal(p.weights.toarray(), np.diag(data["w"].to_numpy()[kept]))
    assert list(p.frame.index) == list(p.index)
    assert set(p.dropped["row"]) == {"r2", "r3", "r4", "r5", "r6", "r9"}


def test_the_warning_points_at_the_caller_and_names_several_reasons(data):
    data.loc["r2", ["yi", "vi"]] = np.nan
    with pytest.warns(MvmetaWarning, match=r"yi \(row r2\), vi \(row r2\)") as said:
        p = prepare_formula("yi ~ 1", data, "vi")
    assert said[0].filename == __file__
    assert list(p.dropped["reason"]) == ["missing yi; vi"]


def test_a_factor_that_turns_out_missing_drops_its_row_before_transforms_are_learnt(data):
    data["z"] = np.arange(1.0, 13.0)
    data.loc["r0", "z"] = -1.0
    with (
        np.errstate(invalid="ignore"),
        pytest.warns(MvmetaWarning, match=r"np.log\(z\) \(row r0\)"),
    ):
        p = prepare_formula("yi ~ np.log(z) + center(z)", data, "vi", eval_env={"np": np})
    expected = data["z"].to_numpy()[1:]
    np.testing.assert_allclose(p.problem.x[:, 2], expected - expected.mean(), rtol=1e-14)


def test_transforms_see_only_the_rows_that_are_fitted(data):
    data.loc["r11", "vi"] = np.nan
    with pytest.warns(MvmetaWarning):
        p = prepare_formula("yi ~ center(x)", data, "vi")
    x = data["x"].to_numpy()[:11]
    np.testing.assert_allclose(p.problem.x[:, 1], x - x.mean(), rtol=1e-13)


@pytest.mark.parametrize("action", ["raise", "none"])
def test_missing_values_are_errors_on_request(data, action):
    data.loc["r2", "x"] = np.nan
    with pytest.raises(DataError, match=r"x \(row r2\)"):
        prepare_formula("yi ~ x", data, "vi", missing=action)


def test_unknown_missing_action(data):
    with pytest.raises(DataError, match="'drop', 'raise', 'none'"):
        prepare_formula("yi ~ x", data, "vi", missing="skip")


@pytest.mark.parametrize(
    "subset",
    [
        lambda d: d["x"] > 0,
        lambda d: (d["x"] > 0).to_numpy(),
        lambda d: (d["x"] > 0).astype("boolean"),
        lambda d: list(d["x"] > 0),
        lambda d: np.flatnonzero(d["x"] > 0),
        lambda d: np.flatnonzero(d["x"] > 0)[::-1],
        lambda d: (d["x"] > 0).iloc[::-1],
    ],
)
def test_forms_of_subset(data, subset):
    p = prepare_formula("yi ~ 1", data, data["vi"].to_numpy(), subset=subset(data))
    assert list(p.rows) == list(np.flatnonzero(data["x"] > 0))
    np.testing.assert_array_equal(p.problem.v.variances, data["vi"].to_numpy()[p.rows])


def test_subset_by_column_name_counts_no_dropped_rows(data):
    data["use"] = data["study"] < 3
    p = prepare_formula("yi ~ 1", data, "vi", subset="use")
    assert len(p.rows) == 6
    assert not len(p.dropped)


@pytest.mark.parametrize(
    ("subset", "match"),
    [
        (lambda d: (d["x"] > 0).astype(int).to_numpy(), "twice"),
        (lambda d: np.array([0, 99]), "outside"),
        (lambda d: d["x"].to_numpy(), "booleans"),
        (lambda d: np.array([True, False]), "has 2 rows"),
        (lambda d: "outcome", "booleans"),
        (lambda d: pd.array([True, None] * 6, dtype="boolean"), "missing values"),
    ],
)
def test_what_is_no_subset(data, subset, match):
    with pytest.raises(DataError, match=match):
        prepare_formula("yi ~ 1", data, "vi", subset=subset(data))


def test_series_are_matched_by_label(data):
    shuffled = data.sample(frac=1.0, random_state=3)
    p = prepare_formula(
        "yi ~ 1", data, shuffled["vi"], groups=shuffled["study"], weights=shuffled["w"]
    )
    np.testing.assert_array_equal(p.problem.v.variances, data["vi"])
    np.testing.assert_array_equal(p.problem.terms[0].level, data["study"] - 1)
    np.testing.assert_array_equal(p.weights.diagonal(), data["w"])


def test_labelled_matrices_are_matched_by_label(data):
    v = pd.DataFrame(np.diag(data["vi"]), index=data.index, columns=data.index)
    order = data.index[::-1]
    p = prepare_formula("yi ~ 1", data, v.loc[order, order], weights=v.loc[order, order])
    np.testing.assert_array_equal(p.problem.v.variances, data["vi"])
    np.testing.assert_array_equal(p.weights.diagonal(), data["vi"])


def test_labels_that_differ_are_refused(data):
    with pytest.raises(DataError, match="does not have"):
        prepare_formula("yi ~ 1", data, data["vi"].reset_index(drop=True))
    with pytest.raises(DataError, match="the data have 12"):
        prepare_formula("yi ~ 1", data, data["vi"].iloc[:5])


def test_repeated_labels_must_be_in_the_same_order(data):
    data.index = pd.Index(["a", "b", "c"] * 4)
    p = prepare_formula("yi ~ 1", data, data["vi"], groups=data["study"])
    np.testing.assert_array_equal(p.problem.v.variances, data["vi"])
    with pytest.raises(DataError, match="repeated labels"):
        prepare_formula("yi ~ 1", data, data["vi"].sort_index())


def test_array_interface_names_and_alignment(data):
    x = pd.DataFrame({"const": 1.0, "x": data["x"]})
    p = prepare_arrays(data["yi"], x.iloc[::-1], data["vi"].iloc[::-1], groups=data["study"])
    assert (p.endog_name, p.exog_names) == ("yi", ["const", "x"])
    np.testing.assert_array_equal(p.problem.x[:, 1], data["x"])
    np.testing.assert_array_equal(p.problem.v.variances, data["vi"])
    assert p.has_intercept
    assert p.term_columns == {"const": [0], "x": [1]}


def test_array_interface_without_labels(data):
    x = np.column_stack([np.ones(12), data["x"], data["w"]])
    groups = data[["study", "outcome"]].to_numpy()
    p = prepare_arrays(data["yi"].to_numpy(), x, data["vi"].to_numpy(), groups=groups)
    assert (p.endog_name, p.exog_names) == ("y", ["const", "x1", "x2"])
    assert [t.name for t in p.problem.terms] == ["group", "group/group2"]
    assert list(p.problem.terms[1].level_labels)[:4] == ["1/A", "1/B", "1/C", "2/A"]
    assert prepare_arrays(data["yi"].tolist(), None, 1.0).exog_names == ["const"]
    with pytest.raises(DataError, match="no formula"):
        p.design(data)


def test_array_interface_raises_for_missing_values_unless_told_to_drop(data):
    y = data["yi"].copy()
    y["r3"] = np.nan
    with pytest.raises(DataError, match=r"yi \(row r3\)"):
        prepare_arrays(y, None, data["vi"])
    with pytest.warns(MvmetaWarning, match=r"yi \(row r3\)"):
        p = prepare_arrays(y, None, data["vi"], missing="drop")
    assert len(p.rows) == 11


def test_arrays_may_name_columns_of_data(data):
    p = prepare_arrays(data["yi"], None, "vi", groups="study", data=data)
    assert [t.name for t in p.problem.terms] == ["study"]
    assert set(p.frame.columns) == {"vi", "study"}


def test_frames_are_not_changed_or_shared(data):
    before = data.copy()
    arrays = prepare_arrays(data["yi"], data[["x"]], data["vi"])
    formula = prepare_formula("yi ~ x", data, "vi", groups="study")
    pd.testing.assert_frame_equal(data, before)
    data.loc[:, ["yi", "x", "vi"]] = 0.0
    for p in (arrays, formula):
        np.testing.assert_array_equal(p.problem.y, before["yi"])
        np.testing.assert_array_equal(p.problem.x[:, -1], before["x"])
        np.testing.assert_array_equal(p.problem.v.variances, before["vi"])


def test_arrays_of_floats_are_shared_and_never_written_to(data):
    y, x = data["yi"].to_numpy(copy=True), np.ascontiguousarray(data[["x", "w"]])
    v = data["vi"].to_numpy(copy=True)
    p = prepare_arrays(y, x, v).problem
    for ours, given in ((p.y, y), (p.x, x), (p.v.variances, v)):
        assert np.shares_memory(ours, given)
        assert not ours.flags.writeable
        assert given.flags.writeable


def test_redundant_columns_go_from_the_right_and_are_named(data):
    data["twice"], data["nothing"] = 2 * data["x"] + 1, 0.0
    with pytest.warns(MvmetaWarning, match="2 columns of the design.*twice, nothing"):
        p = prepare_formula("yi ~ x + twice + w + nothing", data, "vi")
    assert p.exog_names == ["Intercept", "x", "w"]
    assert p.dropped_columns == ["twice", "nothing"]
    assert list(p.exog_columns) == [0, 1, 3]
    assert p.term_columns == {"Intercept": [0], "x": [1], "twice": [], "w": [2], "nothing": []}
    np.testing.assert_array_equal(p.design(data), p.problem.x)


@pytest.mark.parametrize("noise", [1e-9, 1e-12])
def test_a_column_is_redundant_below_the_tolerance_only(data, noise):
    data["z"] = data["x"] + noise * data["w"]
    x = data[["x", "z"]].to_numpy()
    if noise < 1e-10:
        with pytest.warns(MvmetaWarning, match="x2"):
            assert prepare_arrays(data["yi"], x, 1.0).exog_names == ["x1"]
    else:
        assert prepare_arrays(data["yi"], x, 1.0).exog_names == ["x1", "x2"]


def test_scale_of_columns_does_not_make_them_redundant(data):
    data["tiny"], data["huge"] = 1e-180 * data["w"], 1e180 * data["x"]
    assert prepare_formula("yi ~ tiny + huge", data, "vi").dropped_columns == []


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dict", "nullable", "arrow"])
def test_other_frames_give_the_same_problem(data, kind):
    data = data.reset_index(drop=True)
    data["outcome"] = ["C", "B", "A"] * 4
    data.loc[3, "x"] = np.nan
    text = pl.DataFrame(data.to_dict("list")).with_columns(pl.col("outcome").cast(pl.Categorical))
    other = {
        "polars": lambda: text.with_columns(pl.col("x").fill_nan(None)),
        "pyarrow": text.to_arrow,
        "dict": lambda: data.to_dict("list"),
        "nullable": data.convert_dtypes,
        "arrow": lambda: data.convert_dtypes(dtype_backend="pyarrow"),
    }[kind]()
    call = {"groups": "study", "random": Random("outcome | study", "DIAG")}
    with pytest.warns(MvmetaWarning, match=r"x \(row 3\)"):
        ours = prepare_formula("yi ~ outcome + x", other, "vi", **call)
    with pytest.warns(MvmetaWarning):
        want = prepare_formula("yi ~ outcome + x", data, "vi", **call)
    np.testing.assert_array_equal(ours.problem.x, want.problem.x)
    np.testing.assert_array_equal(ours.problem.y, want.problem.y)
    assert ours.exog_names == want.exog_names == ["Intercept", "outcome[T.B]", "outcome[T.C]", "x"]
    for a, b in zip(ours.problem.terms, want.problem.terms, strict=True):
        np.testing.assert_array_equal(a.level, b.level)
        assert list(a.level_labels) == list(b.level_labels)
        assert a.structure.labels == b.structure.labels


def test_polars_enum_keeps_its_order(data):
    frame = pl.DataFrame(data.to_dict("list"))
    frame = frame.with_columns(pl.col("outcome").cast(pl.Enum(["C", "B", "A", "D"])))
    p = prepare_formula("yi ~ outcome", frame, "vi", random="outcome | study")
    assert p.exog_names == ["Intercept", "outcome[T.B]", "outcome[T.A]"]
    assert p.problem.terms[0].structure.labels == ("C", "B", "A")


def test_categories_without_a_row_leave_no_column_and_no_level(data):
    data["outcome"] = pd.Categorical(data["outcome"], categories=["D", "C", "B", "A"])
    p = prepare_formula("yi ~ C(outcome)", data, "vi", random="outcome | study")
    assert p.exog_names == ["Intercept", "C(outcome)[T.B]", "C(outcome)[T.A]"]
    assert p.problem.terms[0].structure.labels == ("C", "B", "A")
    np.testing.assert_array_equal(p.problem.terms[0].inner, [2, 1, 0] * 4)


def test_sparse_weights_and_scalar_weights(data):
    w = sparse.eye_array(12, format="csc") * 2.0
    p = prepare_formula("yi ~ 1", data, "vi", weights=w, subset=np.arange(5))
    np.testing.assert_array_equal(p.weights.toarray(), 2.0 * np.eye(5))
    q = prepare_formula("yi ~ 1", data, "vi", weights=3)
    np.testing.assert_array_equal(q.weights.toarray(), 3.0 * np.eye(12))


def test_reasons_may_contain_commas(data):
    data["z"] = [f"{v:g}" for v in range(12)]
    data["k"] = data["z"].astype(float)
    data.loc["r0", "k"] = -1.0

    def power(v, exponent):
        return v**exponent

    with pytest.warns(MvmetaWarning, match=r"^1 of 12 rows .*values: power\(k, 0.5\) \(row r0\)$"):
        p = prepare_formula("yi ~ power(k, 0.5)", data, "vi")
    assert list(p.dropped["reason"]) == ["missing power(k, 0.5)"]


def test_constant_response_is_fine(data):
    data["yi"] = 1.5
    assert (prepare_formula("yi ~ x", data, "vi").problem.y == 1.5).all()
