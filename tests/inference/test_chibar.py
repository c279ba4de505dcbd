"""Null distributions on an edge: weights against counting, and which one a pair of models gets."""

import numpy as np
import pytest
from scipy import stats

from mvmeta.inference.comparison.chibar import (
    ChiBar,
    orthant_weights,
    variances_at_zero,
    with_covariances,
)
from tests.tolerances import ALGEBRA

DRAWS = 200_000
FOUR_ERRORS = 4 * 0.5 / np.sqrt(DRAWS)
"""Four standard errors of a share estimated from that many draws."""


def counted_weights(r):
    """Shares of 0..k positive coordinates of the projection of N(0, r) on the positive orthant.

    In the metric of inv(r), for every set of positive coordinates by its definition: the point of
    the face is positive, and the gradient towards the coordinates at 0 is not.
    """
    k = len(r)
    z = np.random.default_rng(1).multivariate_normal(np.zeros(k), r, DRAWS)
    p = np.linalg.inv(r)
    out = np.zeros(k + 1)
    for mask in range(2**k):
        on = [j for j in range(k) if mask >> j & 1]
        off = [j for j in range(k) if j not in on]
        pz = z @ p
        x = np.zeros_like(z)
        if on:
            x[:, on] = pz[:, on] @ np.linalg.inv(p[np.ix_(on, on)])
        gradient = (z - x) @ p
        out[len(on)] += ((x[:, on] > 0).all(axis=1) & (gradient[:, off] <= 0).all(axis=1)).mean()
    return out


@pytest.mark.parametrize(
    "r",
    [
        np.eye(1),
        np.array([[1, -0.6], [-0.6, 1]]),
        np.array([[1, 0.5, -0.3], [0.5, 1, 0.2], [-0.3, 0.2, 1]]),
        np.array([[1, -0.45, -0.45], [-0.45, 1, -0.45], [-0.45, -0.45, 1]]),
    ],
)
def test_weights_are_the_shares_of_projections(r):
    found = orthant_weights(r)
    assert sum(found) == pytest.approx(1, abs=ALGEBRA)
    assert found == pytest.approx(counted_weights(r), abs=FOUR_ERRORS)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_weights_without_correlation_are_binomial(k):
    expected = stats.binom.pmf(range(k + 1), k, 0.5)
    assert orthant_weights(np.eye(k)) == pytest.approx(expected, abs=ALGEBRA)


def test_p_values():
    half = with_covariances(0)
    assert half.sf(2.0) == pytest.approx(stats.chi2.sf(2.0, 1) / 2)
    assert half.sf(0.0) == 1.0
    slope = with_covariances(1)
    assert slope.sf(3.0) == pytest.approx((stats.chi2.sf(3, 1) + stats.chi2.sf(3, 2)) / 2)
    assert str(slope) == "0.5 chi2(1) + 0.5 chi2(2)"
    assert str(ChiBar((1.0,), (3,))) == "chi2(3)"
    both = variances_at_zero(np.diag([4.0, 9.0]), regular=1)
    assert both.df == (1, 2, 3)
    assert both.weights == pytest.approx((0.25, 0.5, 0.25))
