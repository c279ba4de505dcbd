"""Estimates and their limits under a function, which has to be monotone over them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError

GRID = 257
"""Points between the smallest and the largest value at which a function is watched."""

Function = Callable[[Any], Any]


def transformed(
    function: Function, *intervals: tuple[Floats, Floats, Floats], name: str | None = None
) -> list[Floats]:
    """Estimates with limits on another scale, column by column.

    Parameters
    ----------
    function : callable
        Of an array.
    *intervals : (estimate, lower, upper), each ndarray, shape (m,)
    name : str, optional
        What messages call the function; its own name unless given.

    Returns
    -------
    list of ndarray
        estimate, lower, upper of every interval in turn; limits change places where the
        function decreases.

    Raises
    ------
    SpecificationError
        If the function is not monotone over the values, or not defined there: the interval
        would have other limits then.
    """
    name = name or str(getattr(function, "__name__", "f"))
    values = np.concatenate([np.ravel(part) for interval in intervals for part in interval])
    direction = _direction(function, values[np.isfinite(values)], name)
    out = []
    for estimate, *limits in intervals:
        lower, upper = limits[::direction]
        out += [_call(function, part, name) for part in (estimate, lower, upper)]
    return out


def _direction(function: Function, values: Floats, name: str) -> int:
    """1 where `function` increases over the range of `values`, -1 where it decreases."""
    if not len(values):
        return 1
    at = np.unique(np.concatenate([values, np.linspace(values.min(), values.max(), GRID)]))
    found = _call(function, at, name)
    undefined = np.isnan(found)
    if undefined.any():
        raise SpecificationError(
            f"transform={name} is not defined at {at[undefined][0]:.6g}, which lies within "
            "the estimates and their limits"
        )
    steps = np.diff(found)
    if (steps >= 0).all():
        return 1
    if (steps <= 0).all():
        return -1
    raise SpecificationError(
        f"transform={name} is not monotone between {at[0]:.6g} and {at[-1]:.6g}: "
        "transformed limits would not be those of an interval"
    )


def _call(function: Function, values: Floats, name: str) -> Floats:
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(function(values), dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            f"transform={name} cannot be applied to an array of numbers alone: {error}"
        ) from error
    if found.shape != values.shape:
        raise SpecificationError(
            f"transform={name} must give one value for each it is given; it made shape "
            f"{found.shape} of {values.shape}"
        )
    return found
