"""A symmetric matrix (q, q) of low rank that is never formed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mvmeta._typing import Bools, Floats


class Factored:
    """``left @ right.T``, which is symmetric: for q so large that q x q numbers are too many.

    It gives entries, as an array does, its diagonal, and the array itself to whoever wants it.

    Parameters
    ----------
    left, right : ndarray, shape (q, r)
    """

    def __init__(self, left: Floats, right: Floats) -> None:
        self.left, self.right = left, right

    @property
    def shape(self) -> tuple[int, int]:
        """(q, q)."""
        return len(self.left), len(self.left)

    def __getitem__(self, at: tuple[Any, Any]) -> Floats:
        i, j = at
        return np.asarray((self.left[i] * self.right[j]).sum(axis=-1))

    def diagonal(self) -> Floats:
        """The diagonal, shape (q,)."""
        return np.asarray((self.left * self.right).sum(axis=1))

    def any(self) -> Bools:
        """Whether an entry is not 0, as the diagonal of a covariance matrix tells."""
        return np.asarray(self.diagonal().any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        half = self.left @ self.right.T
        full: np.ndarray = (half + half.T) / 2.0  # symmetric to the last digit
        return full if dtype is None else full.astype(dtype, copy=False)


def object_array(items: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Matrices in an array of objects, which takes them as they are."""
    out = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        out[i] = item
    return out.reshape(shape)
