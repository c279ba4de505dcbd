"""Rows in which a factor of a formula is missing."""

from typing import Any

import numpy as np
import patsy

from mvmeta._typing import Bools


class Missing(patsy.NAAction):
    """Drops rows with missing factors, as patsy does, and remembers which."""

    def __init__(self) -> None:
        super().__init__(on_NA="drop")
        self.found: dict[str, Bools] = {}

    def handle_NA(  # noqa: N802  (patsy's name)
        self, values: list[Any], masks: list[Bools], origins: list[Any]
    ) -> Any:
        """As patsy calls it: notes the rows of every mask, then drops them."""
        for mask, origin in zip(masks, origins, strict=True):
            if mask.any():
                name = "the formula" if origin is None else origin.code[origin.start : origin.end]
                self.found[name] = self.found.get(name, False) | mask
        return super().handle_NA(values, masks, origins)

    def any(self, n: int) -> Bools:
        """Rows (n,) in which anything is missing."""
        out = np.zeros(n, dtype=bool)
        for mask in self.found.values():
            out |= mask
        return out
