"""What all transformations do with their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mvmeta.errors import DataError

Array = NDArray[np.float64]


def floats(x: ArrayLike) -> Any:
    """Numbers as floats.

    Raises
    ------
    DataError
        For anything else.
    """
    try:
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a transformation takes numbers: {error}") from error


def inside(x: Array, low: float, high: float) -> Any:
    """Values in [low, high], NaN elsewhere."""
    return np.where((x >= low) & (x <= high), x, np.nan)[()]
