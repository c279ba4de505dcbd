"""What a measure works on: the checked numbers of each row, and the options of the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
YiVi = tuple[FloatArray, FloatArray]
Arrays = dict[str, FloatArray]
"""Inputs by name, each (k,)."""
Flags = list[tuple[BoolArray, str]]
"""Rows (k,) that are wrong, with the reason."""


@dataclass(frozen=True)
class Values:
    """Inputs by name, each (k,), NaN where a row cannot be used; read as attributes.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The inputs under their argument names.
    vtype : ndarray of str, shape (k,)
        Kind of sampling variance, by row.
    correct : bool
        Whether small-sample bias is corrected, where the measure has a correction.
    """

    arrays: Mapping[str, FloatArray]
    vtype: NDArray[np.str_]
    correct: bool

    def __getattr__(self, name: str) -> FloatArray:
        try:
            return self.arrays[name]
        except KeyError:
            raise AttributeError(name) from None

    def by_vtype(self, **formulas: Callable[[], FloatArray]) -> FloatArray:
        """Variances, each row by the formula of its own `vtype`; unused ones are not computed."""
        variance = np.full(len(self.vtype), np.nan)
        for vtype in np.unique(self.vtype):
            rows = self.vtype == vtype
            variance[rows] = formulas[str(vtype)]()[rows]
        return variance


class RowValues(tuple[Any, ...]):
    """Values by row that pandas need not copy with every frame they travel with."""

    def __deepcopy__(self, _: dict[int, Any]) -> RowValues:
        return self


def weighted_average(values: FloatArray, sizes: FloatArray) -> FloatArray:
    """Average over the usable rows, weighted by sample size, repeated for every row."""
    used = np.isfinite(values) & np.isfinite(sizes)
    if not used.any():
        return np.full(len(values), np.nan)
    return np.full(len(values), np.average(values[used], weights=sizes[used]))
