"""What structures are built from, checked: labels, known matrices, distances."""

from collections.abc import Sequence

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError

ROUNDING = 1e-8
"""Relative departure from symmetry, unit diagonal or definiteness allowed for rounding."""


def unique_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return `labels` as a tuple.

    Raises
    ------
    SpecificationError
        If there are none or one occurs twice; the message names it.
    """
    out = tuple(labels)
    repeated = sorted({label for label in out if out.count(label) > 1})
    if not out or repeated:
        what = f"{', '.join(map(repr, repeated))} more than once" if out else "none"
        raise SpecificationError(f"a covariance structure needs distinct inner levels; got {what}")
    return out


def known_matrix(matrix: Floats, labels: Sequence[str], *, unit_diagonal: bool = False) -> Floats:
    """Return `matrix` (q, q) exactly symmetric after checking it.

    Raises
    ------
    SpecificationError
        If it does not fit the labels, is not finite and symmetric, has a negative eigenvalue,
        or a diagonal other than 1 where `unit_diagonal` asks for it.
    """
    labels, r = unique_labels(labels), np.asarray(matrix, dtype=float)
    if r.shape != (len(labels), len(labels)):
        raise SpecificationError(
            f"the correlation matrix has shape {r.shape} but there are {len(labels)} inner "
            "levels; give one row and one column for each"
        )
    size = float(np.abs(r).max())
    if not np.isfinite(size) or np.abs(r - r.T).max() > ROUNDING * size:
        raise SpecificationError("the correlation matrix must be finite and symmetric")
    smallest = float(np.linalg.eigvalsh(r)[0])
    if smallest < -ROUNDING * size:
        raise SpecificationError(
            "the correlation matrix is not positive semi-definite (smallest eigenvalue "
            f"{smallest:.3g}): check how it was computed, or shrink its off-diagonal entries"
        )
    off = np.abs(np.diag(r) - 1.0)
    if unit_diagonal and off.max() > ROUNDING:
        worst = int(off.argmax())
        raise SpecificationError(
            f"the correlation matrix has {r[worst, worst]:g} instead of 1 on the diagonal for "
            f"{labels[worst]!r}; scale it to a correlation matrix"
        )
    return np.asarray((r + r.T) / 2.0)


def distance_matrix(distance: Floats, labels: Sequence[str]) -> Floats:
    """Return `distance` (q, q) exactly symmetric after checking it.

    Raises
    ------
    SpecificationError
        If it does not fit the labels or is no matrix of distances; the message names the pair.
    """
    d = np.asarray(distance, dtype=float)
    q = len(labels)
    if d.shape != (q, q):
        raise SpecificationError(
            f"the distance matrix has shape {d.shape} but there are {q} inner levels; "
            "give one row and one column for each"
        )
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(d) | (d < 0) | ~(np.abs(d - d.T) <= ROUNDING * np.abs(d))
    wrong |= np.eye(q, dtype=bool) & (d != 0)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise SpecificationError(
            f"the distance from {labels[i]!r} to {labels[j]!r} is {d[i, j]:g} and back "
            f"{d[j, i]:g}: distances must be finite, non-negative, symmetric and 0 to oneself"
        )
    return np.asarray((d + d.T) / 2.0)
