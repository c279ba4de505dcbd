"""Combinations of variance components the data say next to nothing about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvmeta._typing import Floats, Ints
from mvmeta.structures.base import Component

CONFOUNDED = 0.05
"""Eigenvalue of the information, scaled to unit diagonal, below which components are taken for
confounded: for two of them a correlation of their estimates beyond 0.95."""

LEAST_SHARE = 0.25
"""Entry of an eigenvector, relative to its largest, from which on a component is named."""


@dataclass(frozen=True, eq=False)
class PoorlyKnown:
    """A direction in which the likelihood changes little although it does in each component.

    Attributes
    ----------
    components : ndarray of int, shape (m,)
        Positions of the components involved.
    direction : ndarray, shape (m,)
        How they change together, in their own units; the first one grows.
    eigenvalue : float
        Share of the information that is left in that direction.
    """

    components: Ints
    direction: Floats
    eigenvalue: float


def confounded(information: Floats) -> list[PoorlyKnown]:
    """Directions of small information between components each of which has some.

    Parameters
    ----------
    information : ndarray, shape (J, J)
        About J components inside their range.

    Returns
    -------
    list of PoorlyKnown
        From the eigenvectors of the information scaled to unit diagonal, smallest first.
    """
    known = np.flatnonzero(np.diag(information) > 0)
    if len(known) < 2:
        return []
    scale = np.sqrt(np.diag(information)[known])
    values, vectors = np.linalg.eigh(information[np.ix_(known, known)] / np.outer(scale, scale))
    return [
        _direction(known, scale, float(value), vector)
        for value, vector in zip(values, vectors.T, strict=True)
        if value < CONFOUNDED
    ]


def _direction(known: Ints, scale: Floats, value: float, vector: Floats) -> PoorlyKnown:
    involved = np.flatnonzero(np.abs(vector) >= LEAST_SHARE * np.abs(vector).max())
    step = vector[involved] / scale[involved]
    return PoorlyKnown(known[involved], step * np.sign(step[0]), value)


def standard_errors(information: Floats) -> Floats:
    """Standard errors (J,) of the components; infinite where the information is singular."""
    diagonal = np.sqrt(np.clip(np.diag(information), 0.0, None))
    if not (diagonal > 0).all():
        return np.where(diagonal > 0, 1.0 / np.where(diagonal > 0, diagonal, 1.0), np.inf)
    scaled = information / np.outer(diagonal, diagonal)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] <= 0:
        return np.full(len(diagonal), np.inf)
    return np.asarray(np.sqrt(((vectors / np.sqrt(values)) ** 2).sum(axis=1)) / diagonal)


def unknown_in_range(components: Sequence[Component], errors: Floats) -> list[int]:
    """Components of a finite range whose standard error is that of any value in it alike.

    A uniform distribution over a range of width w has the standard deviation w / sqrt(12): a
    correlation with a standard error of 0.58 is as unknown as before the data came.
    """
    out = []
    for i, (c, se) in enumerate(zip(components, errors, strict=True)):
        width = c.upper - c.lower
        if np.isfinite(width) and se >= width / np.sqrt(12.0):
            out.append(i)
    return out
