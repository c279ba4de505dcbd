"""Random terms that cannot be: the message says what, where, and what to do."""

import numpy as np
import pandas as pd
import pytest

from mvmeta.errors import DataError, MvmetaWarning, SpecificationError
from mvmeta.model.specification.build import prepare_formula
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.model.specification.random import Random
from mvmeta.structures import structure_codes


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "yi": np.arange(9.0) % 4,
            "vi": 0.1,
            "study": np.repeat([1, 2, 3], 3),
            "species": list("ABCABCABC"),
            "time": [0.0, 1.0, 2.5] * 3,
            "x": [0.0, 1.0, 0.0] * 3,
            "y": [0.0, 1.0, 0.0] * 3,
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-04"] * 3),
        }
    )


def prepared(data, random):
    return prepare_formula("yi ~ 1", data, "vi", random=random)


def labelled(values, labels="ABC"):
    return pd.DataFrame(np.asarray(values, dtype=float), index=list(labels), columns=list(labels))


GOOD = labelled([[1.0, 0.5, 0.2], [0.5, 1.0, 0.2], [0.2, 0.2, 1.0]])
SKEW = labelled([[1.0, 0.5, 0.2], [0.4, 1.0, 0.2], [0.2, 0.2, 1.0]])
INDEFINITE = labelled([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])


def test_an_unknown_structure_is_answered_with_all_there_are():
    with pytest.raises(SpecificationError, match="unknown covariance structure 'XYZ'") as caught:
        Random("outcome | study", "XYZ")
    for code in (*structure_codes(), *SLOPES):
        assert f" {code}" in str(caught.value)


@pytest.mark.parametrize(
    ("term", "match"),
    [
        (Random("tim | study", "CAR"), "'tim' wanted for the random term.*did you mean 'time'"),
        (Random("x + z | study", "SPEXP"), "'z' wanted for the random term"),
        (Random("1 + doze | study", "GEN"), "'doze'"),
        (Random("species | stdy", "UN"), "did you mean 'study'"),
        (Random("species | study", "CAR"), r"the time 'species' of .* \(CAR\).*'A'"),
        (Random("day | study", "CAR"), r"the time 'day' of .* \(CAR\)"),
        (Random("species | study", "SPEXP"), "coordinate 'species' must be numeric"),
    ],
)
def test_inner_variables_that_are_missing_or_of_the_wrong_type(data, term, match):
    with pytest.raises(DataError, match=match):
        prepared(data, term)


@pytest.mark.parametrize(
    ("term", "column"), [(Random("time | study", "CAR"), "time"), ("x + y | study", "x")]
)
def test_times_and_coordinates_are_finite(data, term, column):
    data.loc[4, column] = np.inf
    term = Random(term, "SPEXP") if isinstance(term, str) else term
    with pytest.raises(DataError, match=rf"infinite.*{column} \(row 4\)"):
        prepared(data, term)


def test_rows_with_the_same_coordinates_are_at_one_site(data):
    """Rows 0 and 2 of each study are at (0, 0): they share an effect, as repeated estimates do."""
    t = prepared(data, Random("x + y | study", "SPEXP")).problem.terms[0]
    assert t.structure.labels == ("0, 0", "1, 1")
    assert list(t.inner) == [0, 1, 0] * 3
    assert np.isfinite(t.structure.matrix(np.array([1.0, 0.5]))).all()


@pytest.mark.parametrize("left", ["1", "0", "-1", "1 + 0"])
@pytest.mark.parametrize("struct", ["GEN", "GDIAG"])
def test_random_slopes_need_a_covariate(left, struct):
    with pytest.raises(SpecificationError, match=r"has no covariate; write '1 \+ x \| g'"):
        Random(f"{left} | study", struct)


@pytest.mark.parametrize(
    ("distance", "match"),
    [
        (labelled([[0, 1], [1, 0]], "AB"), "no rows for 1 levels of the data: C; its labels"),
        (labelled([[0, 1, 2], [3, 0, 1], [2, 1, 0]]), "not symmetric: 1 and 3 for 'A' and 'B'"),
        (labelled([[0, 1, 2], [1, 0, 1], [2, 1, 1]]), "0 on the diagonal, but is 1 for .* itself"),
        (labelled([[0, 1, np.nan], [1, 0, 1], [np.nan, 1, 0]]), "missing.*'A' and 'C'"),
        (labelled([[0, 1, 2], [1, 0, -1], [2, -1, 0]]), "is -1 for 'B' and 'C'; correct this"),
    ],
)
def test_distances_that_are_none(data, distance, match):
    with pytest.raises(DataError, match=match):
        prepared(data, Random("species | study", "SPEXP", distance=distance))


def terms_with_matrix(matrix):
    return [
        Random("1 | species", corr=matrix),
        Random("1 | species", "PHYPL", corr=matrix),
        Random("species | study", "PROP", corr=matrix),
        Random("species | study", "PHYOU", corr=matrix),
        Random("study | species", "UN", corr=matrix),
        Random("1 + time | species", "GEN", corr=matrix),
    ]


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize(
    ("matrix", "error", "match"),
    [
        (GOOD.loc[["A", "B"], ["A", "B"]], DataError, r"levels of species\).*data: C"),
        (GOOD.rename(columns={"C": "D"}), DataError, "no columns for 1 levels of the data: C"),
        (SKEW, DataError, "not symmetric: 0.5 and 0.4 for 'A' and 'B'"),
        (INDEFINITE, SpecificationError, r"not positive semi-definite.*eigenvalue is -0\.8"),
        (GOOD.replace(0.5, np.nan), DataError, "missing or infinite for 'A' and 'B'"),
        (GOOD.astype(object).where(GOOD != 0.5, "half"), DataError, "must be numeric"),
    ],
)
def test_known_matrices_in_every_place_they_can_be(data, matrix, error, match, which):
    with pytest.raises(error, match=match):
        prepared(data, terms_with_matrix(matrix)[which])


def test_ornstein_uhlenbeck_needs_tips_of_one_age(data):
    matrix = labelled(np.diag([1.0, 2.0, 1.0]))
    with pytest.raises(SpecificationError, match="2 instead of 1 on the diagonal for 'B'"):
        prepared(data, Random("1 | species", "PHYOU", corr=matrix, corr_scale="none"))


@pytest.mark.parametrize(
    ("term", "match"),
    [
        (("1 | study", None, {"sigma2": -0.1}), "sigma2 .* is -0.1, outside"),
        (("species | study", "CS", {"rho": -0.6}), r"rho .* is -0.6.*\[-0.5, 1\]"),
        (("species | study", "UN", {"rho": 1.2}), r"1.2, outside its range \[-1, 1\]"),
        (("species | study", "AR", {"rho": -1.2}), r"-1.2, outside its range \[-1, 1\]"),
        (("time | study", "CAR", {"rho": -0.1}), r"-0.1, outside its range \[0, 1\]"),
        (("x + y | study", "SPEXP", {"rho": -1}), r"-1, outside its range \[0, inf\]"),
        (("species | study", "TOEP", {"tau2": -1}), "tau2 .* is -1, outside"),
        (("species | study", "FA1", {"psi": -1}), "psi .* is -1, outside"),
        (("species | study", "PHYPL", {"lambda": 1.5}), r"1.5, outside its range \[0, 1\]"),
        (("species | study", "PHYOU", {"alpha": -1}), r"-1, outside its range \[0, inf\]"),
        (("species | study", "PROP", {"tau2": -1}), "tau2 .* is -1, outside"),
    ],
)
def test_fixed_values_outside_their_range(data, term, match):
    formula, struct, fixed = term
    corr = GOOD if struct in {"PHYPL", "PHYOU", "PROP"} else None
    with pytest.raises(SpecificationError, match=match):
        prepared(data, Random(formula, struct, corr=corr, fixed=fixed))


def test_fixed_correlations_no_series_has(data):
    fixed = {"tau2": 1.0, "rho": [0.9, -0.9]}
    with pytest.raises(SpecificationError, match="no covariance matrix"):
        prepared(data, Random("species | study", "TOEP", fixed=fixed))


@pytest.mark.parametrize(
    ("struct", "keywords", "match"),
    [
        (
            "HCS",
            {"equal": {"tau2": [0, 0]}},
            "equal tau2 .* 2 entries, but the term has 3: A, B, C",
        ),
        ("CS", {"equal": {"tau2": [0, 0, 1]}}, "3 entries, but the term has 1"),
        (
            "DIAG",
            {"equal": {"tau2": [0, 0, 1]}, "fixed": {"tau2": [0.1, 0.2, None]}},
            "contradict each other: components tau2 of one group have the values 0.1, 0.2",
        ),
    ],
)
def test_groups_that_do_not_fit(data, struct, keywords, match):
    with pytest.raises(SpecificationError, match=match):
        prepared(data, Random("species | study", struct, **keywords))


def test_one_factor_needs_three_levels(data):
    with pytest.raises(SpecificationError, match=r"at least 3 inner levels, the data have 2.*UN"):
        prepared(data[data["species"] != "C"], Random("species | study", "FA1"))


def test_more_parameters_than_rows_are_counted():
    data = pd.DataFrame(
        {"yi": [1.0, 2, 4, 3, 1, 2], "t": list("ABCABC"), "study": [1, 1, 1, 2, 2, 2]}
    )
    with pytest.warns(MvmetaWarning) as caught:
        prepare_formula("yi ~ t", data, 0.1, groups="study", random=Random("t | study", "UN"))
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "the model has 3 coefficients and 7 components to estimate (1 in 'study', 6 in "
        "'t | study') from 6 rows: not all of them are determined; use a structure with fewer "
        "parameters, fixed= or equal="
    )


@pytest.mark.filterwarnings("error")
def test_as_many_parameters_as_rows_are_not_too_many(data):
    prepared(data, Random("species | study", "UN"))  # 1 + 6 of 9
    prepared(data.iloc[:7], Random("species | study", "UN", fixed={"rho": [0, None, None]}))
