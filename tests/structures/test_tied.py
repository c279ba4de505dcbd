"""Structures with components that are equal."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta.structures import (
    CompoundSymmetry,
    Diagonal,
    FactorAnalytic,
    HeterogeneousCompoundSymmetry,
    HeterogeneousToeplitz,
    Pinned,
    Tied,
    Toeplitz,
    Unstructured,
)

ABC = ("A", "B", "C")


def test_a_group_is_one_component():
    tied = Tied(HeterogeneousCompoundSymmetry(ABC), [0, 1, 0, 2])
    assert [(c.kind, c.level) for c in tied.components] == [
        ("tau2", "A=C"),
        ("tau2", "B"),
        ("rho", ""),
    ]
    expected = HeterogeneousCompoundSymmetry(ABC).matrix(np.array([2.0, 3.0, 2.0, 0.4]))
    assert_allclose(tied.matrix(np.array([2.0, 3.0, 0.4])), expected)
    assert not tied.fixed.any()


def test_all_variances_equal_are_the_homogeneous_structure():
    theta = np.array([2.0, 0.3])
    tied = Tied(HeterogeneousCompoundSymmetry(ABC), [0, 0, 0, 1])
    same = CompoundSymmetry(ABC)
    assert [(c.kind, c.level) for c in tied.components] == [("tau2", ""), ("rho", "")]
    assert_allclose(tied.matrix(theta), same.matrix(theta))
    assert_allclose(tied.jacobian(theta), same.jacobian(theta), atol=1e-14)
    assert_allclose(tied.hessian(theta), same.hessian(theta), atol=1e-14)


def test_tied_variances_keep_toeplitz_matrices_valid():
    """They work in standard deviations and partial autocorrelations, of which any will do."""
    theta = np.array([2.0, 0.7, 0.1])
    tied = Tied(HeterogeneousToeplitz(ABC), [0, 0, 0, 1, 2])
    assert_allclose(tied.matrix(theta), Toeplitz(ABC).matrix(theta))
    rng = np.random.default_rng(1)
    for _ in range(50):
        x = np.array([1.0, *rng.uniform(-1, 1, 2)])
        assert np.linalg.eigvalsh(tied.working.matrix(x))[0] > -1e-12


def test_derivatives_add_up_where_G_is_linear():
    tied = Tied(Diagonal(ABC), [0, 0, 1])
    assert tied.working.hessian(np.ones(2)) is None
    assert_array_equal(tied.working.jacobian(np.ones(2))[0], np.diag([1.0, 1.0, 0.0]))


def test_bounds_are_those_all_members_share():
    tied = Tied(Unstructured(ABC), [0, 0, 0, 1, 1, 2])
    assert_array_equal(tied.lower, [0, -1, -1])
    assert_array_equal(tied.upper, [np.inf, 1, 1])
    assert [c.level for c in tied.components] == ["", "B~A=C~A", "C~B"]


def test_a_group_can_be_pinned():
    pinned = Pinned(Tied(FactorAnalytic(ABC), [0, 1, 2, 3, 3, 3]), [1.0, np.nan, np.nan, 0.5])
    theta = pinned.to_natural(np.array([2.0, 3.0]))
    assert_array_equal(theta, [1.0, 2.0, 3.0, 0.5])
    loading = np.array([1.0, 2.0, 3.0])
    assert_allclose(pinned.matrix(theta), np.outer(loading, loading) + 0.5 * np.eye(3))


def test_starts_that_differ_in_tied_levels_alone_are_one():
    untied = HeterogeneousCompoundSymmetry(ABC)
    tied = Tied(untied, [0, 0, 0, 1])
    starts = tied.starts(1.0)
    assert len(starts) < len(untied.starts(1.0))
    assert len({tuple(x) for x in starts}) == len(starts)
