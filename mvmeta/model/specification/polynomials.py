"""Orthogonal polynomials in formulas, `poly(x, degree)`: those of R's function of that name."""

from typing import Any

import numpy as np

from mvmeta._typing import Floats
from mvmeta.errors import SpecificationError


class Polynomials:
    """``poly(x, degree)`` in a formula: columns orthogonal to each other and to the constant.

    Columns have length 1 over the fitted rows.  New rows are evaluated with the same
    polynomials, by their three-term recurrence (Kennedy & Gentle 1980, Statistical Computing,
    pp. 343-344).  The methods are those patsy asks of a transform that remembers.
    """

    def __init__(self) -> None:
        self._values: list[Floats] = []
        self._counts: list[Floats] = []
        self._degree = 1
        self._centers = np.empty(0)
        self._norms = np.empty(0)

    def memorize_chunk(self, x: Any, degree: int = 1) -> None:
        """Take some of the rows."""
        if degree != int(degree) or degree < 1:
            raise SpecificationError(f"poly(): the degree is 1, 2, ..., got {degree!r}")
        self._degree = int(degree)
        known = np.asarray(x, dtype=float)
        values, counts = np.unique(known[np.isfinite(known)], return_counts=True)
        self._values.append(values)
        self._counts.append(counts.astype(float))

    def memorize_finish(self) -> None:
        """Work the polynomials out from all rows."""
        x, weight = np.concatenate(self._values), np.concatenate(self._counts)
        if len(np.unique(x)) <= self._degree:
            raise SpecificationError(
                f"poly() of degree {self._degree} needs more than {self._degree} different values, "
                f"there are {len(np.unique(x))}"
            )
        self._centers, self._norms = np.zeros(self._degree), np.zeros(self._degree + 1)
        before, now = np.zeros_like(x), np.ones_like(x)
        for k in range(self._degree + 1):
            self._norms[k] = weight @ now**2
            if k < self._degree:
                self._centers[k] = weight @ (x * now**2) / self._norms[k]
                before, now = now, self._next(k, x, now, before)
        self._values, self._counts = [], []

    def transform(self, x: Any, degree: int = 1) -> Floats:  # noqa: ARG002  (patsy passes it)
        """Columns (n, degree) of rows (n,)."""
        x = np.asarray(x, dtype=float)
        before, now = np.zeros_like(x), np.ones_like(x)
        columns = []
        for k in range(self._degree):
            before, now = now, self._next(k, x, now, before)
            columns.append(now / np.sqrt(self._norms[k + 1]))
        return np.column_stack(columns)

    def _next(self, k: int, x: Floats, now: Floats, before: Floats) -> Floats:
        step = self._norms[k] / self._norms[k - 1] if k else 0.0
        return (x - self._centers[k]) * now - step * before
