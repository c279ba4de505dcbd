"""Permutation tests against metafor's exact one, and what must hold of any."""

import json
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mvmeta import MetaMixedLM, MvmetaWarning, SpecificationError, datasets

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor" / "permutation.json"


def small():
    return pd.DataFrame(json.loads(REFERENCE.read_text())["data"]).assign(id=range(6))


def test_all_orders_are_metafors():
    want = json.loads(REFERENCE.read_text())
    res = MetaMixedLM.from_formula("yi ~ ablat", small(), variance="vi", groups="id").fit()
    found = res.permutation_test(n=720)
    assert found.enumerated
    assert found.statistic == pytest.approx(want["qm"], rel=1e-6)
    np.testing.assert_allclose(np.sort(found.replicates), want["statistics"], rtol=1e-5, atol=1e-8)
    assert found.pvalue == pytest.approx(want["p"])
    assert "all orders of 6 rows: QM(1) = 0.9404, p = 0.4278" in str(found)


def test_a_number_is_no_term():
    res = MetaMixedLM.from_formula("yi ~ ablat", small(), variance="vi", groups="id").fit()
    with pytest.raises(SpecificationError, match="the number of orders is n="):
        res.permutation_test(20)


def test_random_orders_tend_to_all_of_them():
    res = MetaMixedLM.from_formula("yi ~ ablat", small(), variance="vi", groups="id").fit()
    exact = json.loads(REFERENCE.read_text())["p"]
    found = res.permutation_test(n=150, seed=1)
    assert not found.enumerated
    assert abs(found.pvalue - exact) < 4 * found.pvalue_error
    assert found.pvalue == res.permutation_test(n=150, seed=1).pvalue


def studies():
    rng = np.random.default_rng(4)
    s = np.repeat(np.arange(5), [2, 4, 3, 2, 3])
    frame = pd.DataFrame({"s": s, "id": range(14), "z": np.array([0.0, 1, 3, 4, 9])[s]})
    return frame.assign(y=rng.normal(size=14) + 0.1 * frame["z"], v=0.1, x=rng.normal(size=14))


def test_moderators_of_studies_are_dealt_to_studies():
    """All 120 orders by fits to frames with the values in that order."""
    frame = studies()
    res = MetaMixedLM.from_formula("y ~ z", frame, variance="v", groups="s/id").fit()
    found = res.permutation_test(n=120)
    assert (found.unit, found.n_units, found.enumerated) == ("groups", 5, True)
    values = np.array([0.0, 1, 3, 4, 9])
    slow = []
    for order in permutations(range(5)):
        dealt = frame.assign(z=values[list(order)][frame["s"]])
        other = MetaMixedLM.from_formula("y ~ z", dealt, variance="v", groups="s/id").fit()
        slow.append(other.moderators_test().statistic)
    np.testing.assert_allclose(found.replicates, slow, rtol=1e-5, atol=1e-7)


def test_moderators_of_rows_stay_in_their_study():
    frame = studies()
    res = MetaMixedLM.from_formula("y ~ z + x", frame, variance="v", groups="s").fit()
    found = res.permutation_test("x", n=50, seed=3)
    assert (found.unit, found.n_units) == ("rows", 14)
    assert np.isfinite(found.replicates).all()
    with pytest.raises(SpecificationError, match="test them one after the other"):
        res.permutation_test(n=10)


def test_orders_that_cannot_be_fitted_are_counted():
    """One group of five has a = 1: five different orders, of which one makes a equal to b."""
    frame = studies().assign(a=lambda f: (f["s"] == 1) * 1.0, b=lambda f: (f["s"] == 0) * 1.0)
    res = MetaMixedLM.from_formula("y ~ a + b", frame, variance="v", groups="s").fit()
    with pytest.warns(MvmetaWarning) as said:
        found = res.permutation_test("a", n=120)
    assert "5 groups and 5 orders no p-value can be below 0.2" in str(said[0].message)
    assert "1 of 5 orders are left out" in str(said[1].message)
    assert (len(found.replicates), found.n_failed, found.enumerated) == (5, 1, True)


def test_orders_with_the_same_values_count_once():
    """Two groups of five have a = 1: 10 different orders instead of 120, and the same p-value."""
    frame = studies().assign(a=lambda f: f["s"].isin([1, 3]) * 1.0)
    res = MetaMixedLM.from_formula("y ~ a", frame, variance="v", groups="s").fit()
    with pytest.warns(MvmetaWarning, match=r"below 0\.1"):
        found = res.permutation_test(n=120)
    slow = []
    for order in permutations(range(5)):
        dealt = frame.assign(a=np.array([0.0, 1, 0, 1, 0])[list(order)][frame["s"]])
        other = MetaMixedLM.from_formula("y ~ a", dealt, variance="v", groups="s").fit()
        slow.append(other.moderators_test().statistic)
    assert len(found.replicates) == 10
    np.testing.assert_allclose(
        np.sort(np.repeat(found.replicates, 12)), np.sort(slow), rtol=1e-5, atol=1e-7
    )
    assert found.pvalue == np.mean(np.array(slow) >= found.statistic * (1 - 1e-6))


def test_all_orders_within_groups():
    """Three groups of two rows: 2^3 orders."""
    frame = pd.DataFrame({"s": [0, 0, 1, 1, 2, 2], "x": [0.0, 1, 0.5, 2, 1, 1.5], "v": 0.2})
    frame = frame.assign(y=[0.1, 0.6, -0.2, 0.5, 0.3, 0.9])
    res = MetaMixedLM.from_formula("y ~ x", frame, variance="v", groups="s").fit()
    with pytest.warns(MvmetaWarning, match="6 rows and 8 orders"):
        found = res.permutation_test()
    slow = []
    for flips in product([0, 1], repeat=3):
        rows = np.concatenate([[2 * s + f, 2 * s + 1 - f] for s, f in enumerate(flips)])
        dealt = frame.assign(x=frame["x"].to_numpy()[rows])
        other = MetaMixedLM.from_formula("y ~ x", dealt, variance="v", groups="s").fit()
        slow.append(other.moderators_test().statistic)
    np.testing.assert_allclose(np.sort(found.replicates), np.sort(slow), rtol=1e-5, atol=1e-7)


def test_means_of_categories_are_refused():
    frame = studies().assign(kind=lambda f: np.where(f["s"] % 2, "a", "b"))
    res = MetaMixedLM.from_formula("y ~ kind - 1", frame, variance="v", groups="s").fit()
    with pytest.raises(SpecificationError, match=r"means of categories.*with an intercept"):
        res.permutation_test()
    res = MetaMixedLM.from_formula("y ~ kind + z - 1", frame, variance="v", groups="s").fit()
    assert np.isfinite(res.permutation_test("z", n=25, seed=1).pvalue)
    res = MetaMixedLM.from_formula("y ~ z", frame, variance="v", groups="s").fit()
    with pytest.raises(SpecificationError, match="or the mean itself"):
        res.permutation_test("Intercept")


def test_bad_input():
    bcg = datasets.load("bcg")
    res = MetaMixedLM.from_formula("yi ~ 1", bcg, variance="vi", groups="trial").fit()
    with pytest.raises(SpecificationError, match="no moderator"):
        res.permutation_test()
    res = MetaMixedLM.from_formula("yi ~ ablat", bcg, variance="vi", groups="trial").fit()
    with pytest.raises(SpecificationError, match="at least 1"):
        res.permutation_test(n=0)
    with pytest.warns(MvmetaWarning, match=r"no p-value can be below 0\.1"):
        res.permutation_test(n=9, seed=1)
