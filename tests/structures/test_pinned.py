"""Structures with some components held at given values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from structure_examples import PLANE

from mvmeta.errors import SpecificationError
from mvmeta.structures import (
    CompoundSymmetry,
    HeterogeneousCompoundSymmetry,
    Pinned,
    SpatialExponential,
    Unstructured,
)

ABC = ("A", "B", "C")
FREE = np.nan


def test_pinned_values_are_reported_exactly():
    pinned = Pinned(HeterogeneousCompoundSymmetry(ABC), [0.1, FREE, 0.3, FREE])
    theta = pinned.to_natural(np.array([2.0, 0.7]))
    assert_allclose(theta, [0.1, 4.0, 0.3, 0.7])
    assert theta[0] == 0.1
    assert theta[2] == 0.3
    assert_array_equal(pinned.fixed, [True, False, True, False])
    assert_array_equal(pinned.units(), [1, 0])


def test_zero_is_regular_where_variances_are_pinned():
    """In the variances the derivative would be infinite there."""
    pinned = Pinned(HeterogeneousCompoundSymmetry(ABC), [FREE, FREE, FREE, 0.5])
    at_zero = pinned.working.jacobian(np.array([0.0, 1.0, 1.0]))[0]
    assert_allclose(at_zero, [[0, 0.5, 0.5], [0.5, 0, 0], [0.5, 0, 0]])


def test_everything_pinned_leaves_nothing_to_move():
    pinned = Pinned(CompoundSymmetry(ABC), [2.0, 0.5])
    assert pinned.working.lower.shape == (0,)
    assert [len(x) for x in pinned.starts(1.0)] == [0]
    assert_array_equal(pinned.to_natural(np.empty(0)), [2.0, 0.5])
    assert pinned.working.jacobian(np.empty(0)).shape == (0, 3, 3)


def test_equal_starts_are_one_start():
    pinned = Pinned(SpatialExponential("ABCD", distance=PLANE), [FREE, 1.0])
    assert_array_equal(pinned.starts(2.0), [[2.0]])


def test_only_estimates_are_on_the_boundary():
    pinned = Pinned(CompoundSymmetry(ABC), [0.0, FREE])
    assert_array_equal(pinned.on_boundary(np.array([0.0, 0.2])), [False, True])


def test_value_out_of_range_is_refused():
    pinned = Pinned(CompoundSymmetry(ABC), [FREE, -0.9])
    with pytest.raises(SpecificationError, match=r"rho = -0\.9"):
        _ = pinned.working


@pytest.mark.parametrize("pair", [0, 1, 2])
def test_correlation_pinned_at_zero_keeps_the_matrix_valid(pair):
    """UN with one zero is still a factor: every point is valid, every valid matrix a point."""
    values = np.full(6, FREE)
    values[3 + pair] = 0
    pinned = Pinned(Unstructured(ABC), values)
    assert len(pinned.working.lower) == 5
    rng = np.random.default_rng(pair)
    for _ in range(20):
        x = rng.normal(size=5)
        theta = pinned.to_natural(x)
        assert theta[3 + pair] == 0
        assert_allclose(pinned.matrix(theta), pinned.working.matrix(x), atol=1e-14)
        again = pinned.working.matrix(pinned.to_working(theta))
        assert_allclose(again, pinned.matrix(theta), atol=1e-12)
        assert np.linalg.eigvalsh(pinned.matrix(theta))[0] >= 0


def test_singular_matrix_with_a_pinned_zero():
    """rho_31^2 + rho_32^2 = 1 with rho_21 = 0."""
    pinned = Pinned(Unstructured(ABC), [FREE, FREE, FREE, 0, FREE, FREE])
    theta = np.array([1.0, 2.0, 3.0, 0.0, 0.6, 0.8])
    x = pinned.to_working(theta)
    assert_allclose(pinned.working.matrix(x), pinned.matrix(theta), atol=1e-14)


def test_variance_pinned_at_zero_takes_its_row_out():
    pinned = Pinned(Unstructured(ABC), [FREE, 0, FREE, 0, FREE, 0])
    assert len(pinned.working.lower) == 3
    theta = pinned.to_natural(np.array([1.0, 0.5, 2.0]))
    assert_allclose(pinned.matrix(theta)[1], 0)
    assert np.isfinite(theta).all()


def test_zero_pattern_without_a_factor_moves_correlations_one_by_one():
    """In a ring A-B-C-D-A of links no order keeps the two zeros in the factor."""
    values = np.full(10, FREE)
    values[[5, 8]] = 0  # C~A, D~B
    pinned = Pinned(Unstructured("ABCD"), values)
    assert len(pinned.working.lower) == 8
    theta = pinned.to_natural(np.array([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]))
    assert_array_equal(theta[[5, 8]], 0)
    assert_allclose(theta[[4, 6, 7, 9]], 0.5)
    assert_allclose(pinned.matrix(theta), pinned.working.matrix(pinned.to_working(theta)))


@pytest.mark.parametrize("at", range(10))
def test_one_pin_of_un_moves_among_covariance_matrices(at):
    """All that have the value are reached, and no others."""
    rng = np.random.default_rng(at)
    factor = rng.normal(size=(4, 4))
    theta = Unstructured("ABCD").to_natural(
        np.linalg.cholesky(factor @ factor.T)[np.tril_indices(4)]
    )
    values = np.full(10, FREE)
    values[at] = theta[at]
    pinned = Pinned(Unstructured("ABCD"), values)
    x = pinned.to_working(theta)
    assert len(x) == 9
    assert_allclose(pinned.working.matrix(x), pinned.matrix(theta), rtol=1e-10)
    for x in rng.uniform(0.1, 2.0, size=(20, 9)):
        g = pinned.working.matrix(x)
        assert np.linalg.eigvalsh(g)[0] > -1e-12
        sd = np.sqrt(np.diag(g))
        column, row = np.triu_indices(4, 1)
        natural = np.concatenate([sd**2, (g / np.outer(sd, sd))[row, column]])
        assert_allclose(natural[at], theta[at], rtol=1e-10)
