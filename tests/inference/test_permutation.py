"""Permutation tests against metafor's exact one, and what must hold of any."""

import json
from itertools import permutations
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
    frame = studies().assign(a=lambda f: (f["s"] == 1) * 1.0, b=lambda f: (f["s"] == 0) * 1.0)
    res = MetaMixedLM.from_formula("y ~ a + b", frame, variance="v", groups="s").fit()
    with pytest.warns(MvmetaWarning, match="orders are left out"):
        found = res.permutation_test("a", n=120)
    assert found.n_failed == sum(
        np.linalg.matrix_rank(_x(order)) < 3 for order in permutations(range(5))
    )


def _x(order):
    a = np.array([0.0, 1, 0, 0, 0])[list(order)]
    return np.column_stack([np.ones(5), a, [1.0, 0, 0, 0, 0]])


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
