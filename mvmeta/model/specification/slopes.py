"""Random slopes whose covariates say the same as others: told before the fit."""

import numpy as np

from mvmeta._typing import Bools, Floats
from mvmeta.errors import warn
from mvmeta.model.specification.rank import independent_columns
from mvmeta.structures import CovarianceStructure

NULL = 1e-8
"""Singular value, relative to directions of unit length, below which they depend on each other."""
PART = 1e-6
"""Coefficient, of columns or directions of unit length, from which on one takes part."""


def warn_of_collinear(name: str, structure: CovarianceStructure, z: Floats) -> None:
    """Warn where the covariance of random slopes can change without changing that of the data.

    With ``Z = Q R`` the data have R G R' alone.  Where columns of Z depend on others, directions
    of G that differ may be one there: the variance of the slope of a constant covariate and that
    of the intercept, for one.  Without correlations (GDIAG) most dependent columns are harmless.

    Parameters
    ----------
    name : str
        Of the term.
    structure : CovarianceStructure
        G (q, q), with what is fixed.
    z : ndarray, shape (n, q)
    """
    if structure.fixed.all() or (z.any() and independent_columns(z).all()):
        return
    size = np.abs(z).max(axis=0)
    unit = z / np.where(size > 0, size, 1.0)
    length = np.linalg.norm(unit, axis=0)
    unit /= np.where(length > 0, length, 1.0)
    partners = _partners(unit)
    kept = ~partners.any(axis=0) & (size > 0)
    open_columns = _undetermined(structure, unit) & ~kept
    reasons = [
        _reason(structure.labels, j, partners[:, j]) for j in np.flatnonzero(open_columns).tolist()
    ]
    if reasons:
        warn(
            f"random slopes {name!r}: {'; '.join(reasons)}: the data cannot tell the variance of "
            "its effects from that of others; leave it out of the slopes, or hold its components "
            "with fixed="
        )


def _partners(unit: Floats) -> Bools:
    """Which columns to the left (row) a dependent column (column) is made of, shape (q, q)."""
    q = unit.shape[1]
    out = np.zeros((q, q), dtype=bool)
    if not unit.any():
        return out
    kept = independent_columns(unit)
    for j in np.flatnonzero(~kept):
        left = np.flatnonzero(kept[:j])
        found = np.linalg.lstsq(unit[:, left], unit[:, j], rcond=None)[0]
        out[left, j] = np.abs(found) > PART
    return out


def _undetermined(structure: CovarianceStructure, unit: Floats) -> Bools:
    """Columns (q,) with components that can move with others at no change of Z G Z'."""
    theta = structure.to_natural(structure.starts(1.0)[0])
    directions = structure.jacobian(theta)[~structure.fixed]
    r = np.asarray(np.linalg.qr(unit, mode="r"))
    seen = (r @ directions @ r.T).reshape(len(directions), -1)
    length = np.linalg.norm(seen, axis=1)
    seen = seen / np.where(length > 0, length, 1.0)[:, None]
    # null vectors: combinations of components without effect
    values, vectors = np.linalg.eigh(seen @ seen.T)
    moving = (np.abs(vectors[:, values < NULL]) > PART).any(axis=1)
    return np.asarray((directions[moving] != 0).any(axis=(0, 2)))


def _reason(labels: tuple[str, ...], j: int, partners: Bools) -> str:
    others = [labels[k] for k in np.flatnonzero(partners)]
    if not others:
        return f"{labels[j]!r} is 0 in every row"
    if others == ["Intercept"]:
        return f"{labels[j]!r} is constant"
    return f"{labels[j]!r} depends linearly on {' and '.join(others)}"
