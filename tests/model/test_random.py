"""Random terms as written: expansion, names, structures' defaults, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.grammar import SLOPES
from mvmeta.model.specification.random import Random, expand
from mvmeta.structures import structure_codes

LABELLED = pd.DataFrame(np.eye(2), index=["a", "b"], columns=["a", "b"])


def names(groups=None, random=None):
    return [spec.name for spec in expand(groups, random)]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, []),
        ("Study", ["Study"]),
        ("Study/id", ["Study", "Study/id"]),
        (["Study", "id"], ["Study", "Study/id"]),
        (["Study"], ["Study"]),
        (np.array([1, 1, 2]), ["group"]),
        (np.array([[1, 1], [1, 2], [2, 1]]), ["group", "group/group2"]),
        (pd.Series([1, 1, 2], name="lab"), ["lab"]),
        (pd.DataFrame({"lab": [1, 2], "id": [1, 2]}), ["lab", "lab/id"]),
        ([pd.Series([1, 2], name="lab"), np.array([1, 2])], ["lab", "lab/group2"]),
    ],
)
def test_groups_expand_to_nested_intercepts(groups, expected):
    assert names(groups) == expected


@pytest.mark.parametrize(
    ("random", "expected"),
    [
        ("1 | study", ["study"]),
        ("~ 1 | study", ["study"]),
        ("1|a/b/c", ["a", "a/b", "a/b/c"]),
        ("1 | a:b", ["a:b"]),
        ("1 | a/b:c", ["a", "a/b:c"]),
        ("1 | const", ["const"]),
        ("outcome | study", ["outcome | study"]),
        ("outcome | a/b", ["outcome | a", "outcome | a:b"]),
        (Random("1 | species", corr=LABELLED), ["species (corr)"]),
        (Random("1 | a/b", corr=LABELLED), ["a", "a/b (corr)"]),
        (Random("o | a/b", "UN", corr=LABELLED), ["o | a", "o | a:b (corr)"]),
        (Random("1 | species", "phypl", corr=LABELLED), ["species (PHYPL)"]),
        (Random("o | study", "PROP", corr=LABELLED), ["o | study"]),
        (Random("1 + dose | study", "gen"), ["1 + dose | study"]),
        (Random("x + y | const", "SPEXP"), ["x + y | const"]),
        (["1 | a", "1 | b"], ["a", "b"]),
    ],
)
def test_random_terms_expand_in_order(random, expected):
    assert names(None, random) == expected


def test_groups_come_before_random_and_names_are_unique():
    specs = expand(
        "study/id", ["1 | lab", Random("1 | species"), Random("1 | species", corr=LABELLED)]
    )
    assert [s.name for s in specs] == ["study", "study/id", "lab", "species", "species (corr)"]


def test_two_known_matrices_and_two_structures_get_names_of_their_own():
    other = LABELLED.copy()
    known = [Random("1 | animal", corr=LABELLED), Random("1 | animal", corr=other)]
    assert names(None, known) == ["animal (corr)", "animal (corr) 2"]
    structured = [Random("o | s", "CS"), Random("o | s", "DIAG")]
    assert names(None, structured) == ["o | s (CS)", "o | s (DIAG)"]


@pytest.mark.parametrize(
    ("groups", "random"),
    [
        ("study", "1 | study"),
        ("study", "1 | study/id"),
        (None, ["1 | a:b", "1 | b:a"]),
        (None, ["outcome | study", Random("outcome | study", "CS")]),
    ],
)
def test_a_term_given_twice_is_refused(groups, random):
    with pytest.raises(SpecificationError, match="given twice"):
        expand(groups, random)


def test_other_distances_or_smoothness_make_another_term():
    near = pd.DataFrame(np.ones((2, 2)) - np.eye(2), index=["a", "b"], columns=["a", "b"])
    both = [Random("site | const", "SPEXP", distance=d) for d in (near, near * 2)]
    assert len({s.name for s in expand(None, both)}) == 2
    rough = [Random("x + y | const", "MATERN", smoothness=s) for s in (0.5, 2.5)]
    assert len(expand(None, rough)) == 2
    with pytest.raises(SpecificationError, match="given twice"):
        expand(None, [both[0], both[0]])


def test_structure_defaults_and_case():
    assert Random("1 | study").struct is None
    assert Random("outcome | study").struct == "CS"
    assert Random("outcome | study", "hcs").struct == "HCS"


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        (("study",), {}, "one '|'"),
        (("1 | a | b",), {}, "one '|'"),
        (("1 + x || study",), {}, "GDIAG"),
        (("| study",), {}, "empty"),
        (("1 | a + b",), {}, "crossed groups as separate terms"),
        (("1 | a/a",), {}, "twice"),
        (("1 | a/",), {}, "missing"),
        ((3,), {}, "is written"),
        (("1 + dose | study",), {}, "needs a struct"),
        (("outcome | study", "FOO"), {}, "unknown covariance structure"),
        (("outcome | study", 3), {}, "is a code"),
        (("1 | study", "UN"), {}, "random intercept"),
        (("a + b | study", "UN"), {}, "one factor"),
        (("x*y | study", "SPEXP"), {}, "coordinates"),
        (("species | study", "PHYBM"), {}, "needs corr=matrix"),
        (("1 | species", "PHYPL"), {}, "needs corr=matrix"),
        (("1 | a/b", "PHYPL"), {"corr": LABELLED}, "belongs to one grouping; give 'a'"),
        (("x + y | s", "SPEXP"), {"smoothness": 0.5}, "'MATERN' only"),
        (("x + y | s", "MATERN"), {"smoothness": 0.01}, "from 0.1 to 50"),
        (("x + y | s", "MATERN"), {"smoothness": "rough"}, "could not convert"),
        (("1 | s",), {"equal": {"sigma2": [0, 0]}}, "components of one term"),
        (("o | s", "UN"), {"equal": {"sigma2": [0, 0]}}, "'tau2', 'rho'"),
        (("o | s", "UN"), {"equal": {"tau2": 0}}, r"as in \[0, 0, 1\]; got 0"),
        (("o | s", "UN"), {"equal": [0, 0]}, "must be a dict"),
        (("o | s", "FA1"), {"fixed": {"tau2": 0}}, "'loading', 'psi'"),
        (("o | s", "PHYPL"), {"corr": LABELLED, "fixed": {"rho": 0}}, "'tau2', 'lambda'"),
        (("1 | s",), {"corr": np.eye(2)}, "DataFrame"),
        (("1 | s",), {"corr": LABELLED.iloc[:1]}, "square"),
        (("1 | s",), {"corr": LABELLED, "corr_scale": "foo"}, "corr_scale"),
        (("o | s", "UN"), {"distance": "euclidean"}, "SP"),
        (("x + y | s", "SPEXP"), {"distance": "chebyshev"}, "'gcd'"),
        (("site | s", "SPEXP"), {"distance": np.eye(2)}, "DataFrame"),
        (("1 | s",), {"fixed": {"tau2": 0}}, "'sigma2'"),
        (("o | s", "UN"), {"fixed": {"gamma2": 0}}, "'tau2', 'rho'"),
        (("o | s", "DIAG"), {"fixed": {"rho": 0}}, "'tau2'"),
        (("1 | s",), {"fixed": 0.1}, "dict"),
        (("1 | s",), {"fixed": {"sigma2": "big"}}, "numbers"),
        (("1 | a/b",), {"fixed": {"sigma2": [0, 0, 0]}}, "2 variances"),
    ],
)
def test_contradictions_are_refused_at_construction(args, kwargs, match):
    with pytest.raises(SpecificationError, match=match):
        Random(*args, **kwargs)


def test_fixed_sigma2_is_shared_out_over_the_terms():
    first, second = expand(None, Random("1 | a/b", fixed={"sigma2": [None, 0]}))
    assert first.pins == {"sigma2": None}
    assert second.pins == {"sigma2": 0.0}


def test_repr_shows_what_was_said_and_no_more():
    term = Random("1 | s", corr=LABELLED, corr_scale="cor0", fixed={"sigma2": 0.1})
    assert repr(term) == (
        "Random('1 | s', corr=<DataFrame 2 x 2>, corr_scale='cor0', fixed={'sigma2': 0.1})"
    )
    assert repr(Random("o | s", "un")) == "Random('o | s', struct='UN')"
    matern = Random("x + y | s", "MATERN", smoothness=0.5)
    assert repr(matern) == "Random('x + y | s', struct='MATERN', smoothness=0.5)"
    tied = Random("o | s", "UN", equal={"tau2": [0, 0]})
    assert repr(tied) == "Random('o | s', struct='UN', equal={'tau2': (0, 0)})"


def test_random_is_frozen():
    with pytest.raises(AttributeError):
        Random("1 | s").formula = "1 | t"


def test_what_is_no_term_is_refused():
    with pytest.raises(SpecificationError, match="takes strings"):
        expand(None, [3])
    with pytest.raises(SpecificationError, match="given as random="):
        expand("1 | study", None)
    with pytest.raises(SpecificationError, match="different names"):
        expand(pd.DataFrame([[1, 2]], columns=["a", "a"]), None)
    with pytest.raises(DataError, match="shape"):
        expand(np.zeros((2, 2, 2)), None)


def test_a_list_of_labels_is_no_list_of_columns():
    (spec,) = expand(["s1", "s1", "s2"], None, columns=["yi"])
    assert spec.name == "group"
    assert list(spec.arrays[0]) == ["s1", "s1", "s2"]


def test_every_structure_is_documented_where_users_look():
    documented = Random.__doc__
    table = Path(__file__).parents[2].joinpath("docs", "reference", "structures.md").read_text()
    for code in (*structure_codes(), *SLOPES):
        assert f'"{code}"' in documented
        assert f"`{code}`" in table
