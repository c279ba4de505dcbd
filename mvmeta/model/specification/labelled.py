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
    return scale_corr(picked, spec.corr_scale, spec.name, labels=labels)


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
    negative = np.argwhere(values < 0)
    if len(negative):
        i, j = negative[0]
        raise DataError(
            f"{what} must be >= 0, but is {values[i, j]:g} for {labels[i]!r} and {labels[j]!r}; "
            "correct this entry"
        )
    away = np.flatnonzero(np.diag(values))
    if len(away):
        i = int(away[0])
        raise DataError(
            f"{what} must be 0 on the diagonal, but is {values[i, i]:g} for {labels[i]!r} itself; "
            "give distances, not similarities"
        )
    return values


def scale_corr(
    r: Floats, scale: str, name: str, fitted: int | None = None, labels: Sequence[str] = ()
) -> Floats:
    """Apply `corr_scale` to a known matrix r (q, q), after its levels were selected.

    "cor": r_ij / sqrt(r_ii r_jj); "cor0": then (r - min) / (1 - min); "cov0": r - min, the
    minimum being that over the first `fitted` levels (all of them unless said).  `labels` (q,)
    name the levels in errors.

    Raises
    ------
    SpecificationError
        If the result is not positive semi-definite.
    """
    if scale in {"cor", "cor0"}:
        variances = np.diag(r)
        low = np.flatnonzero(variances <= 0)
        if len(low):
            i = int(low[0])
            raise SpecificationError(
                f"corr= of {name!r} has {variances[i]:g} on the diagonal{_of(labels, i)}, and "
                "cannot be made correlations: give it a value above 0, or leave out the level"
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
    _check_semidefinite(r, scale, name, labels)
    return r


def _of(labels: Sequence[str], i: int) -> str:
    return f" for {labels[i]!r}" if len(labels) else f" of row {i}"


def _check_semidefinite(r: Floats, scale: str, name: str, labels: Sequence[str]) -> None:
    try:
        # A factorisation costs a tenth of the eigenvalues, which only the message needs.
        np.linalg.cholesky(r + PSD_TOLERANCE * np.diag(r).max() * np.eye(len(r)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(r)
        i, j = np.sort(np.argsort(-np.abs(vectors[:, 0]))[:2])
        pair = f"{r[i, j]:g}{_of(labels, i)} and{_of(labels, j).replace(' for', '')}"
        raise SpecificationError(
            f"corr= of {name!r} is not positive semi-definite after corr_scale={scale!r}: "
            f"its smallest eigenvalue is {values[0]:.3g}, to which most is contributed by "
            f"{pair}; check these entries, or use another corr_scale"
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
        raise DataError(
            f"{what} is missing or infinite for {labels[i]!r} and {labels[j]!r}; give this entry "
            "a number"
        )
    gap = np.abs(values - values.T)
    if gap.max(initial=0.0) > LABEL_TOLERANCE * np.abs(values).max(initial=0.0):
        i, j = divmod(int(np.argmax(gap)), len(gap))
        raise DataError(
            f"{what} is not symmetric: {values[i, j]:g} and {values[j, i]:g} for "
            f"{labels[i]!r} and {labels[j]!r}; make them equal"
        )
