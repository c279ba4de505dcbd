"""Estimates and limits on another scale: risk ratios instead of their logarithms."""

from typing import Any

import numpy as np

from mvmeta import monotone, transf
from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError
from mvmeta.model.specification.frames import shorten


def resolve(transform: Any, back: str = "") -> monotone.Function:
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
        As from `monotone.transformed`.

    Raises
    ------
    SpecificationError
        As from `resolve` and from `monotone.transformed`.
    """
    function = resolve(transform, back)
    name = repr(transform) if isinstance(transform, str) else None
    return monotone.transformed(function, *intervals, name=name)
