"""User weights W for the fixed effects, in every form a user may have them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mvmeta._typing import Bools, Ints
from mvmeta.columns import numeric, positions, row_names
from mvmeta.design.valid_v import SYMMETRY_TOLERANCE
from mvmeta.errors import DataError
from mvmeta.model.specification.frames import Source
from mvmeta.model.specification.rows import aligned


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
        _check_finite(w, labels, self.name)
        if not diagonal.any():
            raise DataError(
                f"{self.name}: all weights are zero; give some row a weight above 0, or leave out "
                "weights="
            )
        _check_symmetric(w, labels, self.name)
        return w


def _check_finite(w: sparse.csr_array, labels: pd.Index, name: str) -> None:
    entries = w.tocoo()
    bad = np.flatnonzero(~np.isfinite(entries.data))
    if len(bad):
        i, j = int(entries.row[bad[0]]), int(entries.col[bad[0]])
        raise DataError(
            f"{name}: the weight matrix has {len(bad)} missing or infinite entries, the first in "
            f"row {labels[i]}, column {labels[j]}; give it a number (0 where there is no weight)"
        )


def _check_symmetric(w: sparse.csr_array, labels: pd.Index, name: str) -> None:
    gap = abs(w - w.T).tocoo()
    if gap.nnz and gap.max() > SYMMETRY_TOLERANCE * abs(w).max():
        k = int(np.argmax(gap.data))
        i, j = sorted((int(gap.row[k]), int(gap.col[k])))
        raise DataError(
            f"{name}: the weight matrix is not symmetric: {w[i, j]:g} in row {labels[i]}, column "
            f"{labels[j]}, but {w[j, i]:g} in row {labels[j]}, column {labels[i]}; make them equal"
        )


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
