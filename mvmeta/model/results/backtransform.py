"""Estimates and limits on another scale: risk ratios instead of their logarithms."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mvmeta import transf
from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.frames import shorten

GRID = 257
"""Points between the smallest and the largest value at which a transform is watched."""

Transform = Callable[[Any], Any]


def resolve(transform: Any, back: str = "") -> Transform:
    """The function behind `transform=`.

    Parameters
    ----------
    transform : callable or str
        A function of an array, or the name of one of `mvmeta.transf` that needs nothing else;
        also "exp", and "back".
    back : str
        Name of the function that "back" stands for: it undoes the scale of the estimates.

    Raises
    ------
    SpecificationError
        For an unknown name (lists what exists), something that cannot be called, or "back" where
        there is nothing to undo.
    """
    if isinstance(transform, str) and transform == "back":
        if not back:
            raise SpecificationError(
                'transform="back" has nothing to undo: the estimates are not of a transformed '
                "measure of escalc; give a function or its name"
            )
        transform = back
    if isinstance(transform, str):
        known = {"exp": np.exp} | {name: getattr(transf, name) for name in transf.__all__}
        if transform not in known:
            raise SpecificationError(
                f"transform={transform!r} is not known; there are {shorten(known, most=40)}, and "
                "any function of an array"
            )
        return known[transform]
    if not callable(transform):
        raise SpecificationError(
            "transform= takes a function of an array, such as numpy.exp, or a name such as "
            f"'ztor'; got {transform!r}"
        )
    return transform


def transformed(
    transform: Any, *intervals: tuple[Floats, Floats, Floats], back: str = ""
) -> list[Floats]:
    """Estimates with limits on the scale of `transform`, column by column.

    Parameters
    ----------
    transform : callable or str
        As in `resolve`.
    back : str
        What "back" stands for.
    *intervals : (estimate, lower, upper), each ndarray, shape (m,)

    Returns
    -------
    list of ndarray
        estimate, lower, upper of every interval in turn; limits change places where the
        transform decreases.

    Raises
    ------
    SpecificationError
        If the transform is not monotone over the values, or not defined there: the interval
        would have other limits then.
    """
    function = resolve(transform, back)
    values = np.concatenate([np.ravel(part) for interval in intervals for part in interval])
    direction = _direction(function, values[np.isfinite(values)], transform)
    out = []
    for estimate, *limits in intervals:
        lower, upper = limits[::direction]
        out += [_call(function, part, transform) for part in (estimate, lower, upper)]
    return out


def _direction(function: Transform, values: Floats, name: Any) -> int:
    """1 where `function` increases over the range of `values`, -1 where it decreases."""
    if not len(values):
        return 1
    at = np.unique(np.concatenate([values, np.linspace(values.min(), values.max(), GRID)]))
    found = _call(function, at, name)
    undefined = np.isnan(found)
    if undefined.any():
        raise SpecificationError(
            f"transform={_name(name)} is not defined at {at[undefined][0]:.6g}, which lies within "
            "the estimates and their limits"
        )
    steps = np.diff(found)
    if (steps >= 0).all():
        return 1
    if (steps <= 0).all():
        return -1
    raise SpecificationError(
        f"transform={_name(name)} is not monotone between {at[0]:.6g} and {at[-1]:.6g}: "
        "transformed limits would not be those of an interval"
    )


def _call(function: Transform, values: Floats, name: Any) -> Floats:
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(function(values), dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            f"transform={_name(name)} cannot be applied to an array of numbers alone: {error}"
        ) from error
    if found.shape != values.shape:
        raise SpecificationError(
            f"transform={_name(name)} must give one value for each it is given; it made shape "
            f"{found.shape} of {values.shape}"
        )
    return found


def _name(transform: Any) -> str:
    return repr(transform) if isinstance(transform, str) else getattr(transform, "__name__", "f")
