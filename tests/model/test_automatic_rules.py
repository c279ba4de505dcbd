"""Components the data tell nothing of are fixed, and a note says which and why."""

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, Random
from mvmeta.model.specification.build import prepare_formula

ALONE = "every outer level has one row"
SINGLE = "there is a single inner level"
ONCE = "its level is seen in a single outer level"
DEAD = "a variance it belongs to is fixed at 0"
FULL = "the model has as many fixed effects as rows"
TREE = pd.DataFrame(0.5 + 0.5 * np.eye(3), index=["1", "2", "3"], columns=["1", "2", "3"])


def prepared(outer, inner, struct, formula="yi ~ 1", **keywords):
    n = len(outer)
    frame = pd.DataFrame(
        {"yi": np.arange(n) % 3 * 1.0, "study": outer, "t": inner, "row": np.arange(n)}
    )
    if struct in {"PHYPL", "PHYOU"}:
        keywords["corr"] = TREE
    return prepare_formula(formula, frame, 0.1, random=Random("t | study", struct, **keywords))


def values(p):
    """Pinned values by kind and level."""
    structure = p.problem.terms[0].structure
    if not structure.fixed.any():
        return {}
    pairs = zip(structure.components, structure.values, strict=True)
    return {(c.kind, c.level): v for c, v in pairs if not np.isnan(v)}


@pytest.mark.parametrize("struct", ["CS", "HCS", "AR", "HAR", "CAR", "PHYPL"])
@pytest.mark.parametrize(
    ("outer", "inner", "why"),
    [([1, 2, 3, 4], [1, 2, 1, 2], ALONE), ([1, 1, 2, 2], [1, 1, 1, 1], SINGLE)],
)
def test_one_parameter_links_all_levels_or_none(outer, inner, why, struct):
    p = prepared(outer, inner, struct)
    kind = "lambda" if struct == "PHYPL" else "rho"
    assert values(p) == {(kind, ""): 0.0}
    assert p.notes == [f"{kind} of 't | study' fixed at 0: {why}"]


@pytest.mark.parametrize("struct", ["SPEXP", "SPLIN", "MATERN", "PHYOU"])
def test_a_range_is_held_at_its_start(struct):
    p = prepared([1, 2, 3, 4], [1, 2, 3, 2], struct)
    kind = "alpha" if struct == "PHYOU" else "rho"
    assert list(values(p)) == [(kind, "")]
    assert values(p)[kind, ""] > 0
    assert p.notes[0].startswith(f"{kind} of 't | study' held at ")
    assert p.notes[0].endswith(ALONE)


@pytest.mark.parametrize("struct", ["HCS", "UN", "DIAG", "HAR", "HTOEP"])
def test_a_level_seen_once_has_no_variance(struct):
    p = prepared([1, 1, 2, 2, 3, 3, 3], [1, 2, 1, 2, 1, 2, 3], struct)
    assert values(p)["tau2", "3"] == 0.0
    assert f"tau2 (3) of 't | study' fixed at 0: {ONCE}" in p.notes


def test_a_level_seen_once_has_neither_loading_nor_specific_variance():
    p = prepared([1, 1, 1, 2, 2, 2, 3, 3, 3, 3], [1, 2, 3, 1, 2, 3, 1, 2, 3, 4], "FA1")
    assert values(p) == {("loading", "4"): 0.0, ("psi", "4"): 0.0}


def test_one_row_each_says_nothing_of_a_common_factor():
    p = prepared(range(9), [1, 2, 3] * 3, "FA1")
    assert values(p) == {("loading", level): 0.0 for level in "123"}


def test_pairs_never_seen_together():
    p = prepared([1, 1, 2, 2, 3, 3, 4, 4], [1, 2, 1, 2, 2, 3, 2, 3], "UN")
    assert values(p) == {("rho", "3~1"): 0.0}
    why = "the two levels are never seen together"
    assert p.notes == [f"rho (3~1) of 't | study' fixed at 0: {why}"]


@pytest.mark.parametrize("struct", ["TOEP", "HTOEP"])
def test_lags_never_seen_together(struct):
    """Levels 1, 2, 3 of which 1 and 3 (lag 2) never meet."""
    p = prepared([1, 1, 2, 2, 3, 3, 4, 4], [1, 2, 1, 2, 2, 3, 2, 3], struct)
    ((_, value),) = values(p).items()
    assert value == 0.0
    assert p.notes[0].endswith("no two levels of this lag are seen together")


def test_correlations_of_a_level_without_variance():
    p = prepared([1, 1, 2, 2, 3, 3, 3], [1, 2, 1, 2, 1, 2, 3], "UN")
    assert set(values(p)) == {("tau2", "3"), ("rho", "3~1"), ("rho", "3~2")}
    assert f"rho (3~2) of 't | study' fixed at 0: {DEAD}" in p.notes
    p = prepared([1, 1, 2, 2, 3, 3, 3], [1, 2, 1, 2, 1, 2, 3], "HTOEP")
    assert len(values(p)) == 2  # lag 2 links 1 and 3 only
    p = prepared([1, 1, 2, 2], [1, 2, 1, 2], "HCS", fixed={"tau2": [0, None]})
    assert values(p)["rho", ""] == 0.0


@pytest.mark.parametrize(("struct", "kind"), [("SPEXP", "rho"), ("PHYOU", "alpha")])
def test_the_range_of_no_variance(struct, kind):
    p = prepared([1, 1, 2, 2], [1, 2, 1, 2], struct, fixed={"tau2": 0})
    assert values(p)[kind, ""] > 0
    assert p.notes[0].endswith(DEAD)


@pytest.mark.parametrize("struct", ["UN", "CS", "FA1", "SPEXP", "PHYPL", "PHYOU", "TOEP"])
def test_a_saturated_model_has_nothing_to_estimate(struct):
    p = prepared([1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3], struct, "yi ~ C(row)")
    assert p.problem.fixed.all()
    assert any(note.endswith(FULL) for note in p.notes)
    structure = p.problem.terms[0].structure
    assert not structure.matrix(structure.values).any()


def test_a_tree_of_one_species_has_no_variance():
    frame = pd.DataFrame({"yi": [1.0, 2, 3], "species": "1"})
    p = prepare_formula("yi ~ 1", frame, 0.1, random=Random("1 | species", "PHYPL", corr=TREE))
    assert p.problem.fixed.all()
    assert "tau2 of 'species (PHYPL)' fixed at 0: its grouping factor has a single level" in p.notes


def test_what_is_equal_to_a_known_component_is_known():
    """Level 3 was seen once; its variance is that of level 1, so it need not be 0."""
    outer, inner = [1, 1, 2, 2, 3, 3, 3], [1, 2, 1, 2, 1, 2, 3]
    p = prepared(outer, inner, "HCS", equal={"tau2": [0, 1, 0]})
    assert p.notes == []
    assert not p.problem.fixed.any()
    assert [c.level for c in p.problem.components] == ["1=3", "2", ""]
    p = prepared(
        outer, inner, "HCS", equal={"tau2": [0, None, 0]}, fixed={"tau2": [0.2, None, None]}
    )
    assert values(p) == {("tau2", "1=3"): 0.2}


def test_notes_are_in_the_summary():
    frame = pd.DataFrame(
        {"yi": [0.1, 0.5, -0.2, 0.3, 0.9], "study": [1, 2, 3, 4, 5], "t": list("ABABA")}
    )
    model = MetaMixedLM.from_formula("yi ~ 1", frame, variance=0.05, random="t | study")
    assert model.notes == [f"rho of 't | study' fixed at 0: {ALONE}"]
    text = " ".join(str(model.fit().summary()).split())
    assert f"rho of 't | study' fixed at 0: {ALONE}" in text


def test_many_components_fixed_for_one_reason_share_a_note():
    p = prepared([1, 1, 2, 2, 3, 3, 4, 4], range(8), "DIAG")
    assert values(p) == {("tau2", str(t)): 0.0 for t in range(8)}
    assert p.notes == [
        f"tau2 (0, 1, 2, 3, 4 and 3 more) of 't | study' fixed at 0, of each: {ONCE}"
    ]
