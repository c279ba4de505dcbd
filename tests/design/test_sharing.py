"""Sharing: which places are one parameter, against the 0/1 matrix written out."""

import numpy as np
import pytest

from mvmeta.design.sharing import Sharing
from tests.tolerances import ALGEBRA

SIZES, TIES = [2, 1, 2, 3, 1], [(0, 2), (1, 4)]


def test_places():
    sharing = Sharing.of(SIZES, TIES)
    assert sharing.group.tolist() == [0, 1, 2, 0, 1, 3, 4, 5, 2]
    assert sharing.first.tolist() == [0, 1, 2, 5, 6, 7]
    assert sharing.leading.tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False]


@pytest.mark.parametrize(("sizes", "ties"), [(SIZES, TIES), (SIZES, []), ([], [])])
def test_sums_are_those_of_the_matrix_that_spreads(sizes, ties):
    sharing = Sharing.of(sizes, ties)
    j, m = len(sharing.group), len(sharing.first)
    spread = np.zeros((j, m))
    spread[np.arange(j), sharing.group] = 1.0
    rng = np.random.default_rng(3)
    x, slope, pairs = rng.normal(size=m), rng.normal(size=(j, 2)), rng.normal(size=(j, j, 2))
    np.testing.assert_array_equal(sharing.spread(x), spread @ x)
    np.testing.assert_array_equal(sharing.lead(sharing.spread(x)), x)
    np.testing.assert_allclose(sharing.add(slope), spread.T @ slope, rtol=ALGEBRA)
    expected = np.einsum("ja,jkc,kb->abc", spread, pairs, spread)
    np.testing.assert_allclose(sharing.add_pairs(pairs), expected, rtol=ALGEBRA, atol=ALGEBRA)
