"""The sampling (co)variances in every form a user may have them."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import sparse

from mvmeta._typing import Bools, Floats, Ints
from mvmeta.columns import is_plain, numeric, positions, read_only
from mvmeta.design.sampling import SamplingCovariance
from mvmeta.design.sparse_blocks import block_diagonal
from mvmeta.errors import CovarianceError, DataError
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.rows import aligned


@dataclass(frozen=True, eq=False)
class GivenVariance:
    """V over all n rows of the data, unchecked: rows to be dropped may hold anything.

    Attributes
    ----------
    name : str
        Column or "variance", for messages.
    variances : ndarray, shape (n,)
        The diagonal; NaN where missing.
    matrix : ndarray or scipy sparse, shape (n, n), or None
        All of V; None where it is diagonal.
    checked : SamplingCovariance or None
        V where the user gave one: it was checked when it was made.
    shared : bool
        The variances are an array of the user's and are used as they are.
    """

    name: str
    variances: Floats
    matrix: Floats | sparse.csr_array | None = None
    checked: SamplingCovariance | None = None
    shared: bool = False

    @property
    def missing(self) -> Bools:
        """Rows (n,) without a sampling variance; a missing covariance alone is an error instead."""
        return np.isnan(self.variances)

    def take(self, rows: Ints, labels: pd.Index) -> SamplingCovariance:
        """V of the kept rows (positions, m), checked; `labels` (m,) name them in errors.

        Raises
        ------
        CovarianceError
            For a negative or non-finite entry, or a matrix that is not symmetric and
            positive semi-definite.
        """
        if self.checked is not None:
            return self.checked.take(rows)
        names = _LazyNames(labels)
        if self.matrix is None:
            kept = self.variances if len(rows) == len(self.variances) else self.variances[rows]
            copy = not self.shared
            return SamplingCovariance.from_variances(kept, names, copy=copy)  # type: ignore[arg-type]
        if len(rows) == self.matrix.shape[0]:
            return SamplingCovariance.from_matrix(self.matrix, names)  # type: ignore[arg-type]
        if isinstance(self.matrix, np.ndarray):
            return SamplingCovariance.from_matrix(self.matrix[np.ix_(rows, rows)], names)  # type: ignore[arg-type]
        block = self.matrix[rows][:, rows].tocsr()
        return SamplingCovariance.from_matrix(block, names)  # type: ignore[arg-type]


class _LazyNames:
    """Row labels for messages, looked up one by one."""

    def __init__(self, labels: pd.Index) -> None:
        self._labels = labels

    def __getitem__(self, position: int) -> object:
        return self._labels[position]


def read_variance(variance: Any, source: Source) -> GivenVariance:
    """Understand `variance=`.

    Parameters
    ----------
    variance : str, float, array_like, list or SamplingCovariance
        Name of a column; scalar; variances (n,); matrix V (n, n); list of blocks in row order.
        A matrix may be an array, a scipy sparse matrix or a DataFrame labelled by the rows of
        the data.  Always over all rows of the data, before any are dropped.  A DataFrame, or a
        SamplingCovariance made of data with the same labels, may have them in another order.
    source : Source

    Returns
    -------
    GivenVariance

    Raises
    ------
    DataError
        If it does not fit the rows of the data or is not numeric.
    CovarianceError
        If a matrix or a block is not square.

    Notes
    -----
    A row whose variance is NaN is missing, and so is dropped or complained of like any missing
    value.  A NaN covariance between two rows that both stay is an error: which of them should
    go, or what the covariance is, cannot be guessed.
    """
    if variance is None:
        raise DataError("variance= is missing: the column of sampling variances, or their matrix V")
    if isinstance(variance, str):
        column = source.column(variance, "variance")
        return GivenVariance(variance, numeric(column, f"the variance {variance!r}"))
    if isinstance(variance, SamplingCovariance):
        _check_rows(variance.n, source.n)
        ordered = _in_order(variance, source)
        return GivenVariance("variance", ordered.variances, checked=ordered)
    if sparse.issparse(variance):
        return _from_matrix(sparse.csr_array(cast("Any", variance)), source)
    if isinstance(variance, pd.DataFrame):
        return _from_frame(variance, source)
    if isinstance(variance, (list, tuple)) and any(np.ndim(b) == 2 for b in variance):
        return _from_blocks(list(variance), source)
    return _from_array(variance, source)


def _in_order(v: SamplingCovariance, source: Source) -> SamplingCovariance:
    """V in the order of the data, which may have been sorted, or given a new index, since.

    Rows are found by their labels, where the data have the same ones, else by position; the column
    with the studies, where the data have it, says whether that is right.
    """
    made = v.provenance
    if made is None:
        return v
    order = _by_labels(made.rows, source.index)
    if made.column is None or made.column not in source:
        return v if order is None else v.take(order)
    studies = pd.factorize(source.column(made.column))[0]
    if _same_partition(made.study if order is None else made.study[order], studies):
        return v if order is None else v.take(order)
    if order is not None and _same_partition(made.study, studies):
        return v
    raise DataError(
        f"variance was made of other studies than those in column {made.column!r}: the data were "
        f"sorted and got a new index since, or the column has changed; make it again from these "
        "data, or pass variance.tosparse() if it is in the order of the rows"
    )


def _by_labels(labels: pd.Index | None, index: pd.Index) -> Ints | None:
    """Where the rows of the data are in V; None for the same order, and for labels of their own."""
    if labels is None or labels is index or labels.equals(index) or not labels.isin(index).all():
        return None
    return positions(labels, index, "variance")


def _same_partition(codes: Ints, others: Ints) -> bool:
    """Whether two codings (n,) tell the same rows apart; -1 in the second one is anything."""
    known = others >= 0
    first, second = (pd.factorize(c[known])[0] for c in (codes, others))
    return bool((first == second).all())


def _from_array(variance: Any, source: Source) -> GivenVariance:
    if isinstance(variance, pd.Series):
        series = aligned(variance, source.index, "variance")
        name = variance.name if isinstance(variance.name, str) else "variance"
        return GivenVariance(name, numeric(series, "variance"))
    try:
        array = np.asarray(variance)
    except ValueError as error:
        raise DataError(
            f"variance is no vector, matrix or list of square blocks: {error}"
        ) from None
    if array.ndim == 0:
        return GivenVariance(
            "variance", numeric(pd.Series([array.item()]), "variance").repeat(source.n)
        )
    if array.ndim == 2 and array.shape[1] == 1 and source.n != 1:
        array = array[:, 0]
    if array.ndim == 2:
        return _from_matrix(_floats(array), source)
    if is_plain(array) and len(array) == source.n:
        values = read_only(array)
    else:
        values = numeric(aligned(array, source.index, "variance"), "variance")
    return GivenVariance("variance", values, shared=array is variance)


def _from_matrix(matrix: Floats | sparse.csr_array, source: Source) -> GivenVariance:
    if matrix.shape[0] != matrix.shape[1]:
        raise CovarianceError(
            f"V must be a vector of n variances or a square (n, n) matrix, got shape {matrix.shape}"
        )
    _check_rows(matrix.shape[0], source.n)
    return GivenVariance("variance", np.array(matrix.diagonal(), dtype=float), matrix)


def _from_frame(frame: pd.DataFrame, source: Source) -> GivenVariance:
    if frame.shape[1] == 1:
        return _from_array(frame.iloc[:, 0], source)
    if not frame.index.equals(frame.columns):
        raise DataError(
            "variance as a DataFrame needs the same labels on index and columns, in the same order"
        )
    order = positions(frame.index, source.index, "variance")
    values = _floats(frame.to_numpy())
    return _from_matrix(values if order is None else values[np.ix_(order, order)], source)


def _from_blocks(blocks: list[Any], source: Source) -> GivenVariance:
    square = [np.atleast_2d(np.asarray(b)) for b in blocks]
    for number, block in enumerate(square):
        if block.ndim != 2 or block.shape[0] != block.shape[1]:
            raise CovarianceError(f"block {number} of V must be square, got shape {block.shape}")
    sizes = np.array([len(b) for b in square])
    _check_rows(int(sizes.sum()), source.n)
    entries = _floats(np.concatenate([b.ravel() for b in square]))
    return _from_matrix(block_diagonal(entries, sizes), source)


def _floats(values: np.ndarray) -> Floats:
    if values.dtype.kind == "c":
        raise DataError("variance must be real numbers, got complex ones; pass V.real")
    try:
        return values.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"variance must be numeric: {error}") from None


def _check_rows(n: int, wanted: int) -> None:
    if n != wanted:
        raise DataError(
            f"variance has {n} rows, the data have {wanted}; it must cover all rows of the data "
            "as given, before any are dropped (of what vcalc returns, V.take(positions) is a part)"
        )
