"""One matrix by hand for every family, and the reporting of its edges."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from structure_examples import LINE, PLANE, TREE

from mvmeta.errors import SpecificationError
from mvmeta.structures import (
    Autoregressive,
    BrownianMotion,
    CompoundSymmetry,
    ContinuousAutoregressive,
    FactorAnalytic,
    HeterogeneousAutoregressive,
    HeterogeneousCompoundSymmetry,
    HeterogeneousToeplitz,
    Matern,
    OrnsteinUhlenbeck,
    PagelLambda,
    Pinned,
    Proportional,
    SpatialExponential,
    SpatialGaussian,
    SpatialLinear,
    SpatialRational,
    SpatialSpherical,
    Toeplitz,
    Unstructured,
)
from mvmeta.structures.unstructured.orders import zero_preserving_order
from mvmeta.structures.unstructured.roots import semidefinite_cholesky

AB, ABC = ("A", "B"), ("A", "B", "C")
PAIR = np.array([[0.0, 2.0], [2.0, 0.0]])
SIBLINGS = np.array([[1.0, 0.6], [0.6, 1.0]])

BY_HAND = {
    "CS": (CompoundSymmetry(ABC), [2, 0.5], [[2, 1, 1], [1, 2, 1], [1, 1, 2]]),
    "HCS": (HeterogeneousCompoundSymmetry(AB), [4, 9, 0.5], [[4, 3], [3, 9]]),
    "UN": (
        Unstructured(ABC),
        [1, 4, 9, 0.5, 0.1, -0.5],
        [[1, 1, 0.3], [1, 4, -3], [0.3, -3, 9]],
    ),
    "AR": (Autoregressive(ABC), [2, -0.5], [[2, -1, 0.5], [-1, 2, -1], [0.5, -1, 2]]),
    "HAR": (
        HeterogeneousAutoregressive(ABC),
        [1, 4, 16, 0.5],
        [[1, 1, 1], [1, 4, 4], [1, 4, 16]],
    ),
    "CAR": (
        ContinuousAutoregressive(ABC, times=[0, 0.5, 2]),
        [16, 0.25],
        [[16, 8, 1], [8, 16, 2], [1, 2, 16]],
    ),
    "TOEP": (Toeplitz(ABC), [2, 0.5, -0.1], [[2, 1, -0.2], [1, 2, 1], [-0.2, 1, 2]]),
    "HTOEP": (
        HeterogeneousToeplitz(ABC),
        [1, 4, 9, 0.5, 0.1],
        [[1, 1, 0.3], [1, 4, 3], [0.3, 3, 9]],
    ),
    "SPEXP": (SpatialExponential(AB, distance=PAIR), [1, 4], [[1, np.exp(-0.5)]] * 2),
    "SPGAU": (SpatialGaussian(AB, distance=PAIR), [1, 4], [[1, np.exp(-0.25)]] * 2),
    "SPLIN": (SpatialLinear(AB, distance=PAIR), [1, 4], [[1, 0.5]] * 2),
    "SPRAT": (SpatialRational(AB, distance=PAIR), [1, 4], [[1, 0.8]] * 2),
    "SPSPH": (SpatialSpherical(AB, distance=PAIR), [1, 4], [[1, 1 - 1.5 * 0.5 + 0.5 * 0.5**3]] * 2),
    "MATERN": (
        Matern(AB, distance=PAIR, smoothness=1.5),
        [1, 4],
        [[1, (1 + np.sqrt(3) / 2) * np.exp(-np.sqrt(3) / 2)]] * 2,
    ),
    "FA1": (FactorAnalytic(AB), [2, -1, 0.5, 0.25], [[4.5, -2], [-2, 1.25]]),
    "PROP": (Proportional(AB, [[2, 1], [1, 3]]), [0.5], [[1, 0.5], [0.5, 1.5]]),
    "PHYBM": (BrownianMotion(AB, correlation=SIBLINGS), [2], [[2, 1.2], [1.2, 2]]),
    "PHYPL": (PagelLambda(AB, correlation=SIBLINGS), [2, 0.5], [[2, 0.6], [0.6, 2]]),
    "PHYOU": (
        OrnsteinUhlenbeck(AB, correlation=SIBLINGS),
        [2, 1.5],
        [[2, 2 * np.exp(-1.2)], [2 * np.exp(-1.2), 2]],
    ),
}


@pytest.mark.parametrize(("structure", "theta", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_by_hand(structure, theta, expected):
    expected = np.array(expected, dtype=float)
    if structure.code.startswith("SP") or structure.code == "MATERN":
        expected = np.array([[1, expected[0, 1]], [expected[0, 1], 1]])
    assert_allclose(structure.matrix(np.array(theta, dtype=float)), expected, rtol=1e-14)


def test_component_names_and_order():
    un = Unstructured(("A", "B", "C"))
    assert [(c.kind, c.level, c.power) for c in un.components] == [
        ("tau2", "A", 2),
        ("tau2", "B", 2),
        ("tau2", "C", 2),
        ("rho", "B~A", 0),
        ("rho", "C~A", 0),
        ("rho", "C~B", 0),
    ]
    assert [c.level for c in Unstructured("ABCD").components[4:]] == [
        "B~A",
        "C~A",
        "D~A",
        "C~B",
        "D~B",
        "D~C",
    ]
    assert [c.level for c in Toeplitz(ABC).components] == ["", "lag 1", "lag 2"]
    assert [c.kind for c in FactorAnalytic(AB).components] == ["loading"] * 2 + ["psi"] * 2


def test_bounds_of_compound_symmetry_are_the_true_ones():
    cs = CompoundSymmetry(("A", "B", "C", "D"))
    assert cs.components[1].lower == -1 / 3
    assert cs.components[1].upper == 1
    low, high = cs.to_natural(np.array([0.3, 0])), cs.to_natural(np.array([0, 0.7]))
    assert low[1] == -1 / 3
    assert high[1] == 1
    assert np.linalg.matrix_rank(cs.matrix(low)) == 3
    assert np.linalg.matrix_rank(cs.matrix(high)) == 1
    assert_array_equal(cs.to_natural(np.zeros(2)), [0, 0])


def test_working_values_of_compound_symmetry():
    """Of two outcomes, at arbitrary values: the eigenvalues of G."""
    cs, tau2, rho = CompoundSymmetry(("AL", "PD")), 0.1, 0.3
    a, c = cs.to_working([tau2, rho])
    assert_allclose(c - a, 2 * tau2 * rho, rtol=1e-12)
    assert_allclose(c + a, 2 * tau2, rtol=1e-12)


@pytest.mark.parametrize("nu", [0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 4.0])
def test_matern_against_its_integral(nu):
    """K_nu(t) = int_0^inf exp(-t cosh u) cosh(nu u) du (DLMF 10.32.9), by quadrature."""
    from math import gamma

    matern = Matern(AB, distance=PAIR, smoothness=nu)
    t = np.sqrt(2 * nu) * 2 / 1.7
    bessel, _ = quad(lambda u: np.exp(-t * np.cosh(u)) * np.cosh(nu * u), 0, 12, epsabs=1e-13)
    expected = 2 ** (1 - nu) / gamma(nu) * t**nu * bessel
    assert_allclose(matern.matrix(np.array([1.0, 1.7]))[0, 1], expected, rtol=1e-10)


def test_matern_of_half_is_exponential_and_of_large_order_gaussian():
    exponential = SpatialExponential("ABCD", distance=PLANE)
    half = Matern("ABCD", distance=PLANE, smoothness=0.5)
    x = np.array([1.3, 0.4])
    for name in ("matrix", "jacobian", "hessian"):
        mine, its = getattr(half.working, name)(x), getattr(exponential.working, name)(x)
        assert_allclose(mine, its, rtol=1e-10, atol=1e-12)
    smooth = Matern("ABCD", distance=PLANE, smoothness=50)
    gaussian = SpatialGaussian("ABCD", distance=PLANE)
    near = gaussian.matrix(np.array([1, 2 * np.sqrt(2)]))
    assert_allclose(smooth.matrix(np.array([1.0, 2.0])), near, atol=0.01)


@pytest.mark.parametrize("nu", [0.1, 0.3, 0.5, 0.50001, 1.0, 1.999, 2.0, 2.001, 3.0, 50.0])
def test_matern_is_continuous_towards_its_limits(nu):
    chart = Matern("ABCD", distance=PLANE, smoothness=nu).working
    for end, inner in [(1.0, 1 - 1e-13), (0.0, 1e-13)]:
        at, near = np.array([1.0, end]), np.array([1.0, inner])
        assert_allclose(chart.matrix(near), chart.matrix(at), atol=1e-10)
        assert np.isfinite(chart.hessian(near)).all()
        assert np.isfinite(chart.jacobian(near)).all()


@pytest.mark.parametrize(
    "cls", [SpatialExponential, SpatialGaussian, SpatialLinear, SpatialRational, SpatialSpherical]
)
def test_ranges_reach_both_limits(cls):
    structure = cls("ABCD", distance=LINE)
    assert_array_equal(structure.matrix(np.array([2.0, 0.0])), 2 * np.eye(4))
    assert_array_equal(structure.matrix(np.array([2.0, np.inf])), np.full((4, 4), 2.0))
    for end in (0.0, np.inf):
        theta = np.array([2.0, end])
        assert_array_equal(structure.to_natural(structure.to_working(theta)), theta)
        assert_array_equal(structure.on_boundary(theta), [False, True])
    upper = np.array([1.0, 1.0])
    assert (structure.working.jacobian(upper)[1][~np.eye(4, dtype=bool)] > 0).all()


def test_ranges_of_any_size_are_represented():
    structure = SpatialExponential("ABCD", distance=1e3 * PLANE)
    for rho in (1e-3, 1.0, 1e3, 1e9):
        back = structure.to_natural(structure.to_working([1.0, rho]))
        assert_allclose(back, [1.0, rho], rtol=1e-9)


def test_sites_at_one_place_are_one():
    d = np.array([[0, 0, 3.0], [0, 0, 3.0], [3.0, 3.0, 0]])
    structure = SpatialExponential(ABC, distance=d)
    assert structure.matrix([2.0, 0.0])[0, 1] == 2
    assert np.isfinite(structure.working.hessian(np.array([1.0, 0.0]))).all()


def test_linear_correlation_off_the_line_may_be_indefinite():
    """On a lattice with rho = sqrt(2) only neighbours correlate, by 1 - 1/sqrt(2)."""
    points = np.array([[i, j] for i in range(8) for j in range(8)], dtype=float)
    d = np.linalg.norm(points[:, None] - points, axis=2)
    structure = SpatialLinear([str(i) for i in range(64)], distance=d)
    theta = np.array([1.0, np.sqrt(2)])
    # Eigenvalues of the lattice graph are 2 cos(pi i/9) + 2 cos(pi j/9).
    smallest = 1 - (1 - np.sqrt(0.5)) * 4 * np.cos(np.pi / 9)
    assert smallest < -0.1
    assert_allclose(np.linalg.eigvalsh(structure.matrix(theta))[0], smallest, rtol=1e-6)
    assert np.isfinite(structure.working.jacobian(structure.to_working(theta))).all()


def test_exponents_of_car_below_two_are_doubled():
    whole = ContinuousAutoregressive(ABC, times=[2000, 2001, 2004])
    assert_allclose(whole.to_working([1, 0.36]), [1, 0.36])
    uneven = ContinuousAutoregressive(ABC, times=[0, 1, 2.5])
    assert_allclose(uneven.to_working([1, 0.36]), [1, 0.6])


def test_car_ends():
    car = ContinuousAutoregressive(ABC, times=[0, 0.25, 1])
    assert_array_equal(car.matrix([2.0, 0.0]), 2 * np.eye(3))
    assert_array_equal(car.matrix([2.0, 1.0]), np.full((3, 3), 2.0))
    assert_array_equal(car.on_boundary([2.0, 0.0]), [False, True])
    assert_array_equal(car.on_boundary([2.0, 1.0]), [False, True])


def test_unstructured_takes_singular_matrices():
    un = Unstructured(ABC)
    rng = np.random.default_rng(3)
    for rank in (1, 2):
        b = rng.normal(size=(3, rank)) * np.array([[1e-3], [1.0], [1e3]])
        g = b @ b.T
        sd = np.sqrt(np.diag(g))
        r = g / np.outer(sd, sd)
        theta = np.concatenate([np.diag(g), [r[1, 0], r[2, 0], r[2, 1]]])
        theta[3:] = np.clip(theta[3:], -1, 1)
        back = un.working.matrix(un.to_working(theta))
        assert_allclose(back / np.outer(sd, sd), r, atol=1e-12)
        expected = rank == 1
        assert_array_equal(un.on_boundary(theta), [False] * 3 + [expected] * 3)


def test_unstructured_level_without_variance():
    un = Unstructured(ABC)
    x = un.to_working([1.0, 0.0, 2.0, 0.0, 0.5, 0.0])
    theta = un.to_natural(x)
    assert_allclose(theta, [1, 0, 2, 0, 0.5, 0], atol=1e-15)
    flags = [False, True, False, True, False, True]
    assert_array_equal(un.on_boundary(theta), flags)
    zero = un.on_boundary(un.to_natural(np.zeros(6)))
    assert zero.all()


def test_impossible_correlations_are_refused():
    with pytest.raises(SpecificationError, match="positive semi-definite"):
        Unstructured(ABC).to_working([1, 1, 1, 0.9, 0.9, -0.9])
    with pytest.raises(SpecificationError, match="lag 2"):
        Toeplitz(ABC).to_working([1, 0.9, -0.9])
    with pytest.raises(SpecificationError, match=r"rho = -0\.9 is outside .*CS.* 3 inner levels"):
        CompoundSymmetry(ABC).to_working([1, -0.9])
    with pytest.raises(SpecificationError, match=r"tau2 of 'B' = -1"):
        HeterogeneousAutoregressive(AB).to_working([1, -1, 0.5])


def test_common_correlation_outlives_one_zero_variance():
    hcs = HeterogeneousCompoundSymmetry(ABC)
    assert_array_equal(hcs.on_boundary([1, 0, 2, 0.5]), [False, True, False, False])
    assert_array_equal(hcs.on_boundary([1, 0, 0, 0.5]), [False, True, True, True])
    assert_array_equal(CompoundSymmetry(ABC).on_boundary([0, 0.5]), [True, True])


def test_toeplitz_covers_what_is_no_box():
    """With lag 1 at 0.9, lag 2 must be at least 2 * 0.9^2 - 1 (det R >= 0)."""
    toeplitz = Toeplitz(ABC)
    edge = toeplitz.to_natural([1, 0.9, -1])
    assert_allclose(edge, [1, 0.9, 2 * 0.81 - 1], rtol=1e-14)
    assert_allclose(np.linalg.eigvalsh(toeplitz.matrix(edge))[0], 0, atol=1e-15)
    assert_array_equal(toeplitz.on_boundary(edge), False)
    theta = toeplitz.to_natural([1, 1, 0.3])
    assert_allclose(theta, [1, 1, 1])
    assert_allclose(toeplitz.to_working(theta), [1, 1, 0])


def test_pagel_lambda_ends():
    pagel = PagelLambda("ABCD", correlation=TREE)
    assert_array_equal(pagel.to_natural([0.5, 0.0]), [0.5, 0.0])
    assert_array_equal(pagel.to_natural([0.0, 0.5]), [0.5, 1.0])
    assert_array_equal(pagel.on_boundary([0.5, 0.0]), [False, True])
    assert_allclose(pagel.matrix([2, 1.0]), 2 * TREE)


def test_ornstein_uhlenbeck_ends():
    ou = OrnsteinUhlenbeck("ABCD", correlation=TREE)
    assert_array_equal(ou.matrix([2.0, np.inf]), 2 * np.eye(4))
    assert_array_equal(ou.matrix([2.0, 0.0]), np.full((4, 4), 2.0))
    assert_array_equal(ou.to_natural(ou.to_working([2.0, np.inf])), [2.0, np.inf])
    assert_array_equal(ou.to_natural(ou.to_working([2.0, 0.0])), [2.0, 0.0])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: CompoundSymmetry(("A", "A")), "'A' more than once"),
        (lambda: CompoundSymmetry(()), "got none"),
        (lambda: ContinuousAutoregressive(AB, times=[1, np.nan]), "finite time"),
        (lambda: SpatialExponential(ABC, distance=PAIR), r"shape \(2, 2\).* 3 inner"),
        (lambda: SpatialExponential(AB, distance=-PAIR), "from 'A' to 'B' is -2"),
        (lambda: SpatialExponential(AB, distance=np.eye(2)), "from 'A' to 'A'"),
        (lambda: Matern(AB, distance=PAIR, smoothness=0), "smoothness = 0"),
        (lambda: BrownianMotion(ABC, correlation=SIBLINGS), "3 inner levels"),
        (lambda: BrownianMotion(AB, correlation=[[1, 2], [2, 1]]), "semi-definite"),
        (lambda: PagelLambda(AB, correlation=[[1, 0.2], [0.3, 1]]), "symmetric"),
        (lambda: OrnsteinUhlenbeck(AB, correlation=2 * SIBLINGS), "instead of 1.*'A'"),
        (lambda: Pinned(CompoundSymmetry(AB), [0.5]), "1 fixed values for the 2 components"),
    ],
)
def test_errors_say_what_is_wrong(make, match):
    with pytest.raises(SpecificationError, match=match):
        make()


def test_zero_preserving_order_needs_a_chordal_graph():
    def graph(*edges):
        out = np.zeros((4, 4), dtype=bool)
        for i, j in edges:
            out[i, j] = out[j, i] = True
        return out

    # The centre of a star may only go when a single ray is left.
    assert 0 in zero_preserving_order(graph((0, 1), (0, 2), (0, 3)))[2:]
    assert zero_preserving_order(graph((0, 1), (2, 3))) is not None
    assert zero_preserving_order(graph((0, 1), (1, 2), (2, 3))) is not None
    assert zero_preserving_order(graph((0, 1), (1, 2), (2, 3), (3, 0), (0, 2))) is not None
    assert zero_preserving_order(graph((0, 1), (1, 2), (2, 3), (3, 0))) is None


def test_semidefinite_cholesky():
    r = np.array([[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1]])
    factor = semidefinite_cholesky(r)
    assert_allclose(factor @ factor.T, r, atol=1e-15)
    assert_array_equal(factor[:, 1], 0)
    with pytest.raises(SpecificationError, match=r"eigenvalue -0\.8"):
        semidefinite_cholesky(np.array([[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]]))
