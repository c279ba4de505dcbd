"""Known matrices labelled by levels: the part that occurs, checked and scaled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mvmeta._typing import Floats
from mvmeta.errors import DataError, SpecificationError
from mvmeta.model.specification.frames import shorten
from mvmeta.model.specification.levels import level_texts
from mvmeta.model.specification.specs import TermSpec

LABEL_TOLERANCE = 1e-8
"""Largest asymmetry of a labelled matrix, relative to its largest element, taken for rounding."""

PSD_TOLERANCE = 1e-8
"""An eigenvalue of a known matrix above -this times its largest diagonal element counts as zero."""


def known_correlation(spec: TermSpec, labels: Sequence[str], over: str) -> Floats:
    """The matrix `corr=` of a term for the levels that occur, scaled as it asks, (q, q).

    Parameters
    ----------
    spec : TermSpec
    labels : sequence of str
        The q levels.
    over : str
        What they are levels of, for errors.

    Raises
    ------
    DataError
        If levels are missing from it (named), or it is not finite or not symmetric there.
    SpecificationError
        If it is not positive semi-definite once it is scaled.
    """
    assert spec.corr is not None
    picked = select_labelled(
        spec.corr, labels, f"corr= of {spec.name!r} (over the levels of {over})"
    )
    return scale_corr(picked, spec.corr_scale, spec.name)


def select_distance(spec: TermSpec, labels: Sequence[str]) -> Floats:
    """The distances of `spec` for the sites that occur, checked, shape (q, q).

    Raises
    ------
    DataError
        If sites are missing from it (named), it is not finite or not symmetric there, or it
        has negative distances or a site at a distance from itself.
    """
    what = f"distance= of {spec.name!r}"
    assert isinstance(spec.distance, pd.DataFrame)
    values = select_labelled(spec.distance, labels, what)
    if (values < 0).any() or np.diag(values).any():
        raise DataError(f"{what} must be >= 0, and 0 on the diagonal")
    return values


def scale_corr(r: Floats, scale: str, name: str, fitted: int | None = None) -> Floats:
    """Apply `corr_scale` to a known matrix r (q, q), after its levels were selected.

    "cor": r_ij / sqrt(r_ii r_jj); "cor0": then (r - min) / (1 - min); "cov0": r - min, the
    minimum being that over the first `fitted` levels (all of them unless said).

    Raises
    ------
    SpecificationError
        If the result is not positive semi-definite.
    """
    if scale in {"cor", "cor0"}:
        variances = np.diag(r)
        if (variances <= 0).any():
            raise SpecificationError(
                f"corr= of {name!r} has a diagonal element <= 0 and cannot be made correlations"
            )
        sd = np.sqrt(variances)
        r = r / np.outer(sd, sd)
        np.fill_diagonal(r, 1.0)
    least = float(r[:fitted, :fitted].min())
    if scale == "cor0":
        if least >= 1:
            raise SpecificationError(
                f"corr= of {name!r} is 1 everywhere; corr_scale='cor0' would divide by 0"
            )
        r = (r - least) / (1 - least)
    if scale == "cov0":
        r = r - least
    _check_semidefinite(r, scale, name)
    return r


def _check_semidefinite(r: Floats, scale: str, name: str) -> None:
    try:
        # A factorisation costs a tenth of the eigenvalues, which only the message needs.
        np.linalg.cholesky(r + PSD_TOLERANCE * np.diag(r).max() * np.eye(len(r)))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(r)[0]
        raise SpecificationError(
            f"corr= of {name!r} is not positive semi-definite after corr_scale={scale!r}: "
            f"its smallest eigenvalue is {least:.3g}; check it, or use another corr_scale"
        ) from None


def select_labelled(matrix: pd.DataFrame, labels: Sequence[str], what: str) -> Floats:
    """Rows and columns of a labelled symmetric matrix in the order of `labels`, shape (q, q).

    Parameters
    ----------
    matrix : DataFrame
        Labelled alike on both axes; further labels are ignored.
    labels : sequence of str
        The q levels wanted.
    what : str
        Name of the matrix for error messages.

    Raises
    ------
    DataError
        If labels are missing or given twice (named), or it is not numeric, finite and symmetric.
    """
    rows, columns = pd.Index(level_texts(matrix.index)), pd.Index(level_texts(matrix.columns))
    if not rows.is_unique or not columns.is_unique:
        twice = rows[rows.duplicated()].append(columns[columns.duplicated()]).unique()
        raise DataError(f"{what} has labels twice: {shorten(twice)}")
    for axis, have in (("rows", rows), ("columns", columns)):
        lacking = [label for label in labels if label not in have]
        if lacking:
            raise DataError(
                f"{what} has no {axis} for {len(lacking)} levels of the data: {shorten(lacking)}; "
                f"its labels are {shorten(have)}"
            )
    wanted = pd.Index(labels)
    picked = np.ix_(rows.get_indexer(wanted), columns.get_indexer(wanted))
    try:
        values = matrix.to_numpy()[picked].astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be numeric: {error}") from None
    _check_symmetric(values, labels, what)
    return (values + values.T) / 2


def _check_symmetric(values: Floats, labels: Sequence[str], what: str) -> None:
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{what} is missing or infinite for {labels[i]!r} and {labels[j]!r}")
    gap = np.abs(values - values.T)
    if gap.max(initial=0.0) > LABEL_TOLERANCE * np.abs(values).max(initial=0.0):
        i, j = divmod(int(np.argmax(gap)), len(gap))
        raise DataError(
            f"{what} is not symmetric: {values[i, j]:g} and {values[j, i]:g} for "
            f"{labels[i]!r} and {labels[j]!r}"
        )
