"""The box-constrained step against every active set there is."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mvmeta.optimize.boxqp import box_step


def value(gradient, matrix, step):
    return gradient @ step - step @ matrix @ step / 2


def brute_force(gradient, matrix, lower, upper):
    """The best feasible stationary point over all 3^J ways to hold parameters on bounds."""
    best = np.clip(np.zeros_like(gradient), lower, upper)
    for sides in product((0, -1, 1), repeat=len(gradient)):
        side = np.array(sides)
        step = np.where(side < 0, lower, np.where(side > 0, upper, 0.0))
        if not np.isfinite(step).all():
            continue
        free, held = side == 0, side != 0
        if free.any():
            rest = gradient[free] - matrix[np.ix_(free, held)] @ step[held]
            step[free] = np.linalg.solve(matrix[np.ix_(free, free)], rest)
        inside = (step >= lower - 1e-12).all() and (step <= upper + 1e-12).all()
        if inside and value(gradient, matrix, step) > value(gradient, matrix, best):
            best = step
    return best


def random_problem(rng, size, condition=1.0):
    a = rng.normal(size=(size, size + 2)) * 10.0 ** rng.uniform(-condition, condition, (size, 1))
    lower = -rng.exponential(size=size)
    upper = rng.exponential(size=size)
    lower[rng.random(size) < 0.3] = 0.0
    upper[rng.random(size) < 0.2] = 0.0
    lower[rng.random(size) < 0.2] = -np.inf
    upper[rng.random(size) < 0.3] = np.inf
    return rng.normal(size=size), a @ a.T, lower, upper


def assert_optimal(gradient, matrix, lower, upper):
    step = box_step(gradient, matrix, lower, upper)
    assert (step >= lower).all()
    assert (step <= upper).all()
    slope = gradient - matrix @ step
    scale = np.abs(gradient) + np.abs(matrix) @ np.abs(step) + 1e-300
    assert (slope[step > lower] >= -1e-9 * scale[step > lower]).all()
    assert (slope[step < upper] <= 1e-9 * scale[step < upper]).all()
    return step


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_brute_force(size):
    rng = np.random.default_rng(size)
    for _ in range(40):
        problem = random_problem(rng, size)
        step = assert_optimal(*problem)
        assert_allclose(step, brute_force(*problem), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", [10, 30])
def test_many_variables_of_different_scale(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        assert_optimal(*random_problem(rng, size, condition=3.0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_optimality_conditions(seed, size):
    """With entries on a coarse grid: ties, zero gradients, targets exactly on bounds."""
    rng = np.random.default_rng(seed)
    a = rng.integers(-2, 3, size=(size, size)).astype(float)
    lower, upper = -rng.integers(0, 3, size).astype(float), rng.integers(0, 3, size).astype(float)
    assert_optimal(rng.integers(-2, 3, size).astype(float), a @ a.T + np.eye(size), lower, upper)


def test_without_bounds_it_is_newtons_step():
    gradient, matrix = np.array([1.0, -2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    free = np.full(2, np.inf)
    step = box_step(gradient, matrix, -free, free)
    assert_allclose(step, np.linalg.solve(matrix, gradient), rtol=1e-14)


def test_bounds_are_reached_exactly():
    lower, upper = np.array([-0.1, -0.3]), np.array([0.7, np.inf])
    step = box_step(np.array([-5.0, -9.0]), np.eye(2), lower, upper)
    assert_array_equal(step, lower)


def test_a_bound_is_left_when_that_pays():
    """The first parameter starts held at 0 and is pulled off by the move of the second."""
    matrix = np.array([[1.0, -0.9], [-0.9, 1.0]])
    step = box_step(np.array([-0.1, 2.0]), matrix, np.zeros(2), np.full(2, np.inf))
    assert_allclose(step, np.linalg.solve(matrix, [-0.1, 2.0]), rtol=1e-12)


def test_no_room_is_no_step():
    zero = np.zeros(2)
    assert_array_equal(box_step(np.array([3.0, -3.0]), np.eye(2), zero, zero), zero)


def test_nothing_to_move():
    empty = np.empty(0)
    assert box_step(empty, np.empty((0, 0)), empty, empty).shape == (0,)


def test_zero_gradient_stays():
    free = np.full(3, np.inf)
    assert_array_equal(box_step(np.zeros(3), np.eye(3), -free, free), np.zeros(3))
