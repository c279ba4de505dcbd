"""Random terms bound to rows: codes, labels, known matrices, sites, fixed components."""

import pickle

import numpy as np
import pandas as pd
import pytest

from mvmeta.errors import DataError, MvmetaWarning, SpecificationError
from mvmeta.model.specification.build import prepare_arrays, prepare_formula
from mvmeta.model.specification.distances import great_circle
from mvmeta.model.specification.random import Random
from mvmeta.structures import structure_class


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "yi": np.arange(8.0) % 3,
            "vi": 0.1,
            "study": [10, 10, 9, 9, 2, 2, 1, 1],
            "id": [1, 2, 1, 2, 1, 2, 1, 2],
            "outcome": list("BABABABA"),
            "time": [1.0, 2.5, 1.0, 4.0, 2.5, 4.0, 1.0, 2.5],
            "x": [0.0, 3.0, 0.0, 0.0, 3.0, 1.0, 0.0, 1.0],
            "y": [0.0, 4.0, 1.0, 0.0, 4.0, 1.0, 0.0, 1.0],
            "dose": [1.0, 2, 3, 4, 5, 6, 7, 8],
        }
    )


def term(data, random, **kwargs):
    p = prepare_formula("yi ~ 1", data, "vi", random=random, **kwargs)
    return p.problem.terms[0], p


def test_numbers_sort_as_numbers_and_nested_labels_join(data):
    p = prepare_formula("yi ~ 1", data, "vi", groups="study/id")
    study, nested = p.problem.terms
    assert list(study.level_labels) == [1, 2, 9, 10]
    assert list(study.level) == [3, 3, 2, 2, 1, 1, 0, 0]
    labels = ["1/1", "1/2", "2/1", "2/2", "9/1", "9/2", "10/1", "10/2"]
    assert list(nested.level_labels) == labels
    assert [labels[c] for c in nested.level] == [
        f"{s}/{i}" for s, i in zip(data["study"], data["id"], strict=True)
    ]
    assert study.n_levels == 4
    assert study.is_scalar
    assert study.structure.components[0].kind == "sigma2"
    assert nested.level_labels[-1] == "10/2"
    assert nested.level_labels[:2] == ("1/1", "1/2")


def test_study_numbers_made_floats_by_a_missing_value_are_labelled_as_integers(data):
    data["study"] = data["study"].astype(float)
    data.loc[0, "study"] = np.nan
    with pytest.warns(MvmetaWarning):
        t, _ = term(data, "1 | study/id")
    assert [str(v) for v in t.level_labels] == ["1", "2", "9", "10"]


def test_interaction_only(data):
    t, _ = term(data, "1 | study:outcome")
    assert (t.name, list(t.level_labels)[:3]) == ("study:outcome", ["1:A", "1:B", "2:A"])


def test_mixed_labels_do_not_crash(data):
    data["study"] = [10, 10, "b", "b", 2, 2, "a", "a"]
    t, _ = term(data, "1 | study")
    assert list(t.level_labels) == [10, 2, "a", "b"]


def test_const_is_one_group(data):
    t, _ = term(data, Random("outcome | const", "ID"))
    assert (t.n_levels, t.q, list(t.inner)) == (1, 2, [1, 0] * 4)
    t, p = term(data, "1 | const")
    assert t.structure.fixed.all()
    assert "single level" in p.notes[0]


@pytest.mark.parametrize("struct", ["ID", "DIAG", "CS", "HCS", "UN", "AR", "HAR"])
def test_factor_structures(data, struct):
    t, p = term(data, Random("outcome | study", struct))
    assert isinstance(t.structure, structure_class(struct))
    assert t.structure.labels == ("A", "B")
    assert list(t.inner) == [1, 0] * 4
    assert list(t.level) == [3, 3, 2, 2, 1, 1, 0, 0]
    assert p.term_specs[0].inner == ("outcome",)


def test_car_takes_times(data):
    t, _ = term(data, Random("time | study", "CAR"))
    assert t.structure.labels == ("1", "2.5", "4")
    np.testing.assert_array_equal(t.structure.times, [1.0, 2.5, 4.0])
    with pytest.raises(DataError, match=r"CAR.*holds 'B'"):
        term(data, Random("outcome | study", "CAR"))


def test_ar_counts_the_levels_of_dropped_rows(data):
    data["wave"] = [1, 3, 1, 2, 3, 1, 3, 3]
    data.loc[3, "yi"] = np.nan
    with pytest.warns(MvmetaWarning):
        t, _ = term(data, Random("wave | study", "AR"))
    assert t.structure.labels == ("1", "2", "3")
    assert list(t.inner) == [0, 2, 0, 2, 0, 2, 2]
    with pytest.warns(MvmetaWarning):
        t, p = term(data, Random("wave | study", "HAR"))
    assert list(t.structure.fixed) == [False, True, False, False]
    assert p.notes == ["tau2 (2) of 'wave | study' fixed at 0: its level is not seen"]
    with pytest.warns(MvmetaWarning):
        t, _ = term(data, Random("wave | study", "DIAG"))
    assert t.structure.labels == ("1", "3")


@pytest.mark.parametrize(
    ("metric", "expected"), [(None, 5.0), ("euclidean", 5.0), ("manhattan", 7.0), ("maximum", 4.0)]
)
def test_sites_are_unique_points(data, metric, expected):
    t, _ = term(data, Random("x + y | study", "SPEXP", distance=metric))
    assert t.structure.labels == ("0, 0", "0, 1", "1, 1", "3, 4")
    assert list(t.inner) == [0, 3, 1, 0, 3, 2, 0, 2]
    assert t.structure.distance[0, 3] == expected


def test_great_circle_agrees_with_meeus():
    """Paris to Washington in Meeus (1998), example 11.c: 6181.63 km on the IAU 1976 ellipsoid.

    That differs from WGS84 by 3 m in the radius, far below the digits given.
    """
    paris = [2 + 20 / 60 + 14 / 3600, 48 + 50 / 60 + 11 / 3600]
    washington = [-(77 + 3 / 60 + 56 / 3600), 38 + 55 / 60 + 17 / 3600]
    d = great_circle(np.array([paris, washington, paris]))
    np.testing.assert_allclose(d[0, 1], 6181.63, atol=0.01)
    assert d[0, 2] == d[1, 1] == 0.0


def test_great_circle_at_its_edges(data):
    d = great_circle(np.array([[0.0, 0.0], [180.0, 0.0]]))
    np.testing.assert_allclose(d[0, 1], np.pi * 6378.137, rtol=1e-12)
    data["y"] = 91.0
    with pytest.raises(DataError, match="latitude"):
        term(data, Random("x + y | study", "SPEXP", distance="gcd"))
    with pytest.raises(DataError, match="got 1 coordinates"):
        term(data, Random("x | study", "SPEXP", distance="gcd"))


def test_labelled_distances(data):
    labels = ["B", "C", "A"]
    d = pd.DataFrame([[0, 1, 2.0], [1, 0, 3], [2, 3, 0]], index=labels, columns=labels)
    t, _ = term(data, Random("outcome | study", "SPGAU", distance=d))
    np.testing.assert_array_equal(t.structure.distance, [[0, 2], [2, 0]])
    with pytest.raises(DataError, match="no rows for 1 levels of the data: A"):
        term(data, Random("outcome | study", "SPGAU", distance=d.iloc[:2, :2]))
    with pytest.raises(DataError, match=">= 0"):
        term(data, Random("outcome | study", "SPGAU", distance=-d))


def test_slopes_carry_their_design(data):
    t, p = term(data, Random("1 + dose | study", "GEN"))
    assert t.structure.labels == ("Intercept", "dose")
    np.testing.assert_array_equal(t.z, np.column_stack([np.ones(8), data["dose"]]))
    g = np.array([[1.0, 0.2], [0.2, 0.5]])
    new = pd.DataFrame({"dose": [0.0, 2.0]})
    np.testing.assert_allclose(p.term_specs[0].variance(g, new), [1.0, 1 + 0.8 + 2.0])
    assert np.isnan(p.term_specs[0].variance(g, pd.DataFrame({"other": [1.0]}))).all()
    t, _ = term(data, Random("0 + dose | study", "GDIAG"))
    assert (t.q, t.z.shape) == (1, (8, 1))
    with pytest.raises(DataError, match="infinite in row 0"):
        term(data, Random("1 + I(1 / (dose - 1)) | study", "GEN"))


def test_missing_slope_variables_drop_the_row(data):
    data.loc[5, "dose"] = np.nan
    with pytest.warns(MvmetaWarning, match=r"dose \(row 5\)"):
        t, _ = term(data, Random("1 + dose | study", "GEN"))
    assert len(t.z) == 7


def test_variance_of_new_rows(data):
    _, p = term(data, Random("outcome | study", "DIAG"))
    record, g = p.term_specs[0], np.diag([1.0, 2.0])
    new = pd.DataFrame({"outcome": ["B", "A", "C", None]})
    np.testing.assert_array_equal(record.variance(g, new), [2.0, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(record.variance(g, pd.DataFrame(index=[0])), [np.nan])
    _, p = term(data, Random("outcome | study", "CS"))
    common = np.array([[2.0, 0.5], [0.5, 2.0]])
    np.testing.assert_array_equal(p.term_specs[0].variance(common, new), [2.0] * 4)
    _, p = term(data, "1 | study")
    np.testing.assert_array_equal(p.term_specs[0].variance(np.array([[0.3]]), new), [0.3] * 4)


def test_new_levels_match_whatever_their_type(data):
    _, p = term(data, Random("id | study", "DIAG"))
    g = np.diag([1.0, 2.0])
    for column in ([2, 1], [2.0, 1.0], ["2", "1"]):
        np.testing.assert_array_equal(
            p.term_specs[0].variance(g, pd.DataFrame({"id": column})), [2.0, 1.0]
        )


def known(data, values, labels=("A", "B", "Z"), **kwargs):
    matrix = pd.DataFrame(values, index=list(labels), columns=list(labels))
    return term(data, Random("1 | outcome", corr=matrix, **kwargs))


R = np.array([[4.0, 1.0, 0.1], [1.0, 4.0, 0.1], [0.1, 0.1, 1.0]])


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("cor", [[1, 0.25], [0.25, 1]]),
        ("cor0", [[1, 0], [0, 1]]),
        ("cov0", [[3, 0], [0, 3]]),
        ("none", [[4, 1], [1, 4]]),
    ],
)
def test_known_matrix_is_scaled_after_its_levels_are_selected(data, scale, expected):
    t, _ = known(data, R, corr_scale=scale)
    assert (t.name, t.n_levels, t.q) == ("outcome (corr)", 1, 2)
    assert t.structure.labels == ("A", "B")
    np.testing.assert_allclose(t.structure.correlation, expected, atol=1e-15)
    assert list(t.inner) == [1, 0] * 4
    assert not t.level.any()


def test_known_variances_that_differ_need_the_level(data):
    _, p = known(data, np.diag([1.0, 2.0, 1.0]), corr_scale="none")
    g = np.diag([0.5, 1.0])
    new = pd.DataFrame({"outcome": ["B", "new"]})
    np.testing.assert_array_equal(p.term_specs[0].variance(g, new), [1.0, np.nan])


@pytest.mark.parametrize(
    ("values", "labels", "error", "match"),
    [
        (R, ("A", "C", "Z"), DataError, "no rows for 1 levels of the data: B"),
        (R, ("A", "A", "B"), DataError, "labels twice: .?A"),
        (R + np.triu(R, 1), ("A", "B", "Z"), DataError, "not symmetric: 2 and 1 for 'A' and 'B'"),
        (np.where(R == 1.0, np.nan, R), ("A", "B", "Z"), DataError, "for 'A' and 'B'"),
        (
            R + 5 * (1 - np.eye(3)),
            ("A", "B", "Z"),
            SpecificationError,
            "smallest eigenvalue is -0.5.*contributed by .* for .* and '.'; check these entries",
        ),
        (
            -R,
            ("A", "B", "Z"),
            SpecificationError,
            "-4 on the diagonal for 'A'.*leave out the level",
        ),
        (np.full((3, 3), "a"), ("A", "B", "Z"), DataError, "numeric"),
    ],
)
def test_known_matrices_that_cannot_be_used(data, values, labels, error, match):
    with pytest.raises(error, match=match):
        known(data, values, labels)


def test_known_matrix_labelled_by_text_for_numbered_species(data):
    matrix = pd.DataFrame(np.eye(4), index=list("1234"), columns=list("1234"))
    t, _ = term(data, Random("1 | id", corr=matrix))
    assert t.structure.labels == ("1", "2")


def test_a_group_of_one_level_has_no_variance(data):
    data["lab"], data["kind"] = "L", "A"
    p = prepare_formula("yi ~ 1", data, "vi", groups="lab/id")
    assert [list(t.structure.fixed) for t in p.problem.terms] == [[True], [False]]
    assert p.notes == ["sigma2 of 'lab' fixed at 0: its grouping factor has a single level"]
    matrix = pd.DataFrame([[1.0]], index=["A"], columns=["A"])
    t, _ = term(data, Random("1 | kind", corr=matrix))
    assert t.structure.fixed.all()


def test_the_users_value_wins_over_the_automatic_one(data):
    data["lab"] = "L"
    t, p = term(data, Random("1 | lab", fixed={"sigma2": 0.2}))
    np.testing.assert_array_equal(t.structure.values, [0.2])
    assert p.notes == []


def test_saturated_model_has_no_components(data):
    p = prepare_formula(
        "yi ~ C(dose)", data, "vi", groups="study", random=Random("outcome | study", "UN")
    )
    assert p.problem.fixed.all()
    assert (np.concatenate([t.structure.values for t in p.problem.terms]) == 0).all()
    assert any("as many fixed effects as rows" in note for note in p.notes)


def test_saturated_spatial_model_keeps_a_legal_range(data):
    t, p = term(
        data.iloc[:2].assign(z=[0.0, 1.0]), Random("x + y | const", "SPEXP", fixed={"tau2": 0})
    )
    assert t.structure.fixed.all()
    assert t.structure.values[0] == 0
    assert t.structure.values[1] > 0
    assert np.isfinite(t.structure.matrix(t.structure.values)).all()
    assert "held at" in p.notes[0]


def occurrences(study, outcome, struct):
    n = len(study)
    frame = pd.DataFrame({"yi": np.arange(n) * 1.0, "study": study, "outcome": outcome})
    p = prepare_formula("yi ~ 1", frame, 0.1, random=Random("outcome | study", struct))
    structure = p.problem.terms[0].structure
    return {
        (c.kind, c.level): bool(f)
        for c, f in zip(structure.components, structure.fixed, strict=True)
    }


def test_un_pairs_never_together_and_levels_seen_once():
    got = occurrences([1, 1, 2, 2, 3, 3, 3], list("ABABBCC"), "UN")
    fixed = {k for k, v in got.items() if v}
    assert fixed == {("tau2", "C"), ("rho", "C~A"), ("rho", "C~B")}


@pytest.mark.parametrize("struct", ["HCS", "HAR"])
def test_one_living_level_has_no_correlation(struct):
    got = occurrences([1, 1, 2, 3], list("ABAA"), struct)
    assert {k[0] for k, v in got.items() if v} == {"tau2", "rho"}
    assert not got["tau2", "A"]


def test_three_levels_keep_their_common_correlation():
    got = occurrences([1, 1, 2, 2, 3, 3], list("ABABAC"), "HCS")
    assert {k for k, v in got.items() if v} == {("tau2", "C")}


@pytest.mark.parametrize("struct", ["CS", "HCS", "AR", "HAR"])
def test_one_row_per_outer_level_has_no_correlation(struct):
    got = occurrences([1, 2, 3, 4], list("ABAB"), struct)
    assert {k[0] for k, v in got.items() if v} == {"rho"}


def test_a_single_inner_level_has_no_correlation():
    got = occurrences([1, 1, 2, 2], list("AAAA"), "CS")
    assert {k[0] for k, v in got.items() if v} == {"rho"}


def test_fixed_values(data):
    t, _ = term(data, Random("outcome | study", "UN", fixed={"tau2": [None, 0.2], "rho": 0}))
    np.testing.assert_array_equal(t.structure.values, [np.nan, 0.2, 0.0])
    t, _ = term(data, Random("outcome | study", "UN", fixed={"tau2": [None, 0]}))
    np.testing.assert_array_equal(t.structure.values, [np.nan, 0.0, 0.0])
    t, _ = term(data, Random("outcome | study", "HCS", fixed={"tau2": 0.3}))
    np.testing.assert_array_equal(t.structure.values, [0.3, 0.3, np.nan])
    t, _ = term(data, Random("outcome | study", "CS", fixed={"rho": [0.5]}))
    np.testing.assert_array_equal(t.structure.values, [np.nan, 0.5])


@pytest.mark.parametrize(
    ("fixed", "match"),
    [
        ({"tau2": [1, 2, 3]}, "3 entries, but the term has 2: A, B"),
        ({"tau2": -1}, "outside its range"),
        ({"rho": 1.5}, r"outside its range \[-1, 1\]"),
    ],
)
def test_fixed_values_that_do_not_fit(data, fixed, match):
    with pytest.raises(SpecificationError, match=match):
        term(data, Random("outcome | study", "UN", fixed=fixed))


def test_fixed_correlations_must_make_a_covariance(data):
    data["outcome"] = list("ABCABCAB")
    with pytest.raises(SpecificationError, match="no covariance matrix"):
        term(
            data,
            Random("outcome | study", "UN", fixed={"tau2": 1.0, "rho": [0.9, 0.9, -0.9]}),
        )


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ({"groups": "stdy"}, "did you mean 'study'"),
        ({"random": "1 | C(study)"}, "separate terms"),
        ({"random": "outcom | study"}, "did you mean 'outcome'"),
        ({"groups": np.arange(3)}, "has 3 rows, the data have 8"),
        (
            {"random": Random("outcome + y | study", "SPEXP")},
            "coordinate 'outcome' must be numeric",
        ),
    ],
)
def test_columns_that_are_not_there_or_do_not_fit(data, call, match):
    with pytest.raises((DataError, SpecificationError), match=match):
        prepare_formula("yi ~ 1", data, "vi", **call)


def test_a_million_levels_have_labels_only_on_demand():
    n = 200_000
    p = prepare_arrays(
        np.zeros(n), None, 1.0, groups=np.column_stack([np.arange(n) // 2, np.arange(n)])
    )
    nested = p.problem.terms[1]
    assert "as_index" not in vars(nested.level_labels)
    assert nested.n_levels == n
    assert nested.level_labels[n - 1] == f"{n // 2 - 1}/{n - 1}"


def test_prepared_pickles(data):
    p = prepare_formula(
        "yi ~ outcome", data, "vi", groups="study/id", random=Random("1 + dose | study", "GEN")
    )
    q = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(q.design(data), p.problem.x)
    assert list(q.problem.terms[1].level_labels) == list(p.problem.terms[1].level_labels)
    g = np.eye(2)
    np.testing.assert_array_equal(
        q.term_specs[2].variance(g, data), p.term_specs[2].variance(g, data)
    )
