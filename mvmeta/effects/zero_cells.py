"""What is added to counts of zero, and which studies are dropped for them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from mvmeta.effects.layouts import Layout
from mvmeta.effects.values import Arrays, BoolArray
from mvmeta.errors import SpecificationError

CHOICES = ("only0", "all", "if0all", "none")


@dataclass(frozen=True)
class ZeroRule:
    """The amount to add, where to add it, and whether double-zero studies are dropped."""

    add: float
    to: str
    drop00: bool

    def __post_init__(self) -> None:
        if self.to not in CHOICES:
            raise SpecificationError(f"to={self.to!r} is not one of {', '.join(CHOICES)}")
        if not (isinstance(self.add, Real) and np.isfinite(self.add) and self.add >= 0):
            raise SpecificationError(f"add={self.add!r} is not a non-negative number")

    def apply(self, arrays: Arrays, layout: Layout) -> tuple[Arrays, BoolArray]:
        """Adjusted copies of the inputs, and the rows that were dropped."""
        rows = len(next(iter(arrays.values())))
        dropped = np.zeros(rows, dtype=bool)
        if self.drop00 and layout.double_zero is not None:
            dropped = layout.double_zero(arrays)
        if not layout.cells:
            return arrays, dropped
        cells = [np.where(dropped, np.nan, arrays[name]) for name in layout.cells]
        extra = np.where(self._rows(np.any([cell == 0 for cell in cells], axis=0)), self.add, 0.0)
        adjusted = {name: cell + extra for name, cell in zip(layout.cells, cells, strict=True)}
        totals = {
            total: np.sum([adjusted[part] for part in parts], axis=0)
            for total, parts in (layout.totals or {}).items()
        }
        return {**arrays, **adjusted, **totals}, dropped

    def _rows(self, zero: BoolArray) -> BoolArray:
        """Rows that something is added to."""
        if self.to == "only0":
            return zero
        everywhere = self.to == "all" or (self.to == "if0all" and bool(zero.any()))
        return np.full(len(zero), everywhere)
