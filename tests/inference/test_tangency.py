"""Extremes on a contour: quadratics by their formula, curved ones by a fine walk along it."""

import numpy as np
import pytest

from mvmeta.inference.components.tangency import extreme_on_contour

FREE = np.full(2, -np.inf), np.full(2, np.inf)
INFORMATION = np.array([[2.0, 0.6], [0.6, 1.0]])
HEIGHT = 1.9
WALK = 1e-9
"""Its points lie inside: none can be better than the extreme."""


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, s):
        self.calls += 1
        return self.function(s)


def quadratic(s):
    return HEIGHT - s @ INFORMATION @ s / 2, -INFORMATION @ s, INFORMATION


def skewed(s):
    value, gradient, information = quadratic(s)
    return (
        value - 0.05 * s[0] ** 3,
        gradient - np.array([0.15 * s[0] ** 2, 0.0]),
        information + np.diag([0.3 * s[0], 0.0]),
    )


def linear(s):
    a = np.array([1.0, -0.5])
    return float(a @ s), a, np.zeros((2, 2))


def ratio(s):
    whole, slope = 9 + s.sum(), np.array([5 + s[1], -4 - s[0]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    bend = turn / whole**2 - 2 * np.outer(slope, np.ones(2)) / whole**3
    return (4 + s[0]) / whole, slope / whole**2, bend


def along_contour(above):
    """Points of the contour around 0, one per direction, by bisection in all directions at once."""
    angle = np.linspace(0, 2 * np.pi, 4_001)
    unit = np.array([np.cos(angle), np.sin(angle)])
    low, high = np.zeros_like(angle), np.full_like(angle, 3.0)
    for _ in range(40):
        middle = (low + high) / 2
        s = middle * unit
        value = HEIGHT - (s * (INFORMATION @ s)).sum(axis=0) / 2
        value -= 0.05 * s[0] ** 3 if above is skewed else 0.0
        low, high = np.where(value > 0, middle, low), np.where(value > 0, high, middle)
    return low * unit


def test_a_quadratic_takes_one_look():
    above = Counted(quadratic)
    s = extreme_on_contour(linear, above, *FREE)
    a = linear(np.zeros(2))[1]
    d = np.linalg.solve(INFORMATION, a)
    np.testing.assert_allclose(s, -d * np.sqrt(2 * HEIGHT / (a @ d)), rtol=1e-12)
    assert above.calls == 2


@pytest.mark.parametrize("f", [linear, ratio])
@pytest.mark.parametrize("above", [quadratic, skewed])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_curved_ones_agree_with_a_walk_along_the_contour(f, above, sign):
    counted = Counted(above)

    def aim(s):
        value, gradient, bend = f(s)
        return sign * value, sign * gradient, sign * bend

    s = extreme_on_contour(aim, counted, *FREE)
    best = min(sign * f(point)[0] for point in along_contour(above).T)
    assert aim(s)[0] == pytest.approx(best, abs=1e-5)
    assert aim(s)[0] <= best + WALK
    assert abs(above(s)[0]) < 1e-8
    assert counted.calls <= 5


def saddle(s):
    curvature = np.diag([1.0, -1.0])
    return HEIGHT - s @ curvature @ s / 2, -curvature @ s, curvature


@pytest.mark.parametrize(("above", "low"), [(quadratic, np.array([-0.1, -0.1])), (saddle, FREE[0])])
def test_what_is_not_a_free_extreme_is_left_to_others(above, low):
    assert extreme_on_contour(linear, above, low, FREE[1]) is None


def far_and_level(s):
    """Far from the start the likelihood is low, and a straight line: there is no model of it."""
    far = s[0] < -0.5
    information = np.diag([1e-300 if far else 1.0, 1.0])
    uphill = np.array([90.0 if far else -s[0], -s[1]])
    return (-150.0 if far else HEIGHT - s @ s / 2), uphill, information


def test_a_step_to_nowhere_is_no_limit():
    assert extreme_on_contour(linear, far_and_level, *FREE) is None
