"""Pairs of directions from each of a few groups are those from totals over many."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mvmeta.marginal.base import PairSums, weighted_entries
from mvmeta.marginal.joint import EffectTotals
from tests.tolerances import ALGEBRA

GROUPS = 7


def sums(groups, q, width):
    """The same groups each time, said to be as many as `groups`; in two chunks."""
    rng = np.random.default_rng([q, width])
    t, u = rng.normal(size=(q, q, GROUPS)), rng.normal(size=(q, width, GROUPS))
    directions = rng.normal(size=(q * (q + 1) // 2, q, q))
    totals = EffectTotals(q, width, groups, directions + directions.transpose(0, 2, 1), True)
    for chunk in (slice(0, 4), slice(4, None)):
        totals.add(t[:, :, chunk], u[:, :, chunk])
    return totals.finish(0.0, np.zeros((width, width)), np.zeros((0, q, q)))


@pytest.mark.parametrize(("q", "width"), [(2, 2), (3, 1), (5, 4), (6, 7)])
def test_few_groups_are_as_many(q, width):
    few, many = sums(1, q, width), sums(10**9, q, width)
    assert isinstance(few.slope_pairs, PairSums)
    assert isinstance(many.slope_pairs, np.ndarray)
    scale = np.abs(many.slope_pairs).max()
    assert_allclose(few.require_pairs(), many.slope_pairs, rtol=0, atol=ALGEBRA * scale)
    weights = np.random.default_rng(0).normal(size=(width, width))
    weights = weights + weights.T
    weighted = weighted_entries(many.slope_pairs, weights)
    scale = np.abs(weighted).max()
    assert_allclose(few.weighted_pairs(weights), weighted, rtol=0, atol=ALGEBRA * scale)
