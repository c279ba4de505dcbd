"""Products of a known matrix and a structure."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from structure_examples import ABCD, TREE

from mvmeta.errors import SpecificationError
from mvmeta.structures import (
    Diagonal,
    HeterogeneousCompoundSymmetry,
    Identity,
    Kronecker,
    Pinned,
    Unstructured,
)


def test_covariance_of_two_effects_is_the_product_of_both():
    product = Kronecker(TREE, ABCD, Unstructured(("x", "y")))
    g = product.matrix(np.array([4.0, 9.0, 0.5]))  # cov(x, y) = 0.5 * 2 * 3 = 3
    assert product.labels[:3] == ("A:x", "A:y", "B:x")
    at = {label: i for i, label in enumerate(product.labels)}
    assert g[at["A:x"], at["A:x"]] == 4.0
    assert_allclose(g[at["A:x"], at["A:y"]], 3.0)
    assert_allclose(g[at["A:x"], at["B:y"]], 0.7 * 3.0)
    assert_allclose(g[at["B:y"], at["C:y"]], 0.3 * 9.0)
    assert g[at["A:x"], at["D:y"]] == 0.0


def test_components_and_pins_are_those_of_the_inner_structure():
    inner = Pinned(HeterogeneousCompoundSymmetry(("x", "y")), np.array([np.nan, 1.0, 0.2]))
    product = Kronecker(TREE, ABCD, inner)
    assert product.components == inner.components
    assert_array_equal(product.fixed, [False, True, True])
    assert len(product.working.lower) == 1
    assert_allclose(
        product.working.matrix(np.array([2.0])), np.kron(TREE, inner.matrix([4.0, 1.0, 0.2]))
    )


def test_singular_matrices_have_a_root():
    ones = np.ones((3, 3))
    product = Kronecker(ones, ("a", "b", "c"), Unstructured(("x", "y")))
    theta = np.array([1.0, 4.0, -1.0])
    root = product.root(theta)
    assert_allclose(root @ root.T, product.matrix(theta), atol=1e-12)
    assert_array_equal(product.on_boundary(theta), [False, False, True])


def test_derivatives_too_large_to_hold_are_refused():
    """2000 x 3 effects: 6 * 7 stacks of 6000^2 numbers are 11.3 GiB."""
    r, names = np.eye(2000), [f"s{i}" for i in range(2000)]
    with pytest.raises(SpecificationError, match=r"6000 effects.*6 components.*11\.3 GiB.*DIAG"):
        Kronecker(r, names, Unstructured(("x", "y", "z")))
    assert Kronecker(r, names, Identity(("x", "y", "z"))).q == 6000
    assert Kronecker(r, names, Diagonal(("x", "y"))).q == 4000
