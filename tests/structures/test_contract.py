"""What every covariance structure must do, checked on every registered one."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from structure_examples import EXAMPLES, corners, inside

from mvmeta.structures import (
    Pinned,
    SpatialLinear,
    SpatialSpherical,
    structure_class,
    structure_codes,
)
from mvmeta.structures.base import Chart

ROUNDING = 1e-12
DERIVATIVE = 1e-6

each = pytest.mark.parametrize("structure", EXAMPLES.values(), ids=EXAMPLES.keys())


def derivative(f, x, j, h):
    """Derivative of `f` with respect to x_j by the five-point rule, error O(h^4)."""
    e = np.eye(len(x))[j] * h
    return (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h)


def assert_derivatives(chart: Chart, x: np.ndarray) -> None:
    jacobian, hessian = chart.jacobian(x), chart.hessian(x)
    scale = np.abs(jacobian).max(initial=1.0)
    q = len(chart.matrix(x))
    assert jacobian.shape == (len(x), q, q)
    for j in range(len(x)):
        step = 1e-3 * np.clip(abs(x[j]), 0.1, 1.0)
        numeric = derivative(chart.matrix, x, j, step)
        assert_allclose(jacobian[j], numeric, rtol=DERIVATIVE, atol=DERIVATIVE * scale)
        second = derivative(chart.jacobian, x, j, step)
        if hessian is None:
            assert_allclose(second, 0.0, atol=1e-10 * scale)
        else:
            scale2 = np.abs(hessian).max(initial=1.0)
            assert_allclose(hessian[j], second, rtol=DERIVATIVE, atol=DERIVATIVE * scale2)


def points(chart: Chart, seed: int, n: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [inside(chart, rng) for _ in range(n)]


def smooth_points(structure, seed: int, n: int = 5) -> list[np.ndarray]:
    """Points away from the kinks of compact correlations and from ranges without effect."""
    out = points(structure.working, seed, 10 * n)
    if isinstance(structure, SpatialLinear | SpatialSpherical):
        d = structure.distance[structure.distance > 0]
        ranges = [structure.to_natural(x)[1] for x in out]
        clear = [abs(r / d - 1).min() > 0.05 and r > d.min() for r in ranges]
        out = [x for x, ok in zip(out, clear, strict=True) if ok]
    return out[:n]


def natural_points(structure, seed: int) -> list[np.ndarray]:
    """Natural parameters some way off zero, where square roots and powers are steep."""
    power = np.array([c.power for c in structure.components])
    away = np.where(power == 2, 0.2, np.where((power == 0) & (structure.lower >= 0), 0.1, -np.inf))
    if isinstance(structure, Pinned):
        structure = structure.inner
    return [np.maximum(structure.to_natural(x), away) for x in smooth_points(structure, seed)]


def test_every_registered_code_has_an_example():
    covered = {s.code for s in EXAMPLES.values() if not isinstance(s, Pinned)}
    assert set(structure_codes()) <= covered


@pytest.mark.parametrize("code", structure_codes())
def test_code_finds_its_class(code):
    assert structure_class(code.lower()).code == code


# Correlations pinned one by one leave a set of valid matrices that is no box.
valid = pytest.mark.parametrize("structure", [s for k, s in EXAMPLES.items() if k != "pinned TOEP"])


@valid
def test_positive_semidefinite_and_symmetric_everywhere(structure):
    chart = structure.working
    for x in [*points(chart, 1, 20), *corners(chart)]:
        g = chart.matrix(x)
        assert_array_equal(g, g.T)
        assert np.isfinite(g).all()
        assert np.linalg.eigvalsh(g)[0] >= -ROUNDING * max(1.0, np.abs(g).max())


@each
def test_working_derivatives(structure):
    for x in smooth_points(structure, 2):
        assert_derivatives(structure.working, x)


@each
def test_natural_derivatives(structure):
    for theta in natural_points(structure, 3):
        assert_derivatives(structure, theta)


@each
def test_derivatives_are_finite_and_symmetric_at_corners(structure):
    for x in corners(structure.working):
        assert np.isfinite(structure.working.jacobian(x)).all()
        hessian = structure.working.hessian(x)
        if hessian is not None:
            assert np.isfinite(hessian).all()
            assert_array_equal(hessian, hessian.transpose(1, 0, 2, 3))
            assert_array_equal(hessian, hessian.transpose(0, 1, 3, 2))


@each
def test_natural_derivatives_stay_finite_at_corners(structure):
    for x in corners(structure.working):
        theta = structure.to_natural(x)
        assert np.isfinite(structure.jacobian(theta)).all()
        hessian = structure.hessian(theta)
        assert hessian is None or np.isfinite(hessian).all()


@each
def test_both_charts_give_one_matrix(structure):
    for x in [*points(structure.working, 4), *corners(structure.working)]:
        theta = structure.to_natural(x)
        assert_allclose(structure.matrix(theta), structure.working.matrix(x), atol=ROUNDING)
        assert_array_equal(theta >= structure.lower, True)
        assert_array_equal(theta <= structure.upper, True)


@each
def test_round_trip(structure):
    for x in points(structure.working, 5):
        theta = structure.to_natural(x)
        again = structure.to_natural(structure.to_working(theta))
        assert_allclose(again, theta, rtol=1e-10, atol=ROUNDING)


@each
def test_corners_return(structure):
    for x in corners(structure.working):
        back = structure.to_working(structure.to_natural(x))
        expected = structure.working.matrix(x)
        assert_allclose(structure.working.matrix(back), expected, atol=ROUNDING)
        assert_array_equal(back >= structure.working.lower, True)
        assert_array_equal(back <= structure.working.upper, True)


@each
def test_starts_are_within_bounds_and_scale(structure):
    small, large = structure.starts(0.25), structure.starts(0.25 * 1e6)
    assert len(small) >= 1
    for x, y in zip(small, large, strict=True):
        assert x.shape == structure.working.lower.shape
        assert np.isfinite(x).all()
        assert ((x >= structure.working.lower) & (x <= structure.working.upper)).all()
        if not isinstance(structure, Pinned):
            assert_allclose(y, x * 1e3 ** structure.units(), rtol=1e-12)


@each
def test_sweeps_stay_in_bounds(structure):
    for sweep in structure.sweeps():
        low, high = structure.working.lower[sweep.index], structure.working.upper[sweep.index]
        for values in (sweep.values, sweep.kinks):
            assert ((values >= low) & (values <= high)).all()
            assert (np.diff(values) > 0).all()
        if sweep.scale is not None:
            x = structure.starts(1.0)[0]
            x[sweep.scale] = 0.0
            assert not structure.working.matrix(x).any()


@each
def test_sweeps_that_are_straight_leave_a_linear_matrix(structure):
    for sweep in (s for s in structure.sweeps() if s.straight):
        others = np.delete(np.arange(len(structure.working.lower)), sweep.index)
        for x in points(structure.working, seed=8):
            hessian = structure.working.hessian(x)
            assert hessian is None or not hessian[np.ix_(others, others)].any()


@each
def test_starts_like_a_given_matrix(structure):
    """Diagonal structures and the unstructured one reproduce it, others at least its size."""
    root = np.random.default_rng(8).normal(size=(structure.q, structure.q + 2))
    g = root @ root.T
    for x in structure.like(g):
        assert ((x >= structure.working.lower) & (x <= structure.working.upper)).all()
        made = structure.working.matrix(x)
        assert_allclose(np.diag(made), np.diag(g), rtol=1e-9)
        if structure.code == "UN":
            assert_allclose(made, g, rtol=1e-9)


@each
def test_straightened_is_the_same_family(structure):
    found = natural_points(structure, 9)
    if isinstance(structure, Pinned):
        found = [structure.to_natural(x) for x in points(structure.working, 9)]
    for theta in found:
        other = structure.straightened(theta)
        if other is not None:
            x = other.to_working(theta)
            assert_allclose(other.to_natural(x), theta, rtol=1e-8, atol=ROUNDING)
            assert_allclose(other.working.matrix(x), structure.matrix(theta), atol=1e-10)


@each
def test_starts_are_no_stationary_points(structure):
    for x in structure.starts(1.0):
        moved = np.abs(structure.working.jacobian(x)).max(axis=(1, 2))
        inert = len(x) > 0 and structure.q == 1
        assert inert or (moved > 0).all() or isinstance(structure, Pinned)


@each
def test_units(structure):
    """In units c times as small, working x c^units is the matrix times c^2."""
    assert structure.units().shape == structure.working.lower.shape
    if isinstance(structure, Pinned):
        return
    for x in points(structure.working, 6):
        scaled = structure.working.matrix(x * 3.0 ** structure.units())
        assert_allclose(scaled, 9.0 * structure.working.matrix(x), atol=ROUNDING)
    power = np.array([c.power for c in structure.components])
    theta = structure.to_natural(points(structure.working, 6)[0])
    assert_allclose(structure.matrix(theta * 3.0**power), 9.0 * structure.matrix(theta))


@each
def test_names(structure):
    names = [(c.kind, c.level) for c in structure.components]
    assert len(set(names)) == len(names)
    assert len(structure.labels) == structure.q
    assert len(set(structure.labels)) == structure.q
    assert structure.fixed.shape == structure.lower.shape == structure.upper.shape


@each
def test_pickles(structure):
    again = pickle.loads(pickle.dumps(structure))
    x = points(structure.working, 7, 1)[0]
    assert_array_equal(again.working.matrix(x), structure.working.matrix(x))
    assert again.components == structure.components


@valid
def test_root(structure):
    for x in [*points(structure.working, 8), *corners(structure.working)]:
        theta = structure.to_natural(x)
        root = structure.root(theta)
        assert_allclose(root @ root.T, structure.matrix(theta), atol=1e-9)


@each
def test_interior_points_are_not_on_the_boundary(structure):
    inert = structure.q == 1 or (isinstance(structure, Pinned) and (structure.values == 0).any())
    for x in smooth_points(structure, 9):
        theta = structure.to_natural(x)
        free = np.array([c.power > 0 for c in structure.components]) if inert else slice(None)
        assert_array_equal(structure.on_boundary(theta)[free], False)


@each
def test_separable_moves_one_component_each(structure):
    other = structure.separable()
    assert other.components == structure.components
    theta = structure.to_natural(smooth_points(structure, 10)[0])
    assert_allclose(other.matrix(theta), structure.matrix(theta), atol=ROUNDING)
    x = other.to_working(theta)
    if isinstance(structure, Pinned):
        return
    for j in range(len(x)):
        moved = x.copy()
        moved[j] *= 0.99
        changed = ~np.isclose(other.to_natural(moved), other.to_natural(x), rtol=1e-10, atol=0)
        assert changed.sum() <= 1
        assert x[j] == 0 or changed[j]
    assert_derivatives(other.working, x)
