"""When the way to a known maximum is taken to be uphill throughout."""

from types import SimpleNamespace

import numpy as np
import pytest

from mvmeta.optimize.uphill import rises


def point(x, value, gradient, hessian):
    return SimpleNamespace(
        x=np.atleast_1d(np.asarray(x, dtype=float)),
        loglik=float(value),
        gradient=np.atleast_1d(np.asarray(gradient, dtype=float)),
        observed=-np.atleast_2d(np.asarray(hessian, dtype=float)),
    )


def along(f, slope, bend):
    return lambda x: point(x, f(x), slope(x), bend(x))


HILL = along(lambda x: -((x - 1) ** 2), lambda x: -2 * (x - 1), lambda x: -2.0)
"""One maximum, at 1."""
TWO = along(lambda x: -(((x**2) - 1) ** 2), lambda x: -4 * x * (x**2 - 1), lambda x: -12 * x**2 + 4)
"""Maxima at -1 and 1, a valley at 0."""


@pytest.mark.parametrize("start", [-3.0, 0.0, 0.99, 1.0, 5.0])
def test_up_a_single_hill(start):
    assert rises(HILL(start), HILL(1.0))


def test_not_downhill():
    assert not rises(HILL(1.0), HILL(3.0))


@pytest.mark.parametrize("start", [-1.5, -1.0, -0.9, -0.3])
def test_not_through_a_valley(start):
    assert not rises(TWO(start), TWO(1.0))


@pytest.mark.parametrize("start", [0.6, 0.9, 1.2])
def test_on_the_same_side_of_the_valley(start):
    assert rises(TWO(start), TWO(1.0))


def test_not_where_the_ends_do_not_show_what_is_between():
    """Values and slopes of a straight rise with curvatures that belong to something else."""
    assert not rises(point(0, 0, 1, -40), point(1, 1, 1, -40))


def test_in_several_parameters():
    bend = -np.array([[2.0, 0.5], [0.5, 1.0]])
    top = np.array([1.0, 2.0])

    def at(x):
        d = np.asarray(x) - top
        return point(x, d @ bend @ d / 2, bend @ d, bend)

    assert rises(at([0.0, 0.0]), at(top))
    assert rises(at([5.0, 2.0]), at(top))
    assert not rises(at(top), at([0.0, 0.0]))
