"""User weights W for the fixed effects, in every form a user may have them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mvmeta._typing import Bools, Ints
from mvmeta.design.sampling import SYMMETRY_TOLERANCE
from mvmeta.errors import DataError
from mvmeta.model.specification.frames import Source, numeric, row_names
from mvmeta.model.specification.rows import aligned, positions


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """W over all n rows of the data, unchecked.

    Attributes
    ----------
    name : str
        Column or "weights", for messages.
    matrix : scipy.sparse.csr_array, shape (n, n)
    """

    name: str
    matrix: sparse.csr_array

    @property
    def missing(self) -> Bools:
        """Rows (n,) whose own weight is missing."""
        return np.isnan(np.asarray(self.matrix.diagonal()))

    def take(self, rows: Ints, labels: pd.Index) -> sparse.csr_array:
        """W of the kept rows (positions, m), checked; `labels` (m,) name them in errors.

        Raises
        ------
        DataError
            For a weight that is negative or not finite, for weights that are all zero, or a
            matrix that is not symmetric.
        """
        w = self.matrix[rows][:, rows].tocsr()
        diagonal = np.asarray(w.diagonal())
        for bad, what in ((~np.isfinite(diagonal), "infinite"), (diagonal < 0, "negative")):
            if bad.any():
                raise DataError(f"{self.name}: {what} weights in {row_names(labels, bad)}")
        if not np.isfinite(w.data).all():
            raise DataError(f"{self.name}: the weight matrix has missing or infinite entries")
        if not diagonal.any():
            raise DataError(f"{self.name}: all weights are zero")
        gap = abs(w - w.T)
        if gap.nnz and gap.max() > SYMMETRY_TOLERANCE * abs(w).max():
            raise DataError(f"{self.name}: the weight matrix is not symmetric")
        return w


def read_weights(weights: Any, source: Source) -> GivenWeights | None:
    """Understand `weights=`.

    Parameters
    ----------
    weights : None, column name, scalar, array or Series (n,), or matrix (n, n)
        A matrix may be an array, scipy sparse, or a DataFrame labelled by the rows of the data.
    source : Source

    Returns
    -------
    GivenWeights or None

    Raises
    ------
    DataError
        If they do not fit the rows of the data or are not numeric.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        values = numeric(source.column(weights, "weights"), f"the weights {weights!r}")
        return _diagonal(weights, values)
    return _from_values(weights, source)


def _from_values(weights: Any, source: Source) -> GivenWeights:
    if sparse.issparse(weights):
        return _square(weights, source)
    if isinstance(weights, pd.DataFrame):
        order = positions(weights.index, source.index, "weights")
        values = weights.to_numpy(dtype=float)
        return _square(values if order is None else values[np.ix_(order, order)], source)
    if np.ndim(weights) == 0:
        return _diagonal("weights", np.full(source.n, float(weights)))
    if np.ndim(weights) == 2:
        return _square(np.asarray(weights, dtype=float), source)
    return _diagonal("weights", numeric(aligned(weights, source.index, "weights"), "weights"))


def _diagonal(name: str, values: np.ndarray) -> GivenWeights:
    return GivenWeights(name, sparse.csr_array(sparse.diags_array(values)))


def _square(matrix: Any, source: Source) -> GivenWeights:
    if matrix.shape != (source.n, source.n):
        raise DataError(
            f"weights must be (n,) or (n, n) over the {source.n} rows of the data, "
            f"got shape {matrix.shape}"
        )
    return GivenWeights("weights", sparse.csr_array(matrix, dtype=float))
